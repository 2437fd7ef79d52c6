//! Membership: one connection, one user, many connections at once.

use serde_json::{Value, json};

use super::{HUB, send};
use crate::support::{Client, Request, Response, Server, on_one_and_four_shards};

#[test]
fn connections_are_added_and_removed() {
    on_one_and_four_shards("[limits]\ngroups_per_connection = 2\n", |server| {
        let rest = |method: &str, path: &str| server.rest(method, &format!("{HUB}/{path}")).status;
        let (mut client, id) = Client::json(server, "chat", None);
        assert_eq!(rest("HEAD", &format!("connections/{id}")), 200);
        assert_eq!(rest("PUT", &format!("groups/a%2Fb/connections/{id}")), 200);
        assert_eq!(rest("PUT", &format!("groups/a%2Fb/connections/{id}")), 200);
        // Case 73, where every segment is decoded exactly once.
        assert_eq!(rest("HEAD", "groups/a%2Fb"), 200);
        assert_eq!(rest("HEAD", "groups/a%252Fb"), 404);
        assert_eq!(
            send(
                server,
                &format!("{HUB}/groups/a%2Fb/:send"),
                "text/plain",
                "1"
            ),
            202
        );
        assert_eq!(client.message()["group"], "a/b");
        assert_eq!(rest("PUT", &format!("groups/two/connections/{id}")), 200);
        assert_eq!(rest("PUT", &format!("groups/three/connections/{id}")), 400);
        assert_eq!(rest("DELETE", &format!("groups/two/connections/{id}")), 204);
        assert_eq!(rest("HEAD", "groups/two"), 404);
        assert_eq!(rest("DELETE", &format!("connections/{id}/groups")), 204);
        assert_eq!(rest("HEAD", "groups/a%2Fb"), 404);
        // The same id in another hub is nobody.
        assert_eq!(
            server
                .rest("HEAD", &format!("/api/hubs/other/connections/{id}"))
                .status,
            404
        );
        assert_eq!(
            server
                .rest("DELETE", &format!("/api/hubs/other/connections/{id}"))
                .status,
            204
        );
        assert_eq!(rest("HEAD", &format!("connections/{id}")), 200);
    });
}

#[test]
fn users_are_added_and_removed_with_all_their_connections() {
    on_one_and_four_shards("", |server| {
        let rest = |method: &str, path: &str| server.rest(method, &format!("{HUB}/{path}")).status;
        let mut clients: Vec<Client> = (0..5)
            .map(|_| Client::json(server, "chat", Some("ann")).0)
            .collect();
        assert_eq!(rest("HEAD", "users/ann"), 200);
        assert_eq!(rest("HEAD", "users/Ann"), 404);
        assert_eq!(rest("PUT", "users/ann/groups/room"), 200);
        assert_eq!(
            send(
                server,
                &format!("{HUB}/groups/room/:send"),
                "text/plain",
                "1"
            ),
            202
        );
        for client in &mut clients {
            assert_eq!(client.message()["data"], "1");
        }
        assert_eq!(rest("DELETE", "users/ann/groups/room"), 204);
        assert_eq!(rest("HEAD", "groups/room"), 404);
        assert_eq!(rest("PUT", "users/ann/groups/room"), 200);
        assert_eq!(rest("DELETE", "users/ann/groups"), 204);
        assert_eq!(rest("HEAD", "groups/room"), 404);
    });
}

/// Posts a bulk change.
fn post(server: &Server, action: &str, content_type: &str, body: impl AsRef<[u8]>) -> Response {
    let request = Request::new("POST", &format!("{HUB}/{action}"));
    server.send(request.body(content_type, body).authorized(server))
}

fn change(server: &Server, action: &str, body: &Value) {
    let response = post(server, action, "application/json", body.to_string());
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, ""),
        "{action} {body}"
    );
}

