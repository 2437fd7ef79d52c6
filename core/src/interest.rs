//! The interest table: which shards of the node have a connection in a hub, a member of a group,
//! or a connection of a user.
//!
//! It is read once per publish, never per delivery, and changed when a shard's first member comes
//! or its last one goes. Locked stripes: a lock-free map measured far worse when the same few
//! groups come and go all the time. A shard changes only its own bit: it sets it
//! before it acknowledges a join and clears it when its last member has gone.

use std::hash::BuildHasher as _;
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::id::{ShardId, ShardSet};

/// Parts of the table that are locked by themselves, so that shards seldom meet.
const STRIPES: usize = 64;

/// What a shard can have connections in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The hub itself; its name is empty.
    Hub,
    /// A group of the hub.
    Group,
    /// A user of the hub.
    User,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    hub: Arc<str>,
    name: Arc<str>,
    shards: ShardSet,
}

impl Entry {
    fn is_for(&self, kind: Kind, hub: &str, name: &str) -> bool {
        self.kind == kind && *self.name == *name && *self.hub == *hub
    }
}

/// The node's interest table.
#[derive(Debug)]
pub struct Interest {
    hasher: DefaultHashBuilder,
    stripes: Box<[RwLock<HashTable<Entry>>]>,
}

impl Default for Interest {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            stripes: (0..STRIPES).map(|_| RwLock::default()).collect(),
        }
    }
}

impl Interest {
    /// The shards that have someone in (`kind`, `hub`, `name`).
    #[must_use]
    pub fn of(&self, kind: Kind, hub: &str, name: &str) -> ShardSet {
        let hash = self.hash(kind, hub, name);
        let stripe = self
            .stripe(hash)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        stripe
            .find(hash, |entry| entry.is_for(kind, hub, name))
            .map_or(ShardSet::EMPTY, |entry| entry.shards)
    }

    /// Says that `shard` has someone there from now on.
    pub fn set(&self, kind: Kind, hub: &Arc<str>, name: &Arc<str>, shard: ShardId) {
        let hash = self.hash(kind, hub, name);
        let mut stripe = self
            .stripe(hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        stripe
            .entry(
                hash,
                |entry| entry.is_for(kind, hub, name),
                |entry| self.hash(entry.kind, &entry.hub, &entry.name),
            )
            .and_modify(|entry| entry.shards = entry.shards.with(shard))
            .or_insert_with(|| Entry {
                kind,
                hub: Arc::clone(hub),
                name: Arc::clone(name),
                shards: ShardSet::only(shard),
            });
    }

    /// Says that `shard` has nobody there any more.
    pub fn clear(&self, kind: Kind, hub: &str, name: &str, shard: ShardId) {
        let hash = self.hash(kind, hub, name);
        let mut stripe = self
            .stripe(hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Ok(mut found) = stripe.find_entry(hash, |entry| entry.is_for(kind, hub, name)) else {
            return;
        };
        let entry = found.get_mut();
        entry.shards = entry.shards.without(shard);
        if !entry.shards.is_empty() {
            return;
        }
        found.remove();
        if stripe.capacity() > 64 && stripe.len() * 8 < stripe.capacity() {
            let most = stripe.len() * 2;
            stripe.shrink_to(most, |entry| self.hash(entry.kind, &entry.hub, &entry.name));
        }
    }

    /// Entries in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        let length = |stripe: &RwLock<HashTable<Entry>>| {
            stripe.read().unwrap_or_else(PoisonError::into_inner).len()
        };
        self.stripes.iter().map(length).sum()
    }

    /// Whether the table has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn hash(&self, kind: Kind, hub: &str, name: &str) -> u64 {
        self.hasher.hash_one((kind, hub, name))
    }

    fn stripe(&self, hash: u64) -> &RwLock<HashTable<Entry>> {
        // The tables themselves use the lowest and the highest bits.
        let place = usize::try_from(hash >> 32).unwrap_or_default();
        &self.stripes[place % STRIPES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_sets_and_clears_its_own_bit_and_the_last_removes_the_entry() {
        let table = Interest::default();
        let (hub, group): (Arc<str>, Arc<str>) = ("chat".into(), "room".into());
        table.set(Kind::Group, &hub, &group, ShardId(0));
        table.set(Kind::Group, &hub, &group, ShardId(3));
        assert_eq!(table.of(Kind::Group, "chat", "room").bits(), 0b1001);
        assert!(table.of(Kind::User, "chat", "room").is_empty());
        assert!(table.of(Kind::Group, "other", "room").is_empty());
        table.clear(Kind::Group, &hub, &group, ShardId(0));
        table.clear(Kind::Group, &hub, &group, ShardId(1));
        assert_eq!(table.of(Kind::Group, "chat", "room").bits(), 0b1000);
        table.clear(Kind::Group, &hub, &group, ShardId(3));
        assert!(table.is_empty());
    }

    #[test]
    fn concurrent_shards_lose_no_bit() {
        let table = Interest::default();
        let (hub, group): (Arc<str>, Arc<str>) = ("chat".into(), "room".into());
        std::thread::scope(|scope| {
            for shard in 0..4 {
                let (table, hub, group) = (&table, &hub, &group);
                scope.spawn(move || {
                    for _ in 0..100_000 {
                        table.set(Kind::Group, hub, group, ShardId(shard));
                        assert!(table.of(Kind::Group, hub, group).contains(ShardId(shard)));
                        table.clear(Kind::Group, hub, group, ShardId(shard));
                        assert!(!table.of(Kind::Group, hub, group).contains(ShardId(shard)));
                    }
                });
            }
        });
        assert!(table.is_empty());
    }
}
