//! The gate of the front door: whoever is inside is let finish before the node stops, and nobody
//! comes in after that has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts those who are inside. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<State>);

#[derive(Debug, Default)]
struct State {
    closed: AtomicBool,
    inside: AtomicUsize,
    left: Notify,
}

/// Somebody inside, until it is dropped.
#[derive(Debug)]
pub(super) struct Pass(Arc<State>);

impl Gate {
    /// Lets one more in; `None` once the gate is closed.
    pub(super) fn enter(&self) -> Option<Pass> {
        // Counted before the look, so that whoever closes the gate either is seen here or sees us.
        self.0.inside.fetch_add(1, Ordering::SeqCst);
        let pass = Pass(Arc::clone(&self.0));
        (!self.is_closed()).then_some(pass)
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }

    /// Whether the gate was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// Resolves once nobody is inside.
    pub(super) async fn emptied(&self) {
        loop {
            let mut left = std::pin::pin!(self.0.left.notified());
            left.as_mut().enable();
            if self.0.inside.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.0.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_gate_lets_out_and_nobody_in() {
        let gate = Gate::default();
        gate.emptied().await;
        let passes = [gate.enter(), gate.enter()];
        assert!(passes.iter().all(Option::is_some));
        gate.close();
        assert!(gate.enter().is_none());
        let leaving = async {
            tokio::task::yield_now().await;
            drop(passes);
        };
        tokio::join!(gate.emptied(), leaving);
        assert!(gate.is_closed());
    }
}
