//! The node-wide bound on queued bytes.
//!
//! Everything that waits somewhere is charged here while it lives, to one of two accounts:
//! *outgoing* (publications, frames, replies; a frame shared by many connections once) and
//! *incoming* (unfinished messages, what parked sessions hold, group names of commands).
//! Publishers wait on the outgoing account alone: if they waited on the other too, their own
//! waiting could keep them waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// On whose behalf bytes are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// On their way to clients.
    Outgoing,
    /// On their way from clients.
    Incoming,
}

/// Bytes that the node holds on behalf of its clients, against a limit.
#[derive(Debug)]
pub struct NodeMemory {
    outgoing: AtomicU64,
    incoming: AtomicU64,
    limit: u64,
}

impl NodeMemory {
    /// Empty accounts with a common limit in bytes (`limits.node_queued_bytes`).
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            outgoing: AtomicU64::new(0),
            incoming: AtomicU64::new(0),
            limit,
        })
    }

    /// Bytes charged now.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.outgoing.load(Ordering::Relaxed) + self.incoming.load(Ordering::Relaxed)
    }

    /// Whether more is charged than the limit allows. Every shard then ends the connections that
    /// hold most.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.queued() > self.limit
    }

    /// Whether publishers have to wait, because more is on its way to clients than the limit
    /// allows.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outgoing.load(Ordering::Relaxed) > self.limit
    }

    /// Adds `bytes` without a guard; the caller owes a [`release`](Self::release).
    pub fn charge(&self, account: Account, bytes: usize) {
        self.account(account)
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes back what [`charge`](Self::charge) added.
    pub fn release(&self, account: Account, bytes: usize) {
        self.account(account)
            .fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Adds `bytes` until the guard is dropped.
    #[must_use]
    pub fn guard(self: &Arc<Self>, account: Account, bytes: usize) -> Charge {
        self.charge(account, bytes);
        Charge {
            memory: Arc::clone(self),
            account,
            bytes,
        }
    }

    fn account(&self, account: Account) -> &AtomicU64 {
        match account {
            Account::Outgoing => &self.outgoing,
            Account::Incoming => &self.incoming,
        }
    }
}

/// A charge that is taken back on drop.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<NodeMemory>,
    account: Account,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.release(self.account, self.bytes);
    }
}
