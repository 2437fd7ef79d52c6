//! Carrying out what clients ask for: local effects at once, the rest as commands to other
//! shards and calls to event handlers. A session whose request cannot proceed is parked.

use std::sync::Arc;

use hubwire_proto::ack::{self, AckErrorName};
use hubwire_proto::message::{ClientMessage, Data};
use hubwire_proto::ws::CloseCode;

use super::membership::TooManyGroups;
use super::{MEMORY_RETRY_MS, Shard, TransportKey};
use crate::command::{Action, Command, Excluded, Selection, Target};
use crate::handler::{CallAnswer, CallTicket, Reply, UpstreamCall, destination_of};
use crate::hub::{HubIndex, List, Turn};
use crate::id::Slot;
use crate::inbox::{Mail, WaiterBit};
use crate::memory::Account;
use crate::publication::{Encoding, Origin, Publication};
use crate::response::Response;
use crate::session::{Request, RequestKind, Step, Waiting};
use crate::transport::Transport;

/// What became of a request.
enum Outcome {
    Done,
    Failed {
        name: AckErrorName,
        message: &'static str,
    },
    /// The session waits for its handler.
    Called,
    /// Nothing happened yet; to be tried again.
    Wait(Until),
}

/// What a request waits for.
#[derive(Clone, Copy)]
enum Until {
    /// Room in another shard's inbox, or for memory.
    Room,
    /// The turn of its session in the hub.
    Turn(HubIndex),
}

/// Whose turn it is in a busy hub.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HubTurn {
    /// Perhaps somebody else's: whoever came before goes first.
    Queued,
    /// That of the session at hand.
    Ours,
}

impl<T: Transport> Shard<T> {
    /// Applies the session's rules to a message and carries out what they allow.
    pub(super) fn handle_request(&mut self, slot: Slot, message: ClientMessage<'_>) {
        let Some(session) = self
            .connections
            .get(slot)
            .and_then(|connection| connection.session.as_ref())
        else {
            return;
        };
        match session.receive(message) {
            Step::Ignore => {}
            Step::Pong => self.queue_response(slot, &Response::Pong),
            Step::Refuse {
                ack_id,
                name,
                message,
            } => self.refuse(slot, ack_id, name, &message),
            Step::CloseUnauthorized => {
                let reason = "The connection is not authorized for raw sendToGroup mode.";
                self.fail(slot, CloseCode::POLICY_VIOLATION, reason, None);
            }
            Step::Perform(request) => {
                let outcome = self.perform_and_report(slot, &request, HubTurn::Queued);
                if let Outcome::Wait(until) = outcome {
                    self.wait(slot, request.into_owned(), until);
                }
            }
        }
    }

    /// Tries the sessions that wait for room again, in the order in which they began to wait.
    pub(super) fn retry_sessions(&mut self) {
        // Whoever still waits for memory sets it again.
        self.memory_retry_at = None;
        for _ in 0..self.retrying.len() {
            let Some(key) = self.retrying.pop_front() else {
                return;
            };
            self.retry(key, HubTurn::Queued);
        }
    }

    /// Tries the request of a session that waits again.
    pub(super) fn retry(&mut self, key: TransportKey, turn: HubTurn) {
        let Some(slot) = self.still(key) else { return };
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.link.flags.retrying = false;
        let Some(parked) = connection
            .session
            .as_mut()
            .and_then(|session| session.parked_mut())
        else {
            return;
        };
        let Waiting::Room { request } = &mut parked.waiting else {
            return;
        };
        let request = std::mem::replace(request, Request::nothing());
        match self.perform_and_report(slot, &request, turn) {
            Outcome::Wait(until) => self.wait(slot, request, until),
            // `perform` parked it anew, with what it holds.
            Outcome::Called => self.recharge_input(slot),
            Outcome::Done | Outcome::Failed { .. } => self.resume(slot),
        }
    }

    /// Takes an event handler's answer to the session that waits for it.
    pub(super) fn receive_answer(&mut self, answer: CallAnswer) {
        let Some(slot) = self.find(&answer.connection) else {
            return;
        };
        let session = self
            .connections
            .get(slot)
            .and_then(|connection| connection.session.as_ref());
        let Some(Waiting::Call { call, ack_id }) = session
            .and_then(|session| session.parked())
            .map(|parked| &parked.waiting)
        else {
            return;
        };
        if *call != answer.call {
            return;
        }
        let ack_id = *ack_id;
        match answer.outcome {
            Ok(reply) => {
                if let Some(reply) = reply {
                    self.send_reply(slot, &reply);
                }
                self.succeed(slot, ack_id);
            }
            Err(_) => {
                self.numbers.failed_events += 1;
                self.report_failure(
                    slot,
                    ack_id,
                    AckErrorName::InternalServerError,
                    ack::INTERNAL_SERVER_ERROR,
                );
            }
        }
        self.resume(slot);
    }

