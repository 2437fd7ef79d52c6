//! Refused recovery (protocol notes: recovery): the upgrade succeeds, then the socket is closed
//! with 1008, the one answer that makes clients start a fresh connection.

use std::time::Duration;

use hubwire_proto::ws::{self, CloseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::listener::Upgrade;

const REASON: &str = "The connection could not be recovered.";

/// How long the client has to answer the close frame.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that are read while waiting for that.
const LINGER_BYTES: usize = 64 * 1024;

/// Closes a socket that has just been upgraded.
pub(super) fn refuse() -> Upgrade {
    Box::new(|stream, _unread| {
        Box::pin(async move {
            let _ = tokio::time::timeout(LINGER, close(stream)).await;
        })
    })
}

/// Reads on after the close frame: a socket that is dropped with unread input resets the
/// connection, and the frame might never arrive.
async fn close(mut stream: TcpStream) -> std::io::Result<()> {
    let mut frame = Vec::new();
    ws::encode_close(CloseCode::POLICY_VIOLATION, REASON, &mut frame);
    stream.write_all(&frame).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 1024];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match stream.read(&mut scratch).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}
