//! The operations and their paths (protocol notes: REST operations).

use std::borrow::Cow;

use super::Fault;
use crate::name::{self, NameError};
use crate::percent::{self, NotUtf8};
use crate::role::Permission;

/// What an operation is about, as a path names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Everybody in the hub.
    Hub,
    /// The members of a group.
    Group(String),
    /// The connections of a user.
    User(String),
    /// One connection; the id may be one that nobody has.
    Connection(String),
}

/// What is done with a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermissionVerb {
    /// Give it.
    Grant,
    /// Ask whether it is there.
    Check,
    /// Take it.
    Revoke,
}

/// An operation on a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Send a message.
    Send(Target),
    /// Close connections.
    Close(Target),
    /// Say whether anybody is there.
    Exists(Target),
    /// Add a connection or a user's connections to a group.
    Join {
        /// Who joins.
        target: Target,
        /// The group.
        group: String,
    },
    /// Remove them from a group, or from all.
    Leave {
        /// Who leaves.
        target: Target,
        /// The group; `None` for all.
        group: Option<String>,
    },
    /// Add the connections that a filter matches to groups.
    JoinMany,
    /// Remove them.
    LeaveMany,
    /// List the connections in a group.
    List {
        /// The group.
        group: String,
    },
    /// Change or check what a connection may do.
    Permission {
        /// What to do.
        verb: PermissionVerb,
        /// Which permission; `None` if the path names none that there is.
        permission: Option<Permission>,
        /// The id of the connection.
        connection: String,
    },
    /// Make a token for a client.
    GenerateToken,
    /// One that the vendor's service has and this server has not, by its name.
    NotBuilt(&'static str),
}

/// Why a path is no operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Its escapes are not UTF-8.
    #[error("The path is not valid UTF-8.")]
    NotUtf8,
    /// It means nothing.
    #[error("There is nothing at this path.")]
    Unknown,
    /// It means something with these methods alone.
    #[error("This path allows {0} only.")]
    Method(&'static str),
}

/// What an escaped slash in a path segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncodedSlash {
    /// A slash in the name, like any other escape.
    #[default]
    Decode,
    /// Itself, three characters, as in the vendor's emulator.
    Keep,
}

impl Target {
    /// Checks the name.
    ///
    /// # Errors
    ///
    /// [`Fault`] if it breaks its rule.
    fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Hub => Ok(()),
            Self::Group(group) => check_group(group),
            Self::User(user) => name::check_user_id(user).map_err(|error| fault(error, "userId")),
            Self::Connection(id) => {
                name::check_connection_id(id).map_err(|error| fault(error, "connectionId"))
            }
        }
    }
}

impl EncodedSlash {
    /// Decodes a path segment, once.
    ///
    /// # Errors
    ///
    /// [`NotUtf8`].
    pub fn decode(self, segment: &str) -> Result<Cow<'_, str>, NotUtf8> {
        if self == Self::Decode || !segment.contains('%') {
            return percent::decode(segment);
        }
        let mut decoded = String::with_capacity(segment.len());
        let mut rest = segment;
        while let Some(at) = find_slash(rest) {
            // Cut at the `%`: between the parts stand three ASCII characters.
            let (before, slash) = (&rest[..at], &rest[at..at + 3]);
            decoded.push_str(&percent::decode(before)?);
            decoded.push_str(slash);
            rest = &rest[at + 3..];
        }
        decoded.push_str(&percent::decode(rest)?);
        Ok(Cow::Owned(decoded))
    }
}

fn find_slash(segment: &str) -> Option<usize> {
    segment
        .as_bytes()
        .windows(3)
        .position(|escape| escape.eq_ignore_ascii_case(b"%2f"))
}

