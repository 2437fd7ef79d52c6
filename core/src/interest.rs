//! The interest table: which shards of the node have a connection in a hub, a member of a group,
//! or a connection of a user.
//!
//! It is read once per publish, never per delivery. A shard changes only its own bit: it sets it
//! before it acknowledges a join and clears it when its last member has gone.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use papaya::{Compute, Equivalent, HashMap, Operation};

use crate::id::{ShardId, ShardSet};

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

#[derive(Debug, PartialEq, Eq)]
struct Key {
    kind: Kind,
    hub: Arc<str>,
    name: Arc<str>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Probe {
            kind: self.kind,
            hub: &self.hub,
            name: &self.name,
        }
        .hash(state);
    }
}

#[derive(Debug, Hash)]
struct Probe<'a> {
    kind: Kind,
    hub: &'a str,
    name: &'a str,
}

impl Equivalent<Key> for Probe<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.kind == key.kind && *self.hub == *key.hub && *self.name == *key.name
    }
}

/// The node's interest table.
#[derive(Debug, Default)]
pub struct Interest {
    shards: HashMap<Key, u64>,
}

impl Interest {
    /// The shards that have someone in (`kind`, `hub`, `name`).
    #[must_use]
    pub fn of(&self, kind: Kind, hub: &str, name: &str) -> ShardSet {
        let bits = self.shards.pin().get(&Probe { kind, hub, name }).copied();
        ShardSet::from_bits(bits.unwrap_or(0))
    }

    /// Says that `shard` has someone there from now on.
    pub fn set(&self, kind: Kind, hub: &Arc<str>, name: &Arc<str>, shard: ShardId) {
        let own = ShardSet::only(shard).bits();
        let key = Key {
            kind,
            hub: Arc::clone(hub),
            name: Arc::clone(name),
        };
        self.shards
            .pin()
            .update_or_insert(key, |bits| bits | own, own);
    }

    /// Says that `shard` has nobody there any more.
    pub fn clear(&self, kind: Kind, hub: &Arc<str>, name: &Arc<str>, shard: ShardId) {
        let others = !ShardSet::only(shard).bits();
        let key = Key {
            kind,
            hub: Arc::clone(hub),
            name: Arc::clone(name),
        };
        let shards = self.shards.pin();
        let _: Compute<'_, Key, u64, ()> = shards.compute(key, |entry| match entry {
            Some((_, bits)) if bits & others != 0 => Operation::Insert(bits & others),
            Some(_) => Operation::Remove,
            None => Operation::Abort(()),
        });
    }

    /// Entries in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.pin().len()
    }

    /// Whether the table has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
                    for _ in 0..1000 {
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
