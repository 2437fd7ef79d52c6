//! Reliable sessions as plain data, so that they outlive their process (protocol notes: restart).
//!
//! A shard packs its sessions up when it ends and unpacks them before its first tick. Where the
//! data is kept meanwhile, and who may read it, is the server's business.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use hubwire_proto::numbering::Numbering;
use hubwire_proto::role::Permissions;
use hubwire_proto::ws::MessageKind;
use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::ack_memory::AckRecord;
use crate::group_state::GroupStateRecord;
use crate::id::ConnectionId;
use crate::memory::NodeMemory;
use crate::publication::Frame;
use crate::stream::StreamsRecord;

/// The sessions of a node that has ended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The sessions.
    pub sessions: Vec<SessionRecord>,
    /// The messages that they have not acknowledged, each once.
    pub messages: Vec<MessageRecord>,
}

/// One session.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Whose.
    pub connection: ConnectionId,
    /// The lower-case hub name.
    pub hub: Box<str>,
    /// The user, if there is one.
    pub user: Option<Box<str>>,
    /// The subprotocol.
    pub protocol: ProtocolRecord,
    /// What the connection may do.
    pub permissions: Permissions,
    /// The groups that it is in.
    pub groups: Vec<Box<str>>,
    /// The ack ids that succeeded.
    pub acks: AckRecord,
    /// The highest sequence id given so far.
    pub last_sequence_id: u64,
    /// What is not acknowledged, in order.
    pub unacknowledged: Vec<UnacknowledgedRecord>,
    /// What it tells its groups, and what it is told of them.
    pub group_states: Option<GroupStateRecord>,
    /// How long the session still waits for its client, in milliseconds from the end of the node.
    pub window_ms: u64,
    /// Its streams, if it has any.
    pub streams: Option<StreamsRecord>,
}

impl SessionRecord {
    /// Whether others have to hear of the session's end: receivers of its streams, subscribers to
    /// its states.
    #[must_use]
    pub fn owes_farewells(&self) -> bool {
        self.streams.is_some() || self.group_states.is_some()
    }
}

/// The subprotocol of a session, and how it is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtocolRecord {
    /// `json.reliable.webpubsub.azure.v1`.
    Json,
    /// `protobuf.reliable.webpubsub.azure.v1`, with JSON in `json_data`.
    ProtobufJsonData,
    /// The same, with JSON in `text_data`.
    ProtobufTextData,
}

/// A message that one session has not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnacknowledgedRecord {
    /// Its sequence id.
    pub sequence_id: u64,
    /// Its place in [`Snapshot::messages`].
    pub message: u32,
}

/// A message without a number.
#[derive(Debug, Serialize, Deserialize)]
pub struct MessageRecord {
    /// The message.
    pub payload: Payload,
    /// How it is numbered.
    pub numbering: NumberingRecord,
    /// In how many milliseconds it expires, counted from the end of the node.
    pub expires_in_ms: Option<u64>,
}

/// A message without its frames. One that was in a queue is copied out of them only when its bytes
/// are asked for, so that packing up does not need the memory of all queues once more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub struct Payload(PayloadBytes);

#[derive(Debug, Clone)]
enum PayloadBytes {
    Plain(Vec<u8>),
    Framed(Frame),
}

impl Payload {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.0 {
            PayloadBytes::Plain(bytes) => Cow::Borrowed(bytes),
            PayloadBytes::Framed(frame) => Cow::Owned(frame.payload()),
        }
    }

    /// At least as many as [`bytes`](Self::bytes) has, and few more.
    #[must_use]
    pub fn most_bytes(&self) -> usize {
        match &self.0 {
            PayloadBytes::Plain(bytes) => bytes.len(),
            PayloadBytes::Framed(frame) => frame.bytes().len(),
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(PayloadBytes::Plain(bytes))
    }
}

impl From<Payload> for Vec<u8> {
    fn from(payload: Payload) -> Self {
        payload.bytes().into_owned()
    }
}

