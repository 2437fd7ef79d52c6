//! Sending: types, bodies, who gets it and who does not.

use std::io::{ErrorKind, Write as _};

use hubwire_proto::percent;

use super::{HUB, mark, member, send};
use crate::support::{Client, Request, eventually, on_one_and_four_shards};

#[test]
fn messages_arrive_as_what_they_are() {
    on_one_and_four_shards("", |server| {
        let (mut json, id) = member(server, Some("ann"), "room");
        let mut simple = Client::simple(server, "chat", &["room"]);
        eventually("the simple client is in", || {
            (server.metric("hubwire_connections") == 2).then_some(())
        });
        let all = format!("{HUB}/:send");
        // Cases 64, 65, 67 and 40; the texts are compared as a vendor's test does.
        assert_eq!(send(server, &all, "text/plain", "h\"i"), 202);
        assert_eq!(
            json.text(),
            r#"{"type":"message","from":"server","dataType":"text","data":"h\"i"}"#
        );
        assert_eq!(simple.text(), "h\"i");
        assert_eq!(send(server, &all, "application/json", " {\"a\": 1.0}"), 202);
        assert_eq!(json.message()["data"]["a"], 1.0);
        assert_eq!(simple.text(), " {\"a\": 1.0}");
        for content_type in ["application/octet-stream", ""] {
            assert_eq!(send(server, &all, content_type, [1, 2, 255]), 202);
            assert_eq!(
                json.text(),
                r#"{"type":"message","from":"server","dataType":"binary","data":"AQL/"}"#
            );
            assert_eq!(simple.bytes(), [1, 2, 255]);
        }
        assert_eq!(
            send(server, &all, "text/plain; charset=iso-8859-1", [0xE9]),
            202
        );
        assert_eq!(simple.text(), "é");
        assert_eq!(json.message()["data"], "é");
        // Case 63.
        let (mut other, _) = Client::json(server, "chat", None);
        assert_eq!(
            send(
                server,
                &format!("{HUB}/groups/room/:send"),
                "text/plain",
                "g"
            ),
            202
        );
        assert_eq!(
            json.text(),
            r#"{"type":"message","from":"group","group":"room","dataType":"text","data":"g"}"#
        );
        assert_eq!(simple.text(), "g");
        assert_eq!(
            send(server, &format!("{HUB}/users/ann/:send"), "text/plain", "u"),
            202
        );
        assert_eq!(json.message()["data"], "u");
        assert_eq!(
            send(
                server,
                &format!("{HUB}/connections/{id}/:send"),
                "text/plain",
                "c"
            ),
            202
        );
        assert_eq!(
            json.text(),
            r#"{"type":"message","from":"server","dataType":"text","data":"c"}"#
        );
        mark(server);
        assert_eq!(other.message()["data"], "mark");
        assert_eq!(json.message()["data"], "mark");
        assert_eq!(simple.text(), "mark");
    });
}

#[test]
fn bodies_have_a_type_a_bound_and_a_shape() {
    on_one_and_four_shards("[limits]\nrest_body_bytes = 20000\n", |server| {
        let path = format!("{HUB}/:send");
        let check = |content_type: &str, body: Vec<u8>, status: u16| {
            let request = Request::new("POST", &path)
                .body(content_type, body)
                .authorized(server);
            assert_eq!(
                server.send(request.clone()).status,
                status,
                "{content_type}"
            );
            // Case 74, where we take what the vendor's libraries send.
            assert_eq!(
                server.send(request.chunked()).status,
                status,
                "{content_type} in chunks"
            );
        };
        check("text/html", b"x".to_vec(), 415); // Case 75.
        check("text/plain; charset=klingon", b"x".to_vec(), 415);
        check("application/json", b"{".to_vec(), 400);
        check("application/json", b"".to_vec(), 400);
        check("text/plain", vec![0xFF], 400);
        check("", vec![0; 20_000], 202);
        check("", vec![0; 20_001], 413);
        check("", vec![0; 3_000_000], 413);
        let request = Request::new("POST", &path).body("text/html", vec![0; 3_000_000]);
        assert_eq!(server.send(request).status, 401);
        // A body that never comes costs the server nothing but this connection.
        let cut = Request::new("POST", &path)
            .header("Content-Length", "100")
            .authorized(server);
        let mut stream = server.dial();
        std::io::Write::write_all(&mut stream, &cut.bytes(&server.authority())).unwrap();
        drop(stream);
        assert_eq!(server.rest("HEAD", &format!("{HUB}/groups/g")).status, 404);
    });
}

