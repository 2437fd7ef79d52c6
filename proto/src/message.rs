//! The vocabulary shared by all client protocols: what a client can ask, and what it carries.
//!
//! The codecs ([`crate::json`], [`crate::protobuf`], [`crate::simple`]) translate between these
//! values and bytes. No rule about who may do what lives here.

use std::borrow::Cow;

use crate::group_state::GroupState;
use crate::metadata::Metadata;
use crate::stream::{MAX_STREAM_ID_UNITS, StreamErrorName};

/// The most seconds for which a client may ask that a message be kept.
pub(crate) const MAX_TTL_SECONDS: u16 = 300;

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
        /// What travels beside it.
        metadata: Metadata,
        /// Leave out the sending connection.
        no_echo: bool,
        /// How long to keep it for a receiver that is away; zero for as long as its session lives.
        ttl_seconds: u16,
        /// Asks for an acknowledgement under this id.
        ack_id: Option<u64>,
    },
    /// A user event for the event handler of the hub.
    Event {
        /// The event's name.
        event: Cow<'a, str>,
        /// What it carries.
        data: Data<'a>,
        /// What travels beside it.
        metadata: Metadata,
        /// Asks for an acknowledgement under this id.
        ack_id: Option<u64>,
    },
    /// Begin a stream to the members of a group (protocol notes: streams).
    StreamStart {
        /// The group.
        group: Cow<'a, str>,
        /// What the publisher calls the stream.
        stream_id: Cow<'a, str>,
        /// How long the stream may rest; `None` for the default.
        idle_timeout_ms: Option<u64>,
        /// Leave out the sending connection.
        no_echo: bool,
        /// Asks for an acknowledgement under this id, which a stream does not need.
        ack_id: Option<u64>,
    },
    /// The next part of a stream.
    StreamData {
        /// Which stream.
        stream_id: Cow<'a, str>,
        /// The place of the part, from 1.
        stream_sequence_id: u64,
        /// What it carries.
        data: Data<'a>,
    },
    /// The stream goes on, though there is nothing to send now.
    StreamKeepAlive {
        /// Which stream.
        stream_id: Cow<'a, str>,
    },
    /// The stream is over.
    StreamEnd {
        /// Which stream.
        stream_id: Cow<'a, str>,
        /// Why, if it did not end as planned.
        error: Option<StreamEndError<'a>>,
    },
    /// A stream message that can be read and makes no sense. The stream is closed for it, not the
    /// connection.
    InvalidStream {
        /// The stream, as far as it was named.
        stream_id: Cow<'a, str>,
        /// What is wrong.
        reason: &'static str,
        /// The acknowledgement that a start asked for all the same.
        ack_id: Option<u64>,
    },
    /// Set or clear what the group may know of this connection (protocol notes: group state).
    SetGroupState {
        /// The group.
        group: Cow<'a, str>,
        /// What replaces the state; `None` clears it.
        state: Option<GroupState>,
        /// Asks for an acknowledgement under this id.
        ack_id: Option<u64>,
    },
    /// Be told the states of a group's members, now and when they change.
    SubscribeGroupState {
        /// The group.
        group: Cow<'a, str>,
        /// Asks for an acknowledgement under this id.
        ack_id: Option<u64>,
    },
    /// Be told no more.
    UnsubscribeGroupState {
        /// The group.
        group: Cow<'a, str>,
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

impl<'a> ClientMessage<'a> {
    /// The start of a stream, or what is wrong with it. `has_data` tells of a payload, which a
    /// start must not have.
    pub(crate) fn stream_start(
        group: Cow<'a, str>,
        stream_id: Cow<'a, str>,
        idle_timeout_ms: Option<u64>,
        no_echo: bool,
        ack_id: Option<u64>,
        has_data: bool,
    ) -> Self {
        // A UTF-16 unit takes at least one byte of UTF-8, so short ids need no count.
        let is_long = stream_id.len() > MAX_STREAM_ID_UNITS
            && stream_id.encode_utf16().count() > MAX_STREAM_ID_UNITS;
        let reason = if stream_id.is_empty() || is_long {
            "The stream id must be 1 to 1024 characters."
        } else if idle_timeout_ms == Some(0) {
            "The idle timeout must be a positive number of milliseconds."
        } else if has_data {
            "A stream must start without data."
        } else {
            return Self::StreamStart {
                group,
                stream_id,
                idle_timeout_ms,
                no_echo,
                ack_id,
            };
        };
        Self::InvalidStream {
            stream_id,
            reason,
            ack_id,
        }
    }

    /// A part of a stream of which only some fields are there.
    pub(crate) const fn partial_stream_data(stream_id: Cow<'a, str>) -> Self {
        Self::InvalidStream {
            stream_id,
            reason: "Stream data needs a sequence id, a data type and data, or none of them.",
            ack_id: None,
        }
    }
}

impl Data<'_> {
    /// What a message carries that has metadata alone.
    pub(crate) const EMPTY_TEXT: Self = Data {
        data_type: DataType::Text,
        bytes: Cow::Borrowed(&[]),
    };
}

/// What a publisher says about a stream that did not end as planned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamEndError<'a> {
    /// A text for people.
    pub message: Option<Cow<'a, str>>,
    /// A code of the application's own.
    pub user_error_code: Option<Cow<'a, str>>,
}

/// Where a message belongs in a stream, as its receivers are told (protocol notes: streams).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo<'a> {
    /// What the publisher calls the stream.
    pub stream_id: Cow<'a, str>,
    /// The place of the message in the stream, from 1.
    pub stream_sequence_id: u64,
    /// Whether it is the last one. The last one carries no data of the publisher.
    pub end_of_stream: bool,
    /// Why the stream ended, if it did not end as planned.
    pub error: Option<StreamError<'a>>,
}

/// Why a stream did not end as planned, as its receivers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError<'a> {
    /// What kind of error.
    pub name: StreamErrorName,
    /// A text for people.
    pub message: Option<Cow<'a, str>>,
    /// The application's own code; only of [`StreamErrorName::UserError`].
    pub user_error_code: Option<Cow<'a, str>>,
}

/// Text or JSON as it goes out: what is not UTF-8 after all, with replacement characters.
pub(crate) fn utf8_or_replaced(bytes: &[u8]) -> Cow<'_, [u8]> {
    if simdutf8::basic::from_utf8(bytes).is_ok() {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into_bytes())
}
