//! One connection's rules, the same for all protocols: what it may do, which ack ids succeeded,
//! whether it waits. It decides; the shard carries out.
//!
//! A session outlives its transport in the reliable protocols; frames and sockets are not here.

mod request;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use hubwire_proto::ack::{self, AckErrorName};
use hubwire_proto::message::ClientMessage;
use hubwire_proto::protobuf::JsonField;
use hubwire_proto::role::Permissions;
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::{CloseCode, MessageKind};
use hubwire_proto::{json, protobuf};

use crate::ack_memory::AckMemory;
use crate::group_state::GroupStates;
use crate::handler::CallId;
use crate::publication::Encoding;
use crate::stream::{Start, StreamRequest, Streams};

pub use request::{Request, RequestKind};

/// How a connection's frames are read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// Bare payloads.
    Simple(SimpleMode),
    /// One of the predefined subprotocols.
    PubSub(Subprotocol),
}

/// A message that cannot be read on its connection, which is closed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The code of the close frame.
    pub code: CloseCode,
    /// Its reason.
    pub reason: &'static str,
    /// The text in `disconnected`.
    pub message: String,
}

impl Protocol {
    /// The encoding of deliveries to such a connection. `protobuf_json` is its hub's setting.
    #[must_use]
    pub fn encoding(&self, protobuf_json: JsonField) -> Encoding {
        match self {
            Self::Simple(_) => Encoding::Simple,
            Self::PubSub(Subprotocol::Json | Subprotocol::JsonReliable) => Encoding::Json,
            Self::PubSub(Subprotocol::Protobuf | Subprotocol::ProtobufReliable) => {
                Encoding::Protobuf(protobuf_json)
            }
        }
    }

    /// Reads a message of such a connection.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]. Every message of a simple client can be read.
    pub fn decode<'a>(
        &'a self,
        kind: MessageKind,
        payload: &'a [u8],
    ) -> Result<ClientMessage<'a>, Unreadable> {
        match self {
            Self::Simple(mode) => Ok(mode.decode(kind, payload)),
            Self::PubSub(Subprotocol::Json | Subprotocol::JsonReliable) => {
                json::decode_bytes(payload).map_err(|malformed| Unreadable {
                    code: CloseCode::INVALID_PAYLOAD,
                    reason: json::Malformed::CLOSE_REASON,
                    message: malformed.to_string(),
                })
            }
            Self::PubSub(Subprotocol::Protobuf | Subprotocol::ProtobufReliable) => {
                decode_protobuf(kind, payload)
            }
        }
    }

    /// The subprotocol, if a predefined one is spoken.
    #[must_use]
    pub fn subprotocol(&self) -> Option<Subprotocol> {
        match self {
            Self::Simple(_) => None,
            Self::PubSub(subprotocol) => Some(*subprotocol),
        }
    }

    /// Whether messages are numbered, and the session outlives its transport.
    #[must_use]
    pub fn is_reliable(&self) -> bool {
        self.subprotocol().is_some_and(Subprotocol::is_reliable)
    }
}

fn decode_protobuf(kind: MessageKind, payload: &[u8]) -> Result<ClientMessage<'_>, Unreadable> {
    if kind == MessageKind::Text {
        return Err(Unreadable {
            code: CloseCode::UNSUPPORTED_DATA,
            reason: protobuf::Malformed::TEXT_CLOSE_REASON,
            message: protobuf::Malformed::TEXT_CLOSE_REASON.to_owned(),
        });
    }
    protobuf::decode(payload).map_err(|malformed| Unreadable {
        code: CloseCode::INVALID_PAYLOAD,
        reason: protobuf::Malformed::CLOSE_REASON,
        message: malformed.to_string(),
    })
}

