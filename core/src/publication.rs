//! One published message, its payload, and its encodings, each made at most once per node.
//!
//! What differs between receivers that share an encoding, a sequence id, is a short head in front
//! of the shared frames; see [`hubwire_proto::numbering`].

use std::sync::{Arc, OnceLock};

use hubwire_proto::message::{DataType, StreamInfo};
use hubwire_proto::metadata::Metadata;
use hubwire_proto::numbering::{Head, Numbering, Unnumbered};
use hubwire_proto::protobuf::JsonField;
use hubwire_proto::{json, protobuf, simple, ws};

use crate::Millis;
use crate::memory::{Account, Charge, NodeMemory};

/// The ways a delivery can look on the wire. A connection's encoding is fixed for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The bare payload in a text or binary message.
    Simple,
    /// The envelope of the JSON subprotocols.
    Json,
    /// The envelope of the protobuf subprotocols, with JSON in this field.
    Protobuf(JsonField),
}

impl Encoding {
    /// How many encodings there are.
    pub const COUNT: usize = 4;

    const fn index(self) -> usize {
        match self {
            Self::Simple => 0,
            Self::Json => 1,
            Self::Protobuf(JsonField::JsonData) => 2,
            Self::Protobuf(JsonField::TextData) => 3,
        }
    }

    /// How a message to a group or from the server is numbered; simple clients have no numbers.
    const fn numbering(self) -> Option<Numbering> {
        match self {
            Self::Simple => None,
            Self::Json => Some(Numbering::Json),
            Self::Protobuf(_) => Some(Numbering::ProtobufData),
        }
    }
}

/// Where a publication comes from, as its receivers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The application server, or an event handler's reply.
    Server,
    /// A group, published by a client or over REST.
    Group {
        /// The group.
        group: Arc<str>,
        /// The publishing client's user, if a client with a user published it.
        from_user: Option<Arc<str>>,
    },
}

/// Complete WebSocket frames, shared by every connection that they are queued on.
#[derive(Debug, Clone)]
pub struct Frame(Arc<FrameBytes>);

#[derive(Debug)]
struct FrameBytes {
    bytes: Box<[u8]>,
    /// What a head depends on, if the message can be numbered.
    unnumbered: Option<Unnumbered>,
    expires_at: Option<Millis>,
    _charge: Charge,
}

impl Frame {
    /// The frames of a message, charged to `memory` while they live. They can be numbered if
    /// `numbering` fits `payload`.
    pub(crate) fn new(
        kind: ws::MessageKind,
        payload: &[u8],
        numbering: Option<Numbering>,
        expires_at: Option<Millis>,
        memory: &Arc<NodeMemory>,
    ) -> Self {
        let mut bytes = Vec::with_capacity(ws::encoded_len(payload.len()));
        ws::encode_message(kind, payload, &mut bytes);
        let charge = memory.guard(Account::Outgoing, bytes.len());
        Self(Arc::new(FrameBytes {
            bytes: bytes.into_boxed_slice(),
            unnumbered: numbering.and_then(|numbering| Unnumbered::new(payload, numbering)),
            expires_at,
            _charge: charge,
        }))
    }

    /// The bytes to put on the wire for a receiver without numbers.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// What goes in front of [`tail`](Self::tail) for a receiver with numbers. Empty if the message
    /// cannot be numbered.
    #[must_use]
    pub fn head(&self, sequence_id: u64) -> Head {
        let unnumbered = self.0.unnumbered.as_ref();
        unnumbered.map_or_else(Head::default, |message| message.head(sequence_id))
    }

    /// What follows the head.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        let offset = self.0.unnumbered.map_or(0, |message| message.tail_offset());
        self.0.bytes.get(offset..).unwrap_or_default()
    }

    /// Names the frames as long as they live: clones have the same name.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// How the message is numbered, if it can be.
    pub(crate) fn numbering(&self) -> Option<Numbering> {
        self.0.unnumbered.map(|message| message.numbering())
    }

    /// The message without its frames.
    pub(crate) fn payload(&self) -> Vec<u8> {
        ws::join_fragments(&self.0.bytes)
    }

    /// From when on the frames are not to be sent any more, if they were not begun.
    #[must_use]
    pub fn expires_at(&self) -> Option<Millis> {
        self.0.expires_at
    }
}

/// One message on its way to any number of connections.
#[derive(Debug)]
pub struct Publication {
    origin: Origin,
    data_type: DataType,
    payload: Box<[u8]>,
    metadata: Option<Box<Metadata>>,
    stream: Option<Box<StreamInfo<'static>>>,
    expires_at: Option<Millis>,
    memory: Arc<NodeMemory>,
    _charge: Charge,
    frames: [OnceLock<Frame>; Encoding::COUNT],
}

