//! When a session loses its patience. Time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How long the server may take to say `connected`.
const GREETING: Duration = Duration::from_secs(10);
/// After this silence the server is asked for a sign of life, then again as long after.
const SILENCE: Duration = Duration::from_secs(30);
/// After this silence it is given up.
const DEATH: Duration = Duration::from_secs(90);
/// How long acknowledgements may take at the end, without one of them coming.
const LAST_ACKS: Duration = Duration::from_secs(30);

/// The clocks of one session.
#[derive(Debug)]
pub(super) struct Timers {
    /// When to leave at the latest.
    end: Option<Instant>,
    greeting: Option<Instant>,
    heard: Instant,
    asked: Instant,
    last_acks: Option<Instant>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Leave, whatever has come.
    End,
    /// Send a ping.
    Ping,
    /// Fail for this reason.
    Fail(&'static str),
}

impl Timers {
    pub(super) fn new(now: Instant, end: Option<Instant>, simple: bool) -> Self {
        Self {
            end,
            greeting: (!simple).then(|| now + GREETING),
            heard: now,
            asked: now,
            last_acks: None,
        }
    }

    /// Something has arrived.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.heard, self.asked) = (now, now);
    }

    /// The server has said `connected`.
    pub(super) fn greeted(&mut self) {
        self.greeting = None;
    }

    /// Nothing but acknowledgements is awaited from now on; or one of them has come.
    pub(super) fn await_acks(&mut self, now: Instant) {
        self.last_acks = Some(now + LAST_ACKS);
    }

    /// Something else is awaited again.
    pub(super) fn await_more(&mut self) {
        self.last_acks = None;
    }

    /// When to look at [`Self::due`] next.
    pub(super) fn next(&self) -> Instant {
        let silence = (self.asked + SILENCE).min(self.heard + DEATH);
        let others = [self.end, self.greeting, self.last_acks];
        others.into_iter().flatten().fold(silence, Instant::min)
    }

    /// What has become due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.end) {
            return Some(Due::End);
        }
        if passed(self.greeting) {
            return Some(Due::Fail(
                "the server did not say that the client is connected",
            ));
        }
        if passed(self.last_acks) {
            return Some(Due::End);
        }
        if self.heard + DEATH <= now {
            return Some(Due::Fail("the server has been silent for too long"));
        }
        if self.asked + SILENCE <= now {
            self.asked = now;
            return Some(Due::Ping);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_about_then_ends_the_session() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::new(start, None, true);
        timers.heard(at(5));
        let mut pings = Vec::new();
        let failed = loop {
            let next = timers.next();
            match timers.due(next) {
                Some(Due::Ping) => pings.push(next),
                other => break (next, other),
            }
        };
        assert_eq!(pings, [at(35), at(65)]);
        let silent = Due::Fail("the server has been silent for too long");
        assert_eq!(failed, (at(95), Some(silent)));
    }

    #[test]
    fn each_thing_awaited_has_its_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::new(start, Some(at(20)), false);
        assert_eq!(timers.next(), at(10));
        assert!(matches!(timers.due(at(10)), Some(Due::Fail(_))));
        timers.greeted();
        assert_eq!((timers.due(at(10)), timers.next()), (None, at(20)));
        assert_eq!(timers.due(at(20)), Some(Due::End));
        let mut timers = Timers::new(start, None, true);
        timers.await_acks(at(0));
        timers.await_acks(at(20));
        timers.heard(at(49));
        assert_eq!(timers.next(), at(50));
        assert_eq!(timers.due(at(50)), Some(Due::End));
        timers.await_more();
        assert_eq!(timers.due(at(50)), None);
    }
}
