//! The one vocabulary of work: `{hub, target, action}`, wherever it comes from.

use std::sync::Arc;

use crate::ask::ReplyTo;
use crate::id::{ConnectionId, ConnectionIdText};
use crate::publication::Publication;

/// Something to do to connections of one hub. Cloning it shares everything that is large.
#[derive(Debug, Clone)]
pub struct Command {
    /// The lower-case hub name.
    pub hub: Arc<str>,
    /// Whom it concerns.
    pub target: Target,
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

/// What a command does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Send a message to each.
    Deliver {
        /// The message.
        publication: Arc<Publication>,
        /// Who does not get it.
        excluded: Excluded,
    },
    /// Make each a member of a group.
    Join {
        /// The group.
        group: Arc<str>,
        /// Where to say that it is done.
        reply: Option<ReplyTo>,
    },
    /// End the membership of each in a group, or in all groups.
    Leave {
        /// The group; `None` for all.
        group: Option<Arc<str>>,
        /// Where to say that it is done.
        reply: Option<ReplyTo>,
    },
    /// Close each connection.
    Close {
        /// The application server's reason.
        reason: Option<Arc<str>>,
        /// Who stays.
        excluded: Excluded,
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
}

impl Action {
    /// Where the answer to this action goes, if anybody waits for one.
    #[must_use]
    pub fn reply_to(&self) -> Option<ReplyTo> {
        match self {
            Self::Deliver { .. } => None,
            Self::Join { reply, .. } | Self::Leave { reply, .. } | Self::Close { reply, .. } => {
                *reply
            }
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
