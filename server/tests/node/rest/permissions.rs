//! Permissions that are granted, checked and revoked while a client is connected.

use serde_json::json;

use super::HUB;
use crate::support::{Client, Connect, JSON, Request, Server, Token, on_one_and_four_shards};

/// A json client with these roles, and its id.
fn client(server: &Server, roles: &[&str]) -> (Client, String) {
    let token = Token::client(server, "chat");
    let token = roles.iter().fold(token, |token, role| token.role(role));
    let connect = Connect::to("chat", &token).offering(JSON);
    let mut client = connect.open(server).unwrap();
    let connected = client.connected();
    let id = connected["connectionId"].as_str().unwrap().to_owned();
    (client, id)
}

fn path(permission: &str, id: &str, group: &str) -> String {
    format!("{HUB}/permissions/{permission}/connections/{id}?targetName={group}")
}

/// Whether a request of the client succeeds; the error of one that does not must be `Forbidden`.
fn may(client: &mut Client, kind: &str, group: &str, ack_id: u64) -> bool {
    let mut request = json!({ "type": kind, "group": group, "ackId": ack_id });
    if kind == "sendToGroup" {
        request["dataType"] = "text".into();
        request["data"] = "x".into();
        request["noEcho"] = true.into();
    }
    client.send(&request.to_string());
    let ack = client.message();
    assert_eq!(
        (&ack["type"], &ack["ackId"]),
        (&json!("ack"), &json!(ack_id))
    );
    let succeeds = ack["success"] == true;
    if !succeeds {
        assert_eq!(ack["error"]["name"], "Forbidden");
    }
    succeeds
}

#[test]
fn a_grant_holds_at_once_until_it_is_revoked() {
    on_one_and_four_shards("", |server| {
        let rest = |method: &str, path: &str| server.rest(method, path).status;
        let (mut client, id) = client(server, &[]);
        // Case 23: the same id succeeds once the grant is there.
        assert!(!may(&mut client, "joinGroup", "room", 1));
        let join = path("joinLeaveGroup", &id, "room");
        assert_eq!(rest("HEAD", &join), 404);
        for _ in 0..2 {
            assert_eq!(rest("PUT", &join), 200);
        }
        assert_eq!(rest("HEAD", &join), 200);
        assert!(may(&mut client, "joinGroup", "room", 1));
        assert!(!may(&mut client, "joinGroup", "other", 2));
        assert!(!may(&mut client, "sendToGroup", "room", 3));
        // Case 85.
        for _ in 0..2 {
            assert_eq!(rest("DELETE", &join), 204);
        }
        assert_eq!(rest("HEAD", &join), 404);
        assert!(!may(&mut client, "leaveGroup", "room", 4));
        assert!(!may(&mut client, "joinGroup", "room", 5));
        let members = server.rest("GET", &format!("{HUB}/groups/room/connections"));
        assert_eq!(members.json()["value"][0]["connectionId"], id.as_str());
        // Another hub has no such connection.
        let elsewhere = join.replace("/hubs/chat/", "/hubs/other/");
        assert_eq!(rest("PUT", &elsewhere), 404);
        // But the letter case of the hub does not matter.
        let shouted = join.replace("/hubs/chat/", "/hubs/CHAT/");
        assert_eq!(rest("PUT", &shouted), 200);
        assert_eq!(rest("HEAD", &join), 200);
    });
}

#[test]
fn permissions_have_names_and_numbers() {
    on_one_and_four_shards("", |server| {
        let (mut client, id) = client(server, &[]);
        // Case 83.
        for (granted, checked) in [
            ("1", "sendToGroup"),
            ("SENDTOGROUP", "sendToGroup"),
            ("2", "JOINLEAVEGROUP"),
        ] {
            let group = format!("by-{granted}");
            assert_eq!(server.rest("PUT", &path(granted, &id, &group)).status, 200);
            assert_eq!(server.rest("HEAD", &path(checked, &id, &group)).status, 200);
        }
        assert!(may(&mut client, "sendToGroup", "by-1", 1));
        assert!(may(&mut client, "joinGroup", "by-2", 2));
        assert!(!may(&mut client, "sendToGroup", "by-2", 3));
        for wrong in ["0", "3", "sendToGroup,joinLeaveGroup", "publish"] {
            let response = server.rest("PUT", &path(wrong, &id, "room"));
            let body = response.json();
            assert_eq!(
                (response.status, response.code().as_str()),
                (400, "Error.BadRequest")
            );
            assert_eq!(
                (&body["message"], &body["target"]),
                (&"Invalid permission.".into(), &"permission".into())
            );
        }
    });
}

