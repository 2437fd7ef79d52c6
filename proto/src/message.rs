//! The vocabulary shared by all client protocols: what a client can ask, and what it carries.
//!
//! The codecs ([`crate::json`], [`crate::protobuf`], [`crate::simple`]) translate between these
//! values and bytes. No rule about who may do what lives here.

use std::borrow::Cow;

/// The most seconds for which a client may ask that a message be kept.
pub(crate) const MAX_TTL_SECONDS: u64 = 300;

/// How the bytes of a message are to be read (protocol notes: data types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// One JSON value, kept as the sender spelled it.
    Json,
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
    /// A serialized `google.protobuf.Any`.
    Protobuf,
}

/// What a message carries, decoded from its envelope: JSON as its own text, text unescaped,
/// binary and protobuf out of base64. `Json` and `Text` are always valid UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data<'a> {
    /// How to read `bytes`.
    pub data_type: DataType,
    /// The bytes, borrowed from the frame where no decoding was needed.
    pub bytes: Cow<'a, [u8]>,
}

/// One request of a client, borrowed from the frame that brought it.
///
/// Names in it are already valid by [`crate::name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage<'a> {
    /// Become a member of a group.
    JoinGroup {
        /// The group.
        group: Cow<'a, str>,
        /// Asks for an acknowledgement under this id.
        ack_id: Option<u64>,
    },
    /// Stop being a member of a group.
    LeaveGroup {
        /// The group.
        group: Cow<'a, str>,
        /// Asks for an acknowledgement under this id.
        ack_id: Option<u64>,
    },
    /// Publish to the members of a group.
    SendToGroup {
        /// The group.
        group: Cow<'a, str>,
        /// What to publish.
        data: Data<'a>,
        /// Leave out the sending connection.
        no_echo: bool,
        /// Asks for an acknowledgement under this id.
        ack_id: Option<u64>,
    },
    /// A user event for the event handler of the hub.
    Event {
        /// The event's name.
        event: Cow<'a, str>,
        /// What it carries.
        data: Data<'a>,
        /// Asks for an acknowledgement under this id.
        ack_id: Option<u64>,
    },
    /// Application-level keep-alive; answered with a pong at once.
    Ping,
    /// Everything up to this sequence id has arrived (reliable protocols).
    SequenceAck {
        /// The highest sequence id received.
        sequence_id: u64,
    },
}

/// Text or JSON as it goes out: what is not UTF-8 after all, with replacement characters.
pub(crate) fn utf8_or_replaced(bytes: &[u8]) -> Cow<'_, [u8]> {
    if simdutf8::basic::from_utf8(bytes).is_ok() {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into_bytes())
}
