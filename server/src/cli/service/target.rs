//! Whom a request is about. Which of the arguments belong together is said by the command, since a
//! group of arguments does not reach into another.

use super::address::Address;

/// Everybody, or the connections of a group, a user, or one of them.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct AnyTarget {
    /// Every connection of the hub
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    part: PartTarget,
}

/// The connections of a group, a user, or one of them.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct PartTarget {
    /// The connections of this group
    #[arg(long)]
    group: Option<String>,
    /// The connections of this user
    #[arg(long)]
    user: Option<String>,
    /// The connection with this ID
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    connection: Option<String>,
}

impl AnyTarget {
    /// The path below that of the hub.
    pub(super) fn below(&self, hub: Address) -> Address {
        self.part.below(hub)
    }

    pub(super) fn is_connection(&self) -> bool {
        self.part.connection.is_some()
    }
}

impl PartTarget {
    /// The path below that of the hub.
    pub(super) fn below(&self, hub: Address) -> Address {
        match (&self.group, &self.user, &self.connection) {
            (Some(group), ..) => hub.fixed("groups").name(group),
            (_, Some(user), _) => hub.fixed("users").name(user),
            (.., Some(connection)) => hub.fixed("connections").name(connection),
            (None, None, None) => hub,
        }
    }
}
