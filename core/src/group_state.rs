//! What one connection tells its groups about itself, and which groups' states it is told (protocol
//! notes: group state).
//!
//! Here are the values and one connection's part. Who is told is [`crate::hub`]'s list of
//! subscribers; the messages and their ways are the shard's.

mod gathering;
mod message;
mod record;

use std::sync::Arc;

use hubwire_proto::group_state::{GroupState, GroupStateItem};

use crate::hub::GroupIndex;
use crate::id::{ConnectionId, ConnectionIdText};
use crate::memory::{Account, Charge, NodeMemory};

pub use gathering::{Gathering, Part};
pub use message::{GroupStateMessage, snapshot_messages};
pub use record::{GroupStateRecord, InGroupRecord, StateRecord};

/// What one entry of a state takes besides its key and value.
const ENTRY_BYTES: usize = 96;

/// Bytes that a state takes, its texts and what keeps them.
pub(crate) fn held_bytes(state: &GroupState) -> usize {
    state.len() + state.iter().count() * ENTRY_BYTES
}

/// The state of one member of a group as it was set or cleared once. All who hold it share it.
#[derive(Debug)]
pub struct StateItem {
    connection: ConnectionId,
    user: Option<Arc<str>>,
    state: Option<Arc<GroupState>>,
    updated_at: i64,
    bytes: usize,
    _charge: Charge,
}

impl StateItem {
    /// The state that `connection` set, or without one that it cleared its state, charged to
    /// `memory` while it lives.
    ///
    /// It is charged as incoming: its client holds the memory, ending that client frees it, and
    /// publishers who waited for it would wait for as long as it stays a member.
    #[must_use]
    pub fn new(
        connection: ConnectionId,
        user: Option<Arc<str>>,
        state: Option<Arc<GroupState>>,
        updated_at: i64,
        memory: &Arc<NodeMemory>,
    ) -> Arc<Self> {
        let bytes = size_of::<Self>() + state.as_deref().map_or(0, held_bytes);
        Arc::new(Self {
            connection,
            user,
            state,
            updated_at,
            bytes,
            _charge: memory.guard(Account::Incoming, bytes),
        })
    }

    /// Whose state it is.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The state; `None` if it was cleared.
    #[must_use]
    pub fn state(&self) -> Option<&GroupState> {
        self.state.as_deref()
    }

    /// When that was, in milliseconds since 1970.
    #[must_use]
    pub fn updated_at(&self) -> i64 {
        self.updated_at
    }

    fn on_the_wire<'a>(&'a self, connection_id: &'a ConnectionIdText) -> GroupStateItem<'a> {
        GroupStateItem {
            connection_id: connection_id.as_str(),
            user_id: self.user.as_deref(),
            state: self.state.as_deref(),
            updated_at: self.updated_at,
        }
    }
}

/// One connection's states and subscriptions. Nothing is allocated before the first of them.
#[derive(Debug, Default)]
pub struct GroupStates(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// The newest `updated_at` that was given out, in whatever group.
    last_update: i64,
    /// Bytes of all states.
    bytes: usize,
    /// By ascending group; each has a state or a subscription.
    groups: Vec<InGroup>,
}

/// What a connection has in one group.
#[derive(Debug)]
pub struct InGroup {
    /// The group.
    pub group: GroupIndex,
    /// What the connection tells the group.
    pub state: Option<Arc<StateItem>>,
    /// Whether and how the connection is told the states of the group.
    pub subscription: Option<Subscription>,
}

/// A connection's subscription of a group's states.
#[derive(Debug)]
pub struct Subscription {
    /// The connection's index in the group's list of subscribers.
    pub index: u32,
    /// The snapshot that is being gathered: the connection is told nothing before it.
    pub gathering: Option<Box<Gathering>>,
}

impl GroupStates {
    /// No state and no subscription yet, of a connection whose changes come after `last_update`.
    #[must_use]
    pub fn restored(last_update: i64) -> Self {
        Self(Some(Box::new(Kept {
            last_update,
            ..Kept::default()
        })))
    }

