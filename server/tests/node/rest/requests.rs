//! What every request is judged by: token, version, names, path, method.

use super::{HUB, VERSIONS, member, send};
use crate::support::{Request, SECONDARY_KEY, Token, eventually, on_one_and_four_shards};

#[test]
fn what_callers_write_is_harmless_in_the_log() {
    on_one_and_four_shards("", |server| {
        let odd = "%1B%5B2J%0D%0AERROR%20forged%20line%C2%9B%E2%80%AE";
        for path in [
            format!("{HUB}/:send?filter=x{odd}"),
            format!("{HUB}/groups/a/connections?api-version={odd}"),
            format!("{HUB}/permissions/{odd}/connections/a"),
            format!("{HUB}/users/{odd}/:{odd}"),
            format!("/{odd}"),
        ] {
            server.send(
                Request::new("POST", &path)
                    .body("text/plain", "x")
                    .authorized(server),
            );
        }
        let log = eventually("the refusals are logged", || {
            let log = server.log();
            (log.matches("REST request refused").count() >= 4).then_some(log)
        });
        assert!(log.contains("forged line"), "{log}");
        assert!(
            !log.contains(['\u{1b}', '\r', '\u{9b}', '\u{202e}']),
            "{log:?}"
        );
        assert!(
            !log.lines().any(|line| line.starts_with("ERROR forged")),
            "{log:?}"
        );
    });
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
fn what_is_not_built_says_so() {
    on_one_and_four_shards("", |server| {
        for (method, path) in [
            ("POST", ":invoke?api-version=2023-07-01&filter=x"),
            ("POST", "groups/g/:invoke"),
            ("GET", "chat/rooms/r?api-version=2026-02-01-preview"),
        ] {
            let path = format!("{HUB}/{path}");
            let response = server.rest(method, &path);
            assert_eq!(
                (response.status, response.code().as_str()),
                (501, "NotImplemented"),
                "{path}"
            );
            let anonymous = server.send(Request::new(method, &path));
            assert_eq!(anonymous.status, 401, "{path}");
        }
    });
}

#[test]
fn health_needs_neither_token_nor_version() {
    on_one_and_four_shards("", |server| {
        for (method, path, status) in [
            ("GET", "/api/health", 200),
            ("HEAD", "/api/health", 200),
            ("HEAD", "/api/health?api-version=2099-01-01", 200),
            ("POST", "/api/health", 405),
        ] {
            let response = server.send(Request::new(method, path));
            assert_eq!(response.status, status, "{method} {path}");
        }
    });
}

#[test]
fn a_head_is_refused_by_its_headers() {
    on_one_and_four_shards("", |server| {
        let head = server.send(Request::new("HEAD", &format!("{HUB}/groups/g")));
        let header = |name| head.header(name).unwrap_or_default().to_owned();
        assert_eq!(head.status, 401);
        assert_eq!(header("x-ms-error-code"), "Error.Unauthorized");
        assert_eq!(header("www-authenticate"), "Bearer");
        assert_eq!(header("content-type"), "application/json; charset=utf-8");
        let body = r#"{"code":"Error.Unauthorized","message":"A token is required.","target":"Request","details":null,"innererror":null}"#;
        assert_eq!(header("content-length"), body.len().to_string());
    });
}

#[test]
fn previews_are_accepted_where_they_are_wanted() {
    let path = |version: &str| format!("{HUB}/:send?api-version={version}");
    let wanted = "[rest]\naccept_preview_versions = true";
    for (settings, status) in [("", 400), (wanted, 202)] {
        on_one_and_four_shards(settings, |server| {
            for version in [
                "2021-05-01-preview",
                "2021-08-01-preview",
                "2022-10-01-preview",
            ] {
                assert_eq!(send(server, &path(version), "", "x"), status, "{version}");
            }
            assert_eq!(send(server, &path("2099-01-01-preview"), "", "x"), 400);
            assert_eq!(send(server, &path("2021-10-01"), "", "x"), 202);
        });
    }
}

#[test]
fn hosts_are_judged_as_configured() {
    let path = format!("{HUB}/:send");
    let gate = format!("http://gate.example{path}");
    let other = "http://gate.example/api/hubs/chat/:closeConnections";
    let check = |settings: &str, cases: &[(&str, &str, u16)]| {
        on_one_and_four_shards(settings, |server| {
            for (audience, forwarded, status) in cases {
                let request = Request::new("POST", &path)
                    .body("text/plain", "x")
                    .header("X-Forwarded-Host", forwarded)
                    .bearer(&Token::new(audience).sign());
                let response = server.send(request);
                assert_eq!(
                    response.status, *status,
                    "{settings} {audience} {forwarded}"
                );
            }
        });
    };
    check("", &[(&gate, "gate.example", 401)]);
    check(
        "[auth]\ntrust_forwarded_host = true",
        &[
            (&gate, "gate.example, inner.example", 202),
            (&gate, "inner.example, gate.example", 401),
            (other, "gate.example", 401),
        ],
    );
    check(
        "[auth]\ncheck_audience_host = false",
        &[(&gate, "", 202), (other, "", 401)],
    );
    let endpoints = "endpoint = [\"http://localhost\", \"https://gate.example\"]";
    check(endpoints, &[(&gate, "", 202)]);
}

#[test]
fn an_encoded_slash_can_be_kept() {
    on_one_and_four_shards("[rest]\nencoded_slash = \"keep\"", |server| {
        let (_client, _) = member(server, None, "room%2Fpart");
        // Case 73 as the emulator has it.
        for (group, status) in [
            ("room%2Fpart", 200),
            ("room%252Fpart", 200),
            ("room%2fpart", 404),
        ] {
            let path = format!("{HUB}/groups/{group}");
            assert_eq!(server.rest("HEAD", &path).status, status, "{group}");
        }
    });
}

#[test]
fn more_requests_than_the_bound_are_told_when_to_come_back() {
    on_one_and_four_shards("[limits]\nrest_rps = 1", |server| {
        let path = format!("{HUB}/groups/g/connections");
        let mut stream = server.dial();
        let mut answer = |request: Request| request.send(&mut stream, &server.authority());
        let authorized = || Request::new("GET", &path).authorized(server);
        assert_eq!(answer(authorized()).status, 200);
        let refused = eventually("a request is one too many", || {
            Some(answer(authorized())).filter(|response| response.status == 429)
        });
        assert_eq!(refused.code(), "Error.TooManyRequests");
        assert_eq!(refused.header("retry-after"), Some("1"));
        // Whoever has no token does not use up anything.
        assert_eq!(answer(Request::new("GET", &path)).status, 401);
    });
}
