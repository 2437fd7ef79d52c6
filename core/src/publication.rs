//! One published message, its payload, and its encodings, each made at most once per node.
//!
//! What differs between receivers that share an encoding does not exist yet; when sequence ids
//! come they are a short head in front of the shared frame.

use std::sync::{Arc, OnceLock};

use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;
use hubwire_proto::protobuf::JsonField;
use hubwire_proto::{json, protobuf, simple, ws};

use crate::Millis;
use crate::memory::{Account, Charge, NodeMemory};

/// The ways a delivery can look on the wire. A connection's encoding is fixed for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The bare payload in a text or binary message.
    Simple,
    /// The envelope of `json.webpubsub.azure.v1`.
    Json,
    /// The envelope of `protobuf.webpubsub.azure.v1`, with JSON in this field.
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
    expires_at: Option<Millis>,
    _charge: Charge,
}

impl Frame {
    pub(crate) fn new(
        bytes: Vec<u8>,
        expires_at: Option<Millis>,
        memory: &Arc<NodeMemory>,
    ) -> Self {
        let charge = memory.guard(Account::Outgoing, bytes.len());
        Self(Arc::new(FrameBytes {
            bytes: bytes.into_boxed_slice(),
            expires_at,
            _charge: charge,
        }))
    }

    /// The bytes to put on the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
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
            expires_at,
            memory: Arc::clone(memory),
            _charge: charge,
            frames: [const { OnceLock::new() }; Encoding::COUNT],
        })
    }

    /// The frames that carry this publication in `encoding`, encoded on first use.
    #[must_use]
    pub fn frame(&self, encoding: Encoding) -> &Frame {
        self.frames[encoding.index()]
            .get_or_init(|| Frame::new(self.encode(encoding), self.expires_at, &self.memory))
    }

    fn encode(&self, encoding: Encoding) -> Vec<u8> {
        let (kind, envelope) = match encoding {
            Encoding::Simple => {
                let kind = simple::message_kind(self.data_type);
                return framed(kind, &self.payload);
            }
            Encoding::Json => (ws::MessageKind::Text, self.json()),
            Encoding::Protobuf(json) => (ws::MessageKind::Binary, self.protobuf(json)),
        };
        framed(kind, &envelope)
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
                protobuf::group_message(&mut envelope, group, data_type, payload, json, metadata);
            }
        }
        envelope
    }
}

fn framed(kind: ws::MessageKind, payload: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(ws::encoded_len(payload.len()));
    ws::encode_message(kind, payload, &mut frames);
    frames
}
