//! The node-wide bound on queued bytes.
//!
//! Everything that waits somewhere is charged here while it lives, to one of three accounts:
//! *outgoing* (publications, frames, replies; a frame shared by many connections once), *incoming*
//! (unfinished messages, what parked sessions hold) and *commands* (their group names). The first
//! two together have the limit, the third an eighth of it besides.
//!
//! Publishers wait on the outgoing account alone: if they waited on the incoming one too, their own
//! waiting could keep them waiting. Group names have an account of their own because no client
//! holds them: ending clients would not free them, and they should not make publishers wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// On whose behalf bytes are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// On their way to clients.
    Outgoing,
    /// On their way from clients.
    Incoming,
    /// Of commands that wait for their turn or are under way.
    Commands,
}

/// The part of the limit that commands may take besides: enough for many of the longest, and
/// little beside what clients may hold.
const COMMANDS_PART: u64 = 8;

/// Bytes that the node holds on behalf of its clients, against a limit.
#[derive(Debug)]
pub struct NodeMemory {
    outgoing: AtomicU64,
    incoming: AtomicU64,
    commands: AtomicU64,
    limit: u64,
}

impl NodeMemory {
    /// Empty accounts with a common limit in bytes (`limits.node_queued_bytes`).
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            outgoing: AtomicU64::new(0),
            incoming: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            limit,
        })
    }

    /// Bytes charged now.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.of_clients() + self.commands.load(Ordering::Relaxed)
    }

    /// Whether clients hold more than the limit allows. Every shard then ends the connections that
    /// hold most.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.of_clients() > self.limit
    }

    /// Whether a command with many group names has to wait before it is queued, because those
    /// before it hold more than their part, or all together more than the limit allows. Whoever
    /// waits for this must hold nothing that is charged here.
    #[must_use]
    pub fn is_full_for_commands(&self) -> bool {
        self.commands.load(Ordering::Relaxed) > self.limit / COMMANDS_PART
            || self.queued() > self.limit
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

    /// Changes a charge from `charged` to `bytes`, and `charged` with it.
    pub fn recharge(&self, account: Account, charged: &mut usize, bytes: usize) {
        if bytes > *charged {
            self.charge(account, bytes - *charged);
        } else if bytes < *charged {
            self.release(account, *charged - bytes);
        }
        *charged = bytes;
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

    fn of_clients(&self) -> u64 {
        self.outgoing.load(Ordering::Relaxed) + self.incoming.load(Ordering::Relaxed)
    }

    fn account(&self, account: Account) -> &AtomicU64 {
        match account {
            Account::Outgoing => &self.outgoing,
            Account::Incoming => &self.incoming,
            Account::Commands => &self.commands,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether clients are ended, publishers wait and commands wait, while so much is charged.
    fn check(outgoing: usize, incoming: usize, commands: usize, expect: [bool; 3]) {
        let memory = NodeMemory::new(800);
        let charges = [
            memory.guard(Account::Outgoing, outgoing),
            memory.guard(Account::Incoming, incoming),
            memory.guard(Account::Commands, commands),
        ];
        let [clients, publishers, waiting] = [
            memory.is_exceeded(),
            memory.is_full(),
            memory.is_full_for_commands(),
        ];
        assert_eq!(
            [clients, publishers, waiting],
            expect,
            "{outgoing} {incoming} {commands}"
        );
        assert_eq!(memory.queued(), (outgoing + incoming + commands) as u64);
        drop(charges);
        assert_eq!(memory.queued(), 0);
    }

    #[test]
    fn each_account_holds_back_those_who_can_relieve_it() {
        check(400, 300, 100, [false, false, false]);
        check(801, 0, 0, [true, true, true]);
        check(0, 801, 0, [true, false, true]);
        check(400, 401, 0, [true, false, true]);
        // Names of groups end no client and keep no publisher waiting, however many they are.
        check(0, 0, 101, [false, false, true]);
        check(800, 0, 10_000, [false, false, true]);
        check(750, 0, 51, [false, false, true]);
    }
}
