//! TLS: certificates, handshakes, and that everything above the transport is as without it.

mod handshakes;
#[cfg(unix)]
mod reload;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;

use serde_json::json;

use crate::support::raw::{CLOSE, FIN, PING, PONG, TEXT, frame};
use crate::support::secure::Trust;
use crate::support::{Client, Raw, Request, Server, Token, eventually};

/// Bytes of a frame that carries a part of a message.
const FRAGMENT: usize = 50_000;

/// Runs a test against a node with TLS with one shard and one with four.
fn on_one_and_four_shards(settings: &str, test: impl Fn(&Server, &Trust)) {
    for shards in [1, 4] {
        let server = Server::start_with_dev_tls(shards, settings);
        let trust = Trust::file(&server.authority_file());
        test(&server, &trust);
    }
}

fn member_token(server: &Server) -> String {
    Token::client(server, "chat")
        .role("webpubsub.sendToGroup")
        .group("room")
        .sign()
}

fn publish(data: &str) -> Vec<u8> {
    let message = json!({
        "type": "sendToGroup", "group": "room", "dataType": "text", "data": data,
    });
    message.to_string().into_bytes()
}

fn data_of(text: &str) -> String {
    let message: serde_json::Value = serde_json::from_str(text).unwrap();
    message["data"].as_str().unwrap().to_owned()
}

#[test]
fn messages_of_every_size_pass_in_fragments_and_whole() {
    on_one_and_four_shards("", |server, trust| {
        let token = member_token(server);
        let mut sender = trust.json(server, &token);
        let mut other = trust.json(server, &token);
        for size in [0, 1, 125, 16_383, 16_384, 16_385, 65_536, 70_000, 1_000_000] {
            let data = "x".repeat(size);
            let message = publish(&data);
            let mut bytes = Vec::new();
            let mut parts = message.chunks(FRAGMENT).peekable();
            let mut first = TEXT;
            while let Some(part) = parts.next() {
                let last = if parts.peek().is_none() { FIN } else { 0 };
                bytes.extend(frame(first | last, part));
                if last == 0 {
                    // Control frames may come in between.
                    bytes.extend(frame(FIN | PING, b"?"));
                }
                first = 0;
            }
            sender.send(&bytes);
            for _ in 0..message.len().div_ceil(FRAGMENT) - 1 {
                assert_eq!(sender.frame(), Some((PONG, b"?".to_vec())));
            }
            for client in [&mut sender, &mut other] {
                assert!(data_of(&client.text()) == data, "{size}");
            }
        }
    });
}

#[test]
fn bytes_may_come_one_by_one() {
    on_one_and_four_shards("", |server, trust| {
        let mut client = trust.json(server, &member_token(server));
        for byte in frame(FIN | TEXT, &publish("slowly")) {
            client.send(&[byte]);
        }
        assert_eq!(data_of(&client.text()), "slowly");
    });
}

