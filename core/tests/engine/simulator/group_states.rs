//! The group states of the game: who set what, and what each subscriber takes it to be.

use std::collections::{BTreeMap, HashMap};

use super::model::{ActorIndex, GroupIndex, Stamp};

/// A value that a client set in a group; `None` clears it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Set {
    pub(crate) requested: Stamp,
    pub(crate) is_too_large: bool,
    is_clear: bool,
}

/// A place: somebody's in a group.
type Place = (ActorIndex, GroupIndex);

#[derive(Debug, Default)]
pub(crate) struct GroupStates {
    pub(crate) sets: Vec<Set>,
    /// The latest set of each, whose outcome may not be known.
    latest: HashMap<Place, usize>,
    /// The sets that are certainly in force, as long as their owner stays a member.
    in_force: HashMap<Place, usize>,
    /// The latest subscription of each, unless it was ended.
    asked: HashMap<Place, Stamp>,
    /// Since when somebody is a subscriber, as long as it stays a member.
    subscribed: HashMap<Place, Stamp>,
    /// What each subscriber holds of each owner: when it was set, and what.
    views: HashMap<Place, HashMap<ActorIndex, (i64, Option<usize>)>>,
    /// All changes that anybody saw, by time.
    changes: HashMap<Place, BTreeMap<i64, Option<usize>>>,
}

impl GroupStates {
    /// Returns the number of the value.
    pub(crate) fn set_requested(
        &mut self,
        (owner, group): Place,
        requested: Stamp,
        is_clear: bool,
        is_too_large: bool,
    ) -> usize {
        let set = self.sets.len();
        self.sets.push(Set {
            requested,
            is_too_large,
            is_clear,
        });
        self.latest.insert((owner, group), set);
        self.in_force.remove(&(owner, group));
        set
    }

    /// A set succeeded, on its first attempt.
    pub(crate) fn set_succeeded(&mut self, place: Place, set: usize) {
        if self.latest.get(&place) == Some(&set) {
            self.in_force.insert(place, set);
        }
    }

    /// What an owner certainly has in force, and since when, unless it left.
    pub(crate) fn in_force(&self, place: Place) -> Option<(Stamp, Option<usize>)> {
        let set = *self.in_force.get(&place)?;
        let found = self.sets[set];
        Some((found.requested, (!found.is_clear).then_some(set)))
    }

    pub(crate) fn subscription_requested(&mut self, place: Place, at: Stamp) {
        self.asked.insert(place, at);
    }

    /// A subscription succeeded, on its first attempt.
    pub(crate) fn subscribed(&mut self, place: Place, since: Stamp) {
        if self.asked.get(&place) == Some(&since) {
            self.subscribed.insert(place, since);
        }
    }

    pub(crate) fn unsubscribed(&mut self, place: Place) {
        self.asked.remove(&place);
        self.subscribed.remove(&place);
    }

    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = (Place, Stamp)> {
        self.subscribed
            .iter()
            .map(|(place, since)| (*place, *since))
    }

    /// What a subscriber takes the state of an owner to be.
    pub(crate) fn view(&self, place: Place, owner: ActorIndex) -> Option<usize> {
        self.views.get(&place)?.get(&owner)?.1
    }

    /// Owners with a state, as a subscriber sees it.
    pub(crate) fn owners_seen(&self, place: Place) -> Vec<ActorIndex> {
        let view = self.views.get(&place).into_iter().flatten();
        let set = view.filter(|(_, (_, value))| value.is_some());
        set.map(|(owner, _)| *owner).collect()
    }

    /// A snapshot begins: what it does not mention is not there.
    pub(crate) fn snapshot(&mut self, place: Place) {
        self.views.entry(place).or_default().clear();
    }

    /// A subscriber is told of a state.
    pub(crate) fn told(
        &mut self,
        (subscriber, group): Place,
        owner: ActorIndex,
        updated_at: i64,
        value: Option<usize>,
    ) {
        let changes = self.changes.entry((owner, group)).or_default();
        let known = *changes.entry(updated_at).or_insert(value);
        assert_eq!(known, value, "two changes of {owner} at {updated_at}");
        if let Some(value) = value {
            let later = changes.range(updated_at + 1..);
            let earlier = changes.range(..updated_at);
            assert!(
                later
                    .filter_map(|(_, other)| *other)
                    .all(|other| other > value)
                    && earlier
                        .filter_map(|(_, other)| *other)
                        .all(|other| other < value),
                "the times of {owner} do not rise: {changes:?}"
            );
        }
        let view = self.views.entry((subscriber, group)).or_default();
        let held = view.entry(owner).or_insert((i64::MIN, None));
        if updated_at > held.0 {
            *held = (updated_at, value);
        }
    }
}