/// What the shard has to do for one request.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing.
    Ignore,
    /// Answer with a pong.
    Pong,
    /// Forget what the client has received.
    Acknowledge {
        /// The highest sequence id received.
        sequence_id: u64,
    },
    /// Answer with a failed ack.
    Refuse {
        /// The ack that the client asked for.
        ack_id: u64,
        /// The error's name.
        name: AckErrorName,
        /// Its text.
        message: String,
    },
    /// Say that a stream is not opened, for the group is forbidden.
    RefuseStream {
        /// What the client calls the stream.
        stream_id: Cow<'a, str>,
        /// A text about it.
        message: String,
        /// The ack that the client asked for.
        ack_id: Option<u64>,
    },
    /// Close: the request may not be made on this connection.
    CloseUnauthorized,
    /// Carry out a request, then report [`Session::succeeded`].
    Perform(Request<'a>),
}

/// Why a session does not take the next request yet.
#[derive(Debug)]
pub enum Waiting {
    /// For the answer of its event handler.
    Call {
        /// Which call.
        call: CallId,
        /// The ack that the event asked for.
        ack_id: Option<u64>,
    },
    /// For room in other shards' inboxes, for its turn in a busy hub, or for memory.
    Room {
        /// The request to try again.
        request: Request<'static>,
    },
}

/// A message that came while the session waited.
#[derive(Debug)]
pub struct Held {
    /// Text or binary.
    pub kind: MessageKind,
    /// Its bytes.
    pub payload: Box<[u8]>,
}

impl Held {
    /// What holding it costs. Messages without a payload are not free.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.payload.len()
    }
}

/// A session that waits, and what came meanwhile.
#[derive(Debug)]
pub struct Parked {
    /// What for.
    pub waiting: Waiting,
    /// Messages to handle afterwards, in order.
    pub held: VecDeque<Held>,
    /// Bytes in `held`.
    pub held_bytes: usize,
}

impl Parked {
    /// Bytes that are held while the session waits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let waiting = match &self.waiting {
            Waiting::Call { .. } => 0,
            Waiting::Room { request } => request.held_bytes(),
        };
        self.held_bytes + waiting
    }
}

/// The state of one connection that is not its transport's.
#[derive(Debug)]
pub struct Session {
    /// The user, if the connection has one.
    pub user: Option<Arc<str>>,
    /// The protocol, fixed for life.
    pub protocol: Protocol,
    /// Its streams, if it has any.
    pub streams: Option<Box<Streams>>,
    /// What it tells its groups, and what it is told of them.
    pub group_states: GroupStates,
    permissions: Permissions,
    acks: AckMemory,
    next_call: u32,
    parked: Option<Box<Parked>>,
}

impl Session {
    /// A fresh session.
    #[must_use]
    pub fn new(user: Option<Arc<str>>, protocol: Protocol, permissions: Permissions) -> Self {
        Self {
            user,
            protocol,
            streams: None,
            group_states: GroupStates::default(),
            permissions,
            acks: AckMemory::default(),
            next_call: 0,
            parked: None,
        }
    }

    /// A session of an earlier life of the node.
    #[must_use]
    pub fn restored(
        user: Option<Arc<str>>,
        protocol: Protocol,
        permissions: Permissions,
        acks: AckMemory,
    ) -> Self {
        Self {
            acks,
            ..Self::new(user, protocol, permissions)
        }
    }

    /// Bytes that its streams hold.
    #[must_use]
    pub fn stream_bytes(&self) -> usize {
        self.streams.as_ref().map_or(0, |streams| streams.bytes())
    }

    /// The ack ids that succeeded.
    #[must_use]
    pub fn acks(&self) -> &AckMemory {
        &self.acks
    }

    /// What the connection may do.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// What the connection may do, to change; the next request is judged by it.
    pub fn permissions_mut(&mut self) -> &mut Permissions {
        &mut self.permissions
    }

