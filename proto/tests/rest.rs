//! Paths, queries and bodies of application servers (protocol notes: REST operations). Case numbers
//! are those of the notes' black-box cases.

use std::borrow::Cow;

use hubwire_proto::connection_string::{ClientType, Endpoint};
use hubwire_proto::query::Query;
use hubwire_proto::rest::{
    BulkChange, CloseParameters, EncodedSlash, Fault, ListParameters, Operation, PREVIEW_VERSIONS,
    PathError, PermissionVerb, SendParameters, Target, TokenParameters, VERSIONS, check_version,
    target_name,
};
use hubwire_proto::role::Permission;

fn find(method: &str, path: &str) -> Result<Operation, PathError> {
    let segments: Vec<&str> = path.split('/').collect();
    Operation::find(method, &segments, EncodedSlash::Decode)
}

#[test]
fn every_operation_has_its_method_and_path() {
    for (method, path, name) in [
        ("POST", ":send", "send_to_all"),
        ("POST", "groups/g/:send", "send_to_group"),
        ("POST", "users/u/:send", "send_to_user"),
        ("POST", "connections/c/:send", "send_to_connection"),
        ("HEAD", "connections/c", "connection_exists"),
        ("DELETE", "connections/c", "close_connection"),
        (
            "DELETE",
            "connections/c/groups",
            "remove_connection_from_all_groups",
        ),
        ("HEAD", "groups/g", "group_exists"),
        (
            "POST",
            "groups/g/:closeConnections",
            "close_group_connections",
        ),
        ("GET", "groups/g/connections", "list_connections_in_group"),
        ("PUT", "groups/g/connections/c", "add_connection_to_group"),
        (
            "DELETE",
            "groups/g/connections/c",
            "remove_connection_from_group",
        ),
        ("HEAD", "users/u", "user_exists"),
        (
            "POST",
            "users/u/:closeConnections",
            "close_user_connections",
        ),
        ("PUT", "users/u/groups/g", "add_user_to_group"),
        ("DELETE", "users/u/groups/g", "remove_user_from_group"),
        ("DELETE", "users/u/groups", "remove_user_from_all_groups"),
        (
            "PUT",
            "permissions/sendToGroup/connections/c",
            "grant_permission",
        ),
        (
            "HEAD",
            "permissions/sendToGroup/connections/c",
            "check_permission",
        ),
        (
            "DELETE",
            "permissions/sendToGroup/connections/c",
            "revoke_permission",
        ),
        ("POST", ":closeConnections", "close_all_connections"),
        ("POST", ":generateToken", "generate_client_token"),
        ("POST", ":addToGroups", "add_connections_to_groups"),
        (
            "POST",
            ":removeFromGroups",
            "remove_connections_from_groups",
        ),
        ("POST", ":invoke", "invoke"),
        ("POST", "groups/g/:invoke", "invoke"),
        ("GET", "chat/rooms/r", "chat"),
    ] {
        let found = find(method, path).map(|operation| {
            assert_eq!(operation.check_names(), Ok(()), "{path}");
            operation.name()
        });
        assert_eq!(found, Ok(name), "{method} {path}");
        // Not one of the methods of any path but those of the preview.
        if name != "chat" {
            assert!(
                matches!(find("PATCH", path), Err(PathError::Method(allowed)) if allowed.contains(method)),
                "{path}"
            );
        }
    }
}

#[test]
fn segments_are_decoded_once() {
    let to = |group: &str| Ok(Operation::Send(Target::Group(group.to_owned())));
    let check = |path: &str, decoded, kept| {
        assert_eq!(find("POST", path), decoded, "{path}");
        let segments: Vec<&str> = path.split('/').collect();
        assert_eq!(
            Operation::find("POST", &segments, EncodedSlash::Keep),
            kept,
            "{path}, kept"
        );
    };
    // Case 73, both ways.
    check(
        "groups/room%2Fpart/:send",
        to("room/part"),
        to("room%2Fpart"),
    );
    check(
        "groups/room%252Fpart/:send",
        to("room%2Fpart"),
        to("room%2Fpart"),
    );
    check("groups/%2f%20%2F/:send", to("/ /"), to("%2f %2F"));
    check("groups/%25%32F/:send", to("%2F"), to("%2F"));
    check("groups/a+b/%3asend", to("a+b"), to("a+b"));
    check("groups/%C3%A9%2F%C3%A9/%3Asend", to("é/é"), to("é%2Fé"));
    check("groups/é%2Fé/:send", to("é/é"), to("é%2Fé"));
    check("groups/%/:send", to("%"), to("%"));
    check("groups//:send", to(""), to(""));
    let not_utf8 = Err(PathError::NotUtf8);
    check("groups/%FF/:send", not_utf8.clone(), not_utf8.clone());
    // Halves of a character on both sides of a slash.
    check("groups/%C3%2F%A9/:send", not_utf8.clone(), not_utf8);
    let unknown = Err(PathError::Unknown);
    check("groups/a/b/:send", unknown.clone(), unknown.clone());
    check(":Send", unknown.clone(), unknown);
}