    fn perform_and_report(&mut self, slot: Slot, request: &Request<'_>, turn: HubTurn) -> Outcome {
        let outcome = self.perform(slot, request, turn);
        match &outcome {
            Outcome::Done => self.succeed(slot, request.ack_id),
            Outcome::Failed { name, message } => {
                self.report_failure(slot, request.ack_id, *name, message);
            }
            Outcome::Called | Outcome::Wait(_) => {}
        }
        outcome
    }

    fn perform(&mut self, slot: Slot, request: &Request<'_>, turn: HubTurn) -> Outcome {
        let Some(index) = self.connections.get(slot).map(|connection| connection.hub) else {
            return Outcome::Done;
        };
        let Some(hub) = self.hub(index) else {
            return Outcome::Done;
        };
        let is_taken = match turn {
            HubTurn::Queued => hub.is_busy(),
            HubTurn::Ours => hub.walk.is_some(),
        };
        // Events concern no list, so they need no turn.
        if is_taken && !matches!(request.kind, RequestKind::Event { .. }) {
            return Outcome::Wait(Until::Turn(index));
        }
        match &request.kind {
            RequestKind::Join { group } => match self.join(slot, group) {
                Ok(()) => Outcome::Done,
                Err(TooManyGroups) => Outcome::Failed {
                    name: AckErrorName::BadRequest,
                    message: "The connection is in too many groups.",
                },
            },
            RequestKind::Leave { group } => {
                self.leave(slot, group);
                Outcome::Done
            }
            RequestKind::Publish {
                group,
                data,
                no_echo,
            } => self.publish(slot, index, group, data, *no_echo),
            RequestKind::Event { event, data } => {
                self.call_handler(slot, index, event, data, request.ack_id)
            }
        }
    }

    /// Publishes to a group: on this shard at once, on others by command, on all or on none.
    fn publish(
        &mut self,
        slot: Slot,
        index: HubIndex,
        group: &str,
        data: &Data<'_>,
        no_echo: bool,
    ) -> Outcome {
        if self.node.memory().is_full() {
            self.memory_retry_at = Some(self.now.plus(MEMORY_RETRY_MS));
            return Outcome::Wait(Until::Room);
        }
        let Some(hub) = self.hub(index) else {
            return Outcome::Done;
        };
        let local = hub.group(group);
        let others = if self.keeps_interest {
            self.node
                .interest()
                .of(crate::interest::Kind::Group, &hub.name, group)
                .without(self.id)
        } else {
            crate::id::ShardSet::EMPTY
        };
        if others.is_empty() && local.is_none() {
            return Outcome::Done;
        }
        let permits = if others.is_empty() {
            Vec::new()
        } else {
            match self.node.reserve_in_all(others, self.waiter()) {
                Some(permits) => permits,
                None => return Outcome::Wait(Until::Room),
            }
        };
        let hub_name = Arc::clone(&hub.name);
        let group: Arc<str> = local
            .and_then(|local| hub.group_name(local).cloned())
            .unwrap_or_else(|| group.into());
        let Some(connection) = self.connections.get(slot) else {
            return Outcome::Done;
        };
        let from_user = connection
            .session
            .as_ref()
            .and_then(|session| session.user.clone());
        let excluded = if no_echo {
            Excluded::One(connection.seat.connection())
        } else {
            Excluded::Nobody
        };
        let origin = Origin::Group {
            group: Arc::clone(&group),
            from_user,
        };
        let publication = Publication::new(
            origin,
            data.data_type,
            data.bytes.as_ref().into(),
            self.node.memory(),
        );
        self.numbers.publications += 1;
        let command = |excluded: Excluded| Command {
            hub: Arc::clone(&hub_name),
            target: Target::Group(Arc::clone(&group)),
            selection: Selection {
                excluded,
                filter: None,
            },
            action: Action::Deliver {
                publication: Arc::clone(&publication),
            },
        };
        for (shard, permit) in permits {
            self.hand_off[shard.index()].push((permit, Mail::Command(command(excluded.clone()))));
        }
        if let Some(local) = local {
            let list = List::Group(local);
            let end = self.hub(index).map_or(0, |hub| hub.places(&list));
            let next = self.deliver(index, &list, 0..end, &publication, &excluded);
            if next < end {
                self.walk_on(index, command(excluded), list, next..end);
            }
        }
        Outcome::Done
    }