impl Publication {
    /// A publication of `payload`, charged to `memory` while it lives.
    #[must_use]
    pub fn new(
        origin: Origin,
        data_type: DataType,
        payload: Box<[u8]>,
        memory: &Arc<NodeMemory>,
    ) -> Arc<Self> {
        Self::with_metadata(
            origin,
            data_type,
            payload,
            memory,
            None,
            Metadata::default(),
        )
    }

    /// Like [`new`](Self::new), with metadata for those encodings that have a place for it
    /// (protocol notes: metadata). Whoever has not been sent it at `expires_at` does not get it
    /// any more (protocol notes: REST send).
    #[must_use]
    pub fn with_metadata(
        origin: Origin,
        data_type: DataType,
        payload: Box<[u8]>,
        memory: &Arc<NodeMemory>,
        expires_at: Option<Millis>,
        metadata: Metadata,
    ) -> Arc<Self> {
        let charge = memory.guard(Account::Outgoing, payload.len() + metadata.len());
        Arc::new(Self {
            origin,
            data_type,
            payload,
            metadata: (!metadata.is_empty()).then(|| Box::new(metadata)),
            stream: None,
            expires_at,
            memory: Arc::clone(memory),
            _charge: charge,
            frames: [const { OnceLock::new() }; Encoding::COUNT],
        })
    }

    /// Like [`new`](Self::new), for a message that belongs in a stream.
    #[must_use]
    pub fn in_stream(
        origin: Origin,
        data_type: DataType,
        payload: Box<[u8]>,
        stream: StreamInfo<'static>,
        memory: &Arc<NodeMemory>,
    ) -> Arc<Self> {
        let charge = memory.guard(Account::Outgoing, payload.len() + stream.stream_id.len());
        Arc::new(Self {
            origin,
            data_type,
            payload,
            metadata: None,
            stream: Some(Box::new(stream)),
            expires_at: None,
            memory: Arc::clone(memory),
            _charge: charge,
            frames: [const { OnceLock::new() }; Encoding::COUNT],
        })
    }

    /// Whether there is anything in it for a receiver. The end of a stream says nothing without an
    /// envelope.
    #[must_use]
    pub fn concerns(&self, encoding: Encoding) -> bool {
        let ends_stream = |stream: &StreamInfo<'_>| stream.end_of_stream;
        encoding != Encoding::Simple
            || !self.payload.is_empty()
            || !self.stream.as_deref().is_some_and(ends_stream)
    }

    /// The frames that carry this publication in `encoding`, encoded on first use.
    #[must_use]
    pub fn frame(&self, encoding: Encoding) -> &Frame {
        self.frames[encoding.index()].get_or_init(|| self.encode(encoding))
    }

    fn encode(&self, encoding: Encoding) -> Frame {
        let envelope;
        let (kind, payload) = match encoding {
            Encoding::Simple => (simple::message_kind(self.data_type), &*self.payload),
            Encoding::Json => {
                envelope = self.json();
                (ws::MessageKind::Text, &*envelope)
            }
            Encoding::Protobuf(json) => {
                envelope = self.protobuf(json);
                (ws::MessageKind::Binary, &*envelope)
            }
        };
        let numbering = encoding.numbering();
        Frame::new(kind, payload, numbering, self.expires_at, &self.memory)
    }

    fn json(&self) -> Vec<u8> {
        let mut envelope = Vec::with_capacity(self.payload.len() + 128);
        match &self.origin {
            Origin::Server => {
                json::server_message(&mut envelope, self.data_type, &self.payload);
            }
            Origin::Group { group, from_user } => {
                json::group_message(
                    &mut envelope,
                    group,
                    self.data_type,
                    &self.payload,
                    from_user.as_deref(),
                );
            }
        }
        if let Some(stream) = &self.stream {
            json::add_stream(&mut envelope, stream);
        }
        if let Some(metadata) = &self.metadata {
            json::add_metadata(&mut envelope, metadata);
        }
        envelope
    }

    fn protobuf(&self, json: JsonField) -> Vec<u8> {
        let (mut envelope, metadata) = (Vec::new(), self.metadata.as_deref());
        let (data_type, payload) = (self.data_type, &*self.payload);
        match &self.origin {
            Origin::Server => {
                protobuf::server_message(&mut envelope, data_type, payload, json, metadata);
            }
            Origin::Group { group, .. } => {
                protobuf::group_message(
                    &mut envelope,
                    group,
                    data_type,
                    payload,
                    json,
                    metadata,
                    self.stream.as_deref(),
                );
            }
        }
        envelope
    }
}
