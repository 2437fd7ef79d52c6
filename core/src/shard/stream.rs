//! Streams: what their publishers send goes to the members of a group, what becomes of it back to
//! them (protocol notes: streams).
//!
//! The rules are [`crate::stream`]'s. The last message of a stream that its publisher does not end
//! is a [farewell](super::farewell).

use std::borrow::Cow;
use std::sync::Arc;

use hubwire_proto::ack::{self, AckErrorName};
use hubwire_proto::message::{Data, DataType, StreamEndError, StreamInfo};
use hubwire_proto::metadata::Metadata;
use hubwire_proto::stream::{StreamClosedName, StreamNackName};

use super::Shard;
use super::publish::Content;
use super::request::{Outcome, Until};
use crate::command::{Action, Command, Excluded, Selection, Target};
use crate::hub::HubIndex;
use crate::id::Slot;
use crate::publication::{Origin, Publication};
use crate::response::Response;
use crate::stream::{
    Decision, EndMemory, EndReason, EndedStream, Outlet, Start, StreamRequest, Streams,
    StreamsRecord,
};
use crate::transport::Transport;
use crate::wheel::TimerKind;

const NOT_FOUND: &str = "The connection has no open stream with this id.";

/// What a message that only says something about a stream carries.
const NO_DATA: Data<'static> = Data {
    data_type: DataType::Text,
    bytes: Cow::Borrowed(b""),
};

impl<T: Transport> Shard<T> {
    /// Carries out what a client says about a stream.
    pub(super) fn perform_on_stream(
        &mut self,
        slot: Slot,
        index: HubIndex,
        request: &StreamRequest<'_>,
    ) -> Outcome {
        match request {
            StreamRequest::Start(start) => self.start_stream(slot, index, start),
            StreamRequest::Part {
                stream_id,
                sequence_id,
                data,
            } => self.publish_part(slot, index, stream_id, *sequence_id, data),
            StreamRequest::KeepAlive { stream_id } => {
                let now = self.now;
                let decision = self.decide(slot, |streams| streams.keep_alive(stream_id, now));
                self.tell(slot, stream_id, &decision);
                Outcome::Done
            }
            StreamRequest::End { stream_id, error } => {
                self.end_stream(slot, index, stream_id, error.as_ref())
            }
            StreamRequest::Invalid { stream_id, reason } => {
                self.close_for_receivers(slot, stream_id, EndReason::BadRequest);
                let error = (StreamClosedName::BadRequest, *reason);
                self.tell_closed(slot, stream_id, Some(error));
                Outcome::Failed {
                    name: AckErrorName::BadRequest,
                    message: Cow::Borrowed(reason),
                }
            }
        }
    }

    fn start_stream(&mut self, slot: Slot, index: HubIndex, start: &Start<'_>) -> Outcome {
        // A stream of the same name may have a last message under way.
        if self.must_wait_for_farewells() {
            return Outcome::Wait(Until::Room);
        }
        let Some(hub) = self.hub(index) else {
            return Outcome::Done;
        };
        let group: Arc<str> = hub
            .group(&start.group)
            .and_then(|group| hub.group_name(group).cloned())
            .unwrap_or_else(|| (&*start.group).into());
        let (limit, now) = (self.node.limits().streams_per_connection, self.now);
        let Some(session) = self.session_mut(slot) else {
            return Outcome::Done;
        };
        let streams = session.streams.get_or_insert_default();
        let open_before = streams.open();
        let started = streams.start(start, group, limit, now);
        let opened = (streams.open() - open_before) as u64;
        self.forget_streams_if_empty(slot);
        match started {
            Ok(()) => {
                self.numbers.streams += opened;
                self.numbers.streams_started += opened;
                self.watch_streams(slot);
                let confirmation = Response::StreamAck {
                    stream_id: &start.stream_id,
                    expected_sequence_id: 1,
                };
                self.queue_response(slot, &confirmation);
                Outcome::Done
            }
            Err(error) => {
                self.numbers.streams_refused += 1;
                let closed = (StreamClosedName::BadRequest, error.text());
                self.tell_closed(slot, &start.stream_id, Some(closed));
                Outcome::Failed {
                    name: AckErrorName::BadRequest,
                    message: Cow::Borrowed(error.text()),
                }
            }
        }
    }

