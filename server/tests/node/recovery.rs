//! The handshake by which a reliable client comes back: what it must show, what it is answered.

use serde_json::json;

use crate::support::{
    Client, Connect, JSON, JSON_RELIABLE, Raw, Reliable, Request, Token, eventually, is_refused,
    on_one_and_four_shards, publish,
};

const PROTOBUF_RELIABLE: &str = "protobuf.reliable.webpubsub.azure.v1";

#[test]
fn an_access_token_decides_nothing_about_coming_back() {
    on_one_and_four_shards("", |server| {
        let expired = Token::client(server, "chat").expires_in(-4000).sign();
        let foreign = Token::client(server, "chat").key("somebody's key").sign();
        let mut lost = Reliable::connect(server, "chat", "ann").lose();
        for more in ["", "&access_token=", "&access_token=bad"]
            .map(str::to_owned)
            .into_iter()
            .chain([expired, foreign].map(|token| format!("&access_token={token}")))
        {
            let recovered = lost.with(&more).recover(server);
            lost = recovered.lose();
        }
        // The token from the beginning is as good as any later one.
        let mut ann = lost.recover(server);
        assert_eq!(
            ann.request(&json!({ "type": "joinGroup", "group": "g" }))["success"],
            true
        );
    });
}

#[test]
fn whoever_shows_the_wrong_thing_is_refused_inside_the_websocket() {
    // Case 43.
    on_one_and_four_shards("", |server| {
        let ann = Reliable::connect(server, "chat", "ann");
        let bob = Reliable::connect(server, "chat", "bob");
        let (_plain, plain_id) = Client::json(server, "chat", None);
        let path = |hub: &str, id: &str, token: &str| {
            format!("/client/hubs/{hub}?awps_connection_id={id}&awps_reconnection_token={token}")
        };
        let good = Token::client(server, "chat").sign();
        let longer = format!("{}A", ann.token);
        let shorter = ann.token[..ann.token.len() - 1].to_owned();
        for path in [
            path("chat", &ann.id, "wrong"),
            path("chat", &ann.id, ""),
            path("chat", &ann.id, &longer),
            path("chat", &ann.id, &shorter),
            path("chat", &ann.id, &bob.token),
            path("chat", &bob.id, &ann.token),
            path("other", &ann.id, &ann.token),
            path("chat", &plain_id, &ann.token),
            path("chat", "no-such-connection", &ann.token),
            path("chat", &"A".repeat(32), &ann.token),
            format!("/client/hubs/chat?awps_connection_id={}", ann.id),
            // Not even a token for a new connection helps.
            format!("{}&access_token={good}", path("chat", &ann.id, "wrong")),
        ] {
            is_refused(server, &path);
        }
        let refused = |reason: &str| {
            server.metric(&format!("hubwire_recoveries_total{{result=\"{reason}\"}}"))
        };
        assert_eq!((refused("token"), refused("not_found")), (12, 0));
        assert_eq!(server.metric("hubwire_seats"), 3);
        // Nobody was disturbed.
        for mut client in [ann, bob] {
            assert_eq!(
                client.request(&json!({ "type": "joinGroup", "group": "g" }))["success"],
                true
            );
        }
        // Letter case of the hub is none of the client's business.
        let lost = Reliable::connect(server, "CHAT", "ann").lose();
        lost.in_hub("Chat").recover(server);
        // No log line has a token.
        assert!(!server.log().contains(&good));
        assert!(!server.log().contains(&shorter));
    });
}

#[test]
fn the_original_subprotocol_is_answered() {
    // Case 48.
    on_one_and_four_shards("", |server| {
        let lost = Reliable::connect(server, "chat", "ann").lose();
        let loud = JSON_RELIABLE.to_uppercase();
        for (offer, expect) in [
            (Some(JSON_RELIABLE), JSON_RELIABLE),
            (Some(JSON), JSON_RELIABLE),
            (Some(PROTOBUF_RELIABLE), JSON_RELIABLE),
            (Some("custom"), JSON_RELIABLE),
            (None, JSON_RELIABLE),
            (Some(&*format!("{JSON}, {loud}")), &loud),
        ] {
            let mut request = lost.request();
            if let Some(offer) = offer {
                request = request.header("Sec-WebSocket-Protocol", offer);
            }
            let mut stream = server.dial();
            let response = request.send(&mut stream, &server.authority());
            assert_eq!(
                (response.status, response.header("sec-websocket-protocol")),
                (101, Some(expect)),
                "{offer:?}"
            );
            let connected = Raw(stream).text();
            assert!(connected.contains(&lost.id), "{connected}");
        }
        // A refusal before a connection was found answers what is offered.
        let path = format!("/client/hubs/chat?awps_connection_id={}", lost.id);
        for (offer, expect) in [
            (
                Some("custom, JSON.webpubsub.azure.v1"),
                Some("JSON.webpubsub.azure.v1"),
            ),
            (Some("custom"), Some("custom")),
            (None, None),
        ] {
            let mut request = Request::upgrade(&path);
            if let Some(offer) = offer {
                request = request.header("Sec-WebSocket-Protocol", offer);
            }
            let mut stream = server.dial();
            let response = request.send(&mut stream, &server.authority());
            assert_eq!(
                response.header("sec-websocket-protocol"),
                expect,
                "{offer:?}"
            );
            assert_eq!(Raw(stream).closed(), 1008);
        }
    });
}

#[test]
fn a_socket_that_is_half_open_is_taken_over() {
    on_one_and_four_shards("", |server| {
        let mut old = Reliable::connect(server, "chat", "ann");
        old.join("room");
        publish(server, &format!("connections/{}", old.id), "one");
        assert_eq!(old.data(), (1, "one".to_owned()));
        // The client does not know, or does not say, that its socket is lost.
        let mut new = old.again().recover(server);
        assert_eq!(new.data(), (1, "one".to_owned()));
        old.cut_off();
        publish(server, "groups/room", "two");
        assert_eq!(new.data(), (2, "two".to_owned()));
        assert_eq!(server.metric("hubwire_seats"), 1);
    });
}

#[test]
fn a_recovery_is_counted() {
    on_one_and_four_shards("", |server| {
        let ann = Reliable::connect(server, "chat", "ann")
            .lose()
            .recover(server);
        eventually("it is counted", || {
            let handed_over = "hubwire_recoveries_total{result=\"handed_over\"}";
            (server.metric(handed_over) == 1).then_some(())
        });
        assert_eq!(
            server.metric("hubwire_clients_rejected_total{reason=\"token\"}"),
            0
        );
        drop(ann);
        // An empty id asks for nothing.
        let response = server.send(Request::upgrade("/client/hubs/chat?awps_connection_id="));
        assert_eq!(response.status, 401);
        let connect = Connect::at("/client/hubs/chat?awps_connection_id=");
        assert_eq!(
            connect.offering(JSON_RELIABLE).open(server).err(),
            Some(401)
        );
    });
}
