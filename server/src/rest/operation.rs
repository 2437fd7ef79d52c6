//! The operations and their paths (protocol notes: REST operations).

use std::sync::Arc;

use hubwire_core::command::Target;
use hubwire_core::id::ConnectionId;
use hubwire_proto::{name, percent};
use hyper::Method;

use super::error::RestError;

/// Whom an operation is about, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aim {
    /// Everybody in the hub.
    Hub,
    /// The members of a group.
    Group(String),
    /// The connections of a user.
    User(String),
    /// One connection.
    Connection(String),
}

impl Aim {
    /// Whom the shards know by it; `None` for an id that no connection can have.
    pub(super) fn target(&self) -> Option<Target> {
        Some(match self {
            Self::Hub => Target::All,
            Self::Group(group) => Target::Group(Arc::from(group.as_str())),
            Self::User(user) => Target::User(Arc::from(user.as_str())),
            Self::Connection(id) => Target::Connection(ConnectionId::parse(id)?),
        })
    }

    fn check(&self) -> Result<(), RestError> {
        let (checked, target) = match self {
            Self::Hub => return Ok(()),
            Self::Group(group) => (name::check_group(group), "group"),
            Self::User(user) => (name::check_user_id(user), "userId"),
            Self::Connection(id) => (name::check_connection_id(id), "connectionId"),
        };
        checked.map_err(|error| RestError::bad_request(error.to_string(), target))
    }
}

/// An operation on a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// Send a message.
    Send(Aim),
    /// Close connections.
    Close(Aim),
    /// Say whether anybody is there.
    Exists(Aim),
    /// Add a connection or a user's connections to a group.
    Join { aim: Aim, group: String },
    /// Remove them from a group, or from all.
    Leave { aim: Aim, group: Option<String> },
    /// List the connections in a group.
    List { group: String },
    /// One that is not built yet.
    Unsupported(&'static str),
}

impl Operation {
    /// Finds the operation of a method and the encoded path segments behind the hub.
    pub(super) fn find(method: &Method, segments: &[&str]) -> Result<Self, RestError> {
        let decoded: Result<Vec<_>, _> =
            segments.iter().map(|text| percent::decode(text)).collect();
        let decoded = decoded
            .map_err(|_| RestError::bad_request("The path is not valid UTF-8.", "Request"))?;
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        let group = |name: &str| Aim::Group(name.to_owned());
        let user = |name: &str| Aim::User(name.to_owned());
        let connection = |id: &str| Aim::Connection(id.to_owned());
        match *segments.as_slice() {
            [":send"] => post(method, Self::Send(Aim::Hub)),
            ["groups", name, ":send"] => post(method, Self::Send(group(name))),
            ["users", name, ":send"] => post(method, Self::Send(user(name))),
            ["connections", id, ":send"] => post(method, Self::Send(connection(id))),
            [":closeConnections"] => post(method, Self::Close(Aim::Hub)),
            ["groups", name, ":closeConnections"] => post(method, Self::Close(group(name))),
            ["users", name, ":closeConnections"] => post(method, Self::Close(user(name))),
            [":generateToken"] => post(method, Self::Unsupported("generate_client_token")),
            [":addToGroups"] => post(method, Self::Unsupported("add_connections_to_groups")),
            [":removeFromGroups"] => {
                post(method, Self::Unsupported("remove_connections_from_groups"))
            }
            ["connections", id] => match *method {
                Method::HEAD => Ok(Self::Exists(connection(id))),
                Method::DELETE => Ok(Self::Close(connection(id))),
                _ => Err(RestError::method_not_allowed("HEAD, DELETE")),
            },
            ["groups", name] => head(method, Self::Exists(group(name))),
            ["users", name] => head(method, Self::Exists(user(name))),
            ["connections", id, "groups"] => delete(
                method,
                Self::Leave {
                    aim: connection(id),
                    group: None,
                },
            ),
            ["users", name, "groups"] => delete(
                method,
                Self::Leave {
                    aim: user(name),
                    group: None,
                },
            ),
            ["groups", name, "connections"] => match *method {
                Method::GET => Ok(Self::List {
                    group: name.to_owned(),
                }),
                _ => Err(RestError::method_not_allowed("GET")),
            },
            ["groups", name, "connections", id] => membership(method, connection(id), name),
            ["users", user_id, "groups", name] => membership(method, user(user_id), name),
            ["permissions", _, "connections", _] => match *method {
                Method::PUT => Ok(Self::Unsupported("grant_permission")),
                Method::HEAD => Ok(Self::Unsupported("check_permission")),
                Method::DELETE => Ok(Self::Unsupported("revoke_permission")),
                _ => Err(RestError::method_not_allowed("PUT, HEAD, DELETE")),
            },
            _ => Err(RestError::not_found()),
        }
    }