    fn publish_part(
        &mut self,
        slot: Slot,
        index: HubIndex,
        stream_id: &str,
        sequence_id: u64,
        data: &Data<'_>,
    ) -> Outcome {
        let now = self.now;
        let decision = self.decide(slot, |streams| streams.part(stream_id, sequence_id, now));
        let Decision::Publish(outlet) = &decision else {
            self.tell(slot, stream_id, &decision);
            return Outcome::Done;
        };
        let info = StreamInfo {
            stream_id: stream_id.to_owned().into(),
            stream_sequence_id: sequence_id,
            end_of_stream: false,
            error: None,
        };
        let outcome = self.publish_in_stream(slot, index, outlet, data, info);
        if let Outcome::Done = outcome {
            let streams = self.streams_mut(slot);
            let ack = streams.and_then(|streams| streams.published(stream_id));
            if let Some(expected_sequence_id) = ack {
                let ack = Response::StreamAck {
                    stream_id,
                    expected_sequence_id,
                };
                self.queue_response(slot, &ack);
            }
        }
        outcome
    }

    /// Ends a stream by the wish of its publisher.
    fn end_stream(
        &mut self,
        slot: Slot,
        index: HubIndex,
        stream_id: &str,
        error: Option<&StreamEndError<'_>>,
    ) -> Outcome {
        let decision = self.decide(slot, |streams| streams.ending(stream_id));
        let Decision::Publish(outlet) = decision else {
            self.tell(slot, stream_id, &decision);
            return Outcome::Done;
        };
        let ended = EndedStream {
            stream_id: stream_id.into(),
            outlet,
            reason: match error {
                Some(_) => EndReason::UserError,
                None => EndReason::Completed,
            },
            owes_ack: false,
        };
        let outcome =
            self.publish_in_stream(slot, index, &ended.outlet, &NO_DATA, ended.info(error));
        if let Outcome::Done = outcome {
            self.close_stream(slot, stream_id, ended.reason);
            self.tell_closed(slot, stream_id, None);
        }
        outcome
    }

    fn publish_in_stream(
        &mut self,
        slot: Slot,
        index: HubIndex,
        outlet: &Outlet,
        data: &Data<'_>,
        stream: StreamInfo<'static>,
    ) -> Outcome {
        let content = Content {
            data,
            metadata: &Metadata::default(),
            expires_at: None,
            stream: Some(stream),
        };
        self.publish(slot, index, &outlet.group, content, outlet.no_echo)
    }

    /// Looks for streams that have rested for too long.
    pub(super) fn end_idle_streams(&mut self, slot: Slot) {
        // While nobody listens to the publisher, its silence proves nothing.
        let is_heard = self.reads_input()
            && self
                .session(slot)
                .is_some_and(|session| session.parked().is_none());
        let now = self.now;
        let Some(streams) = self.streams_mut(slot) else {
            return;
        };
        let idle = streams.idle(now);
        if !is_heard {
            streams.excuse(now);
        } else {
            for stream_id in idle {
                self.end_by_server(slot, &stream_id, EndReason::IdleTimeout, None);
            }
        }
        self.watch_streams(slot);
    }

    /// Ends the streams to groups that a connection may not send to any more.
    pub(super) fn end_forbidden_streams(&mut self, slot: Slot) {
        let Some(session) = self.session(slot) else {
            return;
        };
        let Some(streams) = &session.streams else {
            return;
        };
        let forbidden = streams.forbidden(|group| session.permissions().may_send(group));
        for (stream_id, group) in forbidden {
            let message = ack::forbidden_send(&group);
            self.end_by_server(slot, &stream_id, EndReason::Forbidden, Some(&message));
        }
    }