#[test]
fn many_connections_join_and_leave_many_groups() {
    on_one_and_four_shards("", |server| {
        let members = |group: &str| {
            let page = server.rest("GET", &format!("{HUB}/groups/{group}/connections"));
            page.json()["value"].as_array().unwrap().len()
        };
        let add = |body: Value| change(server, ":addToGroups", &body);
        let remove = |body: Value| change(server, ":removeFromGroups", &body);
        // Nobody is there, and that is no error.
        add(json!({ "groups": ["a"] }));
        let mut clients: Vec<(Client, String)> = (0..9)
            .map(|number| {
                let user = ["ann", "bob", "cid"][number % 3];
                Client::json(server, "chat", Some(user))
            })
            .collect();
        let (_elsewhere, _) = Client::json(server, "other", Some("ann"));
        add(json!({ "groups": ["a", "b", "a", "c/d"], "filter": "userId eq 'ann'" }));
        for group in ["a", "b", "c%2Fd"] {
            assert_eq!(members(group), 3, "{group}");
        }
        // Case 79.
        add(json!({ "groups": ["all"], "filter": "" }));
        add(json!({ "Groups": ["all2"], "FILTER": null }));
        assert_eq!((members("all"), members("all2")), (9, 9));
        // Case 78: the filter holds for a member until it has left.
        remove(json!({ "groups": ["b", "a", "missing"], "filter": "'a' in groups" }));
        assert_eq!((members("a"), members("b"), members("c%2Fd")), (0, 0, 3));
        remove(json!({ "groups": ["all2"] }));
        assert_eq!(members("all2"), 0);
        let room = format!("{HUB}/groups/all/:send");
        assert_eq!(send(server, &room, "text/plain", "to all"), 202);
        for (client, _) in &mut clients {
            assert_eq!(client.message()["data"], "to all");
        }
    });
}

#[test]
fn a_thousand_groups_can_be_named_at_once() {
    on_one_and_four_shards("[limits]\ngroups_per_connection = 2000\n", |server| {
        let exists = |path: &str| server.rest("HEAD", &format!("{HUB}/{path}")).status == 200;
        let (_client, id) = Client::json(server, "chat", None);
        let groups: Vec<String> = (0..1025).map(|number| format!("g{number}")).collect();
        change(server, ":addToGroups", &json!({ "groups": groups }));
        assert!(exists("groups/g0") && exists("groups/g1024"));
        change(server, ":removeFromGroups", &json!({ "groups": groups }));
        assert!(!exists("groups/g0") && !exists("groups/g1024"));
        assert!(exists(&format!("connections/{id}")));
    });
}

#[test]
fn a_wrong_bulk_change_changes_nothing() {
    on_one_and_four_shards("", |server| {
        let (_client, _) = Client::json(server, "chat", Some("ann"));
        let room_exists = || {
            let response = server.rest("HEAD", &format!("{HUB}/groups/room"));
            response.status == 200
        };
        let good = r#"{"groups":["room"]}"#;
        let not_a_request = "The request body is not a valid groups request.";
        let required = "A nonempty list of valid group names is required.";
        let type_fault =
            "Invalid syntax for 'userId lt 1': Type 'string', expect 'int'. (Parameter 'filter')";
        let content_type = "The content type must be application/json, with a known charset.";
        let json = "application/json";
        for (content, body, status, message) in [
            ("", good, 415, content_type),
            ("text/plain", good, 415, content_type),
            ("application/octet-stream", good, 415, content_type),
            ("application/json; charset=klingon", good, 415, content_type),
            (json, "", 400, not_a_request),
            (json, r#"["room"]"#, 400, not_a_request),
            (json, r#"{"groups":["room",null]}"#, 400, not_a_request),
            (
                json,
                r#"{"groups":["room"],"filter":1}"#,
                400,
                not_a_request,
            ),
            (json, r#"{"groups":[]}"#, 400, required),
            (json, r#"{"filter":"true"}"#, 400, required),
            (json, r#"{"groups":["room"," "]}"#, 400, required),
            (
                json,
                r#"{"groups":["room"],"filter":"userId lt 1"}"#,
                400,
                type_fault,
            ),
        ] {
            for action in [":addToGroups", ":removeFromGroups"] {
                let response = post(server, action, content, body);
                assert_eq!(response.status, status, "{action} {content} {body}");
                let json = response.json();
                assert_eq!(
                    (&json["message"], &json["target"]),
                    (&message.into(), &"Request".into())
                );
            }
        }
        let blank = r#"{"groups":["room"],"filter":" "}"#;
        assert_eq!(post(server, ":addToGroups", json, blank).status, 400);
        assert!(!room_exists());
        let utf16: Vec<u8> = good.bytes().flat_map(|byte| [0, byte]).collect();
        let utf16 = post(
            server,
            ":addToGroups",
            "application/json; charset=UTF-16BE",
            utf16,
        );
        assert_eq!(utf16.status, 200);
        assert!(room_exists());
    });
}
