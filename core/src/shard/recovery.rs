//! Reliable sessions: numbered messages, the time without a transport, and the next transport
//! (protocol notes: recovery).

use hubwire_proto::ws::{self, CloseCode};

use super::connection::{Link, Phase};
use super::{Recovery, Shard, TransportKey};
use crate::id::Slot;
use crate::memory::Account;
use crate::replay::Replay;
use crate::transport::Transport;
use crate::wheel::TimerKind;

/// The reason of the close frame for a client whose session is gone.
pub const NOT_RECOVERED: &str = "The connection could not be recovered.";

impl<T: Transport> Shard<T> {
    /// Whether a connection has a session that may go on without its transport. One whose client has
    /// ended it already, and that only finishes what it began, may not.
    pub(super) fn can_detach(&self, slot: Slot) -> bool {
        let connection = self.connections.get(slot);
        connection.is_some_and(|found| {
            let link = found.link.as_ref();
            found.session.is_some()
                && found.replay.is_some()
                && link.is_some_and(|link| link.phase == Phase::Open && link.ending.is_none())
        })
    }

    /// Closes the transport of a session that waits for another one from now on.
    pub(super) fn detach(&mut self, slot: Slot) {
        self.drop_link(slot);
        let until = self.now.plus(self.node.limits().recovery_window_ms);
        self.await_client(slot, until);
    }

    /// Says a last word to the client and closes the transport. The session waits for another one.
    pub(super) fn part(&mut self, slot: Slot, last_word: impl FnOnce(&mut Vec<u8>)) {
        self.queue_frames(slot, last_word);
        self.write_once(slot);
        self.detach(slot);
    }

