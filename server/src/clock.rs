//! The system's clock, as tokens and certificates count time. How the engine counts it is in
//! `shards/clock.rs`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire_proto::token::UnixSeconds;

/// The present; 1970 on a machine whose clock is before that.
pub(crate) fn now() -> UnixSeconds {
    UnixSeconds(0).plus(since_epoch())
}

/// The present in milliseconds since 1970, likewise.
pub(crate) fn now_in_milliseconds() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
