//! The signals that end a node or make it read its configuration again.

use std::io;

/// Requests to stop: SIGTERM or SIGINT, elsewhere Ctrl-C.
#[cfg(unix)]
pub(crate) struct StopRequests {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
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
        })
    }

    /// Resolves at the next request.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Requests to reload: SIGHUP; elsewhere there are none.
#[cfg(unix)]
pub(crate) struct ReloadRequests(tokio::signal::unix::Signal);

#[cfg(unix)]
impl ReloadRequests {
    /// Puts the handler in place.
    ///
    /// # Errors
    ///
    /// If the system refuses it.
    pub(crate) fn watch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Resolves at the next request. Those that came since the last one are one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
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

/// Requests to reload: SIGHUP; elsewhere there are none.
#[cfg(not(unix))]
pub(crate) struct ReloadRequests;

#[cfg(not(unix))]
impl ReloadRequests {
    /// Puts the handler in place.
    ///
    /// # Errors
    ///
    /// None here.
    pub(crate) fn watch() -> io::Result<Self> {
        Ok(Self)
    }

    /// Never resolves.
    pub(crate) async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}
