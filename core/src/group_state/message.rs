//! What subscribers are told, encoded at most once for each protocol.

use std::sync::{Arc, OnceLock};

use hubwire_proto::group_state::GroupStateItem;
use hubwire_proto::numbering::Numbering;
use hubwire_proto::{json, protobuf, ws};

use super::StateItem;
use crate::id::ConnectionIdText;
use crate::memory::NodeMemory;
use crate::publication::{Encoding, Frame};

/// Bytes of states, about, that one message carries. What is behind them goes out as updates.
const MESSAGE_BYTES: usize = 256 << 10;
/// What one item takes besides its texts: the names of its members, a connection id and a time.
const ITEM_BYTES: usize = 128;
/// What one entry takes besides its key and value.
const SEPARATOR_BYTES: usize = 6;

/// States of a group on their way to its subscribers.
#[derive(Debug)]
pub struct GroupStateMessage {
    group: Arc<str>,
    kind: Kind,
    items: Box<[Arc<StateItem>]>,
    memory: Arc<NodeMemory>,
    json: OnceLock<Frame>,
    protobuf: OnceLock<Frame>,
}

/// Whether the items are all that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Snapshot,
    Update,
}

impl GroupStateMessage {
    /// Tells of one change.
    #[must_use]
    pub fn update(group: Arc<str>, item: Arc<StateItem>, memory: &Arc<NodeMemory>) -> Arc<Self> {
        Arc::new(Self::new(group, Kind::Update, [item].into(), memory))
    }

    fn new(
        group: Arc<str>,
        kind: Kind,
        items: Box<[Arc<StateItem>]>,
        memory: &Arc<NodeMemory>,
    ) -> Self {
        Self {
            group,
            kind,
            items,
            memory: Arc::clone(memory),
            json: OnceLock::new(),
            protobuf: OnceLock::new(),
        }
    }

    /// The states in the message.
    #[must_use]
    pub fn items(&self) -> &[Arc<StateItem>] {
        &self.items
    }

    /// The frames that carry the message in `encoding`, encoded on first use. Simple clients have
    /// no such message.
    #[must_use]
    pub fn frame(&self, encoding: Encoding) -> Option<&Frame> {
        match encoding {
            Encoding::Simple => None,
            Encoding::Json => Some(self.json.get_or_init(|| self.encode_json())),
            // It carries no data, so it is the same wherever JSON data goes.
            Encoding::Protobuf(_) => Some(self.protobuf.get_or_init(|| self.encode_protobuf())),
        }
    }

    fn encode_json(&self) -> Frame {
        let (mut out, ids) = (Vec::new(), self.ids());
        match self.kind {
            Kind::Snapshot => json::group_state_snapshot(&mut out, &self.group, self.wire(&ids)),
            Kind::Update => json::group_state_update(&mut out, &self.group, self.wire(&ids)),
        }
        let (kind, numbering) = (ws::MessageKind::Text, Numbering::Json);
        Frame::new(kind, &out, Some(numbering), None, &self.memory)
    }

    fn encode_protobuf(&self) -> Frame {
        let (mut out, ids) = (Vec::new(), self.ids());
        match self.kind {
            Kind::Snapshot => {
                protobuf::group_state_snapshot(&mut out, &self.group, self.wire(&ids));
            }
            Kind::Update => protobuf::group_state_update(&mut out, &self.group, self.wire(&ids)),
        }
        let (kind, numbering) = (ws::MessageKind::Binary, Numbering::ProtobufGroupState);
        Frame::new(kind, &out, Some(numbering), None, &self.memory)
    }

    fn ids(&self) -> Vec<ConnectionIdText> {
        self.items
            .iter()
            .map(|item| item.connection.text())
            .collect()
    }

    fn wire<'a>(
        &'a self,
        ids: &'a [ConnectionIdText],
    ) -> impl Iterator<Item = GroupStateItem<'a>> + Clone {
        self.items
            .iter()
            .zip(ids)
            .map(|(item, id)| item.on_the_wire(id))
    }
}

