//! A snapshot of a group's states while it is put together from what its shards have.
//!
//! Updates come in between. Of two items of one connection the newer counts, in whatever order
//! they come; a cleared state is remembered until the end, so that no older one comes back.

use std::sync::Arc;

use hashbrown::HashMap;

use super::StateItem;
use crate::id::ConnectionId;

/// A shard's part of a snapshot.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which snapshot it is for.
    pub number: u64,
    /// The states of the shard's members. All who hold the part share it.
    pub items: Arc<[Arc<StateItem>]>,
}

/// A snapshot that is not whole yet.
#[derive(Debug)]
pub struct Gathering {
    number: u64,
    missing: usize,
    newest: HashMap<ConnectionId, Arc<StateItem>>,
}

impl Gathering {
    /// A snapshot with its shard's own `number`, of which `parts` are awaited.
    #[must_use]
    pub fn new(number: u64, parts: usize) -> Self {
        Self {
            number,
            missing: parts,
            newest: HashMap::new(),
        }
    }

    /// Takes one item, if it is the newest of its connection.
    pub fn add(&mut self, item: &Arc<StateItem>) {
        self.newest
            .entry(item.connection)
            .and_modify(|known| {
                if known.updated_at < item.updated_at {
                    *known = Arc::clone(item);
                }
            })
            .or_insert_with(|| Arc::clone(item));
    }

    /// Takes a part; returns whether it was the last one. A part of another snapshot, one that
    /// nobody waits for any more, changes nothing.
    pub fn add_part(&mut self, part: &Part) -> bool {
        if part.number != self.number {
            return false;
        }
        for item in part.items.iter() {
            self.add(item);
        }
        self.missing = self.missing.saturating_sub(1);
        self.missing == 0
    }

    /// The states that were gathered, the oldest first.
    #[must_use]
    pub fn into_items(self) -> Vec<Arc<StateItem>> {
        let set = |item: &Arc<StateItem>| item.state.is_some();
        let mut items: Vec<_> = self.newest.into_values().filter(set).collect();
        items.sort_unstable_by_key(|item| (item.updated_at, item.connection));
        items
    }
}

#[cfg(test)]
mod tests {
    use hubwire_proto::group_state::GroupState;
    use proptest::prelude::*;

    use super::*;
    use crate::id::{NodeId, ShardId, Slot};
    use crate::memory::NodeMemory;

    fn item(slot: u32, updated_at: i64, is_set: bool, memory: &Arc<NodeMemory>) -> Arc<StateItem> {
        let connection = ConnectionId::new([1; 16], NodeId(0), ShardId(0), Slot(slot));
        let state = is_set.then(Arc::<GroupState>::default);
        StateItem::new(connection, None, state, updated_at, memory)
    }

    fn part(number: u64, items: &[&Arc<StateItem>]) -> Part {
        Part {
            number,
            items: items.iter().map(|item| Arc::clone(item)).collect(),
        }
    }

    fn times(gathering: Gathering) -> Vec<(u32, i64)> {
        let items = gathering.into_items();
        let slot_and_time = |item: &Arc<StateItem>| (item.connection.slot().0, item.updated_at);
        items.iter().map(slot_and_time).collect()
    }

    #[test]
    fn the_last_part_completes_it_and_foreign_parts_do_not_count() {
        let memory = NodeMemory::new(u64::MAX);
        let mut gathering = Gathering::new(5, 2);
        let (a, b) = (item(1, 10, true, &memory), item(2, 9, true, &memory));
        assert!(!gathering.add_part(&part(4, &[&item(3, 1, true, &memory)])));
        assert!(!gathering.add_part(&part(5, &[&a])));
        assert!(gathering.add_part(&part(5, &[&b])));
        assert_eq!(times(gathering), [(2, 9), (1, 10)]);
    }

    #[test]
    fn an_update_counts_before_its_part_and_after_it() {
        let memory = NodeMemory::new(u64::MAX);
        let (old, new) = (item(1, 10, true, &memory), item(1, 11, true, &memory));
        let cleared = item(2, 21, false, &memory);
        let was_set = item(2, 20, true, &memory);
        for updates_first in [true, false] {
            let mut gathering = Gathering::new(1, 1);
            if updates_first {
                gathering.add(&new);
                gathering.add(&cleared);
            }
            assert!(gathering.add_part(&part(1, &[&old, &was_set])));
            if !updates_first {
                gathering.add(&new);
                gathering.add(&cleared);
            }
            assert_eq!(times(gathering), [(1, 11)], "{updates_first}");
        }
    }

    proptest! {
        #[test]
        fn the_newest_item_of_each_connection_counts_in_whatever_order_they_come(
            history in prop::collection::vec((0u32..4, any::<bool>()), 0..30),
            order in any::<prop::sample::Index>(),
        ) {
            let memory = NodeMemory::new(u64::MAX);
            let mut items: Vec<_> = (0i64..)
                .zip(&history)
                .map(|(time, (slot, is_set))| item(*slot, time, *is_set, &memory))
                .collect();
            let mut expect: Vec<_> = (0..4)
                .filter_map(|slot| {
                    let last = history.iter().rposition(|(owner, _)| *owner == slot)?;
                    history[last].1.then_some((slot, i64::try_from(last).unwrap()))
                })
                .collect();
            expect.sort_unstable_by_key(|(_, time)| *time);
            if !items.is_empty() {
                let turn = order.index(items.len());
                items.rotate_left(turn);
            }
            let mut gathering = Gathering::new(1, 1);
            for item in &items {
                gathering.add(item);
            }
            prop_assert_eq!(times(gathering), expect);
        }
    }
}
