//! The end of a shard, and what it takes over from an earlier one (protocol notes: restart).
//!
//! First everything comes to rest: clients that cannot come back are closed, the others are not
//! read any more, and what is under way is finished. Then the reliable sessions are packed up.

use std::sync::Arc;

use hubwire_proto::protobuf::JsonField;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::CloseCode;

use super::Shard;
use super::connection::{Connection, Phase};
use super::recovery::NOT_RECOVERED;
use crate::ack_memory::AckMemory;
use crate::id::Slot;
use crate::inbox::AtShutdown;
use crate::node::Seat;
use crate::publication::Encoding;
use crate::replay::Replay;
use crate::session::{Protocol, Session};
use crate::snapshot::{ProtocolRecord, RestoredMessages, SessionRecord};
use crate::transport::Transport;

/// What everybody is told who is closed or turned away because the node ends.
pub const SHUTTING_DOWN: &str = "The server is shutting down.";

impl<T: Transport> Shard<T> {
    /// Whether clients are listened to. While everything comes to rest they are not; afterwards
    /// their answers to our close frames are awaited.
    pub(super) fn reads_input(&self) -> bool {
        !self.quiescing || self.shutting_down
    }

    pub(super) fn quiesce(&mut self) {
        self.quiescing = true;
        for slot in self.open_slots() {
            if !self.can_detach(slot) {
                self.go_away(slot);
            }
        }
    }

    /// Closes a connection that came while the shard ends, unless it can be saved.
    pub(super) fn turn_away(&mut self, slot: Slot) {
        if self.shutting_down || !self.can_detach(slot) {
            self.go_away(slot);
        }
    }

    pub(super) fn shut_down(&mut self, at_end: AtShutdown) {
        (self.quiescing, self.shutting_down) = (true, true);
        // Saved, they would go on as if they had missed nothing.
        self.end_overflowed();
        let sessions: Vec<Slot> = self
            .connections
            .iter()
            .filter(|(_, found)| found.session.is_some())
            .map(|(slot, _)| slot)
            .collect();
        if at_end == AtShutdown::SaveSessions {
            for slot in &sessions {
                self.save(*slot);
            }
        }
        for slot in sessions {
            let is_reliable = self
                .connections
                .get(slot)
                .is_some_and(|found| found.replay.is_some());
            if is_reliable && at_end == AtShutdown::EndSessions {
                // The one code that makes clients start afresh at once.
                self.close(
                    slot,
                    CloseCode::POLICY_VIOLATION,
                    NOT_RECOVERED,
                    Some(SHUTTING_DOWN),
                );
            } else {
                self.go_away(slot);
            }
        }
        self.node.note_packed_up();
    }

    /// Says whether the shard is at rest, once it is to come to rest.
    pub(super) fn report_quiet(&mut self) {
        if !self.quiescing {
            return;
        }
        let is_busy = self.numbers.parked_connections > 0
            || !self.retrying.is_empty()
            || !self.busy_hubs.is_empty()
            || !self.mail.is_empty()
            || !self.overflowed.is_empty()
            || !self.farewells.is_empty()
            || !self.doorway.is_empty();
        self.node.rest(self.id).set(!is_busy);
    }

    fn open_slots(&self) -> Vec<Slot> {
        self.connections
            .iter()
            .filter(|(slot, _)| self.phase(*slot) == Some(Phase::Open))
            .map(|(slot, _)| slot)
            .collect()
    }

    fn go_away(&mut self, slot: Slot) {
        self.close(slot, CloseCode::GOING_AWAY, "", Some(SHUTTING_DOWN));
    }

    /// Packs a reliable session up.
    fn save(&mut self, slot: Slot) {
        // First: it may still send something.
        let group_states = self.export_group_states(slot);
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let (Some(session), Some(replay)) = (&connection.session, &connection.replay) else {
            return;
        };
        let Some(hub) = self.hub(connection.hub) else {
            return;
        };
        let mut saved = self.node.saved();
        let unacknowledged = replay
            .iter()
            .filter_map(|(sequence_id, frame)| saved.message(sequence_id, frame, self.now))
            .collect();
        let groups = connection
            .memberships
            .iter()
            .filter_map(|membership| hub.group_name(membership.group))
            .map(|name| Box::from(&**name))
            .collect();
        let window_ms = match replay.waits_until() {
            Some(until) => until.since(self.now),
            None => self.node.limits().recovery_window_ms,
        };
        saved.session(SessionRecord {
            connection: connection.seat.connection(),
            hub: Box::from(&*hub.name),
            user: session.user.as_deref().map(Box::from),
            protocol: match connection.encoding {
                Encoding::Simple | Encoding::Json => ProtocolRecord::Json,
                Encoding::Protobuf(JsonField::JsonData) => ProtocolRecord::ProtobufJsonData,
                Encoding::Protobuf(JsonField::TextData) => ProtocolRecord::ProtobufTextData,
            },
            permissions: session.permissions().clone(),
            groups,
            acks: session.acks().record(),
            last_sequence_id: replay.last(),
            unacknowledged,
            window_ms,
            group_states,
            streams: session.streams.as_ref().map(|streams| streams.export()),
        });
    }

    /// Takes over a session of an earlier shard, to wait for its client. To be called before the
    /// first tick, with a seat of this shard and the messages of the same snapshot.
    ///
    /// A session whose window is over is taken over only to end: others may have to hear of it.
    pub fn restore(&mut self, seat: Seat, record: SessionRecord, messages: &RestoredMessages) {
        debug_assert_eq!(seat.shard(), self.id);
        let window_ms = messages.window_left_ms(record.window_ms);
        let (subprotocol, encoding) = match record.protocol {
            ProtocolRecord::Json => (Subprotocol::JsonReliable, Encoding::Json),
            ProtocolRecord::ProtobufJsonData => (
                Subprotocol::ProtobufReliable,
                Encoding::Protobuf(JsonField::JsonData),
            ),
            ProtocolRecord::ProtobufTextData => (
                Subprotocol::ProtobufReliable,
                Encoding::Protobuf(JsonField::TextData),
            ),
        };
        let unacknowledged = record
            .unacknowledged
            .iter()
            .filter_map(|entry| Some((entry.sequence_id, messages.get(*entry)?.clone())));
        let replay = Replay::restored(record.last_sequence_id, unacknowledged);
        self.numbers.unacknowledged_messages += replay.len() as u64;
        let (slot, birth) = (seat.slot(), self.next_birth());
        let user: Option<Arc<str>> = record.user.map(Arc::from);
        let hub = self.enter_hub(Arc::from(&*record.hub), slot, user.as_ref());
        let acks = AckMemory::restored(&record.acks);
        let protocol = Protocol::PubSub(subprotocol);
        let connection = Connection {
            seat,
            birth,
            hub: hub.index,
            session: Some(Session::restored(user, protocol, record.permissions, acks)),
            encoding,
            all_index: hub.all_index,
            user_index: hub.user_index,
            memberships: Vec::new(),
            replay: Some(Box::new(replay)),
            charged_input: 0,
            is_retrying: false,
            link: None,
        };
        self.connections.insert(slot, connection);
        self.numbers.connections_opened += 1;
        for group in &record.groups {
            let _ = self.join(slot, group);
        }
        self.restore_streams(slot, record.streams);
        if let Some(group_states) = record.group_states {
            self.restore_group_states(slot, group_states);
        }
        self.await_client(slot, self.now.plus(window_ms));
        self.recharge_replay();
    }
}