    /// Ends the streams of a session that is no more: whatever it published comes before.
    pub(super) fn cancel_streams(
        &mut self,
        slot: Slot,
        index: HubIndex,
        user: Option<&Arc<str>>,
        streams: Streams,
    ) {
        for ended in streams.cancel() {
            self.count_end(ended.reason);
            // At the end of the node nobody is left to hear it.
            if !self.shutting_down {
                self.owe_last_message(slot, index, user, &ended);
            }
        }
    }

    /// Sends the acks that the parts of an input owe.
    pub(super) fn send_stream_acks(&mut self, slot: Slot) {
        // Taken out, so that the ids can be borrowed while the answers are queued.
        let Some(mut streams) = self
            .session_mut(slot)
            .and_then(|session| session.streams.take())
        else {
            return;
        };
        for (stream_id, expected_sequence_id) in streams.take_acks() {
            let ack = Response::StreamAck {
                stream_id,
                expected_sequence_id,
            };
            self.queue_response(slot, &ack);
        }
        if let Some(session) = self.session_mut(slot) {
            session.streams = Some(streams);
        }
    }

    /// A publisher has its next transport: it hears of the streams that ended while it had none.
    pub(super) fn tell_missed_ends(&mut self, slot: Slot) {
        let Some(streams) = self.streams_mut(slot) else {
            return;
        };
        for (stream_id, reason) in streams.attached() {
            self.tell(slot, &stream_id, &Decision::Repeat(reason));
        }
    }

    /// Gives a session of an earlier shard its streams again.
    pub(super) fn restore_streams(&mut self, slot: Slot, record: Option<StreamsRecord>) {
        let Some(streams) = record.map(|record| Streams::import(record, self.now)) else {
            return;
        };
        self.numbers.streams += streams.open() as u64;
        if let Some(session) = self.session_mut(slot) {
            session.streams = Some(Box::new(streams));
        }
        self.recharge_input(slot);
        self.watch_streams(slot);
    }

    /// Sees to it that a timer fires when a stream may have rested for too long.
    pub(super) fn watch_streams(&mut self, slot: Slot) {
        let now = self.now;
        let due = self
            .streams_mut(slot)
            .and_then(|streams| streams.watch(now));
        if let (Some(due), Some(key)) = (due, self.session_key(slot)) {
            self.wheel.arm(slot, key.birth, TimerKind::Streams, due);
        }
    }

    /// Ends a stream that its publisher would go on with.
    fn end_by_server(
        &mut self,
        slot: Slot,
        stream_id: &str,
        reason: EndReason,
        message: Option<&str>,
    ) {
        self.close_for_receivers(slot, stream_id, reason);
        let message = message.unwrap_or(reason.closed_message());
        let error = reason.closed_name().map(|name| (name, message));
        self.tell_closed(slot, stream_id, error);
    }

    /// Closes a stream, if it is open, and lets its receivers know.
    fn close_for_receivers(&mut self, slot: Slot, stream_id: &str, reason: EndReason) {
        let Some(ended) = self.close_stream(slot, stream_id, reason) else {
            return;
        };
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let session = connection.session.as_ref();
        let user = session.and_then(|session| session.user.clone());
        self.owe_last_message(slot, connection.hub, user.as_ref(), &ended);
    }

    /// Takes an open stream from its session. The ack that it owes is sent first.
    fn close_stream(
        &mut self,
        slot: Slot,
        stream_id: &str,
        reason: EndReason,
    ) -> Option<EndedStream> {
        let connection = self.connections.get_mut(slot)?;
        let memory = match (&connection.replay, &connection.link) {
            (None, _) => EndMemory::None,
            (Some(_), Some(_)) => EndMemory::Attached,
            (Some(_), None) => EndMemory::Detached,
        };
        let streams = connection.session.as_mut()?.streams.as_mut()?;
        let ended = streams.end(stream_id, reason, memory)?;
        self.count_end(reason);
        self.forget_streams_if_empty(slot);
        self.recharge_input(slot);
        if ended.owes_ack {
            let ack = Response::StreamAck {
                stream_id,
                expected_sequence_id: ended.outlet.sequence_id,
            };
            self.queue_response(slot, &ack);
        }
        Some(ended)
    }

