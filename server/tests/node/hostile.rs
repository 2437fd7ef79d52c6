//! Clients that break the protocol, on purpose or by accident: each ends for itself alone.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::raw::{BINARY, CLOSE, FIN, PING, PONG, TEXT, frame, frame_head};
use crate::support::{Client, Raw, Server, Token, eventually, on_one_and_four_shards};

/// The smallest there is, so that a message over it is quickly sent.
const MESSAGE_BYTES: usize = 1024;

/// Runs `hostility` while two others talk, of whose messages none may be lost or overtaken.
fn beside_a_conversation(server: &Server, hostility: impl FnOnce(&str)) {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let token = Token::client(server, "chat").sign();
    let (mut sender, _) = Client::json(server, "chat", None);
    let (mut receiver, _) = Client::json(server, "chat", None);
    receiver.join("room");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                for number in round * 10..(round + 1) * 10 {
                    let data = json!({
                        "type": "sendToGroup", "group": "room", "dataType": "text",
                        "data": number.to_string(),
                    });
                    sender.send(&data.to_string());
                }
                for number in round * 10..(round + 1) * 10 {
                    assert_eq!(receiver.message()["data"], json!(number.to_string()));
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        // Also when an assertion fails, or the conversation would never end.
        let _stop = Stop(&stop);
        hostility(&token);
        eventually("only the two are left", || {
            (server.metric("hubwire_connections") == 2).then_some(())
        });
    });
}

#[test]
fn a_broken_frame_closes_its_own_connection_only() {
    let settings = format!("[limits]\nmessage_bytes = {MESSAGE_BYTES}\n");
    let mut unmasked = frame_head(FIN | TEXT, 2);
    unmasked[1] &= 0x7F;
    unmasked.extend_from_slice(b"{}");
    let too_much = vec![b' '; MESSAGE_BYTES + 1];
    let table = [
        ("an immense length", frame_head(FIN | BINARY, 1 << 62), 1009),
        ("one byte too many", frame(FIN | TEXT, &too_much), 1009),
        (
            "one byte too many in the last fragment",
            [
                frame(TEXT, &too_much[..MESSAGE_BYTES]),
                frame(0, b""),
                frame(FIN, b"x"),
            ]
            .concat(),
            1009,
        ),
        ("not UTF-8", frame(FIN | TEXT, b"{\"\xFF\xFE\"}"), 1007),
        (
            "a character cut in half",
            [frame(TEXT, b"\xC3"), frame(FIN, b"")].concat(),
            1007,
        ),
        ("no mask", unmasked, 1002),
        ("a reserved opcode", frame(FIN | 0x3, b"{}"), 1002),
        ("a reserved control opcode", frame(FIN | 0xB, b""), 1002),
        ("RSV1", frame(FIN | 0x40 | TEXT, b"{}"), 1002),
        ("a ping in fragments", frame(PING, b""), 1002),
        ("a long ping", frame(FIN | PING, &[0; 126]), 1002),
        ("nothing to continue", frame(FIN, b"{}"), 1002),
        (
            "a message inside a message",
            [frame(TEXT, b"{"), frame(FIN | TEXT, b"}")].concat(),
            1002,
        ),
        (
            "a length with its top bit",
            frame_head(FIN | TEXT, 1 << 63),
            1002,
        ),
        ("half a close code", frame(FIN | CLOSE, b"\x03"), 1002),
        (
            "a close code nobody sends",
            frame(FIN | CLOSE, &1005_u16.to_be_bytes()),
            1002,
        ),
    ];
    on_one_and_four_shards(&settings, |server| {
        beside_a_conversation(server, |token| {
            for (what, bytes, code) in &table {
                let mut simple = Raw::simple(server, "chat", token);
                simple.send(bytes);
                assert_eq!(simple.closed(), *code, "{what}");

                let mut json = Raw::json(server, "chat", token);
                json.text();
                json.send(bytes);
                assert_eq!(json.closed(), *code, "{what}");
            }
        });
        let broken = 2 * table.len() as u64;
        assert_eq!(
            server.metric("hubwire_closed_protocol_errors_total"),
            broken
        );
    });
}

