//! The listener itself: odd, slow, silent and too large requests; shutting down; what the log shows.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{
    Client, Connect, PRIMARY_KEY, Request, Response, SECONDARY_KEY, Server, Token, eventually,
    on_one_and_four_shards,
};

/// Reads until the server closes; what came before that.
fn rest_of(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut rest);
    rest
}

#[test]
fn health_needs_no_token() {
    on_one_and_four_shards("", |server| {
        for (method, path) in [
            ("HEAD", "/api/health"),
            ("GET", "/api/health"),
            ("GET", "/api/health/"),
        ] {
            let response = server.send(Request::new(method, path));
            assert_eq!(
                (response.status, response.header("content-length")),
                (200, Some("0"))
            );
        }
        let response = server.send(Request::new("POST", "/api/health"));
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some("GET, HEAD"))
        );
        assert_eq!(
            (
                server.admin("/healthz").status,
                server.admin("/nothing").status
            ),
            (200, 404)
        );
    });
}

#[test]
fn unfinished_handshakes_are_closed() {
    on_one_and_four_shards("[limits]\nhandshake_timeout_seconds = 1\n", |server| {
        let halves: [&[u8]; 4] = [
            b"",
            b"G",
            b"GET /client/hubs/chat HTTP/1.1\r\nHost: x\r\n",
            b"\r\n",
        ];
        let streams = halves.map(|half| {
            let mut stream = server.dial();
            stream.write_all(half).unwrap();
            stream
        });
        for stream in streams {
            assert_eq!(rest_of(stream), b"");
        }
        eventually("all are counted", || {
            (server.metric("hubwire_handshake_timeouts_total") == 4).then_some(())
        });
    });
}

#[test]
fn silent_sockets_keep_nobody_out() {
    let server = Server::start(4, "[limits]\nhandshake_timeout_seconds = 2\n");
    let silent: Vec<TcpStream> = (0..400).map(|_| server.dial()).collect();
    let (mut client, _) = Client::json(&server, "chat", None);
    client.join("room");
    assert_eq!(
        server.rest("HEAD", "/api/hubs/chat/groups/room").status,
        200
    );
    for stream in silent {
        assert_eq!(rest_of(stream), b"");
    }
    eventually("all are gone", || {
        (server.metric("hubwire_http_connections") <= 1).then_some(())
    });
    client.join("room2");
}

#[test]
fn heads_have_a_bound_and_long_urls_fit_below_it() {
    on_one_and_four_shards("", |server| {
        let token = Token::client(server, "chat").sign();
        let long = "x".repeat(17 * 1024);
        let path = format!("/client/hubs/chat?access_token={token}&padding={long}");
        assert_eq!(server.send(Request::upgrade(&path)).status, 101);
        let request = Request::upgrade("/client/hubs/chat").bearer(&token);
        assert_eq!(
            server
                .send(request.clone().header("X-Padding", &"x".repeat(32 * 1024)))
                .status,
            101
        );
        assert_eq!(
            server
                .send(request.header("X-Padding", &"x".repeat(64 * 1024)))
                .status,
            431
        );
        // The server goes on.
        assert_eq!(server.send(Request::new("GET", "/api/health")).status, 200);
    });
}

#[test]
fn what_is_not_http_ends_its_own_connection_only() {
    on_one_and_four_shards("", |server| {
        for nonsense in [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
            &[0xFF; 4096],
        ] {
            let mut stream = server.dial();
            let _ = stream.write_all(nonsense);
            let answer = rest_of(stream);
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
                "{answer:?}"
            );
        }
        assert_eq!(server.send(Request::new("GET", "/api/health")).status, 200);
    });
}

#[test]
fn a_connection_serves_several_requests() {
    on_one_and_four_shards("", |server| {
        let mut stream = server.dial();
        let health = Request::new("GET", "/api/health").bytes("x");
        // Two at once, then one more.
        stream
            .write_all(&[health.as_slice(), &health].concat())
            .unwrap();
        for _ in 0..2 {
            assert_eq!(Response::read(&mut stream, false).status, 200);
        }
        let refused =
            Request::new("POST", "/api/hubs/chat/:send").body("text/plain", "x".repeat(5000));
        assert_eq!(refused.send(&mut stream, "x").status, 401);
        stream.write_all(&health).unwrap();
        assert_eq!(Response::read(&mut stream, false).status, 200);
    });
}

