//! How connections begin and end, and the timers in between.

use std::sync::Arc;

use hubwire_proto::protobuf::JsonField;
use hubwire_proto::ws::{self, CloseCode};

use super::connection::{Connection, Ending, Link, Phase};
use super::{Arrival, Attachment, SessionKey, Shard, TransportKey};
use crate::hub::{Change, Hub, HubIndex};
use crate::id::Slot;
use crate::interest::Kind;
use crate::memory::Account;
use crate::response::Response;
use crate::session::{Session, Waiting};
use crate::transport::Transport;
use crate::wheel::{Timer, TimerKind};

/// Keep-alive intervals without a byte after which a peer counts as gone (protocol notes:
/// keep-alive).
const SILENT_INTERVALS: u64 = 3;
/// Pings that it must have left unanswered too: the interval may have been longer before.
const UNANSWERED_PINGS: u8 = 2;

impl<T: Transport> Shard<T> {
    pub(super) fn take_attachments(&mut self) {
        for _ in 0..self.budget.attachments {
            match self.doorway.take() {
                Some(Arrival::New(attachment)) => self.attach(*attachment),
                Some(Arrival::Returning(recovery)) => self.recover_session(*recovery),
                None => return,
            }
        }
    }

    fn attach(&mut self, attachment: Attachment<T>) {
        let Attachment {
            seat,
            mut transport,
            mut unread,
            hub,
            user,
            protocol,
            permissions,
            groups,
            reconnection_token,
        } = attachment;
        let slot = seat.slot();
        let birth = self.next_birth();
        let key = TransportKey { slot, birth };
        if !transport.register(&mut self.transports, key) {
            return;
        }
        let hub = self.enter_hub(hub, slot, user.as_ref());
        let encoding = protocol.encoding(hub.protobuf_json);
        let is_reliable = protocol.is_reliable();
        let connection = Connection {
            seat,
            birth,
            hub: hub.index,
            session: Some(Session::new(user, protocol, permissions)),
            encoding,
            all_index: hub.all_index,
            user_index: hub.user_index,
            memberships: Vec::new(),
            replay: is_reliable.then(Box::default),
            charged_input: 0,
            is_retrying: false,
            link: Some(Link::new(birth, is_reliable, transport, self.now)),
        };
        self.connections.insert(slot, connection);
        self.numbers.connections_opened += 1;
        let due = self.now.plus(hub.keep_alive_interval_ms);
        self.wheel.arm(slot, birth, TimerKind::KeepAlive, due);
        for group in groups {
            // The front door refuses tokens with more groups than a connection may have.
            let _ = self.join(slot, &group);
        }
        self.greet(slot, reconnection_token.as_deref());
        if self.quiescing {
            // Its 101 was on the way when the end began.
            return self.turn_away(slot);
        }
        if !unread.is_empty() {
            self.feed(slot, &mut unread);
        }
        self.recharge_input(slot);
        self.settle_transport(slot);
    }

