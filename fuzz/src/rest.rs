//! Requests of application servers, as a request line and a body.

use std::sync::LazyLock;

use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::name::check_group;
use hubwire_proto::percent::encode;
use hubwire_proto::query::Query;
use hubwire_proto::rest::{
    BulkChange, CloseParameters, EncodedSlash, ListParameters, MAX_REASON_BYTES,
    MAX_TIME_TO_LIVE_SECONDS, Operation, PermissionVerb, SendParameters, Target, TokenParameters,
    check_version, target_name,
};
use hubwire_proto::role::Permission;
use hubwire_proto::route::Route;

static ENDPOINTS: LazyLock<[Endpoint; 1]> =
    LazyLock::new(|| [Endpoint::parse("http://h/base").expect("an endpoint")]);

/// No path, query or body panics the readers. What a path means it means in its canonical spelling
/// too, an escaped slash never cuts a path, and what is accepted is within its bounds.
///
/// The input is `METHOD PATH?QUERY`, and behind a line break the body.
pub fn rest_path(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else {
        return;
    };
    let (line, body) = input.split_once('\n').unwrap_or((input, ""));
    let (method, target) = line.split_once(' ').unwrap_or(("", line));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    parameters(&Query::parse(query));
    if let Ok(change) = BulkChange::parse(body) {
        assert!(!change.groups.is_empty());
        assert!(change.groups.iter().all(|group| check_group(group).is_ok()));
        assert_ne!(change.filter.as_deref(), Some(""));
    }
    let Route::Hub { hub, segments } = Route::of(path, &*ENDPOINTS) else {
        return;
    };
    assert!(!hub.contains('/') && !segments.is_empty());
    for slash in [EncodedSlash::Decode, EncodedSlash::Keep] {
        let Ok(operation) = Operation::find(method, &segments, slash) else {
            continue;
        };
        assert!(!operation.name().is_empty());
        if operation.check_names().is_err() {
            continue;
        }
        let names = names(&operation);
        if slash == EncodedSlash::Keep {
            assert!(names.iter().all(|name| !name.contains('/')));
        }
        // The body of the path with each name spelled in one way: encoded as a whole.
        if let Some((method, path)) = spelled(&operation) {
            let segments: Vec<&str> = path.split('/').collect();
            let again = Operation::find(method, &segments, EncodedSlash::Decode);
            assert_eq!(again, Ok(operation));
        }
    }
}

fn parameters(query: &Query<'_>) {
    if check_version(query, false).is_ok() {
        assert!(check_version(query, true).is_ok());
    }
    if let Ok(send) = SendParameters::read(query) {
        assert!(send.time_to_live <= Some(MAX_TIME_TO_LIVE_SECONDS));
        assert_ne!(send.filter.as_deref(), Some(""));
    }
    if let Ok(close) = CloseParameters::read(query) {
        let length = close.reason.map_or(1, |reason| reason.len());
        assert!((1..=MAX_REASON_BYTES).contains(&length));
    }
    if let Ok(list) = ListParameters::read(query) {
        assert!((1..=200).contains(&list.page) && list.top != Some(0));
    }
    if let Ok(token) = TokenParameters::read(query) {
        assert!(token.minutes > 0);
        assert!(token.groups.iter().all(|group| check_group(group).is_ok()));
    }
    if let Ok(Some(group)) = target_name(query) {
        assert!(check_group(&group).is_ok());
    }
}

fn names(operation: &Operation) -> Vec<&str> {
    let of = |target| match target {
        &Target::Hub => "",
        Target::Group(name) | Target::User(name) | Target::Connection(name) => name.as_str(),
    };
    match operation {
        Operation::Send(target) | Operation::Close(target) | Operation::Exists(target) => {
            vec![of(target)]
        }
        Operation::Join { target, group } => vec![of(target), group],
        Operation::Leave { target, group } => vec![of(target), group.as_deref().unwrap_or("")],
        Operation::List { group } => vec![group],
        Operation::Permission { connection, .. } => vec![connection],
        Operation::JoinMany
        | Operation::LeaveMany
        | Operation::GenerateToken
        | Operation::NotBuilt(_) => Vec::new(),
    }
}

/// Method and path behind the hub; `None` for what is not built.
fn spelled(operation: &Operation) -> Option<(&'static str, String)> {
    let of = |target: &Target| match target {
        Target::Hub => String::new(),
        Target::Group(name) => format!("groups/{}/", encode(name)),
        Target::User(name) => format!("users/{}/", encode(name)),
        Target::Connection(name) => format!("connections/{}/", encode(name)),
    };
    let alone = |target: &Target| of(target).trim_end_matches('/').to_owned();
    // A group stands before its connections, but behind its users.
    let member = |target: &Target, group: &str| match target {
        Target::Connection(_) => format!("groups/{}/{}", encode(group), alone(target)),
        _ => format!("{}groups/{}", of(target), encode(group)),
    };
    Some(match operation {
        Operation::Send(target) => ("POST", format!("{}:send", of(target))),
        Operation::Close(target @ Target::Connection(_)) => ("DELETE", alone(target)),
        Operation::Close(target) => ("POST", format!("{}:closeConnections", of(target))),
        Operation::Exists(target) => ("HEAD", alone(target)),
        Operation::Join { target, group } => ("PUT", member(target, group)),
        Operation::Leave { target, group } => match group {
            Some(group) => ("DELETE", member(target, group)),
            None => ("DELETE", format!("{}groups", of(target))),
        },
        Operation::List { group } => ("GET", format!("groups/{}/connections", encode(group))),
        Operation::Permission {
            verb,
            permission,
            connection,
        } => {
            let method = match verb {
                PermissionVerb::Grant => "PUT",
                PermissionVerb::Check => "HEAD",
                PermissionVerb::Revoke => "DELETE",
            };
            let permission = match (*permission)? {
                Permission::SendToGroup => "sendToGroup",
                Permission::JoinLeaveGroup => "joinLeaveGroup",
            };
            let connection = encode(connection);
            (
                method,
                format!("permissions/{permission}/connections/{connection}"),
            )
        }
        Operation::JoinMany => ("POST", ":addToGroups".to_owned()),
        Operation::LeaveMany => ("POST", ":removeFromGroups".to_owned()),
        Operation::GenerateToken => ("POST", ":generateToken".to_owned()),
        Operation::NotBuilt(_) => return None,
    })
}