#[test]
fn bytes_behind_the_upgrade_request_reach_the_client_session() {
    on_one_and_four_shards("", |server| {
        let token = Token::client(server, "chat").sign();
        let request = Request::upgrade(&format!("/client/hubs/chat?access_token={token}"))
            .header("Sec-WebSocket-Protocol", "json.webpubsub.azure.v1")
            .bytes("localhost");
        // A masked text frame with the mask 0: `{"type":"ping"}`.
        let payload = br#"{"type":"ping"}"#;
        let frame = [&[0x81, 0x80 | 15, 0, 0, 0, 0], payload.as_slice()].concat();
        let mut stream = server.dial();
        let host = format!("Host: {}", server.authority());
        let request = String::from_utf8(request)
            .unwrap()
            .replace("Host: localhost", &host);
        stream
            .write_all(&[request.as_bytes(), &frame].concat())
            .unwrap();
        assert_eq!(Response::read(&mut stream, false).status, 101);
        let mut seen = Vec::new();
        while !seen.ends_with(br#"{"type":"pong"}"#) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
    });
}

#[test]
#[cfg(unix)]
fn silent_sockets_cannot_take_the_descriptors_of_clients() {
    let server = Server::start_with_descriptors(1, "[limits]\nhandshake_timeout_seconds = 1\n", 64);
    let silent: Vec<TcpStream> = (0..12).map(|_| server.dial()).collect();
    let (mut client, _) = Client::json(&server, "chat", None);
    client.send(r#"{"type":"ping"}"#);
    assert_eq!(client.message()["type"], "pong");
    assert_eq!(server.metric("hubwire_accept_failures_total"), 0);
    drop(silent);
}

#[test]
#[cfg(unix)]
fn a_server_out_of_descriptors_recovers() {
    // So few that what the process needs for itself is more than the reserve.
    let server = Server::start_with_descriptors(1, "", 40);
    let token = Token::client(&server, "chat").sign();
    let upgrade = Request::upgrade(&format!("/client/hubs/chat?access_token={token}"));
    let upgrade = upgrade.bytes(&server.authority());
    let mut hoard: Vec<TcpStream> = Vec::new();
    for _ in 0..60 {
        let mut stream = server.dial();
        stream.write_all(&upgrade).expect("the system takes it");
        hoard.push(stream);
    }
    eventually("no descriptor is left", || {
        server
            .log()
            .contains("no connection can be accepted")
            .then_some(())
    });
    drop(hoard);
    let mut stream = server.dial();
    assert_eq!(
        Request::new("GET", "/api/health")
            .send(&mut stream, "x")
            .status,
        200
    );
    assert!(server.metric("hubwire_accept_failures_total") > 0);
}

#[test]
#[cfg(unix)]
fn a_stopping_server_says_so_to_everybody() {
    for shards in [1, 4] {
        let server = Server::start(shards, "[limits]\nclose_timeout_seconds = 60\n");
        // One that never answers the close frame keeps the server waiting.
        let mut silent = server.dial();
        let token = Token::client(&server, "chat").sign();
        let upgrade = Request::upgrade(&format!("/client/hubs/chat?access_token={token}"));
        assert_eq!(upgrade.send(&mut silent, &server.authority()).status, 101);
        let (mut client, _) = Client::json(&server, "chat", None);
        assert_eq!(server.send(Request::new("HEAD", "/api/health")).status, 200);
        server.terminate();
        let goodbye = client.message();
        assert_eq!(
            (&goodbye["type"], &goodbye["event"]),
            (&"system".into(), &"disconnected".into())
        );
        assert_eq!(client.closed().0, 1001);
        assert_eq!(server.send(Request::new("HEAD", "/api/health")).status, 503);
        let late = Connect::to("chat", &Token::client(&server, "chat")).open(&server);
        assert_eq!(late.err(), Some(503));
        drop(silent);
        drop(client);
        assert_eq!(server.exited().code(), Some(0));
    }
}

#[test]
fn no_secret_is_logged_at_any_level() {
    on_one_and_four_shards("", |server| {
        let token = Token::client(server, "chat").user("ann").sign();
        let path = format!("/client/hubs/chat?access_token={token}");
        for path in [
            &path,
            &format!("{path}&webpubsub_mode=bogus"),
            &format!("{path}&awps_connection_id=a&awps_reconnection_token=r3c0nn3ct"),
        ] {
            let _ = server.send(Request::upgrade(path));
        }
        let forged = Token::client(server, "chat")
            .key("another key, as long as it may be")
            .sign();
        let _ = server.send(Request::upgrade(&format!(
            "/client/hubs/chat?access_token={forged}"
        )));
        let _ = server.send(Request::upgrade("/client/hubs/chat").bearer(&forged));
        let rest = Token::new("http://elsewhere.example/").sign();
        let _ = server.send(
            Request::new("POST", "/api/hubs/chat/:send")
                .bearer(&rest)
                .body("text/plain", "x"),
        );
        let log = eventually("the refusals are logged", || {
            Some(server.log()).filter(|log| log.matches("REST request refused").count() == 1)
        });
        assert!(log.contains("client refused"), "{log}");
        for secret in [
            &token,
            &forged,
            &rest,
            PRIMARY_KEY,
            SECONDARY_KEY,
            "r3c0nn3ct",
        ] {
            assert!(!log.contains(secret), "{secret} in {log}");
            // Nor any part that could be used.
            let tail = secret.rsplit('.').next().unwrap();
            assert!(!log.contains(tail), "{tail} in {log}");
        }
    });
}

#[test]
fn metrics_count_what_happens() {
    let server = Server::start(4, "");
    let (_client, _) = Client::json(&server, "chat", None);
    assert_eq!(
        server.rest("HEAD", "/api/hubs/chat/users/nobody").status,
        404
    );
    assert_eq!(
        server.send(Request::upgrade("/client/hubs/chat")).status,
        401
    );
    eventually("the shards have published", || {
        (server.metric("hubwire_connections") == 1).then_some(())
    });
    for (name, value) in [
        ("hubwire_seats", 1),
        ("hubwire_connections_opened_total", 1),
        ("hubwire_clients_rejected_total{reason=\"token\"}", 1),
        (
            "hubwire_rest_requests_total{operation=\"user_exists\",status=\"404\"}",
            1,
        ),
        ("hubwire_inbox_used{shard=\"3\"}", 0),
    ] {
        assert_eq!(server.metric(name), value, "{name}");
    }
}