    /// Applies the rules to one request: the Duplicate rule first, then permissions (protocol
    /// notes: ack semantics).
    pub fn receive<'a>(&self, message: ClientMessage<'a>) -> Step<'a> {
        let (kind, ack_id) = match message {
            ClientMessage::Ping => return Step::Pong,
            ClientMessage::SequenceAck { sequence_id } => {
                return Step::Acknowledge { sequence_id };
            }
            ClientMessage::JoinGroup { group, ack_id } => (RequestKind::Join { group }, ack_id),
            ClientMessage::LeaveGroup { group, ack_id } => (RequestKind::Leave { group }, ack_id),
            ClientMessage::SendToGroup {
                group,
                data,
                metadata,
                no_echo,
                ttl_seconds,
                ack_id,
            } => (
                RequestKind::Publish {
                    group,
                    data,
                    metadata,
                    no_echo,
                    ttl_seconds,
                },
                ack_id,
            ),
            ClientMessage::Event {
                event,
                data,
                metadata,
                ack_id,
            } => (
                RequestKind::Event {
                    event,
                    data,
                    metadata,
                },
                ack_id,
            ),
            ClientMessage::StreamStart {
                group,
                stream_id,
                idle_timeout_ms,
                no_echo,
                ack_id,
            } => {
                let start = Start {
                    stream_id,
                    group,
                    no_echo,
                    idle_timeout_ms,
                };
                (RequestKind::Stream(StreamRequest::Start(start)), ack_id)
            }
            ClientMessage::StreamData {
                stream_id,
                stream_sequence_id,
                data,
            } => {
                let part = StreamRequest::Part {
                    stream_id,
                    sequence_id: stream_sequence_id,
                    data,
                };
                (RequestKind::Stream(part), None)
            }
            ClientMessage::StreamKeepAlive { stream_id } => {
                let keep_alive = StreamRequest::KeepAlive { stream_id };
                (RequestKind::Stream(keep_alive), None)
            }
            ClientMessage::StreamEnd { stream_id, error } => {
                let end = StreamRequest::End { stream_id, error };
                (RequestKind::Stream(end), None)
            }
            ClientMessage::InvalidStream {
                stream_id,
                reason,
                ack_id,
            } => {
                let invalid = StreamRequest::Invalid { stream_id, reason };
                (RequestKind::Stream(invalid), ack_id)
            }
            ClientMessage::SetGroupState {
                group,
                state,
                ack_id,
            } => {
                let state = state.map(Arc::new);
                (RequestKind::SetGroupState { group, state }, ack_id)
            }
            ClientMessage::SubscribeGroupState { group, ack_id } => {
                (RequestKind::SubscribeGroupState { group }, ack_id)
            }
            ClientMessage::UnsubscribeGroupState { group, ack_id } => {
                (RequestKind::UnsubscribeGroupState { group }, ack_id)
            }
        };
        if let Some(ack_id) = ack_id.filter(|id| self.acks.contains(*id)) {
            return Step::Refuse {
                ack_id,
                name: AckErrorName::Duplicate,
                message: ack::duplicate(ack_id),
            };
        }
        let Some(message) = self.refusal(&kind) else {
            return Step::Perform(Request { kind, ack_id });
        };
        if matches!(self.protocol, Protocol::Simple(_)) {
            return Step::CloseUnauthorized;
        }
        match (kind, ack_id) {
            (RequestKind::Stream(StreamRequest::Start(start)), ack_id) => Step::RefuseStream {
                stream_id: start.stream_id,
                message,
                ack_id,
            },
            (_, Some(ack_id)) => Step::Refuse {
                ack_id,
                name: AckErrorName::Forbidden,
                message,
            },
            (_, None) => Step::Ignore,
        }
    }

    /// Why the connection may not do something, if it may not.
    fn refusal(&self, kind: &RequestKind<'_>) -> Option<String> {
        let permissions = &self.permissions;
        let (is_allowed, refusal, group): (_, fn(&str) -> String, _) = match kind {
            RequestKind::Join { group } => {
                (permissions.may_join(group), ack::forbidden_join, group)
            }
            RequestKind::Leave { group } => {
                (permissions.may_join(group), ack::forbidden_leave, group)
            }
            RequestKind::Publish { group, .. }
            | RequestKind::Stream(StreamRequest::Start(Start { group, .. })) => {
                (permissions.may_send(group), ack::forbidden_send, group)
            }
            RequestKind::SetGroupState { group, .. } => (
                permissions.may_set_state(group),
                ack::forbidden_set_state,
                group,
            ),
            RequestKind::SubscribeGroupState { group } => (
                permissions.may_get_state(group),
                ack::forbidden_get_state,
                group,
            ),
            // A stream ends when its group becomes forbidden, and nobody has to hear more.
            RequestKind::Event { .. }
            | RequestKind::Stream(_)
            | RequestKind::UnsubscribeGroupState { .. } => return None,
        };
        (!is_allowed).then(|| refusal(group))
    }

    /// Records that the request with `ack_id` succeeded.
    pub fn succeeded(&mut self, ack_id: u64) {
        if !self.acks.contains(ack_id) {
            self.acks.insert(ack_id);
        }
    }

    /// The id of the session's next call to a handler.
    pub fn next_call(&mut self) -> CallId {
        self.next_call = self.next_call.wrapping_add(1);
        CallId(self.next_call)
    }

    /// Makes the session wait.
    pub fn park(&mut self, waiting: Waiting) {
        match &mut self.parked {
            // A retry that has to wait again keeps what it already holds.
            Some(parked) => parked.waiting = waiting,
            none => {
                *none = Some(Box::new(Parked {
                    waiting,
                    held: VecDeque::new(),
                    held_bytes: 0,
                }));
            }
        }
    }

    /// What the session waits for, if it does.
    #[must_use]
    pub fn parked(&self) -> Option<&Parked> {
        self.parked.as_deref()
    }

    /// What the session waits for, to change.
    pub fn parked_mut(&mut self) -> Option<&mut Parked> {
        self.parked.as_deref_mut()
    }

    /// Ends the waiting; what was held comes back.
    pub fn unpark(&mut self) -> Option<Box<Parked>> {
        self.parked.take()
    }
}

