//! The subprotocols that clients can speak, and the few messages of each that a load needs.
//!
//! What goes over the wire is written and read by [`crate::json`] and [`crate::protobuf`].

use std::borrow::Cow;

use clap::ValueEnum;
use hubwire_proto::subprotocol;
use hubwire_proto::ws::Opcode;

use crate::{json, protobuf};

/// The acknowledgement that a client asks for when it joins its group.
pub(crate) const JOIN_ACK_ID: u64 = 1;

/// How a client's messages are encoded, and whether it can be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subprotocol {
    #[value(name = "json")]
    Json,
    #[value(name = "json.reliable")]
    JsonReliable,
    #[value(name = "protobuf")]
    Protobuf,
    #[value(name = "protobuf.reliable")]
    ProtobufReliable,
}

/// Any message of the server that is no delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice<'a> {
    /// A request was carried out, or refused for this reason.
    Ack(Result<(), String>),
    /// The first message of a connection, and of each recovery.
    Connected {
        connection_id: Cow<'a, str>,
        /// Empty where the subprotocol has none.
        reconnection_token: Cow<'a, str>,
    },
    /// The server is about to close, for this reason.
    Disconnected(Cow<'a, str>),
}

/// A `sendToGroup` message with holes.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) message: Vec<u8>,
    /// Where the text begins.
    pub(crate) text_at: usize,
    pub(crate) ack: Option<AckHole>,
}

/// Where the acknowledgement's id stands, and how it is written there. Its size never changes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AckHole {
    Digits(usize),
    Varint(usize),
}

impl Subprotocol {
    const fn predefined(self) -> subprotocol::Subprotocol {
        match self {
            Self::Json => subprotocol::Subprotocol::Json,
            Self::JsonReliable => subprotocol::Subprotocol::JsonReliable,
            Self::Protobuf => subprotocol::Subprotocol::Protobuf,
            Self::ProtobufReliable => subprotocol::Subprotocol::ProtobufReliable,
        }
    }

    /// The name in `Sec-WebSocket-Protocol`.
    pub(crate) const fn name(self) -> &'static str {
        self.predefined().name()
    }

    /// Whether messages are numbered and a lost connection can be recovered.
    #[inline]
    pub(crate) const fn is_reliable(self) -> bool {
        self.predefined().is_reliable()
    }

    /// The kind of WebSocket message that clients send.
    pub(crate) const fn opcode(self) -> Opcode {
        match self {
            Self::Json | Self::JsonReliable => Opcode::Text,
            Self::Protobuf | Self::ProtobufReliable => Opcode::Binary,
        }
    }

    /// Asks to become a member of a group, and for an acknowledgement.
    pub(crate) fn join_group(self, group: &str) -> Vec<u8> {
        match self {
            Self::Json | Self::JsonReliable => json::join_group(group),
            Self::Protobuf | Self::ProtobufReliable => protobuf::join_group(group),
        }
    }

    /// Acknowledges every message up to this number.
    pub(crate) fn sequence_ack(self, sequence_id: u64) -> Vec<u8> {
        match self {
            Self::Json | Self::JsonReliable => json::sequence_ack(sequence_id),
            Self::Protobuf | Self::ProtobufReliable => protobuf::sequence_ack(sequence_id),
        }
    }

    /// Publishes a text to a group, not to the sender itself; asks for an acknowledgement under
    /// the id if there is one.
    pub(crate) fn send_to_group(self, group: &str, text: &str, ack_id: Option<u64>) -> Template {
        match self {
            Self::Json | Self::JsonReliable => json::send_to_group(group, text, ack_id),
            Self::Protobuf | Self::ProtobufReliable => protobuf::send_to_group(group, text, ack_id),
        }
    }

    /// The number of a delivery, of which `message` may be the first frame only.
    #[inline]
    pub(crate) fn sequence_id(self, message: &[u8]) -> Option<u64> {
        match self {
            Self::Json | Self::JsonReliable => json::sequence_id(message),
            Self::Protobuf | Self::ProtobufReliable => protobuf::sequence_id(message),
        }
    }

    /// Reads a message that is no delivery; `None` if it is none of those that are expected.
    pub(crate) fn notice(self, message: &[u8]) -> Option<Notice<'_>> {
        match self {
            Self::Json | Self::JsonReliable => json::notice(message),
            Self::Protobuf | Self::ProtobufReliable => protobuf::notice(message),
        }
    }
}
