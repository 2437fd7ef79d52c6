//! What one client asked for under an ack id, and what it knows of the outcome.

use std::collections::{HashSet, VecDeque};

use super::model::{Change, GroupIndex, Stamp};
use super::random::Random;

/// What an acknowledged request was. Asking again for the same keeps what it was at first.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    Join { group: GroupIndex, change: Change },
    Leave { group: GroupIndex, change: Change },
    Publish { group: GroupIndex, index: usize },
    Event { index: usize },
    SetState { group: GroupIndex, set: usize },
    Subscribe { group: GroupIndex, at: Stamp },
    Unsubscribe { group: GroupIndex },
}

#[derive(Debug)]
pub(crate) struct Requests {
    /// Sent over the present transport, not answered yet.
    pending: VecDeque<(u64, Asked)>,
    /// Sent over earlier ones: carried out or not, and perhaps answered yet.
    earlier: VecDeque<(u64, Asked)>,
    /// Answered, but perhaps for an earlier attempt, so perhaps once more.
    doubled: Vec<(u64, Asked)>,
    /// Sent more than once, or sent over a transport that was lost.
    uncertain: HashSet<u64>,
    succeeded: HashSet<u64>,
    next_id: u64,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            pending: VecDeque::new(),
            earlier: VecDeque::new(),
            doubled: Vec::new(),
            uncertain: HashSet::new(),
            succeeded: HashSet::new(),
            next_id: 1,
        }
    }
}

impl Requests {
    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// An id that was used before, if what became of it is known.
    pub(crate) fn used_id(&self, random: &mut Random) -> Option<u64> {
        let used = usize::try_from(self.next_id - 1).unwrap();
        let id = 1 + random.below(used.max(1)) as u64;
        let is_pending = self.pending.iter().any(|(pending, _)| *pending == id);
        (used > 0 && !is_pending && !self.is_uncertain(id)).then_some(id)
    }

    pub(crate) fn is_uncertain(&self, id: u64) -> bool {
        self.uncertain.contains(&id)
    }

    pub(crate) fn has_succeeded(&self, id: u64) -> bool {
        self.succeeded.contains(&id)
    }

    pub(crate) fn succeeded(&mut self, id: u64) {
        self.succeeded.insert(id);
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = &(u64, Asked)> {
        self.pending.iter()
    }

    pub(crate) fn expect(&mut self, id: u64, asked: Asked) {
        self.pending.push_back((id, asked));
    }

    /// The request that an ack is for. Those of one transport are answered in order, and before
    /// them what was left of earlier ones.
    pub(crate) fn answered(&mut self, id: u64) -> Option<Asked> {
        let place = self.earlier.iter().position(|(earlier, _)| *earlier == id);
        if let Some((_, asked)) = self.pending.pop_front_if(|(first, _)| *first == id) {
            if place.is_some() {
                self.doubled.push((id, asked));
            }
            return Some(asked);
        }
        if let Some(place) = place {
            return self
                .earlier
                .drain(..=place)
                .next_back()
                .map(|(_, asked)| asked);
        }
        let place = self
            .doubled
            .iter()
            .position(|(doubled, _)| *doubled == id)?;
        Some(self.doubled.remove(place).1)
    }

    /// The transport is lost, and with it perhaps requests and answers.
    pub(crate) fn transport_lost(&mut self) {
        let ids = self.pending.iter().map(|(id, _)| *id);
        let unknown = ids.filter(|id| !self.succeeded.contains(id));
        self.uncertain.extend(unknown);
        self.earlier.append(&mut self.pending);
    }

    /// What may be asked for again: whatever has not succeeded, as far as the client knows.
    pub(crate) fn to_retry(&self) -> Vec<(u64, Asked)> {
        let mut seen = HashSet::new();
        let unknown = self
            .earlier
            .iter()
            .filter(|(id, _)| !self.succeeded.contains(id) && seen.insert(*id));
        unknown.copied().collect()
    }

    /// Nothing is under way any more.
    pub(crate) fn at_rest(&mut self) {
        self.earlier.clear();
        self.doubled.clear();
    }
}
