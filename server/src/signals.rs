//! The signals that end a node.

use std::future::Future;
use std::io;

/// Resolves when the process is asked to stop: SIGTERM or SIGINT, elsewhere Ctrl-C. The handlers
/// are in place when this returns.
///
/// # Errors
///
/// If the system refuses a handler.
#[cfg(unix)]
pub(crate) fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// See the other.
#[cfg(not(unix))]
pub(crate) fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