#[cfg(test)]
mod tests {
    use hubwire_proto::message::{Data, DataType};
    use hubwire_proto::metadata::Metadata;

    use super::*;

    fn session(roles: &[&str], protocol: Protocol) -> Session {
        let (permissions, _) = Permissions::from_roles(roles.iter().copied());
        Session::new(None, protocol, permissions)
    }

    fn join(group: &str, ack_id: Option<u64>) -> ClientMessage<'_> {
        ClientMessage::JoinGroup {
            group: group.into(),
            ack_id,
        }
    }

    #[test]
    fn black_box_cases_23_and_24_a_failure_does_not_use_up_an_ack_id_but_a_success_does() {
        let mut session = session(
            &["webpubsub.joinLeaveGroup.room"],
            Protocol::PubSub(Subprotocol::Json),
        );
        let refused = session.receive(join("other", Some(1)));
        assert!(
            matches!(
                refused,
                Step::Refuse {
                    ack_id: 1,
                    name: AckErrorName::Forbidden,
                    ..
                }
            ),
            "{refused:?}"
        );
        assert!(matches!(
            session.receive(join("room", Some(1))),
            Step::Perform(_)
        ));
        session.succeeded(1);
        let event = ClientMessage::Event {
            event: "e".into(),
            data: Data {
                data_type: DataType::Text,
                bytes: Cow::Borrowed(b""),
            },
            metadata: Metadata::default(),
            ack_id: Some(1),
        };
        let Step::Refuse { name, message, .. } = session.receive(event) else {
            panic!("must be refused")
        };
        assert_eq!(
            (name, message.as_str()),
            (
                AckErrorName::Duplicate,
                "Message with ack-id: 1 has been processed"
            )
        );
    }

    #[test]
    fn without_an_ack_id_a_refusal_is_silent_and_a_simple_client_is_closed() {
        assert_eq!(
            session(&[], Protocol::PubSub(Subprotocol::Json)).receive(join("room", None)),
            Step::Ignore
        );
        let simple = session(&[], Protocol::Simple(SimpleMode::SendEvent));
        let publish = ClientMessage::SendToGroup {
            group: "room".into(),
            data: Data {
                data_type: DataType::Text,
                bytes: Cow::Borrowed(b"hi"),
            },
            metadata: Metadata::default(),
            ttl_seconds: 0,
            no_echo: false,
            ack_id: None,
        };
        assert_eq!(simple.receive(publish), Step::CloseUnauthorized);
    }
}
