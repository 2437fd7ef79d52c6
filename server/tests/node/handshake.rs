//! Who gets in: statuses of the opening handshake, tokens, negotiation.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Connect, Request, SECONDARY_KEY, Server, Token, on_one_and_four_shards};

const SETTINGS: &str = "[limits]\ngroups_per_connection = 3\n\
                        [hubs.open]\nanonymous_connect_policy = \"allow\"\n";

/// The response to an upgrade: its status and body.
fn upgrade(server: &Server, request: Request) -> (u16, String) {
    let response = server.send(request);
    (
        response.status,
        if response.status == 101 {
            String::new()
        } else {
            response.text()
        },
    )
}

fn with(token: &str) -> Request {
    Request::upgrade(&format!("/client/hubs/chat?access_token={token}"))
}

#[test]
fn a_request_that_is_no_upgrade_or_names_no_hub_is_refused() {
    on_one_and_four_shards(SETTINGS, |server| {
        let token = Token::client(server, "chat").sign();
        let check = |request: Request, status: u16, text: &str| {
            let (found, body) = upgrade(server, request);
            assert_eq!(found, status, "{body}");
            assert!(body.contains(text), "{body}");
        };
        // Case 4.
        check(
            Request::new("GET", &format!("/client/hubs/chat?access_token={token}")),
            400,
            "not a WebSocket",
        );
        check(with(&token).without("Upgrade"), 400, "not a WebSocket");
        check(
            with(&token).without("Sec-WebSocket-Key"),
            400,
            "Sec-WebSocket-Key",
        );
        check(with(&token).without("Sec-WebSocket-Version"), 426, "13");
        let old = with(&token)
            .without("Sec-WebSocket-Version")
            .header("Sec-WebSocket-Version", "8");
        assert_eq!(server.send(old).header("sec-websocket-version"), Some("13"));
        for hub in ["1invalid", "a%20b", "%FF", ""] {
            let path = format!("/client/hubs/{hub}?access_token={token}");
            check(Request::upgrade(&path), 400, "Invalid hub name.");
        }
        check(
            Request::upgrade(&format!("/client?access_token={token}")),
            400,
            "Invalid hub name.",
        );
        check(
            Request::upgrade(&format!("/client/?hub=&access_token={token}")),
            400,
            "Invalid hub name.",
        );
        check(
            Request::upgrade("/clients/hubs/chat"),
            404,
            "Error.NotFound",
        );
        check(Request::upgrade("/"), 404, "Error.NotFound");
        let response = server.send(Request::new("POST", "/client/hubs/chat"));
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some("GET"))
        );
    });
}

#[test]
fn only_believable_tokens_for_this_hub_let_a_client_in() {
    on_one_and_four_shards(SETTINGS, |server| {
        let check = |token: String, status: u16| {
            let (found, body) = upgrade(server, with(&token));
            assert_eq!(found, status, "{body}");
            assert!(
                token.is_empty() || !body.contains(&token),
                "a body repeats a token"
            );
        };
        let good = || Token::client(server, "chat");
        check(good().sign(), 101); // Case 3: the key looks like base64 and is not.
        check(good().key(SECONDARY_KEY).sign(), 101);
        check(good().expires_in(-200).sign(), 101); // Within the clock skew.
        check(String::new(), 401); // Case 1.
        check(good().key("another key, as long as it may be").sign(), 401); // Case 2.
        check(good().expires_in(-400).sign(), 401);
        check(Token::client(server, "other").sign(), 401);
        check(
            Token::new("http://elsewhere.example/client/hubs/chat").sign(),
            401,
        );
        check(
            Token::new(&format!("http://{}/api/hubs/chat", server.authority())).sign(),
            401,
        );
        check("abc".to_owned(), 401);
        check("a.b.c".to_owned(), 401);
        let (_, signed) = good()
            .sign()
            .split_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let (claims, _) = signed.split_once('.').unwrap();
        for algorithm in ["none", "None", "HS384", "RS256"] {
            let header =
                URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"{algorithm}\",\"typ\":\"JWT\"}}"));
            check(format!("{header}.{claims}."), 401);
            check(format!("{header}.{signed}"), 401);
        }
        check("x".repeat(30_000), 401);
        let refused = server.send(with("abc"));
        assert!(
            refused
                .header("www-authenticate")
                .unwrap()
                .starts_with("Bearer error=\"invalid_token\"")
        );
    });
}

#[test]
fn the_token_in_the_query_wins_over_the_header() {
    on_one_and_four_shards(SETTINGS, |server| {
        let good = Token::client(server, "chat").sign();
        // Case 6; an empty parameter counts as none, and the scheme has no letter case.
        assert_eq!(upgrade(server, with(&good).bearer("bad")).0, 101);
        assert_eq!(upgrade(server, with("bad").bearer(&good)).0, 401);
        assert_eq!(upgrade(server, with("").bearer(&good)).0, 101);
        let header = with("").header("Authorization", &format!("bEARER {good}"));
        assert_eq!(upgrade(server, header).0, 101);
        assert_eq!(
            upgrade(server, with("").header("Authorization", &good)).0,
            401
        );
    });
}

