//! The one vocabulary of work: `{hub, target, selection, action}`, wherever it comes from.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use hubwire_proto::filter::Filter;
use hubwire_proto::role::Permission;

use crate::ask::ReplyTo;
use crate::group_state::{GroupStateMessage, Part};
use crate::id::{ConnectionId, ConnectionIdText};
use crate::memory::{Account, Charge, NodeMemory};
use crate::publication::Publication;

/// Something to do to connections of one hub. Cloning it shares everything that is large.
#[derive(Debug, Clone)]
pub struct Command {
    /// The lower-case hub name.
    pub hub: Arc<str>,
    /// Whom it concerns.
    pub target: Target,
    /// Which of them.
    pub selection: Selection,
    /// What to do.
    pub action: Action,
}

/// Whom a command concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every connection of the hub.
    All,
    /// The members of a group.
    Group(Arc<str>),
    /// The connections of a user.
    User(Arc<str>),
    /// One connection.
    Connection(ConnectionId),
}

/// Which connections of a target a command concerns. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Who is left out.
    pub excluded: Excluded,
    /// What the others must match.
    pub filter: Option<Filter>,
}

/// What a command does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Send a message to each.
    Deliver {
        /// The message.
        publication: Arc<Publication>,
    },
    /// Make each a member of groups, in their order, up to the first that its bound refuses.
    Join {
        /// The groups.
        groups: Arc<GroupNames>,
        /// Where to say that it is done.
        reply: Option<ReplyTo>,
    },
    /// End the membership of each in groups, or in all groups.
    Leave {
        /// The groups; `None` for all.
        groups: Option<Arc<GroupNames>>,
        /// Where to say that it is done.
        reply: Option<ReplyTo>,
    },
    /// Close each connection.
    Close {
        /// The application server's reason.
        reason: Option<Arc<str>>,
        /// Where to say that it is done.
        reply: Option<ReplyTo>,
    },
    /// Allow each something from now on.
    Grant {
        /// What.
        permission: Permission,
        /// In which group; `None` for all.
        group: Option<Arc<str>>,
        /// Where to say that it is done.
        reply: Option<ReplyTo>,
    },
    /// Forbid each something from now on. Nobody stops being a member by it.
    Revoke {
        /// What.
        permission: Permission,
        /// In which group; `None` for all.
        group: Option<Arc<str>>,
        /// Where to say that it is done.
        reply: Option<ReplyTo>,
    },
    /// Ask about them.
    Ask {
        /// The question.
        question: Question,
        /// Where to answer.
        reply: ReplyTo,
    },
    /// Tell those who subscribed to the states of the target, a group.
    TellGroupState {
        /// What changed.
        message: Arc<GroupStateMessage>,
    },
    /// Send the states of the target, a group, to a subscriber.
    AskGroupStates {
        /// Who subscribes.
        subscriber: ConnectionId,
        /// Its snapshot's number.
        number: u64,
    },
    /// Answer that to the target, a connection.
    GroupStates {
        /// The group.
        group: Arc<str>,
        /// The states of one shard's members.
        part: Part,
    },
}

impl Action {
    /// Where the answer to this action goes, if anybody waits for one.
    #[must_use]
    pub fn reply_to(&self) -> Option<ReplyTo> {
        match self {
            Self::Deliver { .. }
            | Self::TellGroupState { .. }
            | Self::AskGroupStates { .. }
            | Self::GroupStates { .. } => None,
            Self::Join { reply, .. }
            | Self::Leave { reply, .. }
            | Self::Close { reply, .. }
            | Self::Grant { reply, .. }
            | Self::Revoke { reply, .. } => *reply,
            Self::Ask { reply, .. } => Some(*reply),
        }
    }
}

/// A question about a target.
#[derive(Debug, Clone)]
pub enum Question {
    /// Whether any connection is in it.
    Exists,
    /// The next connections in it, by ascending id.
    List {
        /// The last id of the page before.
        after: Option<ConnectionIdText>,
        /// The most to return.
        limit: usize,
    },
    /// Whether a connection in it has a session that outlives its transport.
    Recoverable,
    /// Whether any connection in it is allowed something.
    Allows {
        /// What.
        permission: Permission,
        /// In which group; `None` for all.
        group: Option<Arc<str>>,
    },
}