impl Operation {
    /// Finds the operation of a method and the encoded path segments behind the hub.
    ///
    /// # Errors
    ///
    /// [`PathError`].
    pub fn find(
        method: &str,
        segments: &[&str],
        encoded_slash: EncodedSlash,
    ) -> Result<Self, PathError> {
        let decoded: Result<Vec<_>, _> = segments
            .iter()
            .map(|segment| encoded_slash.decode(segment))
            .collect();
        let decoded = decoded.map_err(|NotUtf8| PathError::NotUtf8)?;
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        let group = |name: &str| Target::Group(name.to_owned());
        let user = |id: &str| Target::User(id.to_owned());
        let connection = |id: &str| Target::Connection(id.to_owned());
        match *segments.as_slice() {
            [":send"] => only(method, "POST", Self::Send(Target::Hub)),
            ["groups", name, ":send"] => only(method, "POST", Self::Send(group(name))),
            ["users", id, ":send"] => only(method, "POST", Self::Send(user(id))),
            ["connections", id, ":send"] => only(method, "POST", Self::Send(connection(id))),
            [":closeConnections"] => only(method, "POST", Self::Close(Target::Hub)),
            ["groups", name, ":closeConnections"] => only(method, "POST", Self::Close(group(name))),
            ["users", id, ":closeConnections"] => only(method, "POST", Self::Close(user(id))),
            [":generateToken"] => only(method, "POST", Self::GenerateToken),
            [":addToGroups"] => only(method, "POST", Self::JoinMany),
            [":removeFromGroups"] => only(method, "POST", Self::LeaveMany),
            // Undocumented: the vendor's Socket.IO extension asks clients and streams the answers.
            [":invoke"] | ["groups", _, ":invoke"] => {
                only(method, "POST", Self::NotBuilt("invoke"))
            }
            ["connections", id] => match method {
                "HEAD" => Ok(Self::Exists(connection(id))),
                "DELETE" => Ok(Self::Close(connection(id))),
                _ => Err(PathError::Method("HEAD, DELETE")),
            },
            ["groups", name] => only(method, "HEAD", Self::Exists(group(name))),
            ["users", id] => only(method, "HEAD", Self::Exists(user(id))),
            ["connections", id, "groups"] => every_membership(method, connection(id)),
            ["users", id, "groups"] => every_membership(method, user(id)),
            ["groups", name, "connections"] => {
                let group = name.to_owned();
                only(method, "GET", Self::List { group })
            }
            ["groups", name, "connections", id] => membership(method, connection(id), name),
            ["users", id, "groups", name] => membership(method, user(id), name),
            ["permissions", permission, "connections", id] => Ok(Self::Permission {
                verb: match method {
                    "PUT" => PermissionVerb::Grant,
                    "HEAD" => PermissionVerb::Check,
                    "DELETE" => PermissionVerb::Revoke,
                    _ => return Err(PathError::Method("PUT, HEAD, DELETE")),
                },
                permission: Permission::from_name(permission),
                connection: id.to_owned(),
            }),
            // The vendor's preview of a chat service.
            ["chat", _, ..] => Ok(Self::NotBuilt("chat")),
            _ => Err(PathError::Unknown),
        }
    }

    /// The operation's name among metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Send(Target::Hub) => "send_to_all",
            Self::Send(Target::Group(_)) => "send_to_group",
            Self::Send(Target::User(_)) => "send_to_user",
            Self::Send(Target::Connection(_)) => "send_to_connection",
            Self::Close(Target::Hub) => "close_all_connections",
            Self::Close(Target::Group(_)) => "close_group_connections",
            Self::Close(Target::User(_)) => "close_user_connections",
            Self::Close(Target::Connection(_)) => "close_connection",
            Self::Exists(Target::Group(_)) => "group_exists",
            Self::Exists(Target::User(_)) => "user_exists",
            Self::Exists(Target::Hub | Target::Connection(_)) => "connection_exists",
            Self::Join {
                target: Target::User(_),
                ..
            } => "add_user_to_group",
            Self::Join { .. } => "add_connection_to_group",
            Self::Leave {
                target: Target::User(_),
                group: Some(_),
            } => "remove_user_from_group",
            Self::Leave {
                target: Target::User(_),
                group: None,
            } => "remove_user_from_all_groups",
            Self::Leave { group: Some(_), .. } => "remove_connection_from_group",
            Self::Leave { group: None, .. } => "remove_connection_from_all_groups",
            Self::JoinMany => "add_connections_to_groups",
            Self::LeaveMany => "remove_connections_from_groups",
            Self::List { .. } => "list_connections_in_group",
            Self::Permission { verb, .. } => match verb {
                PermissionVerb::Grant => "grant_permission",
                PermissionVerb::Check => "check_permission",
                PermissionVerb::Revoke => "revoke_permission",
            },
            Self::GenerateToken => "generate_client_token",
            Self::NotBuilt(name) => name,
        }
    }

    /// Checks the names in the path.
    ///
    /// # Errors
    ///
    /// [`Fault`] about the first that breaks its rule.
    pub fn check_names(&self) -> Result<(), Fault> {
        match self {
            Self::Send(target) | Self::Close(target) | Self::Exists(target) => target.check(),
            Self::Join { target, group }
            | Self::Leave {
                target,
                group: Some(group),
            } => {
                target.check()?;
                check_group(group)
            }
            Self::Leave {
                target,
                group: None,
            } => target.check(),
            Self::List { group } => check_group(group),
            Self::Permission {
                permission: None, ..
            } => Err(Fault::of_parameter("permission")),
            Self::Permission { connection, .. } => {
                name::check_connection_id(connection).map_err(|error| fault(error, "connectionId"))
            }
            Self::JoinMany | Self::LeaveMany | Self::GenerateToken | Self::NotBuilt(_) => Ok(()),
        }
    }
}

fn check_group(group: &str) -> Result<(), Fault> {
    name::check_group(group).map_err(|error| fault(error, "group"))
}

fn fault(error: NameError, target: &'static str) -> Fault {
    Fault::new(error.to_string(), target)
}

fn membership(method: &str, target: Target, group: &str) -> Result<Operation, PathError> {
    let group = group.to_owned();
    match method {
        "PUT" => Ok(Operation::Join { target, group }),
        "DELETE" => Ok(Operation::Leave {
            target,
            group: Some(group),
        }),
        _ => Err(PathError::Method("PUT, DELETE")),
    }
}

fn every_membership(method: &str, target: Target) -> Result<Operation, PathError> {
    let group = None;
    only(method, "DELETE", Operation::Leave { target, group })
}

fn only(method: &str, wanted: &'static str, operation: Operation) -> Result<Operation, PathError> {
    if method == wanted {
        Ok(operation)
    } else {
        Err(PathError::Method(wanted))
    }
}