#[test]
fn a_request_behind_the_upgrade_is_answered() {
    on_one_and_four_shards("", |server, trust| {
        let path = format!("/client/hubs/chat?access_token={}", member_token(server));
        let upgrade =
            Request::upgrade(&path).header("Sec-WebSocket-Protocol", "json.webpubsub.azure.v1");
        let mut bytes = upgrade.bytes(&server.authority());
        bytes.extend(frame(FIN | TEXT, br#"{"type":"ping"}"#));
        bytes.extend(frame(FIN | TEXT, &publish("at once")));
        let mut stream = trust.connect(server);
        stream.write_all(&bytes).unwrap();
        let response = crate::support::Response::read(&mut stream, false);
        assert_eq!(response.status, 101);
        let mut client = Raw(stream);
        assert!(client.text().contains("connected"));
        assert_eq!(client.text(), r#"{"type":"pong"}"#);
        assert_eq!(data_of(&client.text()), "at once");
    });
}

#[test]
fn the_end_is_a_clean_one() {
    on_one_and_four_shards("", |server, trust| {
        let mut client = trust.json(server, &member_token(server));
        client.send(&frame(FIN | CLOSE, &1000_u16.to_be_bytes()));
        assert_eq!(client.frame(), Some((CLOSE, vec![0x03, 0xE8])));
        // Without a farewell of TLS, this were an error.
        assert_eq!(client.0.read(&mut [0; 1]).unwrap(), 0);

        let mut stream = trust.connect(server);
        let request = Request::new("GET", "/api/health").header("Connection", "close");
        assert_eq!(request.send(&mut stream, &server.authority()).status, 200);
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    });
}

#[test]
fn what_was_sent_before_a_half_close_counts() {
    on_one_and_four_shards("", |server, trust| {
        let token = member_token(server);
        let mut watcher = trust.json(server, &token);
        for with_farewell in [true, false] {
            let mut client = trust.json(server, &token);
            client.send(&frame(FIN | TEXT, &publish("last words")));
            if with_farewell {
                client.0.conn.send_close_notify();
                client.0.flush().unwrap();
            }
            client.0.sock.shutdown(Shutdown::Write).unwrap();
            assert_eq!(data_of(&watcher.text()), "last words");
            eventually("it is gone", || {
                (server.metric("hubwire_connections") == 1).then_some(())
            });
        }
    });
}

#[test]
fn a_client_that_stops_reading_is_closed_and_the_others_lose_nothing() {
    let filler = "x".repeat(32 * 1024);
    for bound in [
        "outbound_queue_messages = 50",
        "outbound_queue_bytes = 65536\nmessage_bytes = 65536\nrest_body_bytes = 65536",
    ] {
        on_one_and_four_shards(&format!("[limits]\n{bound}\n"), |server, trust| {
            let token = member_token(server);
            let mut stalled = trust.stalled(server, &token);
            let mut reader = trust.json(server, &token);
            let mut sender = trust.json(
                server,
                &Token::client(server, "chat")
                    .role("webpubsub.sendToGroup")
                    .sign(),
            );
            let mut number = 0;
            eventually("the stalled client is closed", || {
                let data = format!("{number} {filler}");
                sender.send(&frame(FIN | TEXT, &publish(&data)));
                assert!(data_of(&reader.text()) == data);
                number += 1;
                (server.metric("hubwire_closed_slow_clients_total") == 1).then_some(())
            });
            // Every record that it still finds is whole, and the last one is followed by the end.
            let end = std::iter::repeat_with(|| stalled.0.read(&mut [0; 4096]))
                .find(|read| !matches!(read, Ok(1..)));
            match end.unwrap() {
                Ok(_) => {}
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                    ),
                    "{error}"
                ),
            }
            eventually("nothing waits for it", || {
                (server.metric("hubwire_queued_bytes") == 0).then_some(())
            });
        });
    }
}

#[test]
fn a_broken_record_ends_its_own_connection_only() {
    on_one_and_four_shards("", |server, trust| {
        let token = member_token(server);
        let mut watcher = trust.json(server, &token);
        let broken = [
            // Application data that nobody encrypted.
            [b"\x17\x03\x03\x00\x40".as_slice(), &[0x55; 64]].concat(),
            // Longer than a record may be.
            b"\x17\x03\x03\xff\xff".to_vec(),
            // A type that is none.
            b"\x63\x03\x03\x00\x01\x00".to_vec(),
            // HTTP in the middle of it.
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ];
        for (bytes, count) in broken.iter().zip(1_u64..) {
            let mut client = trust.json(server, &token);
            client.0.sock.write_all(bytes).unwrap();
            // The alert that says why.
            assert_eq!(
                client.0.read(&mut [0; 1]).unwrap_err().kind(),
                ErrorKind::InvalidData
            );
            eventually("it is counted", || {
                (server.metric("hubwire_tls_broken_total") == count).then_some(())
            });
            eventually("it is gone", || {
                (server.metric("hubwire_connections") == 1).then_some(())
            });
        }
        watcher.send(&frame(FIN | TEXT, &publish("still here")));
        assert_eq!(data_of(&watcher.text()), "still here");
    });
}

#[test]
fn rest_is_spoken_too() {
    on_one_and_four_shards("", |server, trust| {
        let token = member_token(server);
        let mut client = trust.json(server, &token);
        let body = "y".repeat(300_000);
        let send = Request::new("POST", "/api/hubs/chat/:send?api-version=2024-01-01")
            .authorized(server)
            .body("text/plain", &body);
        assert_eq!(trust.send(server, &send).status, 202);
        assert!(data_of(&client.text()) == body);
        // Several requests on one connection, one of them with a body in chunks.
        let mut stream = trust.connect(server);
        for _ in 0..3 {
            let response = send
                .clone()
                .chunked()
                .send(&mut stream, &server.authority());
            assert_eq!(response.status, 202);
            assert!(data_of(&client.text()) == body);
        }
        let path = "/api/hubs/chat/groups/room/connections?api-version=2024-12-01&maxpagesize=1";
        let _other = trust.json(server, &token);
        let page = trust.send(server, &Request::new("GET", path).authorized(server));
        let link = page.json()["nextLink"].as_str().unwrap().to_owned();
        assert!(
            link.starts_with(&format!("https://{}/", server.authority())),
            "{link}"
        );
        let denied = Request::new("POST", "/api/hubs/chat/:send?api-version=2024-01-01");
        assert_eq!(trust.send(server, &denied).status, 401);
    });
}

#[test]
fn plain_clients_are_as_before_when_there_is_no_tls() {
    let server = Server::start(1, "");
    let (mut client, _) = Client::json(&server, "chat", None);
    client.join("room");
    assert!(!server.admin("/metrics").text().contains("hubwire_tls_"));
}
