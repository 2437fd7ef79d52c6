//! The numbers of a reliable client's messages: what arrived, what was acknowledged, and when
//! acknowledgements are due (protocol notes: reliable clients).

use std::time::Duration;

use crate::clock::nanos;

/// How far one client has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sequence {
    received: u64,
    acknowledged: u64,
}

/// What a number says of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// One above the last.
    Next,
    /// New, but the numbers between were left out.
    Later,
    /// Not above the last: clients drop the message.
    Repeated,
}

impl Sequence {
    /// Takes note of a message.
    #[inline]
    pub(crate) fn receive(&mut self, sequence_id: u64) -> Place {
        if sequence_id <= self.received {
            return Place::Repeated;
        }
        let place = if sequence_id - self.received == 1 {
            Place::Next
        } else {
            Place::Later
        };
        self.received = sequence_id;
        place
    }

    /// The highest number that arrived; 0 for none.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The number to acknowledge, if anything arrived since the last time. From then on it counts
    /// as acknowledged.
    pub(crate) fn acknowledge(&mut self) -> Option<u64> {
        (self.unacknowledged() > 0).then(|| {
            self.acknowledged = self.received;
            self.received
        })
    }

    /// Messages that arrived and were not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.received - self.acknowledged
    }
}

/// Whose turn it is to acknowledge: each connection once in an interval, one after the other, as
/// the timers of many clients are spread over it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// Nanoseconds; 0 for nobody's turn, ever.
    interval: u64,
    /// The connection whose turn is next.
    next: usize,
    /// When the turn of the one before began.
    at: u64,
}

impl Turns {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval: nanos(interval),
            next: 0,
            at: 0,
        }
    }

    /// Takes the turns that came until `now` among `connections`: the first of them and their
    /// number, to be counted on past the last connection to the first. No connection has two.
    #[inline]
    pub(crate) fn take(&mut self, now: u64, connections: usize) -> (usize, usize) {
        if self.interval == 0 || connections == 0 {
            return (0, 0);
        }
        let turn = (self.interval / connections as u64).max(1);
        let due = now.saturating_sub(self.at) / turn;
        self.at += due * turn;
        let due = usize::try_from(due).unwrap_or(connections).min(connections);
        let first = self.next % connections;
        self.next = (first + due) % connections;
        (first, due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_what_was_missed() {
        let mut sequence = Sequence::default();
        let mut check = |id, place, unacknowledged| {
            assert_eq!(sequence.receive(id), place, "{id}");
            assert_eq!(sequence.unacknowledged(), unacknowledged, "{id}");
        };
        check(0, Place::Repeated, 0);
        check(1, Place::Next, 1);
        check(2, Place::Next, 2);
        check(2, Place::Repeated, 2);
        check(5, Place::Later, 5);
        check(4, Place::Repeated, 5);
        check(6, Place::Next, 6);
        assert_eq!(sequence.acknowledge(), Some(6));
        assert_eq!(sequence.acknowledge(), None);
        assert_eq!(sequence.receive(7), Place::Next);
        assert_eq!(sequence.acknowledge(), Some(7));
        assert_eq!(sequence.received(), 7);
    }

    #[test]
    fn each_connection_has_its_turn_once_in_an_interval() {
        const SECOND: u64 = 1_000_000_000;
        for connections in [1, 7, 1000, 12_345] {
            for step in [90_001, 1_000_000, 70_000_003] {
                let mut turns = Turns::new(Duration::from_secs(1));
                let mut taken = vec![0_u64; connections];
                let mut now = 0;
                while now + step <= 10 * SECOND {
                    now += step;
                    let (first, count) = turns.take(now, connections);
                    for nth in first..first + count {
                        taken[nth % connections] += 1;
                    }
                }
                let (least, most) = (taken.iter().min(), taken.iter().max());
                let about_ten = [least, most].map(|turns| (9..=10).contains(turns.expect("one")));
                assert_eq!(
                    about_ten, [true; 2],
                    "{connections} {step} {least:?} {most:?}"
                );
            }
        }
    }

    #[test]
    fn a_long_pause_gives_one_turn_each() {
        let mut turns = Turns::new(Duration::from_millis(500));
        assert_eq!(turns.take(3_000_000_000, 4), (0, 4));
        assert_eq!(turns.take(3_000_000_000, 4), (0, 0));
        assert_eq!(turns.take(3_125_000_000, 4), (0, 1));
        assert_eq!(turns.take(3_375_000_000, 4), (1, 2));
    }

    #[test]
    fn nobody_has_a_turn_without_interval_or_connections() {
        assert_eq!(Turns::new(Duration::ZERO).take(u64::MAX, 9), (0, 0));
        assert_eq!(Turns::new(Duration::from_secs(1)).take(u64::MAX, 0), (0, 0));
    }
}