#[test]
fn a_length_beyond_all_bounds_is_refused_before_anything_is_read() {
    on_one_and_four_shards("", |server| {
        let path = format!("{HUB}/:send");
        let huge = Request::new("POST", &path)
            .header("Content-Length", "4611686018427387904")
            .header("Expect", "100-continue")
            .authorized(server);
        assert_eq!(server.send(huge).status, 413);
    });
}

#[test]
fn excluded_connections_are_left_out() {
    on_one_and_four_shards("", |server| {
        let (mut a, id_a) = member(server, None, "room");
        let (mut b, id_b) = member(server, None, "room");
        let (mut c, _) = member(server, None, "room");
        let query = format!("excluded={id_a}&excluded=unknown&excluded={id_b}");
        for path in [":send", "groups/room/:send"] {
            assert_eq!(
                send(server, &format!("{HUB}/{path}?{query}"), "text/plain", path),
                202
            );
            assert_eq!(c.message()["data"], path);
        }
        mark(server);
        for client in [&mut a, &mut b, &mut c] {
            assert_eq!(client.message()["data"], "mark");
        }
        let close = format!("{HUB}/groups/room/:closeConnections?{query}");
        assert_eq!(server.rest("POST", &close).status, 204);
        assert_eq!(c.message()["event"], "disconnected");
        mark(server);
        assert_eq!(a.message()["data"], "mark");
        assert_eq!(b.message()["data"], "mark");
    });
}

#[test]
fn a_filter_picks_who_gets_it() {
    on_one_and_four_shards("", |server| {
        let (mut ann, id) = member(server, Some("ann"), "room");
        let (mut other_ann, _) = member(server, Some("ann"), "room");
        let (mut bob, _) = member(server, Some("o'brien, bob"), "lobby");
        let (mut nobody, _) = member(server, None, "room");
        // The receivers by their initials: a and b for Ann's two clients, o, n.
        let mut check = |path: &str, filter: &str, more: &str, receivers: &str| {
            let filter = percent::encode(filter);
            let path = format!("{HUB}/{path}?filter={filter}{more}");
            assert_eq!(send(server, &path, "text/plain", "x"), 202, "{path}");
            mark(server);
            let clients = [&mut ann, &mut other_ann, &mut bob, &mut nobody];
            for (client, initial) in clients.into_iter().zip("abon".chars()) {
                if receivers.contains(initial) {
                    assert_eq!(client.message()["data"], "x", "{path}");
                }
                assert_eq!(client.message()["data"], "mark", "{path}");
            }
        };
        // Case 76.
        let but_ann = format!("&excluded={id}");
        check(":send", "userId eq 'ann'", &but_ann, "b");
        let room = "groups/room/:send";
        check(room, "userId eq 'ann'", &but_ann, "b");
        check(room, "userId eq null", "", "n");
        check(":send", "userId eq 'o''brien, bob'", "", "o");
        check(":send", "not ('room' in groups)", "", "o");
        check(":send", "length(userId) gt 3", "", "o");
        let json = "protocol eq 'json.webpubsub.azure.v1'";
        check(":send", json, "", "abon");
        let user = "users/ann/:send";
        check(user, &format!("connectionId eq '{id}'"), "", "a");
        check(user, &format!("connectionId ne '{id}'"), "", "b");
        check(":send", "", "", "abon");
        check(":send", "false", "", "");
        // One connection is sent to whatever it is.
        check(&format!("connections/{id}/:send"), "false", "", "a");
        let hits = server.metric("hubwire_filter_cache_hits_total");
        check(":send", "false", "", "");
        assert_eq!(
            server.metric("hubwire_filter_cache_hits_total"),
            hits + 1,
            "a filter is parsed once"
        );
    });
}

#[test]
fn a_wrong_filter_is_refused_before_anything_is_sent() {
    on_one_and_four_shards("", |server| {
        let (mut client, _) = member(server, None, "room");
        // Case 77; a test of the vendor's compares the second text.
        for (filter, message) in [
            (
                "userId lt 1",
                "Invalid syntax for 'userId lt 1': Type 'string', expect 'int'. \
                 (Parameter 'filter')",
            ),
            (
                "invalid filter",
                "Invalid syntax for 'invalid filter': Syntax error at position 14 in \
                 'invalid filter'. (Parameter 'filter')",
            ),
        ] {
            for path in [":send", "groups/room/:send", "users/ann/:send"] {
                let filter = percent::encode(filter);
                // The content type is wrong too, but the filter is looked at first.
                let request = Request::new("POST", &format!("{HUB}/{path}?filter={filter}"))
                    .body("text/html", "x")
                    .authorized(server);
                let response = server.send(request);
                assert_eq!(
                    (response.status, response.code().as_str()),
                    (400, "Error.BadRequest")
                );
                let body = response.json();
                assert_eq!(
                    (&body["message"], &body["target"]),
                    (&message.into(), &"Request".into())
                );
            }
        }
        for query in ["filter=%20", "filter=true&filter=true", "filter=%FF"] {
            let path = format!("{HUB}/:send?{query}");
            assert_eq!(send(server, &path, "", "x"), 400, "{query}");
        }
        mark(server);
        assert_eq!(client.message()["data"], "mark");
    });
}