#[test]
fn permissions_are_named_in_any_case_or_numbered() {
    // Case 83.
    for (name, expect) in [
        ("sendToGroup", Some(Permission::SendToGroup)),
        ("SENDTOGROUP", Some(Permission::SendToGroup)),
        ("1", Some(Permission::SendToGroup)),
        ("joinLeaveGroup", Some(Permission::JoinLeaveGroup)),
        ("2", Some(Permission::JoinLeaveGroup)),
        ("0", None),
        ("3", None),
        ("sendToGroup,joinLeaveGroup", None),
        ("", None),
    ] {
        let found = find("PUT", &format!("permissions/{name}/connections/c")).expect(name);
        let valid = found.check_names();
        assert_eq!(
            found,
            Operation::Permission {
                verb: PermissionVerb::Grant,
                permission: expect,
                connection: "c".to_owned()
            }
        );
        let fault = Fault::new("Invalid permission.", "permission");
        assert_eq!(valid, if expect.is_some() { Ok(()) } else { Err(fault) });
    }
}

#[test]
fn names_in_paths_are_checked() {
    let long = "g".repeat(1025);
    for (method, path, message, target) in [
        ("POST", "groups/%20/:send", "Invalid group name.", "group"),
        (
            "POST",
            &format!("groups/{long}/:send"),
            "Invalid group name.",
            "group",
        ),
        ("GET", "groups//connections", "Invalid group name.", "group"),
        ("PUT", "users/u/groups/%09", "Invalid group name.", "group"),
        ("HEAD", "users/%20", "Invalid user ID.", "userId"),
        (
            "PUT",
            "groups/g/connections/%20",
            "Invalid connection ID.",
            "connectionId",
        ),
        (
            "PUT",
            "permissions/1/connections/%20",
            "Invalid connection ID.",
            "connectionId",
        ),
    ] {
        let operation = find(method, path).expect(path);
        assert_eq!(
            operation.check_names(),
            Err(Fault::new(message, target)),
            "{path}"
        );
    }
}

#[test]
fn a_version_is_known_or_absent() {
    let check = |query: &str, previews: bool, expect: bool| {
        let checked = check_version(&Query::parse(Some(query)), previews);
        assert_eq!(checked.is_ok(), expect, "{query}");
    };
    check("", false, true); // Case 67.
    for version in VERSIONS {
        check(&format!("api-version={version}"), false, true);
    }
    for version in PREVIEW_VERSIONS {
        check(&format!("api-version={version}"), false, false);
        check(&format!("api-version={version}"), true, true);
    }
    // Case 66.
    check("api-version=2099-01-01", true, false);
    check("api-version=2024-12-01&api-version=2024-12-01", true, false);
    check("api-version=2024-01-01,2024-12-01", true, false);
    check("api-version=", true, false);
    check("api-version=%FF", true, false);
}

#[test]
fn a_number_is_given_once_in_digits_and_in_its_range() {
    let check = |query: &str, expect: Option<Option<u32>>| {
        let read = ListParameters::read(&Query::parse(Some(query)));
        assert_eq!(read.ok().map(|read| read.top), expect, "{query}");
    };
    check("", Some(None));
    check("top=1", Some(Some(1)));
    check("top=2147483647", Some(Some(2_147_483_647)));
    for wrong in [
        "top=",
        "top",
        "top=0",
        "top=2147483648",
        "top=+5",
        "top=-1",
        "top=1.0",
        "top=%201",
        "top=1&top=1",
        "top=99999999999",
        "top=%FF",
    ] {
        check(wrong, None);
    }
}

#[test]
fn parameters_are_read_as_they_were_meant() {
    let query = "excluded=a&excluded=b,%20c&filter=&messageTtlSeconds=300";
    let read = SendParameters::read(&Query::parse(Some(query))).expect(query);
    assert_eq!(read.excluded, ["a", "b, c"]);
    assert_eq!((read.filter, read.time_to_live), (None, Some(300)));
    for (query, target) in [
        ("messageTtlSeconds=301", "messageTtlSeconds"),
        ("filter=true&filter=true", "filter"),
        ("filter=%FF", "filter"),
        ("excluded=%FF", "excluded"),
    ] {
        let fault = SendParameters::read(&Query::parse(Some(query))).map_err(|fault| fault.target);
        assert_eq!(fault, Err(target), "{query}");
    }
    let query = Query::parse(Some("reason=&reason=so+be+it"));
    let read = CloseParameters::read(&query).map(|read| read.reason);
    assert_eq!(read, Ok(Some("so be it".into())));
    let long = format!("reason={}", "x".repeat(4097));
    assert!(CloseParameters::read(&Query::parse(Some(&long))).is_err());
    for (query, expect) in [
        ("", Ok(None)),
        ("targetName=room.*", Ok(Some("room.*".into()))),
        ("targetName=", Err("targetName")),
        ("targetName=%20", Err("targetName")),
        ("targetName=a&targetName=a", Err("targetName")),
    ] {
        let read = target_name(&Query::parse(Some(query))).map_err(|fault| fault.target);
        assert_eq!(read, expect, "{query}");
    }
}

