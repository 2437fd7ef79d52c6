//! The node-wide bound on queued bytes.
//!
//! Everything that waits somewhere (published frames, private replies, unfinished input) is
//! charged here while it lives; a frame shared by many connections is charged once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that the node holds on behalf of its clients, against a limit.
#[derive(Debug)]
pub struct NodeMemory {
    queued: AtomicU64,
    limit: u64,
}

impl NodeMemory {
    /// An empty account with a limit in bytes (`limits.node_queued_bytes`).
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            queued: AtomicU64::new(0),
            limit,
        })
    }

    /// Bytes charged now.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether more is charged than the limit allows. New work is then refused or waits, and
    /// every shard ends its largest queue.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.queued() > self.limit
    }

    /// Adds `bytes` without a guard; the caller owes a [`release`](Self::release).
    pub fn charge(&self, bytes: usize) {
        self.queued.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes back what [`charge`](Self::charge) added.
    pub fn release(&self, bytes: usize) {
        self.queued.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Adds `bytes` until the guard is dropped.
    #[must_use]
    pub fn guard(self: &Arc<Self>, bytes: usize) -> Charge {
        self.charge(bytes);
        Charge {
            memory: Arc::clone(self),
            bytes,
        }
    }
}

/// A charge that is taken back on drop.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<NodeMemory>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.release(self.bytes);
    }
}
