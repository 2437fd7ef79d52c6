//! The signals that end a node.

use std::io;

/// Requests to stop: SIGTERM or SIGINT, elsewhere Ctrl-C.
#[cfg(unix)]
pub(crate) struct StopRequests {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopRequests {
    /// Puts the handlers in place.
    ///
    /// # Errors
    ///
    /// If the system refuses one.
    pub(crate) fn watch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves at the next request.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    tracing::warn!("SIGHUP has no effect in this version; restart to reconfigure");
                }
            }
        }
    }
}

/// Requests to stop: SIGTERM or SIGINT, elsewhere Ctrl-C.
#[cfg(not(unix))]
pub(crate) struct StopRequests;

#[cfg(not(unix))]
impl StopRequests {
    /// Puts the handlers in place.
    ///
    /// # Errors
    ///
    /// None here.
    pub(crate) fn watch() -> io::Result<Self> {
        Ok(Self)
    }

    /// Resolves at the next request.
    pub(crate) async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
