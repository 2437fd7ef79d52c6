//! What is written to clients: queueing, coalesced flushes, and the bounds.

use std::io::IoSlice;

use hubwire_proto::ws;

use super::connection::{Link, Phase};
use super::{MEMORY_RETRY_MS, Shard, TransportKey};
use crate::id::Slot;
use crate::memory::Account;
use crate::settings::Limits;
use crate::transport::{Transport, Written};

/// Buffers that one vectored write may name.
const SLICES: usize = 64;
/// Writes to one transport in one flush before the others get their turn.
const WRITES_PER_FLUSH: usize = 16;
/// Connections that one relief of the node's memory ends at most.
const RELIEVED: usize = 16;

impl<T: Transport> Shard<T> {
    /// Queues complete frames that `encode` appends.
    pub(super) fn queue_frames(&mut self, slot: Slot, encode: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let added = connection.link.outbox.push_private(&mut self.pool, encode);
        self.node.memory().charge(Account::Outgoing, added);
        self.mark_dirty(slot);
    }

    /// Queues a text message that `encode` writes as JSON.
    pub(super) fn queue_json(&mut self, slot: Slot, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut envelope = std::mem::take(&mut self.envelope);
        envelope.clear();
        encode(&mut envelope);
        self.queue_frames(slot, |out| {
            ws::encode_message(ws::MessageKind::Text, &envelope, out);
        });
        if envelope.capacity() <= super::SCRATCH_BYTES {
            self.envelope = envelope;
        }
    }

    pub(super) fn mark_dirty(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if connection.link.wants_flush(self.node.limits()) {
            connection.link.flags.dirty = true;
            self.dirty.push_back(TransportKey {
                slot,
                birth: connection.birth,
            });
        }
    }

    /// Writes to the transports that have something to write, each at most once.
    pub(super) fn flush(&mut self) {
        let until = self
            .numbers
            .bytes_sent
            .saturating_add(self.budget.bytes_sent);
        for _ in 0..self.dirty.len().min(self.budget.flushes) {
            if self.numbers.bytes_sent >= until {
                return;
            }
            let Some(key) = self.dirty.pop_front() else {
                return;
            };
            if let Some(slot) = self.still(key) {
                self.flush_link(slot);
            }
        }
    }

    fn flush_link(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let link = &mut connection.link;
        link.flags.dirty = false;
        let mut outcome = Flushed::Partly;
        for _ in 0..WRITES_PER_FLUSH {
            if link.outbox.is_empty() {
                outcome = Flushed::All;
                break;
            }
            self.numbers.writes += 1;
            match link.write(&mut self.cork) {
                Written::Bytes(written) => {
                    self.numbers.bytes_sent += written as u64;
                    let freed = link.outbox.consume(written, &mut self.pool);
                    self.node.memory().release(Account::Outgoing, freed);
                }
                Written::WouldBlock => {
                    outcome = Flushed::Blocked;
                    break;
                }
                Written::Failed => return self.drop_connection(slot),
            }
        }
        match outcome {
            Flushed::All => match link.phase {
                Phase::Open | Phase::AwaitingClose => {}
                Phase::Draining => link.transport.finish(),
                Phase::Finishing => self.drop_connection(slot),
            },
            Flushed::Partly => self.mark_dirty(slot),
            Flushed::Blocked => {
                link.flags.blocked = true;
                if link.is_slow(self.node.limits()) {
                    self.numbers.closed_slow_clients += 1;
                    self.end_slow_client(slot, "The client does not read fast enough.");
                }
            }
        }
    }

    /// While the node's queues are over their bound, ends the connections of this shard that
    /// hold most: readers that do not read, and senders of unfinished messages. What waits in
    /// parked sessions and inboxes goes away by itself.
    pub(super) fn relieve_memory(&mut self) {
        if !self.node.memory().is_exceeded() || self.now < self.next_relief {
            return;
        }
        self.next_relief = self.now.plus(MEMORY_RETRY_MS);
        self.memory_retry_at = Some(self.next_relief);
        let mut holders: Vec<(usize, Slot)> = self
            .connections
            .iter()
            .map(|(slot, found)| (found.link.held_back(), slot))
            .filter(|(held, _)| *held > 0)
            .collect();
        holders.sort_unstable_by_key(|(held, _)| std::cmp::Reverse(*held));
        for (_, slot) in holders.into_iter().take(RELIEVED) {
            if !self.node.memory().is_exceeded() {
                return;
            }
            self.numbers.closed_for_memory += 1;
            self.end_slow_client(slot, "The server is out of queue memory.");
        }
        if self.node.memory().is_exceeded() {
            // Those who hold it may be on shards that have nothing else to do.
            self.node.wake_others(self.id);
        }
    }
}

enum Flushed {
    All,
    /// More can be written at once, but others wait.
    Partly,
    Blocked,
}

impl<T: Transport> Link<T> {
    /// One write of what waits: small frames joined in `cork`, otherwise as they lie.
    pub(super) fn write(&mut self, cork: &mut [u8]) -> Written {
        let Self {
            transport, outbox, ..
        } = self;
        if let Some(bytes) = outbox.single() {
            return transport.write(&[IoSlice::new(bytes)]);
        }
        if let Some(length) = outbox.copy_into(cork) {
            return transport.write(&[IoSlice::new(&cork[..length])]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = outbox.gather(&mut slices);
        transport.write(&slices[..filled])
    }
}

impl<T> Link<T> {
    /// Whether the link belongs on the list of those to write to and is not on it. A blocked one
    /// belongs there only to be found too slow.
    pub(super) fn wants_flush(&self, limits: &Limits) -> bool {
        !self.flags.dirty && (!self.flags.blocked || self.is_slow(limits))
    }

    /// Bytes that wait because of the client: output that it does not take, input that it does
    /// not finish.
    fn held_back(&self) -> usize {
        let unread = if self.flags.blocked {
            self.outbox.bytes()
        } else {
            0
        };
        unread + self.decoder.buffered_bytes()
    }

    fn is_slow(&self, limits: &Limits) -> bool {
        self.outbox.messages() > limits.outbound_queue_messages
            || self.outbox.bytes() > limits.outbound_queue_bytes
    }
}
