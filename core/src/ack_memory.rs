//! The ack ids that already succeeded on a connection (protocol notes: the Duplicate rule).
//!
//! Kept as ranges in the order of their success, so that a client that counts costs one range.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Successes that are remembered; the oldest is forgotten first.
pub const REMEMBERED: u64 = 1000;

#[derive(Debug, Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
}

/// The last [`REMEMBERED`] successful ack ids of one connection.
#[derive(Debug, Default)]
pub struct AckMemory {
    newest: Option<Range>,
    /// Older ranges, oldest in front. Counting clients never need it.
    #[expect(
        clippy::box_collection,
        reason = "three words less in every connection"
    )]
    older: Option<Box<VecDeque<Range>>>,
    count: u64,
}

/// An [`AckMemory`] as plain data: its ranges with both ends, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AckRecord(Vec<(u64, u64)>);

impl AckMemory {
    /// The memory that [`record`](Self::record) told of.
    #[must_use]
    pub fn restored(record: &AckRecord) -> Self {
        let mut memory = Self::default();
        for (first, last) in &record.0 {
            let newest = last.saturating_sub(REMEMBERED - 1);
            for ack_id in newest.max(*first)..=*last {
                if !memory.contains(ack_id) {
                    memory.insert(ack_id);
                }
            }
        }
        memory
    }

    /// The memory as plain data.
    #[must_use]
    pub fn record(&self) -> AckRecord {
        let older = self.older.iter().flat_map(|older| older.iter());
        let ranges = older.chain(&self.newest);
        AckRecord(ranges.map(|range| (range.first, range.last)).collect())
    }

    /// Whether `ack_id` succeeded before and is still remembered.
    #[must_use]
    pub fn contains(&self, ack_id: u64) -> bool {
        let holds = |range: &Range| (range.first..=range.last).contains(&ack_id);
        self.newest.as_ref().is_some_and(holds)
            || self
                .older
                .as_ref()
                .is_some_and(|older| older.iter().any(holds))
    }

    /// Remembers a success that is not remembered yet.
    pub fn insert(&mut self, ack_id: u64) {
        debug_assert!(!self.contains(ack_id));
        match &mut self.newest {
            Some(range) if range.last.checked_add(1) == Some(ack_id) => range.last = ack_id,
            newest => {
                if let Some(range) = newest.replace(Range {
                    first: ack_id,
                    last: ack_id,
                }) {
                    self.older.get_or_insert_default().push_back(range);
                }
            }
        }
        self.count += 1;
        if self.count > REMEMBERED {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.count -= 1;
        let oldest = match &mut self.older {
            Some(older) => older.front_mut(),
            None => self.newest.as_mut(),
        };
        let Some(oldest) = oldest else { return };
        if oldest.first < oldest.last {
            oldest.first += 1;
        } else if let Some(older) = &mut self.older {
            older.pop_front();
            if older.is_empty() {
                self.older = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_list(ids in prop::collection::vec(prop_oneof![0u64..3000, any::<u64>(), Just(u64::MAX)], 0..3000), runs in any::<bool>()) {
            let mut memory = AckMemory::default();
            let mut list: VecDeque<u64> = VecDeque::new();
            for (at, id) in ids.into_iter().enumerate() {
                let id = if runs && id < 3000 { at as u64 } else { id };
                prop_assert_eq!(memory.contains(id), list.contains(&id));
                if !list.contains(&id) {
                    memory.insert(id);
                    list.push_back(id);
                    if list.len() as u64 > REMEMBERED {
                        let gone = list.pop_front().unwrap();
                        prop_assert!(!memory.contains(gone));
                    }
                }
            }
            let restored = AckMemory::restored(&memory.record());
            for id in &list {
                prop_assert!(memory.contains(*id) && restored.contains(*id));
            }
            prop_assert_eq!(restored.record(), memory.record());
        }
    }

    #[test]
    fn black_box_case_25_the_first_of_1001_ids_may_be_used_again() {
        let mut memory = AckMemory::default();
        for id in 1..=1001 {
            memory.insert(id);
        }
        assert!(!memory.contains(1));
        assert!(memory.contains(2));
        assert!(memory.older.is_none(), "a counting client costs one range");
    }
}
