//! Refused recovery (protocol notes: recovery): the upgrade succeeds, then the socket is closed
//! with 1008, the one answer that makes clients start a fresh connection.

use std::time::Duration;

use hubwire_proto::ws::{self, CloseCode};

use crate::listener::{Upgrade, say_last};

const REASON: &str = "The connection could not be recovered.";

/// How long the client has to answer the close frame.
const LINGER: Duration = Duration::from_secs(2);

/// Closes a socket that has just been upgraded.
pub(super) fn refuse() -> Upgrade {
    Box::new(|stream, _unread| {
        Box::pin(async move {
            let mut frame = Vec::new();
            ws::encode_close(CloseCode::POLICY_VIOLATION, REASON, &mut frame);
            let _ = tokio::time::timeout(LINGER, say_last(stream, &frame)).await;
        })
    })
}