#[test]
fn a_hub_has_two_paths_and_no_letter_case() {
    on_one_and_four_shards("", |server| {
        let token = Token::client(server, "chat").user("ann").sign();
        for path in [
            "/client/hubs/CHAT?",
            "/client/hubs/chat/?",
            "/client?hub=Chat&",
            "/client/?hub=chat&",
        ] {
            let path = format!("{path}access_token={token}");
            let mut client = Connect::at(&path)
                .offering("json.webpubsub.azure.v1")
                .open(server)
                .unwrap();
            let id = client.connected()["connectionId"]
                .as_str()
                .unwrap()
                .to_owned();
            // Case 5.
            let exists = server.rest("HEAD", &format!("/api/hubs/chat/connections/{id}"));
            assert_eq!(exists.status, 200, "{path}");
        }
    });
}

#[test]
fn groups_and_modes_are_checked_before_anybody_gets_in() {
    on_one_and_four_shards(SETTINGS, |server| {
        let good = Token::client(server, "chat").sign();
        let check = |token: &str, more: &str, status: u16, text: &str| {
            let path = format!("/client/hubs/chat?access_token={token}{more}");
            assert_eq!(
                upgrade(server, Request::upgrade(&path)),
                (status, text.to_owned()),
                "{more}"
            );
            // Case 13: also for clients of a subprotocol.
            let json =
                Request::upgrade(&path).header("Sec-WebSocket-Protocol", "json.webpubsub.azure.v1");
            assert_eq!(upgrade(server, json).0, status, "{more}");
        };
        // Case 7.
        let blank = Token::client(server, "chat").group("ok").group("  ").sign();
        check(&blank, "", 400, "The token contains an invalid group name.");
        let many = ["a", "b", "c", "d"]
            .iter()
            .fold(Token::client(server, "chat"), |t, g| t.group(g));
        check(&many.sign(), "", 400, "The token names more than 3 groups.");
        let same = ["a", "a", "a", "a", "b"]
            .iter()
            .fold(Token::client(server, "chat"), |t, g| t.group(g));
        check(&same.sign(), "", 101, "");
        let mode = "Invalid webpubsub_mode. Valid modes are sendToGroup and sendEvent.";
        let group = "The raw sendToGroup group name is invalid.";
        check(&good, "&webpubsub_mode=bogus", 400, mode);
        check(&good, "&webpubsub_mode=sendToGroup", 400, group);
        check(&good, "&webpubsub_mode=sendToGroup&group=%20", 400, group);
        check(
            &good,
            "&webpubsub_mode=sendToGroup&group=g&noEcho=yes",
            400,
            "Invalid noEcho. Valid values are true and false.",
        );
        check(
            &good,
            "&webpubsub_mode=sendToGroup&group=g&noEcho=TRUE",
            101,
            "",
        );
        // Case 37.
        check(
            &good,
            "&webpubsub_mode=invalid&webpubsub_mode=SENDEVENT&group=&noEcho=invalid",
            101,
            "",
        );
    });
}

#[test]
fn the_answer_names_the_subprotocol_and_never_an_extension() {
    on_one_and_four_shards("", |server| {
        let token = Token::client(server, "chat").sign();
        let check = |offer: &str, expect: Option<&str>| {
            let mut request = with(&token).header("Sec-WebSocket-Extensions", "permessage-deflate");
            if !offer.is_empty() {
                request = request.header("Sec-WebSocket-Protocol", offer);
            }
            let response = server.send(request);
            assert_eq!(response.status, 101, "{offer}");
            assert_eq!(response.header("sec-websocket-extensions"), None);
            assert_eq!(
                response.header("sec-websocket-accept"),
                Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            );
            assert_eq!(response.header("sec-websocket-protocol"), expect, "{offer}");
        };
        check("", None);
        for predefined in [
            "json.webpubsub.azure.v1",
            "json.reliable.webpubsub.azure.v1",
            "protobuf.webpubsub.azure.v1",
            "protobuf.reliable.webpubsub.azure.v1",
            "JSON.webpubsub.azure.v1",
        ] {
            check(predefined, Some(predefined));
            // Case 8.
            check(&format!("x.custom, {predefined}"), Some(predefined));
        }
        check("x.custom", Some("x.custom")); // Case 9, where we echo the name: browsers need it.
        check("x.one, x.two", Some("x.one"));
        check(
            "Protobuf.reliable.webpubsub.azure.v1, json.webpubsub.azure.v1",
            Some("Protobuf.reliable.webpubsub.azure.v1"),
        );
    });
}

#[test]
fn a_hub_may_let_clients_in_without_a_token_but_never_with_a_bad_one() {
    on_one_and_four_shards(SETTINGS, |server| {
        assert_eq!(
            upgrade(server, Request::upgrade("/client/hubs/OPEN")).0,
            101
        );
        assert_eq!(
            upgrade(
                server,
                Request::upgrade("/client/hubs/open?access_token=bad")
            )
            .0,
            401
        );
        assert_eq!(
            upgrade(server, Request::upgrade("/client/hubs/closed")).0,
            401
        );
    });
}

#[test]
fn a_full_node_refuses_and_a_freed_seat_is_taken_again() {
    on_one_and_four_shards("[limits]\nconnections = 2\n", |server| {
        let connect = || Connect::to("chat", &Token::client(server, "chat")).open(server);
        let first = connect().unwrap();
        let _second = connect().unwrap();
        assert_eq!(connect().err(), Some(429));
        drop(first);
        let _third = crate::support::eventually("the seat is free again", || connect().ok());
        assert_eq!(connect().err(), Some(429));
    });
}
