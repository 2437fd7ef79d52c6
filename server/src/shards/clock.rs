//! The one clock of the process, as the engine counts time.

use std::time::Instant;

use hubwire_core::Millis;

/// Counts milliseconds since the node started.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// The present moment.
    #[must_use]
    pub fn now(self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