    /// Lets the receivers of a stream hear of its end.
    fn owe_last_message(
        &mut self,
        slot: Slot,
        index: HubIndex,
        user: Option<&Arc<str>>,
        ended: &EndedStream,
    ) {
        let (Some(connection), Some(hub)) = (self.connections.get(slot), self.hub(index)) else {
            return;
        };
        let outlet = &ended.outlet;
        let origin = Origin::Group {
            group: Arc::clone(&outlet.group),
            from_user: user.cloned(),
        };
        let (info, memory) = (ended.info(None), self.node.memory());
        let publication =
            Publication::in_stream(origin, DataType::Text, Box::default(), info, memory);
        let excluded = if outlet.no_echo {
            Excluded::One(connection.seat.connection())
        } else {
            Excluded::Nobody
        };
        self.owe(Command {
            hub: Arc::clone(&hub.name),
            target: Target::Group(Arc::clone(&outlet.group)),
            selection: Selection {
                excluded,
                filter: None,
            },
            action: Action::Deliver { publication },
        });
    }

    /// Answers what is not published.
    fn tell(&mut self, slot: Slot, stream_id: &str, decision: &Decision) {
        match decision {
            Decision::Publish(_) | Decision::Nothing => {}
            Decision::Nack { expected } => {
                let message = format!("The next part of the stream is {expected}.");
                let nack = Response::StreamNack {
                    stream_id,
                    name: StreamNackName::InvalidSequenceId,
                    expected_sequence_id: *expected,
                    message: &message,
                };
                self.queue_response(slot, &nack);
            }
            Decision::NotFound => {
                let error = (StreamClosedName::StreamNotFound, NOT_FOUND);
                self.tell_closed(slot, stream_id, Some(error));
            }
            Decision::Repeat(reason) => {
                let error = reason
                    .closed_name()
                    .map(|name| (name, reason.closed_message()));
                self.tell_closed(slot, stream_id, error);
            }
        }
    }

    /// Tells a publisher that a stream is not open, or not any more.
    pub(super) fn tell_closed(
        &mut self,
        slot: Slot,
        stream_id: &str,
        error: Option<(StreamClosedName, &str)>,
    ) {
        self.queue_response(slot, &Response::StreamClosed { stream_id, error });
    }

    fn decide(&mut self, slot: Slot, judge: impl FnOnce(&mut Streams) -> Decision) -> Decision {
        self.streams_mut(slot).map_or(Decision::NotFound, judge)
    }

    fn streams_mut(&mut self, slot: Slot) -> Option<&mut Streams> {
        self.session_mut(slot)?.streams.as_deref_mut()
    }

    fn forget_streams_if_empty(&mut self, slot: Slot) {
        if let Some(session) = self.session_mut(slot) {
            session.streams.take_if(|streams| streams.is_empty());
        }
    }

    fn count_end(&mut self, reason: EndReason) {
        let numbers = &mut self.numbers;
        numbers.streams -= 1;
        let ended = match reason {
            EndReason::Completed => &mut numbers.streams_completed,
            EndReason::UserError => &mut numbers.streams_aborted,
            EndReason::IdleTimeout => &mut numbers.streams_timed_out,
            EndReason::Forbidden => &mut numbers.streams_forbidden,
            EndReason::BadRequest => &mut numbers.streams_invalid,
            EndReason::Cancelled => &mut numbers.streams_cancelled,
        };
        *ended += 1;
    }
}
