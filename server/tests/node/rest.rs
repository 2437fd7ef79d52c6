//! REST: tokens, sends, existence, membership, closing, errors.

use crate::support::{
    Client, Request, SECONDARY_KEY, Server, Token, eventually, on_one_and_four_shards,
};

const HUB: &str = "/api/hubs/chat";
const VERSIONS: &str = "2021-10-01, 2022-11-01, 2023-07-01, 2024-01-01, 2024-12-01";

fn send(server: &Server, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> u16 {
    let request = Request::new("POST", path)
        .body(content_type, body)
        .authorized(server);
    server.send(request).status
}

/// Sends a text to the whole hub, so that whoever got something before has it before this.
fn mark(server: &Server) {
    assert_eq!(
        send(server, &format!("{HUB}/:send"), "text/plain", "mark"),
        202
    );
}

fn member(server: &Server, user: Option<&str>, group: &str) -> (Client, String) {
    let (mut client, id) = Client::json(server, "chat", user);
    client.join(group);
    (client, id)
}

#[test]
fn only_believable_tokens_for_this_path_are_obeyed() {
    on_one_and_four_shards("", |server| {
        let path = format!("{HUB}/:send");
        let host = server.authority();
        let check = |token: &Token, query: &str, status: u16| {
            let request = Request::new("POST", &format!("{path}{query}")).body("text/plain", "x");
            let response = server.send(request.bearer(&token.sign()));
            assert_eq!(response.status, status, "{}", response.text());
            assert_eq!(response.header("api-supported-versions"), Some(VERSIONS));
        };
        let to = |url: &str| Token::new(url);
        let own = format!("http://{host}{path}");
        check(&to(&own), "", 202);
        check(&to(&own).key(SECONDARY_KEY), "", 202);
        check(&to(&own), "?api-version=2021-10-01", 202);
        // Case 71.
        check(
            &to(&format!("{own}?api-version=2023-07-01")),
            "?api-version=2024-12-01&excluded=x",
            202,
        );
        // Case 69.
        for scheme in ["https", "ws", "wss"] {
            check(&to(&format!("{scheme}://{host}{path}")), "", 202);
        }
        check(&to(&format!("ftp://{host}{path}")), "", 401);
        // Case 70.
        check(&to(&format!("{own}Suffix")), "", 401);
        check(&to(&format!("{own}/child")), "", 202);
        // Cases 58 and 72.
        check(&to(&own).key("another key, as long as it may be"), "", 401);
        check(&to(&own).expires_in(-3600), "", 401);
        check(&to(&format!("http://{host}/api/hubs/other/:send")), "", 401);
        check(&to("http://elsewhere.example/api/hubs/chat/:send"), "", 401);
        check(&Token::client(server, "chat"), "", 401);
        let response = server.send(Request::new("POST", &path).body("text/plain", "x"));
        assert_eq!(
            (response.status, response.code().as_str()),
            (401, "Error.Unauthorized")
        );
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
    });
}

#[test]
fn versions_names_and_parameters_are_checked() {
    on_one_and_four_shards("", |server| {
        let check = |method: &str, path: &str, target: &str, message: &str| {
            let response = server.rest(method, path);
            assert_eq!(response.status, 400, "{path}");
            assert_eq!(response.code(), "Error.BadRequest");
            let body = response.json();
            assert_eq!(
                (&body["target"], &body["message"]),
                (&target.into(), &message.into()),
                "{path}"
            );
        };
        let version = "The specified API version is not supported.";
        // Cases 66 and 68.
        check(
            "POST",
            "/api/hubs/chat/:send?api-version=2099-01-01",
            "api-version",
            version,
        );
        check(
            "POST",
            "/api/hubs/chat/:send?api-version=2024-12-01&api-version=2024-12-01",
            "api-version",
            version,
        );
        check(
            "POST",
            "/api/hubs/1invalid/:send",
            "hub",
            "Invalid hub name.",
        );
        check(
            "POST",
            "/api/hubs/chat/groups/%20/:send",
            "group",
            "Invalid group name.",
        );
        check(
            "POST",
            &format!("/api/hubs/chat/groups/{}/:send", "g".repeat(1025)),
            "group",
            "Invalid group name.",
        );
        check(
            "POST",
            "/api/hubs/chat/users/%20/:send",
            "userId",
            "Invalid user ID.",
        );
        check(
            "DELETE",
            "/api/hubs/chat/connections/%20",
            "connectionId",
            "Invalid connection ID.",
        );
        for ttl in ["-1", "301", "x", ""] {
            let path = format!("/api/hubs/chat/:send?messageTtlSeconds={ttl}");
            check(
                "POST",
                &path,
                "messageTtlSeconds",
                "Invalid messageTtlSeconds.",
            );
        }
        assert_eq!(
            send(
                server,
                "/api/hubs/chat/:send?messageTtlSeconds=300",
                "",
                "x"
            ),
            202
        );
        assert_eq!(
            send(
                server,
                "/api/hubs/Chat/%3Asend/?api-version=2023-07-01",
                "",
                "x"
            ),
            202
        );
    });
}

#[test]
fn errors_have_the_fields_of_the_vendor() {
    on_one_and_four_shards("", |server| {
        let response = server.rest("PUT", &format!("{HUB}/groups/room/connections/missing"));
        // Case 60.
        assert_eq!(
            (response.status, response.code().as_str()),
            (404, "Error.Connection.NotExisted")
        );
        assert_eq!(
            response.text(),
            r#"{"code":"Error.Connection.NotExisted","message":"Connection `missing` is not found.","target":"Connection","details":null,"innererror":null}"#
        );
        assert_eq!(
            response.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        // To a HEAD, the length is that of the body that is not sent.
        let response = server.rest("HEAD", &format!("{HUB}/users/some_user"));
        assert_eq!(
            (response.status, response.header("x-ms-error-code")),
            (404, Some("Warning.User.NotExisted"))
        );
        let body = r#"{"code":"Warning.User.NotExisted","message":"User `some_user` is not found.","target":"User","details":null,"innererror":null}"#;
        assert_eq!(
            response.header("content-length"),
            Some(body.len().to_string().as_str())
        );
        let response = server.rest("HEAD", &format!("{HUB}/groups/g"));
        assert_eq!(
            response.header("x-ms-error-code"),
            Some("Warning.Group.NotExisted")
        );
        for path in [
            "/api/hubs/chat/nothing",
            "/api/hubs/chat",
            "/api",
            "/api/hubs/chat/groups/g/h/:send",
        ] {
            let response = server.rest("GET", path);
            assert_eq!(
                (response.status, response.code().as_str()),
                (404, "Error.NotFound"),
                "{path}"
            );
        }
        for (method, path, allow) in [
            ("GET", ":send", "POST"),
            ("GET", "connections/c", "HEAD, DELETE"),
            ("POST", "groups/g/connections/c", "PUT, DELETE"),
            ("DELETE", "groups/g/connections", "GET"),
        ] {
            let response = server.rest(method, &format!("{HUB}/{path}"));
            assert_eq!(
                (response.status, response.header("allow")),
                (405, Some(allow)),
                "{path}"
            );
        }
        for (method, path) in [
            ("POST", ":generateToken"),
            ("POST", ":addToGroups"),
            ("POST", ":removeFromGroups"),
            ("PUT", "permissions/sendToGroup/connections/c"),
            ("POST", ":send?filter=userId%20eq%20null"),
            ("POST", "users/u/:send?filter=x"),
        ] {
            let response = server.rest(method, &format!("{HUB}/{path}"));
            assert_eq!(
                (response.status, response.code().as_str()),
                (501, "NotImplemented"),
                "{path}"
            );
        }
        assert_eq!(send(server, &format!("{HUB}/:send?filter="), "", "x"), 202);
    });
}

#[test]
fn nobody_there_is_no_error_but_for_additions() {
    on_one_and_four_shards("", |server| {
        // Case 59. The second id could be one of ours.
        for id in ["missing", &"A".repeat(32)] {
            for (method, path, status) in [
                ("HEAD", format!("connections/{id}"), 404),
                ("POST", format!("connections/{id}/:send"), 202),
                ("DELETE", format!("connections/{id}"), 204),
                ("DELETE", format!("connections/{id}/groups"), 204),
                ("DELETE", format!("groups/g/connections/{id}"), 204),
                ("PUT", format!("groups/g/connections/{id}"), 404),
            ] {
                assert_eq!(
                    server.rest(method, &format!("{HUB}/{path}")).status,
                    status,
                    "{method} {path}"
                );
            }
        }
        for (method, path, status) in [
            ("POST", ":send", 202),
            ("POST", "groups/g/:send", 202),
            ("POST", "users/u/:send", 202),
            ("POST", ":closeConnections", 204),
            ("POST", "groups/g/:closeConnections", 204),
            ("POST", "users/u/:closeConnections", 204),
            ("HEAD", "groups/g", 404),
            ("HEAD", "users/u", 404),
            ("PUT", "users/u/groups/g", 404),
            ("DELETE", "users/u/groups/g", 204),
            ("DELETE", "users/u/groups", 204),
        ] {
            assert_eq!(
                server.rest(method, &format!("{HUB}/{path}")).status,
                status,
                "{method} {path}"
            );
        }
    });
}

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
fn closed_connections_are_told_why_and_are_gone_at_once() {
    on_one_and_four_shards("", |server| {
        let plain = r#"{"type":"system","event":"disconnected","message":"Application server closed the connection."}"#;
        let reasoned = r#"{"type":"system","event":"disconnected","message":"Application server closed the connection. Reason: server close"}"#;
        for (method, path, expect) in [
            // Case 61.
            ("DELETE", "connections/ID?reason=server%20close", reasoned),
            ("DELETE", "connections/ID", plain),
            (
                "POST",
                "users/ann/:closeConnections?reason=server%20close",
                reasoned,
            ),
            ("POST", "groups/room/:closeConnections?reason=", plain),
            ("POST", ":closeConnections?reason=server+close", reasoned),
        ] {
            let (mut client, id) = member(server, Some("ann"), "room");
            let path = format!("{HUB}/{}", path.replace("ID", &id));
            assert_eq!(server.rest(method, &path).status, 204);
            assert_eq!(
                server
                    .rest("HEAD", &format!("{HUB}/connections/{id}"))
                    .status,
                404
            );
            assert_eq!(client.text(), expect, "{path}");
            assert_eq!(client.closed(), (1000, String::new()), "{path}");
        }
    });
}