#[test]
fn a_group_is_meant_literally() {
    on_one_and_four_shards("", |server| {
        let (mut plain, id) = client(server, &[]);
        let rest = |method: &str, group: &str| {
            let path = path("sendToGroup", &id, group);
            server.rest(method, &path).status
        };
        // Case 84.
        for group in ["room.*", "*", "%20blank"] {
            assert_eq!(rest("PUT", group), 200);
            assert_eq!(rest("HEAD", group), 200);
        }
        for group in ["room.child", "x", "blank"] {
            assert_eq!(rest("HEAD", group), 404);
        }
        assert!(may(&mut plain, "sendToGroup", "room.*", 1));
        assert!(!may(&mut plain, "sendToGroup", "room.child", 2));
    });
}

#[test]
fn one_group_can_be_taken_out_of_a_wider_role() {
    on_one_and_four_shards("", |server| {
        // Case 86.
        for role in [
            "webpubsub.joinLeaveGroups.room*",
            "webpubsub.joinLeaveGroup",
        ] {
            let (mut wide, id) = client(server, &[role]);
            let rest = |method: &str, group: &str| {
                let path = path("joinLeaveGroup", &id, group);
                server.rest(method, &path).status
            };
            assert_eq!(rest("DELETE", "room"), 204);
            assert_eq!(rest("HEAD", "room"), 404);
            assert_eq!(rest("HEAD", "room-other"), 200);
            assert!(!may(&mut wide, "joinGroup", "room", 1));
            assert!(may(&mut wide, "joinGroup", "room-other", 2));
            assert_eq!(rest("PUT", "room"), 200);
            assert!(may(&mut wide, "joinGroup", "room", 1));
        }
    });
}

#[test]
fn without_a_group_all_groups_are_meant() {
    on_one_and_four_shards("", |server| {
        let (mut client, id) = client(server, &["webpubsub.sendToGroup.room"]);
        let rest = |method: &str, query: &str| {
            let path = format!("{HUB}/permissions/sendToGroup/connections/{id}{query}");
            server.rest(method, &path).status
        };
        // Case 89, where the emulator wants a name.
        assert_eq!(rest("HEAD", ""), 404);
        assert!(!may(&mut client, "sendToGroup", "any", 1));
        assert_eq!(rest("PUT", ""), 200);
        assert_eq!(rest("HEAD", ""), 200);
        assert!(may(&mut client, "sendToGroup", "any", 1));
        assert_eq!(rest("DELETE", ""), 204);
        assert_eq!(rest("HEAD", ""), 404);
        assert!(!may(&mut client, "sendToGroup", "any", 2));
        assert!(!may(&mut client, "sendToGroup", "room", 3));
        for wrong in [
            "?targetName=",
            "?targetName=%20",
            "?targetName=a&targetName=a",
        ] {
            for method in ["PUT", "HEAD", "DELETE"] {
                assert_eq!(rest(method, wrong), 400, "{wrong}");
            }
        }
    });
}

#[test]
fn nobody_is_granted_nothing() {
    on_one_and_four_shards("", |server| {
        // Case 88. The second id could be one of ours.
        for id in ["missing", &"A".repeat(32)] {
            let path = path("sendToGroup", id, "room");
            let granted = server.rest("PUT", &path);
            assert_eq!(
                (granted.status, granted.code().as_str()),
                (404, "Info.Connection.NotExisted")
            );
            let checked = server.rest("HEAD", &path);
            assert_eq!(
                (checked.status, checked.header("x-ms-error-code")),
                (404, Some("Info.Connection.NotExisted"))
            );
            assert_eq!(server.rest("DELETE", &path).status, 204);
        }
    });
}

#[test]
fn no_connection_is_granted_more_than_its_bound() {
    on_one_and_four_shards("", |server| {
        let (mut client, id) = client(server, &[]);
        let mut stream = server.dial();
        let mut rest = |method: &str, group: &str| {
            let path = path("sendToGroup", &id, group);
            let request = Request::new(method, &path).authorized(server);
            request.send(&mut stream, &server.authority())
        };
        for number in 0..1000 {
            assert_eq!(rest("PUT", &format!("g{number}")).status, 200);
        }
        // Case 87.
        let refused = rest("PUT", "one-more");
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "Error.Connection.Conflict")
        );
        let body = refused.json();
        let text = format!(
            "Connection `{id}` has reached the limit of 1000 literal permissions for \
             `SendToGroup`."
        );
        assert_eq!(
            (&body["message"], &body["target"]),
            (&text.into(), &"Connection".into())
        );
        assert_eq!(rest("HEAD", "one-more").status, 404);
        // What is so already needs no room, and the other permission has room of its own.
        assert_eq!(rest("PUT", "g7").status, 200);
        assert_eq!(rest("DELETE", "never-granted").status, 204);
        let join = path("joinLeaveGroup", &id, "one-more");
        assert_eq!(server.rest("PUT", &join).status, 200);
        assert_eq!(rest("DELETE", "g7").status, 204);
        assert_eq!(rest("PUT", "one-more").status, 200);
        assert!(may(&mut client, "sendToGroup", "one-more", 1));
        assert!(!may(&mut client, "sendToGroup", "g7", 2));
    });
}