    /// The operation's name among the metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Send(Aim::Hub) => "send_to_all",
            Self::Send(Aim::Group(_)) => "send_to_group",
            Self::Send(Aim::User(_)) => "send_to_user",
            Self::Send(Aim::Connection(_)) => "send_to_connection",
            Self::Close(Aim::Hub) => "close_all_connections",
            Self::Close(Aim::Group(_)) => "close_group_connections",
            Self::Close(Aim::User(_)) => "close_user_connections",
            Self::Close(Aim::Connection(_)) => "close_connection",
            Self::Exists(Aim::Group(_)) => "group_exists",
            Self::Exists(Aim::User(_)) => "user_exists",
            Self::Exists(Aim::Hub | Aim::Connection(_)) => "connection_exists",
            Self::Join {
                aim: Aim::User(_), ..
            } => "add_user_to_group",
            Self::Join { .. } => "add_connection_to_group",
            Self::Leave {
                aim: Aim::User(_),
                group: Some(_),
            } => "remove_user_from_group",
            Self::Leave {
                aim: Aim::User(_),
                group: None,
            } => "remove_user_from_all_groups",
            Self::Leave { group: Some(_), .. } => "remove_connection_from_group",
            Self::Leave { group: None, .. } => "remove_connection_from_all_groups",
            Self::List { .. } => "list_connections_in_group",
            Self::Unsupported(name) => name,
        }
    }

    /// Checks the names in the path.
    pub(super) fn check_names(&self) -> Result<(), RestError> {
        match self {
            Self::Send(aim) | Self::Close(aim) | Self::Exists(aim) => aim.check(),
            Self::Join { aim, group }
            | Self::Leave {
                aim,
                group: Some(group),
            } => {
                aim.check()?;
                Aim::Group(group.clone()).check()
            }
            Self::Leave { aim, group: None } => aim.check(),
            Self::List { group } => Aim::Group(group.clone()).check(),
            Self::Unsupported(_) => Ok(()),
        }
    }
}

fn membership(method: &Method, aim: Aim, group: &str) -> Result<Operation, RestError> {
    let group = group.to_owned();
    match *method {
        Method::PUT => Ok(Operation::Join { aim, group }),
        Method::DELETE => Ok(Operation::Leave {
            aim,
            group: Some(group),
        }),
        _ => Err(RestError::method_not_allowed("PUT, DELETE")),
    }
}

fn post(method: &Method, operation: Operation) -> Result<Operation, RestError> {
    only(method, &Method::POST, "POST", operation)
}

fn head(method: &Method, operation: Operation) -> Result<Operation, RestError> {
    only(method, &Method::HEAD, "HEAD", operation)
}

fn delete(method: &Method, operation: Operation) -> Result<Operation, RestError> {
    only(method, &Method::DELETE, "DELETE", operation)
}

fn only(
    method: &Method,
    wanted: &Method,
    name: &'static str,
    operation: Operation,
) -> Result<Operation, RestError> {
    if method == wanted {
        Ok(operation)
    } else {
        Err(RestError::method_not_allowed(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expect: &Result<Operation, u16>) {
        let segments: Vec<&str> = path.split('/').collect();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = Operation::find(&method, &segments).map_err(|error| error.status.as_u16());
        assert_eq!(found, *expect, "{method} {path}");
    }

    #[test]
    fn segments_are_decoded_once_and_a_colon_may_be_encoded() {
        let to = |group: &str| Ok(Operation::Send(Aim::Group(group.to_owned())));
        check("POST", "groups/a%2Fb/:send", &to("a/b"));
        check("POST", "groups/a%252Fb/%3Asend", &to("a%2Fb"));
        check("POST", "groups/a+b/%3asend", &to("a+b"));
        check("POST", "groups//:send", &to(""));
        check("POST", "groups/%FF/:send", &Err(400));
        check("POST", "groups/a/b/:send", &Err(404));
        check("POST", ":Send", &Err(404));
    }

    #[test]
    fn a_known_path_with_another_method_is_not_allowed() {
        let aim = || Aim::Connection("c".to_owned());
        check("HEAD", "connections/c", &Ok(Operation::Exists(aim())));
        check("DELETE", "connections/c", &Ok(Operation::Close(aim())));
        check("GET", "connections/c", &Err(405));
        check("GET", ":send", &Err(405));
        check("POST", "groups/g/connections/c", &Err(405));
        check("PATCH", "permissions/p/connections/c", &Err(405));
        check(
            "GET",
            "groups/g/connections",
            &Ok(Operation::List {
                group: "g".to_owned(),
            }),
        );
    }
}