#[test]
fn a_message_with_a_time_to_live_arrives_like_any_other() {
    on_one_and_four_shards("", |server| {
        let (mut client, _) = member(server, Some("ann"), "room");
        for path in [":send", "groups/room/:send", "users/ann/:send"] {
            for seconds in [0, 300] {
                let path = format!("{HUB}/{path}?messageTtlSeconds={seconds}");
                assert_eq!(send(server, &path, "text/plain", &path), 202);
                assert_eq!(client.message()["data"], path.as_str());
            }
        }
    });
}

#[test]
fn metadata_travels_in_headers() {
    on_one_and_four_shards("", |server| {
        let (mut json, _) = member(server, None, "room");
        let mut simple = Client::simple(server, "chat", &["room"]);
        eventually("the simple client is in", || {
            (server.metric("hubwire_connections") == 2).then_some(())
        });
        let post = |path: &str, headers: &[(&str, &str)]| {
            let request = Request::new("POST", &format!("{HUB}/{path}")).body("text/plain", "x");
            let request = headers.iter().fold(request, |request, (name, value)| {
                request.header(name, value)
            });
            server.send(request.authorized(server))
        };
        // Case 62.
        let trace = ("X-WebPubSub-Metadata-Trace", "first, final");
        assert_eq!(post(":send", &[trace]).status, 202);
        assert_eq!(
            json.text(),
            r#"{"type":"message","from":"server","dataType":"text","data":"x","metadata":{"trace":"final"}}"#
        );
        assert_eq!(simple.text(), "x");
        let other = ("x-webpubsub-metadata-b.c", "a\"b");
        assert_eq!(post("groups/room/:send", &[trace, other]).status, 202);
        assert_eq!(
            json.text(),
            r#"{"type":"message","from":"group","group":"room","dataType":"text","data":"x","metadata":{"b.c":"a\"b","trace":"final"}}"#
        );
        assert_eq!(simple.text(), "x");
        let long = "v".repeat(1025);
        for (name, value, message) in [
            (
                "X-WebPubSub-Metadata-Trace",
                long.as_str(),
                "Metadata value for key 'trace' exceeds 1024 bytes.",
            ),
            (
                "X-WebPubSub-Metadata-Trace",
                "é",
                "Metadata value for key 'trace' must be ASCII.",
            ),
            (
                "X-WebPubSub-Metadata-",
                "x",
                "Metadata key must not be empty.",
            ),
        ] {
            let refused = post(":send", &[(name, value)]);
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (400, "Error.BadRequest")
            );
            assert_eq!(refused.json()["message"], message);
        }
        mark(server);
        assert_eq!(json.message()["data"], "mark");
    });
}

#[test]
fn bodies_that_are_announced_and_do_not_come_keep_nobody_waiting() {
    on_one_and_four_shards("", |server| {
        let path = format!("{HUB}/:send");
        let chunk = "400\r\n".to_owned() + &"x".repeat(0x400) + "\r\n";
        // More than fits if room were taken for what is announced.
        let idle: Vec<_> = (0..160)
            .map(|nth| {
                let mut socket = server.dial();
                let announced = Request::new("POST", &path)
                    .authorized(server)
                    .header("Content-Type", "text/plain");
                let (announced, begun) = match nth % 2 {
                    0 => (announced.header("Content-Length", "1048576"), "x"),
                    _ => (announced.header("Transfer-Encoding", "chunked"), &*chunk),
                };
                let mut bytes = announced.bytes(&server.authority());
                bytes.extend_from_slice(begun.as_bytes());
                socket.write_all(&bytes).unwrap();
                socket
            })
            .collect();
        assert_eq!(send(server, &path, "text/plain", "x".repeat(1 << 20)), 202);
        for socket in &idle {
            let mut byte = [0];
            socket.set_nonblocking(true).unwrap();
            let waiting = socket.peek(&mut byte).unwrap_err();
            assert_eq!(waiting.kind(), ErrorKind::WouldBlock);
        }
    });
}