#[test]
fn tokens_are_asked_for_with_defaults() {
    let read = |query: &'static str| TokenParameters::read(&Query::parse(Some(query)));
    let asked = read("userId=ann&role=a&role=b&group=g&group=h&minutesToExpire=5&clientType=MQTT");
    let expect = TokenParameters {
        user_id: Some("ann".into()),
        roles: vec!["a".into(), "b".into()],
        groups: vec!["g".into(), "h".into()],
        minutes: 5,
        client_type: ClientType::Mqtt,
    };
    assert_eq!(asked, Ok(expect));
    let plain = read("userId=").expect("no parameter");
    assert_eq!((plain.user_id, plain.minutes), (None, 60));
    assert_eq!(plain.client_type, ClientType::Default);
    assert_eq!(read("minutesToExpire=0").map(|read| read.minutes), Ok(60));
    for (name, expect) in [
        ("clientType=default", ClientType::Default),
        ("clientType=mqtt", ClientType::Mqtt),
        ("clientType=socketio", ClientType::SocketIo),
        ("clientType=SocketIO", ClientType::SocketIo),
    ] {
        assert_eq!(
            read(name).map(|read| read.client_type),
            Ok(expect),
            "{name}"
        );
    }
    for (query, target) in [
        ("minutesToExpire=-1", "minutesToExpire"),
        ("minutesToExpire=2147483648", "minutesToExpire"),
        ("clientType=other", "clientType"),
        ("clientType=", "clientType"),
        ("group=%20", "group"),
        ("userId=a&userId=b", "userId"),
        ("userId=a&USERID=b", "userId"),
        ("userId=%20%20", "userId"),
        ("role=%FF", "role"),
    ] {
        assert_eq!(
            read(query).map_err(|fault| fault.target),
            Err(target),
            "{query}"
        );
    }
    let endpoint = Endpoint::parse("https://h/base").expect("an endpoint");
    for (client_type, audience) in [
        (ClientType::Default, "https://h/base/client/hubs/chat"),
        (ClientType::Mqtt, "https://h/base/clients/mqtt/hubs/chat"),
        (
            ClientType::SocketIo,
            "https://h/base/clients/socketio/hubs/chat",
        ),
    ] {
        assert_eq!(endpoint.audience(client_type, "chat"), audience);
    }
}

#[test]
fn bulk_changes_name_groups_and_perhaps_a_filter() {
    let check = |body: &str, groups: &[&str], filter: Option<&str>| {
        let groups: Vec<_> = groups.iter().map(|group| (*group).into()).collect();
        let groups: &[Cow<'_, str>] = &groups;
        let read = BulkChange::parse(body).expect(body);
        assert_eq!(
            (read.groups.as_slice(), read.filter.as_deref()),
            (groups, filter)
        );
    };
    check(r#"{"groups":["a"]}"#, &["a"], None);
    check(
        r#"{"groups":["a","a"," b "],"filter":null}"#,
        &["a", "a", " b "],
        None,
    );
    check(
        r#" {"GROUPS":["a"],"Filter":"","more":[{}]} "#,
        &["a"],
        None,
    );
    check(r#"{"groups":["a"],"filter":" "}"#, &["a"], Some(" "));
    check(r#"{"groups":null,"groups":["b\u00e9"]}"#, &["bé"], None);
    let refuse = |body: &str, message: &'static str| {
        assert_eq!(
            BulkChange::parse(body),
            Err(Fault::of_request(message)),
            "{body}"
        );
    };
    for body in [
        "",
        "x",
        "[]",
        r#"["a"]"#,
        "null",
        "{",
        r#"{"groups":["a"]} x"#,
        r#"{"groups":"a"}"#,
        r#"{"groups":[null]}"#,
        r#"{"groups":[1]}"#,
        r#"{"groups":["a"],"filter":5}"#,
        &"[".repeat(100_000),
    ] {
        refuse(body, "The request body is not a valid groups request.");
    }
    let long = format!(r#"{{"groups":["{}"]}}"#, "g".repeat(1025));
    for body in [
        "{}",
        r#"{"groups":[]}"#,
        r#"{"groups":null}"#,
        r#"{"groups":["a",""]}"#,
        r#"{"groups":[" "]}"#,
        &long,
    ] {
        refuse(body, "A nonempty list of valid group names is required.");
    }
}
