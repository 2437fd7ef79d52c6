//! What is written to clients: queueing, coalesced flushes, and the bounds.

use std::io::IoSlice;

use hubwire_proto::numbering::Head;
use hubwire_proto::ws;

use super::connection::{Connection, Link, Phase};
use super::{MEMORY_RETRY_MS, Shard, TransportKey};
use crate::id::Slot;
use crate::memory::{Account, NodeMemory};
use crate::response::Response;
use crate::session::Session;
use crate::settings::Limits;
use crate::transport::{Transport, Written};

/// Buffers that one vectored write may name.
const SLICES: usize = 64;
/// Of these, heads of numbered messages.
const HEADS: usize = SLICES / 2;
/// What may wait for a reliable client beyond a full replay: the greeting, the ends of streams that
/// it missed, and acks.
const REPLAY_SPARE_MESSAGES: usize = 64;
const REPLAY_SPARE_BYTES: usize = 256 * 1024;
/// What a sequence id adds to a message at most.
const NUMBER_BYTES: usize = 64;
/// Writes to one transport in one flush before the others get their turn.
const WRITES_PER_FLUSH: usize = 16;
/// Whoever holds less than the largest holder by more than this part of it is spared.
const SPARED_PART: usize = 4;
/// Connections that one relief of the node's memory ends at most.
const RELIEVED: usize = 16;