/// Connections that a command leaves out.
#[derive(Debug, Clone, Default)]
pub enum Excluded {
    /// Nobody.
    #[default]
    Nobody,
    /// One connection: the sender of a message with `noEcho`.
    One(ConnectionId),
    /// The connections that a REST call names, ascending; see [`Excluded::from_ids`].
    Many(Arc<[ConnectionId]>),
}

impl Excluded {
    /// Leaves out `connections`.
    #[must_use]
    pub fn from_ids(mut connections: Vec<ConnectionId>) -> Self {
        if connections.is_empty() {
            return Self::Nobody;
        }
        connections.sort_unstable();
        Self::Many(connections.into())
    }

    /// Whether `connection` is left out.
    #[must_use]
    pub fn contains(&self, connection: &ConnectionId) -> bool {
        match self {
            Self::Nobody => false,
            Self::One(one) => one == connection,
            Self::Many(many) => many.binary_search(connection).is_ok(),
        }
    }
}

/// Different names of groups in one piece: a call may name as many as its body has room for.
#[derive(Debug)]
pub struct GroupNames {
    text: Box<str>,
    /// Where each name ends in `text`.
    ends: Box<[usize]>,
    /// The place of each name, by its hash.
    places: HashTable<usize>,
    hasher: DefaultHashBuilder,
    _charge: Charge,
}

impl GroupNames {
    /// Keeps valid group names in their order, charged to `memory` while they live. One that comes
    /// again is dropped: it could change nothing, and would be work for every connection.
    #[must_use]
    pub fn new<'a>(
        names: impl IntoIterator<Item = &'a str>,
        memory: &Arc<NodeMemory>,
    ) -> Arc<Self> {
        let (mut text, mut ends) = (String::new(), Vec::new());
        let (mut places, hasher) = (HashTable::new(), DefaultHashBuilder::default());
        for name in names {
            let hash = hasher.hash_one(name);
            let is_name = |place: &usize| name_at(&text, &ends, *place) == Some(name);
            if places.find(hash, is_name).is_some() {
                continue;
            }
            text.push_str(name);
            ends.push(text.len());
            places.insert_unique(hash, ends.len() - 1, |place| {
                hasher.hash_one(name_at(&text, &ends, *place).unwrap_or_default())
            });
        }
        let bytes = text.len() + size_of_val(&*ends) + places.allocation_size();
        Arc::new(Self {
            text: text.into(),
            ends: ends.into(),
            places,
            hasher,
            _charge: memory.guard(Account::Commands, bytes),
        })
    }

    /// How many names there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The name at `place`, from zero; `None` behind the last.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&str> {
        name_at(&self.text, &self.ends, place)
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let hash = self.hasher.hash_one(name);
        let is_name = |place: &usize| self.get(*place) == Some(name);
        self.places.find(hash, is_name).is_some()
    }
}

fn name_at<'a>(text: &'a str, ends: &[usize], place: usize) -> Option<&'a str> {
    let end = *ends.get(place)?;
    let start = match place.checked_sub(1) {
        Some(before) => *ends.get(before)?,
        None => 0,
    };
    text.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_names_keep_the_place_they_come_at_first_and_are_charged_while_they_live() {
        let memory = NodeMemory::new(u64::MAX);
        let names = GroupNames::new(["room", "ä", "room", "b", "ä"], &memory);
        let all: Vec<_> = (0..).map_while(|place| names.get(place)).collect();
        assert_eq!(all, ["room", "ä", "b"]);
        assert_eq!(names.count(), 3);
        assert_eq!(
            ["ä", "room", "b", "roomä", "roo", ""].map(|name| names.contains(name)),
            [true, true, true, false, false, false]
        );
        assert!(memory.queued() > 0);
        drop(names);
        assert_eq!(memory.queued(), 0);
        assert_eq!(GroupNames::new([], &memory).get(0), None);
    }
}
