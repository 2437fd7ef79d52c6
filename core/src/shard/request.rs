//! Carrying out what clients ask for: local effects at once, the rest as commands to other
//! shards and calls to event handlers. A session whose request cannot proceed is parked.

use std::borrow::Cow;
use std::sync::Arc;

use hubwire_proto::ack::{self, AckErrorName};
use hubwire_proto::message::{ClientMessage, Data};
use hubwire_proto::metadata::Metadata;
use hubwire_proto::stream::StreamClosedName;
use hubwire_proto::ws::CloseCode;

use super::membership::TooManyGroups;
use super::publish::Content;
use super::{SessionKey, Shard};
use crate::handler::{CallAnswer, CallTicket, Reply, UpstreamCall, destination_of};
use crate::hub::{HubIndex, Turn};
use crate::id::Slot;
use crate::inbox::WaiterBit;
use crate::memory::Account;
use crate::publication::{Encoding, Origin, Publication};
use crate::response::Response;
use crate::session::{Request, RequestKind, Step, Waiting};
use crate::transport::Transport;

/// What became of a request.
pub(super) enum Outcome {
    Done,
    Failed {
        name: AckErrorName,
        message: Cow<'static, str>,
    },
    /// It was done, and acknowledged already.
    Acknowledged,
    /// The session waits for its handler.
    Called,
    /// Nothing happened yet; to be tried again.
    Wait(Until),
}

/// What a request waits for.
#[derive(Clone, Copy)]
pub(super) enum Until {
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
        let Some(session) = self.session(slot) else {
            return;
        };
        match session.receive(message) {
            Step::Ignore => {}
            Step::Pong => self.queue_response(slot, &Response::Pong),
            Step::Acknowledge { sequence_id } => self.acknowledge(slot, sequence_id),
            Step::Refuse {
                ack_id,
                name,
                message,
            } => self.refuse(slot, ack_id, name, &message),
            Step::RefuseStream {
                stream_id,
                message,
                ack_id,
            } => {
                let error = (StreamClosedName::Forbidden, &*message);
                self.tell_closed(slot, &stream_id, Some(error));
                if let Some(ack_id) = ack_id {
                    self.refuse(slot, ack_id, AckErrorName::Forbidden, &message);
                }
            }
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
        self.gathering_ended = false;
        for _ in 0..self.retrying.len() {
            let Some(key) = self.retrying.pop_front() else {
                return;
            };
            self.retry(key, HubTurn::Queued);
        }
    }

    /// Tries the request of a session that waits again.
    pub(super) fn retry(&mut self, key: SessionKey, turn: HubTurn) {
        let Some(slot) = self.still_there(key) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.is_retrying = false;
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
            Outcome::Done | Outcome::Acknowledged | Outcome::Failed { .. } => self.resume(slot),
        }
    }

    /// Takes an event handler's answer to the session that waits for it.
    pub(super) fn receive_answer(&mut self, answer: CallAnswer) {
        let Some(slot) = self.find(&answer.connection) else {
            return;
        };
        let session = self.session(slot);
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
                    self.send_reply(slot, reply);
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
            Outcome::Acknowledged | Outcome::Called | Outcome::Wait(_) => {}
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
        if is_taken && request.kind.needs_turn() {
            return Outcome::Wait(Until::Turn(index));
        }
        match &request.kind {
            RequestKind::Join { group } => match self.join(slot, group) {
                Ok(()) => Outcome::Done,
                Err(TooManyGroups) => Outcome::Failed {
                    name: AckErrorName::BadRequest,
                    message: "The connection is in too many groups.".into(),
                },
            },
            RequestKind::Leave { group } => {
                self.leave(slot, group);
                Outcome::Done
            }
            RequestKind::Publish {
                group,
                data,
                metadata,
                no_echo,
                ttl_seconds,
            } => {
                let ttl_ms = u64::from(*ttl_seconds) * 1000;
                let content = Content {
                    data,
                    metadata,
                    expires_at: (ttl_ms > 0).then(|| self.now.plus(ttl_ms)),
                    stream: None,
                };
                self.publish(slot, index, group, content, *no_echo)
            }
            RequestKind::Event {
                event,
                data,
                metadata,
            } => self.call_handler(slot, index, event, (data, metadata), request.ack_id),
            RequestKind::Stream(request) => self.perform_on_stream(slot, index, request),
            RequestKind::SetGroupState { group, state } => {
                self.set_group_state(slot, index, group, state.as_ref())
            }
            RequestKind::SubscribeGroupState { group } => {
                self.subscribe_group_state(slot, index, group, request.ack_id)
            }
            RequestKind::UnsubscribeGroupState { group } => {
                self.unsubscribe_group_state(slot, index, group);
                Outcome::Done
            }
        }
    }

    /// Hands a user event to the handler that takes it; the session waits for the answer.
    fn call_handler(
        &mut self,
        slot: Slot,
        index: HubIndex,
        event: &str,
        (data, metadata): (&Data<'_>, &Metadata),
        ack_id: Option<u64>,
    ) -> Outcome {
        let Some(hub) = self.hub(index) else {
            return Outcome::Done;
        };
        let Some(destination) = destination_of(&hub.settings.event_handlers, event) else {
            self.numbers.failed_events += 1;
            return Outcome::Failed {
                name: AckErrorName::InternalServerError,
                message: ack::INTERNAL_SERVER_ERROR.into(),
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
            metadata: metadata.clone(),
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
                .guard(Account::Incoming, data.bytes.len() + metadata.len()),
        });
        Outcome::Called
    }

    fn wait(&mut self, slot: Slot, request: Request<'static>, until: Until) {
        let Some(key) = self.session_key(slot) else {
            return;
        };
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
        if !std::mem::replace(&mut connection.is_retrying, true) {
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
        let Some(session) = self.session_mut(slot) else {
            return;
        };
        let Some(mut parked) = session.unpark() else {
            return;
        };
        self.numbers.parked_connections -= 1;
        while let Some(held) = parked.held.pop_front() {
            parked.held_bytes -= held.bytes();
            self.handle_message(slot, held.kind, &held.payload);
            let Some(session) = self.session_mut(slot) else {
                return;
            };
            if let Some(again) = session.parked_mut() {
                again.held = parked.held;
                again.held_bytes = parked.held_bytes;
                break;
            }
        }
        self.recharge_input(slot);
        self.send_stream_acks(slot);
        let limit = self.node.limits().parked_input_bytes;
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let parked = connection
            .session
            .as_ref()
            .and_then(|session| session.parked());
        let Some(link) = &mut connection.link else {
            return;
        };
        if let (None, Some(ending)) = (parked, link.ending) {
            return self.end_in_order(slot, ending);
        }
        let held = parked.map_or(0, |parked| parked.held_bytes);
        if link.flags.paused && held < limit {
            link.flags.paused = false;
            // While nobody listened, silence proved nothing.
            link.heard_at = self.now;
            self.mark_readable(slot);
        }
    }

    pub(super) fn succeed(&mut self, slot: Slot, ack_id: Option<u64>) {
        let Some(ack_id) = ack_id else { return };
        if let Some(session) = self.session_mut(slot) {
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

    fn send_reply(&mut self, slot: Slot, reply: Reply) {
        let publication = Publication::with_metadata(
            Origin::Server,
            reply.data_type,
            reply.bytes,
            self.node.memory(),
            None,
            reply.metadata,
        );
        self.deliver_to(slot, &publication);
    }

    pub(super) fn waiter(&self) -> WaiterBit {
        WaiterBit(crate::id::ShardSet::only(self.id).bits())
    }
}
