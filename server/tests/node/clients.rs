//! Clients that are in: their first message, groups, and REST seen from their end.

use crate::support::{Client, Connect, Request, Token, eventually, on_one_and_four_shards};

#[test]
fn a_json_client_is_told_who_it_is_first() {
    on_one_and_four_shards("", |server| {
        // Case 11, and case 12, where we leave out what is absent.
        let token = Token::client(server, "chat").user("ann").group("room");
        let mut ann = Connect::to("chat", &token)
            .offering("json.webpubsub.azure.v1")
            .open(server)
            .unwrap();
        let first = ann.text();
        let rest = first.strip_prefix(
            r#"{"type":"system","event":"connected","userId":"ann","connectionId":""#,
        );
        assert_eq!(
            rest.and_then(|rest| rest.strip_suffix("\"}")).map(str::len),
            Some(32),
            "{first}"
        );
        let (_client, id) = Client::json(server, "chat", None);
        assert_eq!(id.len(), 32);
    });
}

#[test]
fn initial_groups_need_no_role_and_deliver_at_once() {
    on_one_and_four_shards("", |server| {
        let mut simple = Client::simple(server, "chat", &["room", "a/b"]);
        let path = "/api/hubs/chat/groups/a%2Fb/:send";
        // Until the shard has taken the connection over, the group has no member.
        eventually("the group exists", || {
            (server.rest("HEAD", "/api/hubs/chat/groups/a%2Fb").status == 200).then_some(())
        });
        let sent = server.send(
            Request::new("POST", path)
                .body("text/plain", "hi")
                .authorized(server),
        );
        assert_eq!(sent.status, 202);
        assert_eq!(simple.text(), "hi");
    });
}

#[test]
fn a_connection_outlives_its_token() {
    // Case 14.
    on_one_and_four_shards("[limits]\ntoken_skew_seconds = 0\n", |server| {
        let connect = |url: &str| {
            Connect::at(url)
                .offering("json.webpubsub.azure.v1")
                .open(server)
        };
        let (url, mut client) = eventually("a token lasts long enough to connect", || {
            let token = Token::client(server, "chat").expires_in(2).sign();
            let url = format!("/client/hubs/chat?access_token={token}");
            let client = connect(&url).ok()?;
            Some((url, client))
        });
        client.connected();
        let refused = eventually("the token is over", || connect(&url).err());
        assert_eq!(refused, 401);
        client.send(r#"{"type":"ping"}"#);
        assert_eq!(client.text(), r#"{"type":"pong"}"#);
    });
}

#[test]
fn messages_of_one_sender_arrive_in_order_on_every_shard() {
    on_one_and_four_shards("", |server| {
        let mut members: Vec<Client> = (0..6)
            .map(|_| {
                let (mut client, _) = Client::json(server, "chat", None);
                client.join("room");
                client
            })
            .collect();
        let (mut sender, _) = Client::json(server, "chat", Some("ann"));
        for number in 0..200 {
            sender.send(&format!(
                r#"{{"type":"sendToGroup","group":"room","dataType":"text","data":"{number}"}}"#
            ));
        }
        for member in &mut members {
            for number in 0..200 {
                let expect = format!(
                    r#"{{"type":"message","from":"group","group":"room","dataType":"text","data":"{number}","fromUserId":"ann"}}"#
                );
                assert_eq!(member.text(), expect);
            }
        }
    });
}