/// How a message is numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NumberingRecord {
    /// [`Numbering::Json`].
    Json,
    /// [`Numbering::ProtobufData`].
    ProtobufData,
    /// [`Numbering::ProtobufGroupState`].
    ProtobufGroupState,
}

impl From<Numbering> for NumberingRecord {
    fn from(numbering: Numbering) -> Self {
        match numbering {
            Numbering::Json => Self::Json,
            Numbering::ProtobufData => Self::ProtobufData,
            Numbering::ProtobufGroupState => Self::ProtobufGroupState,
        }
    }
}

/// Collects what the shards of a node pack up.
#[derive(Debug, Default)]
pub(crate) struct SnapshotWriter {
    sessions: Vec<SessionRecord>,
    messages: Vec<MessageRecord>,
    /// The place of each message that is in the list; keeping its frame keeps its identity.
    places: HashMap<usize, (u32, Frame)>,
}

impl SnapshotWriter {
    /// The record of a message that a session has not acknowledged.
    pub(crate) fn message(
        &mut self,
        sequence_id: u64,
        frame: &Frame,
        now: Millis,
    ) -> Option<UnacknowledgedRecord> {
        let numbering = frame.numbering()?.into();
        let next = u32::try_from(self.messages.len()).ok()?;
        let (message, _) = self.places.entry(frame.identity()).or_insert_with(|| {
            self.messages.push(MessageRecord {
                payload: Payload(PayloadBytes::Framed(frame.clone())),
                numbering,
                expires_in_ms: frame.expires_at().map(|at| at.since(now)),
            });
            (next, frame.clone())
        });
        Some(UnacknowledgedRecord {
            sequence_id,
            message: *message,
        })
    }

    pub(crate) fn session(&mut self, session: SessionRecord) {
        self.sessions.push(session);
    }

    pub(crate) fn finish(self) -> Snapshot {
        Snapshot {
            sessions: self.sessions,
            messages: self.messages,
        }
    }
}

/// The messages of a snapshot, framed again, for all shards of a node to share.
#[derive(Debug, Clone)]
pub struct RestoredMessages {
    frames: Arc<[Frame]>,
    /// Milliseconds since the earlier node ended.
    elapsed_ms: u64,
}

impl RestoredMessages {
    /// Frames `messages` again. `elapsed_ms` milliseconds have passed since the node that saved
    /// them ended, and it is `now` in the life of this one.
    #[must_use]
    pub fn new(
        messages: Vec<MessageRecord>,
        elapsed_ms: u64,
        now: Millis,
        memory: &Arc<NodeMemory>,
    ) -> Self {
        let frame = |message: MessageRecord| {
            let (kind, numbering) = match message.numbering {
                NumberingRecord::Json => (MessageKind::Text, Numbering::Json),
                NumberingRecord::ProtobufData => (MessageKind::Binary, Numbering::ProtobufData),
                NumberingRecord::ProtobufGroupState => {
                    (MessageKind::Binary, Numbering::ProtobufGroupState)
                }
            };
            let left = |ms: u64| now.plus(ms.saturating_sub(elapsed_ms));
            let expires_at = message.expires_in_ms.map(left);
            Frame::new(
                kind,
                &message.payload.bytes(),
                Some(numbering),
                expires_at,
                memory,
            )
        };
        Self {
            frames: messages.into_iter().map(frame).collect(),
            elapsed_ms,
        }
    }

    /// The message of a record; `None` if there is none, or it cannot be numbered.
    pub(crate) fn get(&self, record: UnacknowledgedRecord) -> Option<&Frame> {
        let frame = self.frames.get(usize::try_from(record.message).ok()?)?;
        frame.numbering().map(|_| frame)
    }

    /// How long a session that had `window_ms` left when its node ended still waits.
    pub(crate) fn window_left_ms(&self, window_ms: u64) -> u64 {
        window_ms.saturating_sub(self.elapsed_ms)
    }
}
