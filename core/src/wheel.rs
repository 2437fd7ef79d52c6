//! Timers of a shard: a wheel of coarse buckets, one entry per waiting connection, no removal.
//!
//! An entry whose connection has gone or has no use for it any more is ignored when it fires, so
//! that arming costs a push and disarming nothing.

use crate::Millis;
use crate::id::Slot;

/// Milliseconds in a bucket: how late a timer may fire.
pub const GRANULARITY_MS: u64 = 128;
const BUCKETS: usize = 512;
/// Timers that an empty bucket keeps room for.
const KEPT: usize = 8;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerKind {
    /// Look whether the peer is still there.
    KeepAlive,
    /// The closing handshake takes too long.
    CloseTimeout,
    /// Messages that a blocked client has not taken may have expired.
    Expiry,
    /// The client has not come back to its session.
    RecoveryWindow,
    /// A stream of the session may have rested for too long.
    Streams,
}

/// One armed timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// Whose it is.
    pub slot: Slot,
    /// Which transport or session of that slot; see [`crate::shard`].
    pub birth: u32,
    /// What for.
    pub kind: TimerKind,
    due_bucket: u32,
}

/// A timing wheel. Deadlines beyond its turn wait for further turns.
#[derive(Debug)]
pub struct Wheel {
    buckets: Vec<Vec<Timer>>,
    /// The first bucket, counted from the start of time, that has not fired yet.
    next_bucket: u64,
    armed: usize,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            buckets: std::iter::repeat_with(Vec::new).take(BUCKETS).collect(),
            next_bucket: 0,
            armed: 0,
        }
    }
}

impl Wheel {
    /// Arms a timer. It fires at the first [`fire`](Self::fire) at or after `due`, rounded up to
    /// the next bucket.
    pub fn arm(&mut self, slot: Slot, birth: u32, kind: TimerKind, due: Millis) {
        let due_bucket = due.0.div_ceil(GRANULARITY_MS).max(self.next_bucket);
        let timer = Timer {
            slot,
            birth,
            kind,
            due_bucket: u32::try_from(due_bucket).unwrap_or(u32::MAX),
        };
        self.buckets[Self::index(due_bucket)].push(timer);
        self.armed += 1;
    }

    /// Moves every timer that is due at `now` to `due`.
    pub fn fire(&mut self, now: Millis, due: &mut Vec<Timer>) {
        let last = now.0 / GRANULARITY_MS;
        if self.armed == 0 {
            self.next_bucket = self.next_bucket.max(last + 1);
            return;
        }
        // After a long pause one turn of the wheel visits every bucket.
        let first = self
            .next_bucket
            .max(last.saturating_sub(BUCKETS as u64 - 1));
        for bucket in first..=last {
            let timers = &mut self.buckets[Self::index(bucket)];
            let before = timers.len();
            timers.retain(|timer| {
                let wait = u64::from(timer.due_bucket) > last;
                if !wait {
                    due.push(*timer);
                }
                wait
            });
            self.armed -= before - timers.len();
            // Connections that came and went must leave nothing behind.
            if timers.is_empty() && timers.capacity() > KEPT {
                *timers = Vec::new();
            }
        }
        self.next_bucket = self.next_bucket.max(last + 1);
    }

    /// When to call [`fire`](Self::fire) next, if any timer is armed. It may be too early.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        if self.armed == 0 {
            return None;
        }
        let turn = self.next_bucket..self.next_bucket + BUCKETS as u64;
        turn.into_iter()
            .find(|bucket| !self.buckets[Self::index(*bucket)].is_empty())
            .map(|bucket| Millis(bucket * GRANULARITY_MS))
    }

    fn index(bucket: u64) -> usize {
        // The remainder is below BUCKETS.
        usize::try_from(bucket % BUCKETS as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_timer_fires_once_not_early_and_at_most_a_bucket_late() {
        let mut wheel = Wheel::default();
        wheel.arm(Slot(1), 0, TimerKind::KeepAlive, Millis(20_000));
        assert!(wheel.next_due().unwrap() >= Millis(20_000));
        let mut due = Vec::new();
        wheel.fire(Millis(19_999), &mut due);
        assert!(due.is_empty());
        wheel.fire(Millis(20_000 + GRANULARITY_MS), &mut due);
        assert_eq!(due.len(), 1);
        wheel.fire(Millis(90_000), &mut due);
        assert_eq!((due.len(), wheel.next_due()), (1, None));
    }

    proptest! {
        #[test]
        fn every_timer_fires_exactly_once_in_its_time(dues in prop::collection::vec(0u64..400_000, 1..50), step in 1u64..100_000) {
            let mut wheel = Wheel::default();
            for (slot, due) in (0u32..).zip(&dues) {
                wheel.arm(Slot(slot), slot, TimerKind::CloseTimeout, Millis(*due));
            }
            let mut fired = vec![false; dues.len()];
            let (mut now, mut before) = (0, 0);
            while now < 600_000 {
                let mut due = Vec::new();
                wheel.fire(Millis(now), &mut due);
                for timer in due {
                    let index = timer.slot.index();
                    prop_assert!(!fired[index]);
                    fired[index] = true;
                    prop_assert!(dues[index] <= now);
                    prop_assert!(dues[index] + GRANULARITY_MS > before);
                }
                before = now;
                now += step;
            }
            prop_assert!(fired.iter().all(|fired| *fired));
            prop_assert_eq!(wheel.next_due(), None);
        }
    }
}