#[test]
fn what_is_no_message_of_the_subprotocol_is_explained_before_the_close() {
    on_one_and_four_shards("", |server| {
        beside_a_conversation(server, |token| {
            let deep = "[".repeat(100_000);
            for nonsense in ["", "{", "nonsense", "[]", "{\"type\":\"nonsense\"}", &deep] {
                let mut client = Raw::json(server, "chat", token);
                client.text();
                client.send(&frame(FIN | TEXT, nonsense.as_bytes()));
                let goodbye: serde_json::Value = serde_json::from_str(&client.text()).unwrap();
                assert_eq!(
                    (&goodbye["type"], &goodbye["event"]),
                    (&json!("system"), &json!("disconnected"))
                );
                assert_ne!(goodbye["message"], json!(""));
                assert_eq!(client.closed(), 1007);
            }
        });
    });
}

#[test]
fn a_message_may_come_in_very_many_pieces() {
    let settings = "[limits]\nmessage_bytes = 10000\n";
    let mut message = br#"{"type":"ping"}"#.to_vec();
    message.resize(10_000, b' ');
    on_one_and_four_shards(settings, |server| {
        beside_a_conversation(server, |token| {
            let mut client = Raw::json(server, "chat", token);
            client.text();
            let mut bytes = frame(TEXT, &message[..1]);
            for byte in &message[1..9_999] {
                bytes.extend(frame(0, &[*byte]));
            }
            // Control frames may come in between.
            bytes.extend(frame(FIN | PING, b"?"));
            bytes.extend(frame(FIN, &message[9_999..]));
            client.send(&bytes);
            assert_eq!(client.frame(), Some((PONG, b"?".to_vec())));
            assert_eq!(client.text(), r#"{"type":"pong"}"#);

            // Pieces of nothing never end the message, and cost nothing.
            client.send(&frame(TEXT, b""));
            client.send(&frame(0, b"").repeat(10_000));
            client.send(&frame(FIN, &message));
            assert_eq!(client.text(), r#"{"type":"pong"}"#);
        });
    });
}

#[test]
fn a_flood_of_pings_is_answered_or_ends_its_sender() {
    const PINGS: u32 = 10_000;
    on_one_and_four_shards("", |server| {
        beside_a_conversation(server, |token| {
            let mut reader = Raw::simple(server, "chat", token);
            let mut writer = reader.try_clone();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for number in 0..PINGS {
                        writer.send(&frame(FIN | PING, &number.to_be_bytes()));
                    }
                });
                for number in 0..PINGS {
                    assert_eq!(reader.frame(), Some((PONG, number.to_be_bytes().to_vec())));
                }
            });
            drop((reader, writer));

            // One that never reads its answers gets no further than its bound.
            let mut deaf = Raw::stalled(server, "chat", token);
            let pings = frame(FIN | PING, &[0; 125]).repeat(1000);
            eventually("the flood is over", || {
                deaf.send(&pings);
                (server.metric("hubwire_closed_slow_clients_total") == 1).then_some(())
            });
        });
    });
}

#[test]
fn sockets_that_end_halfway_leave_nothing() {
    on_one_and_four_shards("", |server| {
        beside_a_conversation(server, |token| {
            let unfinished = frame_head(FIN | TEXT, 1000);
            let fragment = frame(TEXT, b"{\"type\":");
            for bytes in [b"".as_slice(), &unfinished, &fragment, &fragment[..1]] {
                let mut half_closed = Raw::json(server, "chat", token);
                half_closed.text();
                half_closed.send(bytes);
                half_closed.half_close();
                assert_eq!(half_closed.frame(), None);

                let mut reset = Raw::json(server, "chat", token);
                reset.text();
                reset.send(bytes);
                reset.reset();
            }
        });
    });
}