    /// Whether there was never anything here: such a connection has nothing to save or to end.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of the states that the connection holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.bytes)
    }

    /// The time of a change at `unix_now`, both in milliseconds since 1970. Clients take only what
    /// is newer than what they have, so it rises with every change, whatever the clock does.
    pub fn time_of_change(&mut self, unix_now: i64) -> i64 {
        let kept = self.0.get_or_insert_default();
        kept.last_update = unix_now.max(kept.last_update.saturating_add(1));
        kept.last_update
    }

    /// What the connection tells a group.
    #[must_use]
    pub fn state(&self, group: GroupIndex) -> Option<&Arc<StateItem>> {
        self.find(group)?.state.as_ref()
    }

    /// Sets or clears what the connection tells a group.
    pub fn set_state(&mut self, group: GroupIndex, state: Option<Arc<StateItem>>) {
        self.change(group, |entry| entry.state = state);
    }

    /// The connection's subscription of a group.
    #[must_use]
    pub fn subscription(&self, group: GroupIndex) -> Option<&Subscription> {
        self.find(group)?.subscription.as_ref()
    }

    /// The connection's subscription of a group, to change.
    pub fn subscription_mut(&mut self, group: GroupIndex) -> Option<&mut Subscription> {
        let kept = self.0.as_mut()?;
        let place = kept.place_of(group).ok()?;
        kept.groups.get_mut(place)?.subscription.as_mut()
    }

    /// Begins or ends a subscription; the one before comes back.
    pub fn set_subscription(
        &mut self,
        group: GroupIndex,
        subscription: Option<Subscription>,
    ) -> Option<Subscription> {
        let mut before = None;
        self.change(group, |entry| {
            before = std::mem::replace(&mut entry.subscription, subscription);
        });
        before
    }

    /// Ends all that the connection has in a group.
    pub fn leave(&mut self, group: GroupIndex) -> Option<InGroup> {
        let kept = self.0.as_mut()?;
        let place = kept.place_of(group).ok()?;
        let ended = kept.groups.remove(place);
        kept.bytes -= ended.bytes();
        Some(ended)
    }

    /// What the connection has in each group.
    pub fn iter(&self) -> impl Iterator<Item = &InGroup> {
        self.0.iter().flat_map(|kept| &kept.groups)
    }

    /// The newest time that was given out, for a session that is saved.
    #[must_use]
    pub fn last_update(&self) -> i64 {
        self.0.as_ref().map_or(0, |kept| kept.last_update)
    }

    fn find(&self, group: GroupIndex) -> Option<&InGroup> {
        let kept = self.0.as_ref()?;
        kept.groups.get(kept.place_of(group).ok()?)
    }

    fn change(&mut self, group: GroupIndex, change: impl FnOnce(&mut InGroup)) {
        let kept = self.0.get_or_insert_default();
        let place = kept.place_of(group).unwrap_or_else(|place| {
            let fresh = InGroup {
                group,
                state: None,
                subscription: None,
            };
            kept.groups.insert(place, fresh);
            place
        });
        let entry = &mut kept.groups[place];
        kept.bytes -= entry.bytes();
        change(entry);
        kept.bytes += entry.bytes();
        if entry.state.is_none() && entry.subscription.is_none() {
            kept.groups.remove(place);
        }
    }
}

impl Kept {
    fn place_of(&self, group: GroupIndex) -> Result<usize, usize> {
        self.groups
            .binary_search_by_key(&group, |entry| entry.group)
    }
}

impl InGroup {
    fn bytes(&self) -> usize {
        self.state.as_ref().map_or(0, |item| item.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(entries: &[(&str, &str)]) -> GroupState {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        entries.iter().map(owned).collect()
    }

    fn item(state: Option<GroupState>, memory: &Arc<NodeMemory>) -> Arc<StateItem> {
        let connection = ConnectionId::new(
            [7; 16],
            crate::id::NodeId(0),
            crate::id::ShardId(0),
            crate::id::Slot(3),
        );
        StateItem::new(connection, None, state.map(Arc::new), 5, memory)
    }

    #[test]
    fn times_rise_whatever_the_clock_does() {
        let mut states = GroupStates::default();
        assert!(states.is_unused());
        let times = [100, 100, 100, 250, 90, 252, i64::MAX].map(|now| states.time_of_change(now));
        assert_eq!(times, [100, 101, 102, 250, 251, 252, i64::MAX]);
        assert_eq!(states.last_update(), i64::MAX);
        assert!(!states.is_unused());
    }

    #[test]
    fn bytes_follow_what_is_held_and_all_of_it_is_given_back() {
        let memory = NodeMemory::new(u64::MAX);
        let mut states = GroupStates::default();
        let (one, two) = (GroupIndex(1), GroupIndex(2));
        states.set_state(two, Some(item(Some(state(&[("ab", "cde")])), &memory)));
        let single = states.bytes();
        assert_eq!(single as u64, memory.queued());
        assert!(single >= 5 + ENTRY_BYTES, "what keeps an entry is counted");
        states.set_state(one, Some(item(Some(state(&[])), &memory)));
        assert!((single..2 * single).contains(&states.bytes()));
        assert_eq!(states.bytes() as u64, memory.queued());
        let order: Vec<_> = states.iter().map(|entry| entry.group).collect();
        assert_eq!(order, [one, two]);
        states.set_state(two, Some(item(Some(state(&[("a", "b")])), &memory)));
        assert_eq!(
            states.bytes() as u64,
            memory.queued(),
            "replaced, not added"
        );
        states.set_state(one, None);
        assert!(states.leave(two).is_some_and(|left| left.state.is_some()));
        assert!(states.leave(two).is_none());
        assert_eq!((states.bytes(), memory.queued()), (0, 0));
        assert_eq!(states.iter().count(), 0);
    }

    #[test]
    fn a_subscription_stands_beside_the_state_of_the_same_group() {
        let memory = NodeMemory::new(u64::MAX);
        let mut states = GroupStates::default();
        let group = GroupIndex(4);
        let subscription = |index| {
            Some(Subscription {
                index,
                gathering: None,
            })
        };
        let index = |found: Option<&Subscription>| found.map(|found| found.index);
        assert!(states.set_subscription(group, subscription(9)).is_none());
        states.set_state(group, Some(item(None, &memory)));
        states.set_state(group, None);
        assert_eq!(index(states.subscription(group)), Some(9));
        if let Some(found) = states.subscription_mut(group) {
            found.index = 2;
        }
        let before = states.set_subscription(group, subscription(3));
        assert_eq!(index(before.as_ref()), Some(2));
        assert_eq!(states.iter().count(), 1);
        assert_eq!(
            index(states.set_subscription(group, None).as_ref()),
            Some(3)
        );
        assert_eq!(states.iter().count(), 0);
        assert!(states.subscription(group).is_none());
    }
}
