//! Reliable clients: numbers, acknowledgements, and coming back to the same connection.

use serde_json::json;

use crate::support::raw::{CLOSE, FIN, PING, TEXT, frame};
use crate::support::{
    Client, JSON_RELIABLE, Lost, Raw, Reliable, Request, Server, Token, eventually,
    on_one_and_four_shards, publish,
};

/// Sends a text to a connection.
fn send_to(server: &Server, id: &str, text: &str) {
    publish(server, &format!("connections/{id}"), text);
}

/// What REST says about a connection of hub `chat`.
fn exists(server: &Server, id: &str) -> bool {
    match server.rest("HEAD", &format!("/api/hubs/chat/connections/{id}")) {
        response if response.status == 200 => true,
        response => {
            assert_eq!(response.status, 404);
            false
        }
    }
}

/// Waits until so many sessions have no socket.
fn wait_for_detached(server: &Server, sessions: u64) {
    eventually("the sockets are gone", || {
        (server.metric("hubwire_detached_sessions") == sessions).then_some(())
    });
}

fn numbered(texts: &[&str]) -> Vec<(u64, String)> {
    let texts = texts.iter().map(|text| (*text).to_owned());
    (1..).zip(texts).collect()
}

#[test]
fn messages_are_numbered_and_nothing_else_is() {
    on_one_and_four_shards("", |server| {
        let mut ann = Reliable::connect(server, "chat", "ann");
        let is_url_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(ann.token.chars().all(is_url_safe), "{}", ann.token);
        let (mut plain, _) = Client::json(server, "chat", None);
        plain.join("room");
        let ack = ann.request(&json!({ "type": "joinGroup", "group": "room" }));
        assert_eq!(ack, json!({ "type": "ack", "ackId": 1, "success": true }));
        ann.send(r#"{"type":"ping"}"#);
        assert_eq!(ann.text(), r#"{"type":"pong"}"#);
        publish(server, "groups/room", "one");
        let id = ann.id.clone();
        send_to(server, &id, "two");
        let one =
            r#""type":"message","from":"group","group":"room","dataType":"text","data":"one"}"#;
        let two = r#""type":"message","from":"server","dataType":"text","data":"two"}"#;
        assert_eq!(ann.text(), format!("{{\"sequenceId\":1,{one}"));
        assert_eq!(ann.text(), format!("{{\"sequenceId\":2,{two}"));
        assert_eq!(plain.text(), format!("{{{one}"));
    });
}

#[test]
fn what_was_sent_to_a_lost_client_is_there_when_it_comes_back() {
    // Case 41, and case 42, where we differ: `connected` is sent again.
    on_one_and_four_shards("", |server| {
        let ann = Reliable::connect(server, "chat", "ann");
        let lost = ann.lose();
        wait_for_detached(server, 1);
        send_to(server, &lost.id, "one");
        let path = format!("/api/hubs/chat/connections/{}/:send", lost.id);
        let with_metadata = Request::new("POST", &path)
            .header("X-WebPubSub-Metadata-Trace", "7")
            .body("text/plain", "two")
            .authorized(server);
        assert_eq!(server.send(with_metadata).status, 202);
        let mut ann = lost.recover(server);
        assert_eq!(ann.data(), (1, "one".to_owned()));
        let two = ann.message();
        assert_eq!(
            (&two["sequenceId"], &two["data"], &two["metadata"]),
            (&json!(2), &json!("two"), &json!({ "trace": "7" }))
        );
        // New messages come behind, and what is not acknowledged comes again every time.
        let id = ann.id.clone();
        send_to(server, &id, "three");
        assert_eq!(ann.data(), (3, "three".to_owned()));
        for _ in 0..3 {
            ann = ann.lose().recover(server);
            assert_eq!(ann.data_of(3), numbered(&["one", "two", "three"]));
        }
        assert_eq!(server.metric("hubwire_seats"), 1);
    });
}

#[test]
fn replay_begins_behind_what_was_acknowledged() {
    // Case 47.
    on_one_and_four_shards("", |server| {
        let texts: Vec<_> = (1..=7).map(|number| number.to_string()).collect();
        let check = |acks: &[&str], from: u64| {
            let mut ann = Reliable::connect(server, "chat", "ann");
            for text in &texts {
                send_to(server, &ann.id, text);
            }
            ann.data_of(7);
            for ack in acks {
                ann.send(&format!(
                    "{{\"type\":\"sequenceAck\",\"sequenceId\":{ack}}}"
                ));
            }
            ann.send(r#"{"type":"ping"}"#);
            assert_eq!(ann.text(), r#"{"type":"pong"}"#);
            let mut ann = ann.lose().recover(server);
            send_to(server, &ann.id, "8");
            for number in from..=8 {
                assert_eq!(ann.data(), (number, number.to_string()), "{acks:?}");
            }
        };
        check(&[], 1);
        check(&["5"], 6);
        check(&["\"5\""], 6);
        check(&["5", "3", "0", "5"], 6);
        check(&["7"], 8);
        // Above the highest that was sent.
        check(&["100"], 1);
    });
}

#[test]
fn only_a_normal_close_ends_the_connection_for_good() {
    // Case 44.
    on_one_and_four_shards("", |server| {
        let check = |what: &str, end: &dyn Fn(&mut Raw), recoverable: bool| {
            let connect = Token::client(server, "chat").user("ann").sign();
            let path = format!("/client/hubs/chat?access_token={connect}");
            let mut stream = server.dial();
            let request = Request::upgrade(&path).header("Sec-WebSocket-Protocol", JSON_RELIABLE);
            let response = request.send(&mut stream, &server.authority());
            assert_eq!(response.status, 101);
            let mut raw = Raw(stream);
            let connected: serde_json::Value = serde_json::from_str(&raw.text()).unwrap();
            let lost = Lost::of("chat", &connected);
            end(&mut raw);
            if recoverable {
                drop(raw);
                let recovered = lost.recover(server);
                drop(recovered);
            } else {
                eventually("the connection is gone", || {
                    (!exists(server, &lost.id)).then_some(())
                });
                lost.is_refused(server);
            }
            println!("{what}");
        };
        let close = |payload: &'static [u8]| {
            move |raw: &mut Raw| {
                raw.send(&frame(FIN | CLOSE, payload));
                while raw.frame().is_some() {}
            }
        };
        check("1000", &close(&[0x03, 0xE8]), false);
        check("no code", &close(&[]), true);
        check("1001", &close(&[0x03, 0xE9]), true);
        check("4000", &close(&[0x0F, 0xA0]), true);
        check("end of stream", &|raw| raw.half_close(), true);
        check("reset", &|raw| raw.try_clone().reset(), true);
        // A client that breaks the protocol does not come back.
        check(
            "malformed",
            &|raw| {
                raw.send(&frame(FIN | TEXT, b"{"));
                while raw.frame().is_some() {}
            },
            false,
        );
        check(
            "not masked",
            &|raw| {
                raw.send(&[FIN | PING, 0]);
                while raw.frame().is_some() {}
            },
            false,
        );
    });
}

#[test]
fn a_lost_client_is_there_for_rest_until_rest_closes_it() {
    on_one_and_four_shards("", |server| {
        let mut ann = Reliable::connect(server, "chat", "ann");
        ann.join("room");
        let lost = ann.lose();
        wait_for_detached(server, 1);
        let id = &lost.id;
        assert!(exists(server, id));
        for path in ["users/ann", "groups/room"] {
            assert_eq!(
                server
                    .rest("HEAD", &format!("/api/hubs/chat/{path}"))
                    .status,
                200,
                "{path}"
            );
        }
        let list = "/api/hubs/chat/groups/room/connections?api-version=2024-12-01";
        let members = server.rest("GET", list).json();
        assert_eq!(members["value"][0]["connectionId"], **id);
        // Case 45.
        assert_eq!(
            server
                .rest("DELETE", &format!("/api/hubs/chat/connections/{id}"))
                .status,
            204
        );
        assert!(!exists(server, id));
        lost.is_refused(server);
        assert_eq!(
            server.metric("hubwire_recoveries_total{result=\"not_found\"}"),
            1
        );

        // The same for one that is there.
        let mut bob = Reliable::connect(server, "chat", "bob");
        let path = format!("/api/hubs/chat/connections/{}?reason=lunch", bob.id);
        assert_eq!(server.rest("DELETE", &path).status, 204);
        let goodbye = bob.message();
        assert_eq!(
            goodbye["message"],
            "Application server closed the connection. Reason: lunch"
        );
        assert_eq!(bob.closed(), (1000, String::new()));
        bob.lose().is_refused(server);
        assert_eq!(server.metric("hubwire_seats"), 0);
    });
}

#[test]
fn groups_change_while_the_client_is_away() {
    // Case 49.
    on_one_and_four_shards("", |server| {
        let mut ann = Reliable::connect(server, "chat", "ann");
        ann.join("old");
        let lost = ann.lose();
        wait_for_detached(server, 1);
        let id = &lost.id;
        let path = |group: &str| format!("/api/hubs/chat/groups/{group}/connections/{id}");
        assert_eq!(server.rest("PUT", &path("Room")).status, 200);
        assert_eq!(server.rest("DELETE", &path("old")).status, 204);
        for group in ["room", "Room", "old"] {
            publish(server, &format!("groups/{group}"), &format!("to {group}"));
        }
        publish(server, "users/ann", "to ann");
        let mut ann = lost.recover(server);
        assert_eq!(ann.data_of(2), numbered(&["to Room", "to ann"]));
    });
}

#[test]
fn permissions_hold_over_a_recovery() {
    // Case 50.
    on_one_and_four_shards("", |server| {
        let token = Token::client(server, "chat")
            .role("webpubsub.joinLeaveGroup.a")
            .role("webpubsub.joinLeaveGroup.b");
        let mut ann = Reliable::connect_with(server, "chat", &token);
        let grant = |method: &str, id: &str, group: &str| {
            let path = format!(
                "/api/hubs/chat/permissions/joinLeaveGroup/connections/{id}?targetName={group}"
            );
            let status = server.rest(method, &path).status;
            assert!(matches!(status, 200 | 204), "{status}");
        };
        let may_join = |ann: &mut Reliable, group: &str| {
            let ack = ann.request(&json!({ "type": "joinGroup", "group": group }));
            ack["success"].as_bool().unwrap()
        };
        let id = ann.id.clone();
        grant("PUT", &id, "before");
        grant("DELETE", &id, "a");
        assert!(!may_join(&mut ann, "during"));
        let lost = ann.lose();
        wait_for_detached(server, 1);
        grant("PUT", &id, "during");
        grant("DELETE", &id, "b");
        let mut ann = lost.recover(server);
        let found = ["before", "during", "a", "b"].map(|group| may_join(&mut ann, group));
        assert_eq!(found, [true, true, false, false]);
    });
}

#[test]
fn an_ack_id_that_was_used_stays_used() {
    // Case 51.
    on_one_and_four_shards("", |server| {
        let mut bob = Reliable::connect(server, "chat", "bob");
        bob.join("room");
        let mut ann = Reliable::connect(server, "chat", "ann");
        let publish =
            r#"{"type":"sendToGroup","group":"room","dataType":"text","data":"once","ackId":7}"#;
        ann.send(publish);
        assert_eq!(ann.message()["success"], true);
        let mut ann = ann.lose().recover(server);
        ann.send(publish);
        let ack = ann.message();
        assert_eq!(
            (&ack["success"], &ack["error"]["name"]),
            (&json!(false), &json!("Duplicate"))
        );
        assert_eq!(bob.data(), (1, "once".to_owned()));
        bob.acknowledge(1);
    });
}

#[test]
fn nothing_is_lost_or_doubled_while_sockets_break() {
    on_one_and_four_shards("", |server| {
        let (mut sender, _) = Client::json(server, "chat", None);
        let mut ann = Reliable::connect(server, "chat", "ann");
        ann.join("room");
        let (mut seen, mut sent) = (0, 0);
        for round in 0..20 {
            for _ in 0..10 {
                sent += 1;
                let request = json!({
                    "type": "sendToGroup", "group": "room", "dataType": "text",
                    "data": sent.to_string(),
                });
                assert_eq!(sender.request(&request)["success"], true);
            }
            // Some are read before the socket breaks, and some of those acknowledged.
            for _ in 0..round % 7 {
                let (number, data) = ann.data();
                assert_eq!(number.to_string(), data);
                seen = seen.max(number);
            }
            if round % 3 == 0 {
                let ack = json!({ "type": "sequenceAck", "sequenceId": seen });
                ann.send(&ack.to_string());
            }
            ann = ann.lose().recover(server);
            // Whatever comes is the next one, or one that is known.
            let (first, _) = ann.data();
            assert!(first <= seen + 1, "{first} after {seen}");
            seen = seen.max(first);
            let mut last = first;
            while seen < sent {
                let (number, data) = ann.data();
                assert_eq!((number, &data), (last + 1, &number.to_string()));
                last = number;
                seen = seen.max(number);
            }
        }
        assert_eq!(seen, 200);
    });
}

#[test]
fn a_client_that_does_not_come_back_in_time_is_forgotten() {
    on_one_and_four_shards("[limits]\nrecovery_seconds = 1\n", |server| {
        let mut ann = Reliable::connect(server, "chat", "ann");
        ann.join("room");
        let lost = ann.lose();
        eventually("the connection is forgotten", || {
            (!exists(server, &lost.id)).then_some(())
        });
        assert_eq!(
            server.rest("HEAD", "/api/hubs/chat/groups/room").status,
            404
        );
        lost.is_refused(server);
        assert_eq!(server.metric("hubwire_seats"), 0);
        assert_eq!(server.metric("hubwire_queued_bytes"), 0);
    });
}

#[test]
fn a_queue_that_is_full_ends_the_connection_for_good() {
    // Case 46, with smaller bounds: by count, and by bytes.
    let small = "[limits]\nreplay_messages = 10\n";
    let light = "[limits]\nmessage_bytes = 65536\nrest_body_bytes = 65536\nreplay_bytes = 65536\n";
    for (settings, text, fit) in [(small, "x".to_owned(), 10), (light, "x".repeat(20_000), 3)] {
        on_one_and_four_shards(settings, |server| {
            // One that reads and never acknowledges.
            let mut ann = Reliable::connect(server, "chat", "ann");
            for _ in 0..fit {
                send_to(server, &ann.id, &text);
            }
            ann.data_of(fit);
            ann = ann.lose().recover(server);
            ann.data_of(fit);
            send_to(server, &ann.id, &text);
            assert_eq!(ann.message()["event"], "disconnected");
            assert_eq!(ann.closed().0, 1008);
            ann.lose().is_refused(server);
            // One that is away.
            let lost = Reliable::connect(server, "chat", "bob").lose();
            wait_for_detached(server, 1);
            for _ in 0..=fit {
                send_to(server, &lost.id, &text);
            }
            eventually("the session is over", || {
                (!exists(server, &lost.id)).then_some(())
            });
            lost.is_refused(server);
            // One that acknowledges.
            let mut eve = Reliable::connect(server, "chat", "eve");
            for number in 1..=50 {
                send_to(server, &eve.id, &text);
                assert_eq!(eve.data().0, number);
                eve.acknowledge(number);
            }
            assert_eq!(server.metric("hubwire_seats"), 1);
        });
    }
}
