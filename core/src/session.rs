//! One connection's rules, the same for all protocols: what it may do, which ack ids succeeded,
//! whether it waits. It decides; the shard carries out.
//!
//! A session outlives its transport in the reliable protocols; frames and sockets are not here.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use hubwire_proto::ack::{self, AckErrorName};
use hubwire_proto::message::{ClientMessage, Data};
use hubwire_proto::protobuf::JsonField;
use hubwire_proto::role::Permissions;
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::{CloseCode, MessageKind};
use hubwire_proto::{json, protobuf};

use crate::ack_memory::AckMemory;
use crate::handler::CallId;
use crate::publication::Encoding;

/// How a connection's frames are read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// Bare payloads.
    Simple(SimpleMode),
    /// `json.webpubsub.azure.v1`.
    Json,
    /// `protobuf.webpubsub.azure.v1`.
    Protobuf,
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
            Self::Json => Encoding::Json,
            Self::Protobuf => Encoding::Protobuf(protobuf_json),
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
        match (self, kind) {
            (Self::Simple(mode), kind) => Ok(mode.decode(kind, payload)),
            (Self::Json, _) => json::decode_bytes(payload).map_err(|malformed| Unreadable {
                code: CloseCode::INVALID_PAYLOAD,
                reason: json::Malformed::CLOSE_REASON,
                message: malformed.to_string(),
            }),
            (Self::Protobuf, MessageKind::Binary) => {
                protobuf::decode(payload).map_err(|malformed| Unreadable {
                    code: CloseCode::INVALID_PAYLOAD,
                    reason: protobuf::Malformed::CLOSE_REASON,
                    message: malformed.to_string(),
                })
            }
            (Self::Protobuf, MessageKind::Text) => Err(Unreadable {
                code: CloseCode::UNSUPPORTED_DATA,
                reason: protobuf::Malformed::TEXT_CLOSE_REASON,
                message: protobuf::Malformed::TEXT_CLOSE_REASON.to_owned(),
            }),
        }
    }

    /// The name of the subprotocol, if one is spoken.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&'static str> {
        match self {
            Self::Simple(_) => None,
            Self::Json => Some(Subprotocol::Json.name()),
            Self::Protobuf => Some(Subprotocol::Protobuf.name()),
        }
    }
}

/// What the shard has to do for one request.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing.
    Ignore,
    /// Answer with a pong.
    Pong,
    /// Answer with a failed ack.
    Refuse {
        /// The ack that the client asked for.
        ack_id: u64,
        /// The error's name.
        name: AckErrorName,
        /// Its text.
        message: String,
    },
    /// Close: the request may not be made on this connection.
    CloseUnauthorized,
    /// Carry out a request, then report [`Session::succeeded`].
    Perform(Request<'a>),
}

/// A request that passed the session's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do.
    pub kind: RequestKind<'a>,
    /// The ack that the client asked for.
    pub ack_id: Option<u64>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestKind<'a> {
    /// Become a member of the group.
    Join {
        /// The group.
        group: Cow<'a, str>,
    },
    /// Stop being a member of the group.
    Leave {
        /// The group.
        group: Cow<'a, str>,
    },
    /// Publish to the group.
    Publish {
        /// The group.
        group: Cow<'a, str>,
        /// What to publish.
        data: Data<'a>,
        /// Leave out this connection.
        no_echo: bool,
    },
    /// Call the event handler.
    Event {
        /// The event's name.
        event: Cow<'a, str>,
        /// What it carries.
        data: Data<'a>,
    },
}

impl Request<'static> {
    /// Stands in for a request that is being tried again.
    pub(crate) fn nothing() -> Self {
        Self {
            kind: RequestKind::Leave {
                group: Cow::Borrowed(""),
            },
            ack_id: None,
        }
    }
}

impl Request<'_> {
    /// The request with a life of its own, for a session that has to wait.
    #[must_use]
    pub fn into_owned(self) -> Request<'static> {
        fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        fn owned_data(data: Data<'_>) -> Data<'static> {
            Data {
                data_type: data.data_type,
                bytes: Cow::Owned(data.bytes.into_owned()),
            }
        }
        let kind = match self.kind {
            RequestKind::Join { group } => RequestKind::Join {
                group: owned(group),
            },
            RequestKind::Leave { group } => RequestKind::Leave {
                group: owned(group),
            },
            RequestKind::Publish {
                group,
                data,
                no_echo,
            } => RequestKind::Publish {
                group: owned(group),
                data: owned_data(data),
                no_echo,
            },
            RequestKind::Event { event, data } => RequestKind::Event {
                event: owned(event),
                data: owned_data(data),
            },
        };
        Request {
            kind,
            ack_id: self.ack_id,
        }
    }

    /// Bytes that the request holds on to while it waits.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.kind {
            RequestKind::Join { .. } | RequestKind::Leave { .. } => 0,
            RequestKind::Publish { data, .. } | RequestKind::Event { data, .. } => data.bytes.len(),
        }
    }
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
            permissions,
            acks: AckMemory::default(),
            next_call: 0,
            parked: None,
        }
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
            // Only the reliable protocols number their messages.
            ClientMessage::SequenceAck { .. } => return Step::Ignore,
            ClientMessage::JoinGroup { group, ack_id } => (RequestKind::Join { group }, ack_id),
            ClientMessage::LeaveGroup { group, ack_id } => (RequestKind::Leave { group }, ack_id),
            ClientMessage::SendToGroup {
                group,
                data,
                no_echo,
                ack_id,
            } => (
                RequestKind::Publish {
                    group,
                    data,
                    no_echo,
                },
                ack_id,
            ),
            ClientMessage::Event {
                event,
                data,
                ack_id,
            } => (RequestKind::Event { event, data }, ack_id),
        };
        if let Some(ack_id) = ack_id.filter(|id| self.acks.contains(*id)) {
            return Step::Refuse {
                ack_id,
                name: AckErrorName::Duplicate,
                message: ack::duplicate(ack_id),
            };
        }
        let (allowed, refusal): (bool, fn(&str) -> String) = match &kind {
            RequestKind::Join { group } => (self.permissions.may_join(group), ack::forbidden_join),
            RequestKind::Leave { group } => {
                (self.permissions.may_join(group), ack::forbidden_leave)
            }
            RequestKind::Publish { group, .. } => {
                (self.permissions.may_send(group), ack::forbidden_send)
            }
            RequestKind::Event { .. } => (true, |_| String::new()),
        };
        if allowed {
            return Step::Perform(Request { kind, ack_id });
        }
        if matches!(self.protocol, Protocol::Simple(_)) {
            return Step::CloseUnauthorized;
        }
        match (&kind, ack_id) {
            (
                RequestKind::Join { group }
                | RequestKind::Leave { group }
                | RequestKind::Publish { group, .. },
                Some(ack_id),
            ) => Step::Refuse {
                ack_id,
                name: AckErrorName::Forbidden,
                message: refusal(group),
            },
            _ => Step::Ignore,
        }
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
    use hubwire_proto::message::DataType;

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
        let mut session = session(&["webpubsub.joinLeaveGroup.room"], Protocol::Json);
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
            session(&[], Protocol::Json).receive(join("room", None)),
            Step::Ignore
        );
        let simple = session(&[], Protocol::Simple(SimpleMode::SendEvent));
        let publish = ClientMessage::SendToGroup {
            group: "room".into(),
            data: Data {
                data_type: DataType::Text,
                bytes: Cow::Borrowed(b"hi"),
            },
            no_echo: false,
            ack_id: None,
        };
        assert_eq!(simple.receive(publish), Step::CloseUnauthorized);
    }
}