    /// Hands a user event to the handler that takes it; the session waits for the answer.
    fn call_handler(
        &mut self,
        slot: Slot,
        index: HubIndex,
        event: &str,
        data: &Data<'_>,
        ack_id: Option<u64>,
    ) -> Outcome {
        let Some(hub) = self.hub(index) else {
            return Outcome::Done;
        };
        let Some(destination) = destination_of(&hub.settings.event_handlers, event) else {
            self.numbers.failed_events += 1;
            return Outcome::Failed {
                name: AckErrorName::InternalServerError,
                message: ack::INTERNAL_SERVER_ERROR,
            };
        };
        let (inbox, hub) = (Arc::clone(self.node.inbox(self.id)), Arc::clone(&hub.name));
        let Some(connection) = self.connections.get_mut(slot) else {
            return Outcome::Done;
        };
        let Some(session) = &mut connection.session else {
            return Outcome::Done;
        };
        let call = session.next_call();
        self.numbers.parked_connections += u64::from(session.parked().is_none());
        session.park(Waiting::Call { call, ack_id });
        self.numbers.events += 1;
        self.upstream.call(UpstreamCall {
            hub,
            event: event.into(),
            data_type: data.data_type,
            data: data.bytes.as_ref().into(),
            destination,
            ticket: CallTicket::new(
                inbox,
                Arc::clone(self.node.memory()),
                connection.seat.connection(),
                call,
            ),
            charge: self
                .node
                .memory()
                .guard(Account::Incoming, data.bytes.len()),
        });
        Outcome::Called
    }

    fn wait(&mut self, slot: Slot, request: Request<'static>, until: Until) {
        let Some(key) = self.key(slot) else { return };
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(session) = &mut connection.session else {
            return;
        };
        if session.parked().is_none() {
            self.numbers.parked_connections += 1;
            self.numbers.sessions_waited_for_room += 1;
        }
        session.park(Waiting::Room { request });
        if !std::mem::replace(&mut connection.link.flags.retrying, true) {
            match until {
                Until::Room => self.retrying.push_back(key),
                Until::Turn(index) => {
                    if let Some(hub) = self.hub_mut(index) {
                        hub.backlog.push_back(Turn::Session(key));
                    }
                }
            }
        }
        self.recharge_input(slot);
    }

    /// Lets a session go on: what it held is handled in order, until it waits again.
    fn resume(&mut self, slot: Slot) {
        let Some(session) = self
            .connections
            .get_mut(slot)
            .and_then(|connection| connection.session.as_mut())
        else {
            return;
        };
        let Some(mut parked) = session.unpark() else {
            return;
        };
        self.numbers.parked_connections -= 1;
        while let Some(held) = parked.held.pop_front() {
            parked.held_bytes -= held.bytes();
            self.handle_message(slot, held.kind, &held.payload);
            let Some(session) = self
                .connections
                .get_mut(slot)
                .and_then(|connection| connection.session.as_mut())
            else {
                return;
            };
            if let Some(again) = session.parked_mut() {
                again.held = parked.held;
                again.held_bytes = parked.held_bytes;
                break;
            }
        }
        self.recharge_input(slot);
        let limit = self.node.limits().parked_input_bytes;
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let parked = connection
            .session
            .as_ref()
            .and_then(|session| session.parked());
        if let (None, Some(ending)) = (parked, connection.link.ending) {
            return self.end_in_order(slot, ending);
        }
        let held = parked.map_or(0, |parked| parked.held_bytes);
        if connection.link.flags.paused && held < limit {
            connection.link.flags.paused = false;
            // While nobody listened, silence proved nothing.
            connection.link.heard_at = self.now;
            self.mark_readable(slot);
        }
    }

    fn succeed(&mut self, slot: Slot, ack_id: Option<u64>) {
        let Some(ack_id) = ack_id else { return };
        if let Some(session) = self
            .connections
            .get_mut(slot)
            .and_then(|connection| connection.session.as_mut())
        {
            session.succeeded(ack_id);
            self.queue_response(slot, &Response::AckOk { ack_id });
        }
    }

    /// A failed ack for PubSub clients that asked for one; simple clients are closed (protocol
    /// notes: simple clients).
    fn report_failure(
        &mut self,
        slot: Slot,
        ack_id: Option<u64>,
        name: AckErrorName,
        message: &str,
    ) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        match (connection.encoding, ack_id) {
            (Encoding::Simple, _) => self.close(
                slot,
                CloseCode::INTERNAL_ERROR,
                ack::INTERNAL_SERVER_ERROR,
                None,
            ),
            (Encoding::Json | Encoding::Protobuf(_), Some(ack_id)) => {
                self.refuse(slot, ack_id, name, message);
            }
            (Encoding::Json | Encoding::Protobuf(_), None) => {}
        }
    }

    fn refuse(&mut self, slot: Slot, ack_id: u64, name: AckErrorName, message: &str) {
        self.numbers.failed_acks += 1;
        let failed = Response::AckFailed {
            ack_id,
            name,
            message,
        };
        self.queue_response(slot, &failed);
    }

    fn send_reply(&mut self, slot: Slot, reply: &Reply) {
        self.numbers.messages_delivered += 1;
        let message = Response::Server {
            data_type: reply.data_type,
            bytes: &reply.bytes,
        };
        self.queue_response(slot, &message);
    }

    fn waiter(&self) -> WaiterBit {
        WaiterBit(crate::id::ShardSet::only(self.id).bits())
    }
}
