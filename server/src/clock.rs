//! The system's clock, as tokens and certificates count time. How the engine counts it is in
//! `shards/clock.rs`.

use std::time::{SystemTime, UNIX_EPOCH};

use hubwire_proto::token::UnixSeconds;

/// The present; 1970 on a machine whose clock is before that.
pub(crate) fn now() -> UnixSeconds {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixSeconds(0).plus(since_epoch)
}
