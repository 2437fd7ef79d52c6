//! The one clock of a run: nanoseconds since its start.
//!
//! Messages carry these readings, so sender and receiver must share the clock. They do: both ends
//! of every delivery are in this process.

use std::time::{Duration, Instant};

/// A monotonic clock that starts at zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Nanoseconds since the start.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }
}

/// A duration in whole nanoseconds; 584 years at most.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}
