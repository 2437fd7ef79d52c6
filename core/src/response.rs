//! What the server says to one client about its connection and its requests, in the words of that
//! client's protocol. Simple clients are told nothing, and nothing of it is numbered.
//!
//! What carries data is a [`crate::publication`].

use hubwire_proto::ack::AckErrorName;
use hubwire_proto::stream::{StreamClosedName, StreamNackName};
use hubwire_proto::ws::MessageKind;
use hubwire_proto::{json, protobuf};

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
        /// By what the client may come back; only of reliable protocols.
        reconnection_token: Option<&'a str>,
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
    /// A stream is open, and everything before a part of it was taken.
    StreamAck {
        /// The stream.
        stream_id: &'a str,
        /// The next part.
        expected_sequence_id: u64,
    },
    /// A part of a stream was not taken.
    StreamNack {
        /// The stream.
        stream_id: &'a str,
        /// What is wrong with the part.
        name: StreamNackName,
        /// The next part that would be taken.
        expected_sequence_id: u64,
        /// A text about it.
        message: &'a str,
    },
    /// A stream is not open, or not any more.
    StreamClosed {
        /// The stream.
        stream_id: &'a str,
        /// What went wrong, and a text about it.
        error: Option<(StreamClosedName, &'a str)>,
    },
}

impl Response<'_> {
    /// Appends the message to `out`; its kind, or `None` where a protocol has no such message.
    pub fn encode(&self, encoding: Encoding, out: &mut Vec<u8>) -> Option<MessageKind> {
        match encoding {
            Encoding::Simple => None,
            Encoding::Json => {
                self.encode_json(out);
                Some(MessageKind::Text)
            }
            Encoding::Protobuf(_) => {
                self.encode_protobuf(out);
                Some(MessageKind::Binary)
            }
        }
    }

    fn encode_json(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Connected {
                connection_id,
                user_id,
                reconnection_token,
            } => json::connected(out, connection_id, user_id, reconnection_token),
            Self::Disconnected(reason) => json::disconnected(out, reason),
            Self::Pong => json::pong(out),
            Self::AckOk { ack_id } => json::ack_ok(out, ack_id),
            Self::AckFailed {
                ack_id,
                name,
                message,
            } => json::ack_failed(out, ack_id, name, message),
            Self::StreamAck {
                stream_id,
                expected_sequence_id,
            } => json::stream_ack(out, stream_id, expected_sequence_id),
            Self::StreamNack {
                stream_id,
                name,
                expected_sequence_id,
                message,
            } => json::stream_nack(out, stream_id, name, expected_sequence_id, message),
            Self::StreamClosed { stream_id, error } => {
                json::stream_closed(out, stream_id, error);
            }
        }
    }

    fn encode_protobuf(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Connected {
                connection_id,
                user_id,
                reconnection_token,
            } => protobuf::connected(out, connection_id, user_id, reconnection_token),
            Self::Disconnected(reason) => protobuf::disconnected(out, reason),
            Self::Pong => protobuf::pong(out),
            Self::AckOk { ack_id } => protobuf::ack_ok(out, ack_id),
            Self::AckFailed {
                ack_id,
                name,
                message,
            } => protobuf::ack_failed(out, ack_id, name, message),
            Self::StreamAck {
                stream_id,
                expected_sequence_id,
            } => protobuf::stream_ack(out, stream_id, expected_sequence_id),
            Self::StreamNack {
                stream_id,
                name,
                expected_sequence_id,
                message,
            } => protobuf::stream_nack(out, stream_id, name, expected_sequence_id, message),
            Self::StreamClosed { stream_id, error } => {
                protobuf::stream_closed(out, stream_id, error);
            }
        }
    }
}
