//! The bound on REST requests per second (`limits.rest_rps`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND: u64 = 1_000_000_000;

/// Admits so many requests per second, and after a rest as many at once: the generic cell rate
/// algorithm, in one number.
pub(super) struct Rate {
    started: Instant,
    /// Nanoseconds between two requests at the full rate.
    interval: u64,
    /// When everything admitted so far is paid for, in nanoseconds since the start.
    paid_until: AtomicU64,
}

impl Rate {
    /// A bound of `per_second`; `None` for 0, which is none.
    pub(super) fn new(per_second: usize) -> Option<Self> {
        let per_second = u64::try_from(per_second).unwrap_or(u64::MAX);
        Some(Self {
            started: Instant::now(),
            interval: SECOND.checked_div(per_second)?,
            paid_until: AtomicU64::new(0),
        })
    }

    /// Admits one request.
    ///
    /// # Errors
    ///
    /// How long to wait, if it comes too early.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.take_at(now)
    }

    fn take_at(&self, now: u64) -> Result<(), Duration> {
        let admit = |paid_until: u64| {
            let next = paid_until.max(now).saturating_add(self.interval);
            (next <= now.saturating_add(SECOND)).then_some(next)
        };
        self.paid_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, admit)
            .map(|_| ())
            .map_err(|paid_until| {
                let fits_at = paid_until
                    .saturating_add(self.interval)
                    .saturating_sub(SECOND);
                Duration::from_nanos(fits_at.saturating_sub(now))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_twice_the_rate_and_no_long_time_more_than_the_rate() {
        let rate = Rate::new(4).unwrap();
        let taken = |now: u64| {
            std::iter::repeat_with(|| rate.take_at(now))
                .take_while(Result::is_ok)
                .count()
        };
        assert_eq!(taken(0), 4);
        assert_eq!(rate.take_at(0), Err(Duration::from_millis(250)));
        assert_eq!(taken(SECOND / 4), 1);
        assert_eq!(taken(SECOND), 3);
        // A long rest is worth no more than a second.
        assert_eq!(taken(SECOND * 1000), 4);
        assert_eq!(taken(SECOND * 1000 + SECOND / 4 - 1), 0);
    }

    #[test]
    fn without_a_rate_there_is_no_bound() {
        assert!(Rate::new(0).is_none());
        assert!(Rate::new(1).unwrap().take().is_ok());
    }
}
