//! Who is in a hub, a group or of a user: slots in a plain list, so that a publish walks memory
//! in order.
//!
//! A walk that spans several ticks pins the list: removals then leave holes in place of moving
//! members, so that nobody is visited twice or passed over.

use crate::id::Slot;

const HOLE: Slot = Slot(u32::MAX);

/// A list of connections of one shard. Each connection keeps its own index in it.
#[derive(Debug, Default)]
pub struct MemberList {
    slots: Vec<Slot>,
    holes: usize,
    pinned: bool,
}

impl MemberList {
    /// Members in the list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.holes
    }

    /// Whether nobody is in the list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a walk holds the list in place.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Places to visit, holes included.
    #[must_use]
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// The member at `place`, if there is one.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<Slot> {
        self.slots.get(place).copied().filter(|slot| *slot != HOLE)
    }

    /// Adds a member and returns its index.
    pub fn push(&mut self, slot: Slot) -> u32 {
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(slot);
        index
    }

    /// Removes the member at `index`. Returns the member that took its place, if one moved.
    pub fn remove(&mut self, index: u32) -> Option<Slot> {
        let index = index as usize;
        if index >= self.slots.len() {
            debug_assert!(false, "a member's index is inside its list");
            return None;
        }
        if self.pinned {
            self.slots[index] = HOLE;
            self.holes += 1;
            return None;
        }
        self.slots.swap_remove(index);
        if self.slots.len() * 4 < self.slots.capacity() && self.slots.capacity() > 64 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
        self.slots.get(index).copied()
    }

    /// Holds every member in its place until [`unpin`](Self::unpin).
    pub fn pin(&mut self) {
        self.pinned = true;
    }

    /// Closes the holes; `moved` learns each member that has a new index.
    pub fn unpin(&mut self, mut moved: impl FnMut(Slot, u32)) {
        self.pinned = false;
        if self.holes == 0 {
            return;
        }
        self.holes = 0;
        let mut kept = 0;
        for place in 0..self.slots.len() {
            let slot = self.slots[place];
            if slot == HOLE {
                continue;
            }
            if kept != place {
                self.slots[kept] = slot;
                moved(slot, u32::try_from(kept).unwrap_or(u32::MAX));
            }
            kept += 1;
        }
        self.slots.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_moves_the_last_member_unless_the_list_is_pinned() {
        let mut list = MemberList::default();
        for slot in 0..5 {
            assert_eq!(list.push(Slot(slot)), slot);
        }
        assert_eq!(list.remove(1), Some(Slot(4)));
        assert_eq!(list.remove(3), None, "the last one moves nobody");
        list.pin();
        assert_eq!(list.remove(0), None);
        assert_eq!((list.len(), list.places()), (2, 3));
        assert_eq!(list.at(0), None);
        list.push(Slot(9));
        let mut moves = Vec::new();
        list.unpin(|slot, index| moves.push((slot.0, index)));
        assert_eq!(moves, [(4, 0), (2, 1), (9, 2)]);
        assert_eq!((list.len(), list.places()), (3, 3));
    }
}