impl<T: Transport> Shard<T> {
    /// Queues complete frames that `encode` appends.
    pub(super) fn queue_frames(&mut self, slot: Slot, encode: impl FnOnce(&mut Vec<u8>)) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(link) = &mut connection.link else {
            return;
        };
        let added = link.outbox.push_private(&mut self.pool, encode);
        self.node.memory().charge(Account::Outgoing, added);
        self.mark_dirty(slot);
    }

    /// Queues a message for this client alone, if its protocol has such a message and the client is
    /// there: what is not numbered does not outlive the transport.
    pub(super) fn queue_response(&mut self, slot: Slot, response: &Response<'_>) {
        let Some(connection) = self
            .connections
            .get(slot)
            .filter(|found| found.link.is_some())
        else {
            return;
        };
        let encoding = connection.encoding;
        let mut envelope = std::mem::take(&mut self.envelope);
        envelope.clear();
        if let Some(kind) = response.encode(encoding, &mut envelope) {
            self.queue_frames(slot, |out| ws::encode_message(kind, &envelope, out));
        }
        if envelope.capacity() <= super::SCRATCH_BYTES {
            self.envelope = envelope;
        }
    }

    pub(super) fn mark_dirty(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let limits = self.node.limits();
        if let Some(link) = connection
            .link
            .as_mut()
            .filter(|link| link.wants_flush(limits))
        {
            link.flags.dirty = true;
            let birth = link.birth;
            self.dirty.push_back(TransportKey { slot, birth });
        }
    }

    /// Sees to what the transport itself has to say, such as the alert behind a broken record.
    pub(super) fn settle_transport(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if let Some(link) = &mut connection.link
            && link.transport.owed_bytes() > link.charged_owed
        {
            link.recharge_owed(self.node.memory());
            self.mark_dirty(slot);
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
        let Some(link) = &mut connection.link else {
            return;
        };
        link.flags.dirty = false;
        if link.outbox.has_expired(self.now) {
            let expired = link.outbox.drop_expired(self.now, &mut self.pool);
            self.numbers.messages_expired += expired as u64;
        }
        let mut outcome = Flushed::Partly;
        for _ in 0..WRITES_PER_FLUSH {
            if link.waiting_bytes() == 0 {
                outcome = Flushed::All;
                break;
            }
            self.numbers.writes += 1;
            let (written, blocked) = match link.write(&mut self.transports, &mut self.cork) {
                Written::Bytes(written) => (written, false),
                Written::Blocked(written) => (written, true),
                Written::Failed => return self.lose_transport(slot),
            };
            self.numbers.bytes_sent += written as u64;
            let freed = link.outbox.consume(written, &mut self.pool);
            self.node.memory().release(Account::Outgoing, freed);
            if blocked {
                outcome = Flushed::Blocked;
                break;
            }
        }
        link.recharge_owed(self.node.memory());
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
                    return self.end_slow_client(slot, "The client does not read fast enough.");
                }
                self.watch_expiry(slot);
            }
        }
    }

    /// While the node's queues are over their bound, ends those connections of this shard that
    /// hold most, sessions without a transport before others that hold the same. Nobody is ended
    /// for those who hold far more on this shard or another: their turn comes first, wherever they
    /// are. What waits in parked sessions and inboxes goes away by itself.
    pub(super) fn relieve_memory(&mut self) {
        if !self.node.memory().is_exceeded() || self.now < self.next_relief {
            return;
        }
        self.next_relief = self.now.plus(MEMORY_RETRY_MS);
        self.memory_retry_at = Some(self.next_relief);
        let mut holders: Vec<((usize, bool), Slot)> = self
            .connections
            .iter()
            .map(|(slot, found)| ((found.held_back(), found.link.is_none()), slot))
            .filter(|((held, _), _)| *held > 0)
            .collect();
        holders.sort_unstable_by_key(|(holds, _)| std::cmp::Reverse(*holds));
        let held_by = |holder: Option<&((usize, bool), Slot)>| holder.map_or(0, |found| found.0.0);
        let largest = held_by(holders.first());
        let most = self.node.compare_largest_holder(self.id, largest);
        let mut ended = 0;
        for ((held, _), slot) in holders.iter().take(RELIEVED) {
            let is_small = *held < most - most / SPARED_PART;
            if is_small || !self.node.memory().is_exceeded() {
                break;
            }
            self.numbers.closed_for_memory += 1;
            self.end_slow_client(*slot, "The server is out of queue memory.");
            ended += 1;
        }
        let left = held_by(holders.get(ended));
        self.node.compare_largest_holder(self.id, left);
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
    pub(super) fn write(&mut self, shared: &mut T::Shared, cork: &mut [u8]) -> Written {
        let Self {
            transport, outbox, ..
        } = self;
        if let Some(bytes) = outbox.single() {
            return transport.write(shared, &[IoSlice::new(bytes)]);
        }
        if let Some(length) = outbox.copy_into(cork) {
            return transport.write(shared, &[IoSlice::new(&cork[..length])]);
        }
        let (mut heads, mut slices) = ([Head::default(); HEADS], [IoSlice::new(&[]); SLICES]);
        let filled = outbox.gather(&mut heads, &mut slices);
        transport.write(shared, &slices[..filled])
    }

    /// Brings the node's account of what the transport owes up to date.
    pub(super) fn recharge_owed(&mut self, memory: &NodeMemory) {
        let owed = self.transport.owed_bytes();
        memory.recharge(Account::Outgoing, &mut self.charged_owed, owed);
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.outbox.bytes() + self.transport.owed_bytes()
    }

    /// Bytes that were read of a message that is not whole yet.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.decoder.buffered_bytes() + self.transport.unfinished_bytes()
    }

    /// Whether the link belongs on the list of those to write to and is not on it. A blocked one
    /// belongs there only to be found too slow.
    pub(super) fn wants_flush(&self, limits: &Limits) -> bool {
        !self.flags.dirty && (!self.flags.blocked || self.is_slow(limits))
    }

    fn held_back(&self) -> usize {
        let unread = if self.flags.blocked {
            self.waiting_bytes()
        } else {
            0
        };
        unread + self.unfinished_bytes()
    }

    fn is_slow(&self, limits: &Limits) -> bool {
        let (messages, bytes) = (limits.outbound_queue_messages, limits.outbound_queue_bytes);
        let (messages, bytes) = if self.is_reliable {
            // Everything that is not acknowledged may have to be sent again, and acks besides.
            (
                messages.max(limits.replay_messages) + REPLAY_SPARE_MESSAGES,
                bytes.max(limits.replay_bytes + limits.replay_messages * NUMBER_BYTES)
                    + REPLAY_SPARE_BYTES,
            )
        } else {
            (messages, bytes)
        };
        self.outbox.messages() > messages || self.waiting_bytes() > bytes
    }
}

impl<T: Transport> Connection<T> {
    /// The bytes that are held because of the client: output that it does not take or acknowledge,
    /// input that it does not finish, what it tells its groups, and the streams that it has open.
    fn held_back(&self) -> usize {
        let unacknowledged = self.replay.as_ref().map_or(0, |replay| replay.bytes());
        let of_link = self.link.as_ref().map_or(0, Link::held_back);
        let session = self.session.as_ref();
        let states = session.map_or(0, |session| session.group_states.bytes());
        let streams = session.map_or(0, Session::stream_bytes);
        unacknowledged.max(of_link) + states + streams
    }
}