    /// The first message on a transport of a PubSub connection (protocol notes: `connected`).
    pub(super) fn greet(&mut self, slot: Slot, reconnection_token: Option<&str>) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let id = connection.seat.connection().text();
        let user = connection
            .session
            .as_ref()
            .and_then(|session| session.user.clone());
        let connected = Response::Connected {
            connection_id: id.as_str(),
            user_id: user.as_deref(),
            reconnection_token,
        };
        self.queue_response(slot, &connected);
    }

    pub(super) fn enter_hub(
        &mut self,
        name: Arc<str>,
        slot: Slot,
        user: Option<&Arc<str>>,
    ) -> Entered {
        let index = match self.hub_index.get(&name) {
            Some(index) => *index,
            None => self.create_hub(name),
        };
        let (node, id, keeps_interest) = (&self.node, self.id, self.keeps_interest);
        let Some(Some(hub)) = self.hubs.get_mut(index.0 as usize) else {
            debug_assert!(false, "a listed hub exists");
            return Entered {
                index,
                all_index: 0,
                user_index: 0,
                keep_alive_interval_ms: 0,
                protobuf_json: JsonField::default(),
            };
        };
        let entry = hub.enter(slot, user);
        if keeps_interest {
            if entry.first_of_hub {
                node.interest().set(Kind::Hub, &hub.name, &"".into(), id);
            }
            if let Some(user) = user.filter(|_| entry.first_of_user) {
                node.interest().set(Kind::User, &hub.name, user, id);
            }
        }
        Entered {
            index,
            all_index: entry.all_index,
            user_index: entry.user_index,
            keep_alive_interval_ms: hub.settings.keep_alive_interval_ms,
            protobuf_json: hub.settings.protobuf_json,
        }
    }

    fn create_hub(&mut self, name: Arc<str>) -> HubIndex {
        let settings = Arc::clone(self.node.hubs().of(&name));
        let hub = Hub::new(Arc::clone(&name), settings);
        let index = match self.free_hubs.pop() {
            Some(index) => {
                self.hubs[index.0 as usize] = Some(hub);
                index
            }
            None => {
                self.hubs.push(Some(hub));
                HubIndex(u32::try_from(self.hubs.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.hub_index.insert(name, index);
        index
    }

    /// Forgets a hub that has nobody and nothing left.
    pub(super) fn end_hub_if_over(&mut self, index: HubIndex) {
        if !self.hub(index).is_some_and(Hub::is_over) {
            return;
        }
        if let Some(hub) = self.hubs.get_mut(index.0 as usize).and_then(Option::take) {
            self.hub_index.remove(&hub.name);
            self.free_hubs.push(index);
        }
    }

    /// Ends a connection for the engine: it is a member of nothing from now on. What is queued
    /// for its transport may still be written.
    pub(super) fn end_session(&mut self, slot: Slot) {
        if self.session(slot).is_none() {
            return;
        }
        // The session still has to say what it takes back from its groups.
        self.leave_every_group(slot);
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(mut session) = connection.session.take() else {
            return;
        };
        self.numbers.connections_closed += 1;
        self.numbers.parked_connections -= u64::from(session.parked().is_some());
        let (index, all_index, user_index) =
            (connection.hub, connection.all_index, connection.user_index);
        let replay = connection.replay.take();
        if let Some(mut replay) = replay {
            self.numbers.unacknowledged_messages -= replay.clear(&mut self.replays) as u64;
            self.numbers.detached_sessions -= u64::from(replay.waits_until().is_some());
        }
        self.recharge_input(slot);
        if let Some(streams) = session.streams.take() {
            self.cancel_streams(slot, index, session.user.as_ref(), *streams);
        }
        let Some(Some(hub)) = self.hubs.get_mut(index.0 as usize) else {
            return;
        };
        let connections = &mut self.connections;
        if let Some(user) = &session.user {
            let change = hub.leave_user(user, user_index, |moved| {
                if let Some(connection) = connections.get_mut(moved) {
                    connection.user_index = user_index;
                }
            });
            if change == Change::Edge && self.keeps_interest {
                self.node
                    .interest()
                    .clear(Kind::User, &hub.name, user, self.id);
            }
        }
        let change = hub.leave_all(all_index, |moved| {
            if let Some(connection) = connections.get_mut(moved) {
                connection.all_index = all_index;
            }
        });
        if change == Change::Edge && self.keeps_interest {
            self.node
                .interest()
                .clear(Kind::Hub, &hub.name, "", self.id);
        }
        self.end_hub_if_over(index);
    }

    /// Removes what is left of a connection; its transport is closed by being dropped.
    pub(super) fn drop_connection(&mut self, slot: Slot) {
        self.end_session(slot);
        self.drop_link(slot);
        if let Some(connection) = self.connections.remove(slot) {
            let memory = self.node.memory();
            memory.release(Account::Incoming, connection.charged_input);
        }
    }

    /// Closes the transport of a connection, if it has one, by dropping it.
    pub(super) fn drop_link(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if let Some(mut link) = connection.link.take() {
            let outbox = &mut link.outbox;
            let owed = outbox.private_bytes() + link.charged_owed;
            self.node.memory().release(Account::Outgoing, owed);
            outbox.consume(outbox.bytes(), &mut self.pool);
            self.recharge_input(slot);
        }
    }

    /// The transport is of no use any more. A reliable session waits for another one; everything
    /// else is over with it.
    pub(super) fn lose_transport(&mut self, slot: Slot) {
        if self.can_detach(slot) {
            self.detach(slot);
        } else {
            self.drop_connection(slot);
        }
    }

    /// Begins the closing handshake: `disconnected` with `message` for PubSub clients, then a
    /// close frame with `code` and `reason`.
    pub(super) fn close(
        &mut self,
        slot: Slot,
        code: CloseCode,
        reason: &str,
        message: Option<&str>,
    ) {
        self.say_goodbye(slot, code, reason, message);
        self.end_session(slot);
        self.await_end(slot, Phase::AwaitingClose);
    }

    /// Ends a connection by what its client did, once the messages before that are answered. If the
    /// session may go on with another transport, only this one ends, and at once.
    ///
    /// A client that hung up while its event handler works gets no more answers, so it ends at
    /// once; one that only waits for room still has its messages published.
    pub(super) fn end_in_order(&mut self, slot: Slot, ending: Ending) {
        if self.can_detach(slot) {
            match ending {
                Ending::HungUp => return self.detach(slot),
                Ending::Closed(code) if code != Some(CloseCode::NORMAL) => {
                    return self.part(slot, |out| echo_close(code, out));
                }
                Ending::Closed(_) | Ending::Broken(_) => {}
            }
        }
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let parked = connection
            .session
            .as_ref()
            .and_then(|session| session.parked());
        let waits = match parked.map(|parked| &parked.waiting) {
            Some(Waiting::Room { .. }) => true,
            Some(Waiting::Call { .. }) => !matches!(ending, Ending::HungUp),
            None => false,
        };
        if waits {
            if let Some(link) = &mut connection.link {
                link.ending.get_or_insert(ending);
            }
            return;
        }
        match ending {
            Ending::Broken(error) => self.fail(slot, error.close_code(), &error.to_string(), None),
            Ending::Closed(code) => self.client_closed(slot, code),
            Ending::HungUp => self.drop_connection(slot),
        }
    }

    /// Closes a connection that broke the protocol: nothing it sends is looked at any more.
    pub(super) fn fail(
        &mut self,
        slot: Slot,
        code: CloseCode,
        reason: &str,
        message: Option<&str>,
    ) {
        match self.phase(slot) {
            Some(Phase::Open) => {}
            // It answered our close frame with nonsense: that too is the end.
            Some(Phase::AwaitingClose) => return self.finish(slot),
            Some(Phase::Finishing | Phase::Draining) | None => return,
        }
        self.numbers.closed_protocol_errors += 1;
        self.say_goodbye(slot, code, reason, message);
        self.end_session(slot);
        self.await_end(slot, Phase::Draining);
    }

    /// Closes a connection by the wish of the application server (protocol notes: REST close).
    pub(super) fn close_by_app_server(&mut self, slot: Slot, reason: Option<&str>) {
        self.numbers.closed_by_app_server += 1;
        let mut message = String::from("Application server closed the connection.");
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            message.push_str(" Reason: ");
            message.push_str(reason);
        }
        self.close(slot, CloseCode::NORMAL, "", Some(&message));
    }

    /// The client closed: its close frame is answered, then everything ends.
    fn client_closed(&mut self, slot: Slot, code: Option<CloseCode>) {
        match self.phase(slot) {
            Some(Phase::Open) => {
                self.queue_frames(slot, |out| echo_close(code, out));
                self.end_session(slot);
                self.await_end(slot, Phase::Finishing);
            }
            Some(Phase::AwaitingClose | Phase::Finishing | Phase::Draining) => self.finish(slot),
            None => {}
        }
    }

    /// Ends a connection that both sides have closed, once our farewell is written.
    fn finish(&mut self, slot: Slot) {
        match self.link_mut(slot) {
            Some(link) if link.waiting_bytes() > 0 => link.phase = Phase::Finishing,
            _ => self.drop_connection(slot),
        }
    }

    pub(super) fn phase(&self, slot: Slot) -> Option<Phase> {
        Some(self.link(slot)?.phase)
    }

    /// Ends a client that reads too slowly: its queue goes, one last attempt tells it why.
    pub(super) fn end_slow_client(&mut self, slot: Slot, message: &str) {
        if self.phase(slot) != Some(Phase::Open) {
            // It was told goodbye before, and nothing may follow a close frame.
            return self.drop_connection(slot);
        }
        if let Some(connection) = self.connections.get_mut(slot)
            && let Some(link) = &mut connection.link
        {
            let freed = link.outbox.drop_unbegun(&mut self.pool);
            self.node.memory().release(Account::Outgoing, freed);
        }
        self.say_goodbye(slot, CloseCode::POLICY_VIOLATION, "", Some(message));
        self.write_once(slot);
        self.drop_connection(slot);
    }

    /// One attempt to write what waits, before the transport is dropped.
    pub(super) fn write_once(&mut self, slot: Slot) {
        if let Some(connection) = self.connections.get_mut(slot)
            && let Some(link) = &mut connection.link
        {
            link.write(&mut self.transports, &mut self.cork);
        }
    }

    pub(super) fn say_goodbye(
        &mut self,
        slot: Slot,
        code: CloseCode,
        reason: &str,
        message: Option<&str>,
    ) {
        if let Some(message) = message {
            self.queue_response(slot, &Response::Disconnected(message));
        }
        self.queue_frames(slot, |out| ws::encode_close(code, reason, out));
    }

    /// Waits for the end of a closing handshake; without a transport there is none.
    fn await_end(&mut self, slot: Slot, phase: Phase) {
        let due = self.now.plus(self.node.limits().close_timeout_ms);
        let Some(link) = self.link_mut(slot) else {
            return self.drop_connection(slot);
        };
        link.phase = phase;
        let was_paused = std::mem::take(&mut link.flags.paused);
        let birth = link.birth;
        self.wheel.arm(slot, birth, TimerKind::CloseTimeout, due);
        if was_paused {
            self.mark_readable(slot);
        }
    }

    pub(super) fn fire_timers(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.fire(self.now, &mut due);
        for timer in due.drain(..) {
            let Timer {
                slot, birth, kind, ..
            } = timer;
            let is_there = match kind {
                TimerKind::RecoveryWindow | TimerKind::Streams => {
                    self.still_there(SessionKey { slot, birth })
                }
                _ => self.still(TransportKey { slot, birth }),
            };
            if is_there.is_none() {
                continue;
            }
            match kind {
                TimerKind::KeepAlive => self.keep_alive(slot),
                TimerKind::CloseTimeout => self.drop_connection(slot),
                TimerKind::Expiry => self.check_expiry(slot),
                TimerKind::RecoveryWindow => self.end_recovery_window(slot),
                TimerKind::Streams => self.end_idle_streams(slot),
            }
        }
        self.due = due;
    }

    /// Pings a peer that was silent for an interval; gives up on one that was silent for three.
    fn keep_alive(&mut self, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let index = connection.hub;
        let Some(link) = connection
            .link
            .as_mut()
            .filter(|link| link.phase == Phase::Open)
        else {
            return;
        };
        let Some(Some(hub)) = self.hubs.get(index.0 as usize) else {
            return;
        };
        let interval = hub.settings.keep_alive_interval_ms;
        let silent_for = self.now.since(link.heard_at);
        let is_gone =
            silent_for >= interval * SILENT_INTERVALS && link.unanswered_pings >= UNANSWERED_PINGS;
        link.unanswered_pings = if silent_for >= interval {
            link.unanswered_pings.saturating_add(1)
        } else {
            0
        };
        // While reading is stopped, silence proves nothing.
        if is_gone && !link.flags.paused {
            self.numbers.closed_dead_peers += 1;
            let (code, message) = (
                CloseCode::GOING_AWAY,
                "Nothing was heard from the client in time.",
            );
            if self.can_detach(slot) {
                return self.part(slot, |out| ws::encode_close(code, "", out));
            }
            return self.close(slot, code, "", Some(message));
        }
        let birth = link.birth;
        let next = if silent_for >= interval {
            self.queue_frames(slot, |out| ws::encode_ping(&[], out));
            self.now.plus(interval)
        } else {
            self.now.plus(interval - silent_for)
        };
        self.wheel.arm(slot, birth, TimerKind::KeepAlive, next);
    }
}

/// The answer to a close frame.
fn echo_close(code: Option<CloseCode>, out: &mut Vec<u8>) {
    match code {
        Some(code) => ws::encode_close(code, "", out),
        None => ws::encode_empty_close(out),
    }
}

/// A connection's places in its hub, and what the hub's settings mean to it.
pub(super) struct Entered {
    pub(super) index: HubIndex,
    pub(super) all_index: u32,
    pub(super) user_index: u32,
    pub(super) keep_alive_interval_ms: u64,
    pub(super) protobuf_json: JsonField,
}