/// The messages with which a subscription of `group` begins: a snapshot, even of nothing, and
/// updates for what has no room in one message.
#[must_use]
pub fn snapshot_messages(
    group: &Arc<str>,
    items: Vec<Arc<StateItem>>,
    memory: &Arc<NodeMemory>,
) -> Vec<GroupStateMessage> {
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for item in items {
        bytes += item.size();
        match batches.last_mut() {
            Some(batch) if batch.is_empty() || bytes <= MESSAGE_BYTES => batch.push(item),
            _ => {
                bytes = item.size();
                batches.push(vec![item]);
            }
        }
    }
    let kinds = std::iter::once(Kind::Snapshot).chain(std::iter::repeat(Kind::Update));
    kinds
        .zip(batches)
        .map(|(kind, batch)| GroupStateMessage::new(Arc::clone(group), kind, batch.into(), memory))
        .collect()
}

impl StateItem {
    /// Bytes of the item in a message, about.
    fn size(&self) -> usize {
        let user = self.user.as_ref().map_or(0, |user| user.len());
        let entries = self.state.as_ref().map_or(0, |state| {
            state.len() + state.iter().count() * SEPARATOR_BYTES
        });
        ITEM_BYTES + user + entries
    }
}

#[cfg(test)]
mod tests {
    use hubwire_proto::group_state::GroupState;
    use hubwire_proto::protobuf::JsonField;

    use super::*;
    use crate::id::{ConnectionId, NodeId, ShardId, Slot};

    fn item(slot: u32, state: Option<GroupState>, memory: &Arc<NodeMemory>) -> Arc<StateItem> {
        let connection = ConnectionId::new([1; 16], NodeId(0), ShardId(0), Slot(slot));
        StateItem::new(
            connection,
            Some("ann".into()),
            state.map(Arc::new),
            7,
            memory,
        )
    }

    fn text(bytes: usize) -> GroupState {
        let entry = ("k".to_owned(), "v".repeat(bytes));
        std::iter::once(entry).collect()
    }

    fn shape(messages: &[GroupStateMessage]) -> Vec<(Kind, usize)> {
        let shape = |message: &GroupStateMessage| (message.kind, message.items.len());
        messages.iter().map(shape).collect()
    }

    #[test]
    fn a_snapshot_that_is_too_large_for_one_message_goes_on_as_updates() {
        let memory = NodeMemory::new(u64::MAX);
        let group: Arc<str> = "room".into();
        let check = |count: u32, bytes: usize, expect: &[(Kind, usize)]| {
            let items = (0..count).map(|slot| item(slot, Some(text(bytes)), &memory));
            let messages = snapshot_messages(&group, items.collect(), &memory);
            assert_eq!(shape(&messages), expect, "{count} of {bytes}");
            let told = messages.iter().flat_map(|message| message.items.iter());
            let slots: Vec<_> = told.map(|item| item.connection.slot().0).collect();
            assert_eq!(slots, (0..count).collect::<Vec<_>>());
            for message in &messages {
                let frame = message.frame(Encoding::Json).unwrap();
                assert!(message.items.len() == 1 || frame.bytes().len() < MESSAGE_BYTES + 1024);
            }
        };
        check(0, 0, &[(Kind::Snapshot, 0)]);
        check(1, MESSAGE_BYTES + 1, &[(Kind::Snapshot, 1)]);
        check(1000, 100, &[(Kind::Snapshot, 1000)]);
        check(2, MESSAGE_BYTES, &[(Kind::Snapshot, 1), (Kind::Update, 1)]);
        let third = MESSAGE_BYTES / 3;
        let expect = [(Kind::Snapshot, 2), (Kind::Update, 2), (Kind::Update, 1)];
        check(5, third, &expect);
        drop(group);
        assert_eq!(memory.queued(), 0);
    }

    #[test]
    fn each_protocol_is_encoded_once_and_simple_clients_get_nothing() {
        let memory = NodeMemory::new(u64::MAX);
        let message = GroupStateMessage::update("room".into(), item(0, None, &memory), &memory);
        assert!(message.frame(Encoding::Simple).is_none());
        let before = memory.queued();
        let json = message.frame(Encoding::Json).unwrap();
        let text = String::from_utf8_lossy(json.bytes());
        assert!(
            text.ends_with(r#","userId":"ann","updatedAt":7}]}"#),
            "a cleared state is absent: {text}"
        );
        let fields = [JsonField::JsonData, JsonField::TextData].map(Encoding::Protobuf);
        let frames = fields.map(|encoding| message.frame(encoding).unwrap().identity());
        assert_eq!(frames[0], frames[1]);
        assert!(memory.queued() > before);
        drop(message);
        assert_eq!(memory.queued(), 0);
    }
}