    /// Lets a session without a transport wait for its client.
    pub(super) fn await_client(&mut self, slot: Slot, until: crate::Millis) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if let Some(replay) = &mut connection.replay {
            replay.wait_until(Some(until));
            self.numbers.detached_sessions += 1;
            let birth = connection.birth;
            self.wheel
                .arm(slot, birth, TimerKind::RecoveryWindow, until);
        }
    }

    /// Ends a session whose client has not come back in time.
    pub(super) fn end_recovery_window(&mut self, slot: Slot) {
        let replay = self
            .connections
            .get(slot)
            .and_then(|found| found.replay.as_ref());
        let waits_until = replay.and_then(|replay| replay.waits_until());
        // It may have come back, and gone again.
        if waits_until.is_some_and(|until| until <= self.now) {
            self.numbers.sessions_expired += 1;
            self.drop_connection(slot);
        }
    }

    /// Gives a session its next transport, everything that was not acknowledged, and then what
    /// comes. A transport that it still has is closed: its client has another one now.
    pub(super) fn recover_session(&mut self, recovery: Recovery<T>) {
        let Recovery {
            connection,
            hub,
            mut transport,
            mut unread,
            reconnection_token,
        } = recovery;
        if self.shutting_down {
            // Its session may be saved: the client tries again where that is then.
            return;
        }
        let Some(slot) = self.recoverable(&connection, &hub) else {
            return self.refuse_recovery(transport);
        };
        let birth = self.next_birth();
        let key = TransportKey { slot, birth };
        if !transport.register(&mut self.transports, key) {
            // The client tries again.
            return;
        }
        self.drop_link(slot);
        let limit = self.node.limits().parked_input_bytes;
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let parked = connection
            .session
            .as_ref()
            .and_then(|session| session.parked());
        let mut link = Link::new(birth, true, transport, self.now);
        link.flags.paused = parked.is_some_and(|parked| parked.held_bytes >= limit);
        connection.link = Some(link);
        let interval = self
            .hubs
            .get(connection.hub.0 as usize)
            .and_then(Option::as_ref);
        let interval = interval.map_or(0, |hub| hub.settings.keep_alive_interval_ms);
        self.wheel
            .arm(slot, birth, TimerKind::KeepAlive, self.now.plus(interval));
        self.numbers.sessions_recovered += 1;
        self.greet(slot, Some(&reconnection_token));
        self.tell_missed_ends(slot);
        self.resend(slot);
        if !unread.is_empty() {
            self.feed(slot, &mut unread);
        }
        self.recharge_input(slot);
        self.settle_transport(slot);
    }

    /// The slot of a session that a client may come back to.
    fn recoverable(&self, id: &crate::id::ConnectionId, hub: &str) -> Option<Slot> {
        let slot = self.find(id)?;
        let connection = self.connections.get(slot)?;
        let is_here = &*self.hub(connection.hub)?.name == hub;
        (is_here && self.is_recoverable(slot)).then_some(slot)
    }

    /// Whether a connection is a reliable one that its client has not ended, and its window, if it
    /// is in one, not over.
    pub(super) fn is_recoverable(&self, slot: Slot) -> bool {
        let Some(connection) = self.connections.get(slot) else {
            return false;
        };
        let link = connection.link.as_ref();
        let is_ending = link.is_some_and(|link| link.ending.is_some());
        let replay = connection.replay.as_ref();
        let waits = |replay: &Replay| replay.waits_until().is_none_or(|until| until > self.now);
        !is_ending && replay.is_some_and(|replay| waits(replay))
    }

    /// Queues everything that was not acknowledged and has not expired, in order, with the old
    /// numbers.
    fn resend(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let (Some(replay), Some(link)) = (&mut connection.replay, &mut connection.link) else {
            return;
        };
        if replay.waits_until().is_some() {
            replay.wait_until(None);
            self.numbers.detached_sessions -= 1;
        }
        let expired = replay.drop_expired(self.now) as u64;
        self.numbers.messages_expired += expired;
        self.numbers.unacknowledged_messages -= expired;
        self.numbers.messages_resent += replay.len() as u64;
        for (sequence_id, frame) in replay.iter() {
            link.outbox
                .push_numbered(frame, sequence_id, &mut self.pool);
        }
        self.mark_dirty(slot);
    }

    /// The session ended between the front door's question and now. Nothing waits for this
    /// transport to be drained, so it is one attempt.
    fn refuse_recovery(&mut self, mut transport: T) {
        self.numbers.recoveries_too_late += 1;
        let mut frame = Vec::new();
        ws::encode_close(CloseCode::POLICY_VIOLATION, NOT_RECOVERED, &mut frame);
        transport.write(&mut self.transports, &[std::io::IoSlice::new(&frame)]);
        if transport.owed_bytes() == 0 {
            transport.finish();
        }
    }

    /// The client has everything up to a sequence id.
    pub(super) fn acknowledge(&mut self, slot: Slot, sequence_id: u64) {
        if let Some(connection) = self.connections.get_mut(slot)
            && let Some(replay) = &mut connection.replay
        {
            let count = replay.acknowledge(sequence_id, &mut self.replays);
            self.numbers.unacknowledged_messages -= count as u64;
        }
    }

    /// Ends the sessions that missed a message.
    pub(super) fn end_overflowed(&mut self) {
        for key in std::mem::take(&mut self.overflowed) {
            // Another end may have come first.
            let slot = self.still_there(key);
            if let Some(slot) = slot.filter(|slot| self.session(*slot).is_some()) {
                self.numbers.closed_replay_full += 1;
                self.end_slow_client(slot, "The reliable message buffer is full.");
            }
        }
    }

    /// Brings the node's account of what unacknowledged queues cost besides their frames up to
    /// date.
    pub(super) fn recharge_replay(&mut self) {
        let messages = usize::try_from(self.numbers.unacknowledged_messages).unwrap_or(usize::MAX);
        let bytes = messages.saturating_mul(Replay::ENTRY_BYTES);
        let charged = &mut self.charged_replay;
        self.node
            .memory()
            .recharge(Account::Outgoing, charged, bytes);
    }
}
