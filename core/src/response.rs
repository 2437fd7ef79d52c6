//! What the server says to one client, in the words of that client's protocol.
//!
//! Messages to many are [`crate::publication`]s.

use hubwire_proto::ack::AckErrorName;
use hubwire_proto::message::DataType;
use hubwire_proto::ws::MessageKind;
use hubwire_proto::{json, protobuf, simple};

use crate::publication::Encoding;

/// One message to one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response<'a> {
    /// The first message on a connection.
    Connected {
        /// The connection.
        connection_id: &'a str,
        /// The connection's user, if it has one.
        user_id: Option<&'a str>,
    },
    /// The last message, with the reason.
    Disconnected(&'a str),
    /// The answer to a ping.
    Pong,
    /// The request was carried out.
    AckOk {
        /// The ack that the client asked for.
        ack_id: u64,
    },
    /// The request was not carried out.
    AckFailed {
        /// The ack that the client asked for.
        ack_id: u64,
        /// The error's name.
        name: AckErrorName,
        /// Its text.
        message: &'a str,
    },
    /// A message from the server.
    Server {
        /// How to read `bytes`.
        data_type: DataType,
        /// What it carries.
        bytes: &'a [u8],
    },
}

impl Response<'_> {
    /// The kind and the payload of the message; `None` where a protocol has no such message. What
    /// has to be encoded is appended to `scratch`.
    pub fn encode<'a>(
        &'a self,
        encoding: Encoding,
        scratch: &'a mut Vec<u8>,
    ) -> Option<(MessageKind, &'a [u8])> {
        match encoding {
            Encoding::Simple => self.as_simple(),
            Encoding::Json => {
                self.encode_json(scratch);
                Some((MessageKind::Text, scratch))
            }
            Encoding::Protobuf(json) => {
                self.encode_protobuf(json, scratch);
                Some((MessageKind::Binary, scratch))
            }
        }
    }

    /// Simple clients get the data as it is.
    fn as_simple(&self) -> Option<(MessageKind, &[u8])> {
        match self {
            Self::Server { data_type, bytes } => Some((simple::message_kind(*data_type), bytes)),
            _ => None,
        }
    }

    fn encode_json(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Connected {
                connection_id,
                user_id,
            } => json::connected(out, connection_id, user_id, None),
            Self::Disconnected(reason) => json::disconnected(out, reason),
            Self::Pong => json::pong(out),
            Self::AckOk { ack_id } => json::ack_ok(out, ack_id),
            Self::AckFailed {
                ack_id,
                name,
                message,
            } => json::ack_failed(out, ack_id, name, message),
            Self::Server { data_type, bytes } => json::server_message(out, data_type, bytes),
        }
    }

    fn encode_protobuf(&self, json: protobuf::JsonField, out: &mut Vec<u8>) {
        match *self {
            Self::Connected {
                connection_id,
                user_id,
            } => protobuf::connected(out, connection_id, user_id, None),
            Self::Disconnected(reason) => protobuf::disconnected(out, reason),
            Self::Pong => protobuf::pong(out),
            Self::AckOk { ack_id } => protobuf::ack_ok(out, ack_id),
            Self::AckFailed {
                ack_id,
                name,
                message,
            } => protobuf::ack_failed(out, ack_id, name, message),
            Self::Server { data_type, bytes } => {
                protobuf::server_message(out, data_type, bytes, json, None);
            }
        }
    }
}
