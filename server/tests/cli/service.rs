//! `hubwire service` against a running server, with clients that watch the effect.

use std::net::TcpListener;

use hubwire_proto::token::{AccessKey, UnixSeconds, verify};
use serde_json::Value;

use crate::node::{KEY, Node, on_one_and_four_shards};
use crate::process::{Finished, Workspace, hubwire};

/// Asks a question about the hub `chat`: its exit code, and what was printed.
fn ask(node: &Node, line: &[&str]) -> (i32, String) {
    let finished = node
        .run(&[&["service"], line, &["--hub", "chat"]].concat())
        .finish();
    assert_eq!(finished.stderr, "", "{finished:?}");
    (finished.code, finished.stdout.trim_end().to_owned())
}

fn yes() -> (i32, String) {
    (0, "yes".to_owned())
}

fn no() -> (i32, String) {
    (1, "no".to_owned())
}

#[test]
fn sends_to_everybody_a_group_a_user_and_a_connection() {
    on_one_and_four_shards(|node| {
        let (ann, ann_id) = node.member("ann");
        let (bob, bob_id) = node.member("bob");
        for (to, heard) in [
            (["--all", "hello"].as_slice(), "server: hello"),
            (&["--group", "room", "hello"], "[room] hello"),
            (&["--user", "ann", "hello"], "server: hello"),
            (&["--connection", &ann_id, "hello"], "server: hello"),
            (&["--all", "--excluded", &bob_id, "hello"], "server: hello"),
            (
                &["--all", "--filter", "userId ne 'bob'", "hello"],
                "server: hello",
            ),
            (
                &["--all", "--ttl", "300", "--", "--hello"],
                "server: --hello",
            ),
            (
                &["--all", "--data-type", "json", r#"{"a": 1.0}"#],
                r#"server: {"a": 1.0}"#,
            ),
            (
                &["--all", "--data-type", "binary", "hi"],
                "server: (binary) aGk=",
            ),
        ] {
            node.service(&[&["send"], to].concat());
            assert_eq!(ann.hear(), heard, "{to:?}");
        }
        // What did not go to bob left no gap in what did.
        for heard in ["server: hello", "[room] hello", "server: --hello"] {
            assert_eq!(bob.hear(), heard);
        }
    });
}

#[test]
fn messages_come_from_a_file_or_the_input_as_they_are() {
    let node = Node::start_plain();
    let (ann, _) = node.member("ann");
    node.workspace().write("message", "from a\nfile\n");
    node.service(&["send", "--all", "--file", "message"]);
    assert_eq!(ann.hear(), r"server: from a\nfile\n");
    let line = [
        "service",
        "send",
        "--hub",
        "chat",
        "--all",
        "--data-type",
        "binary",
    ];
    node.run(&line).finish_with([0xFF, 0]).success();
    assert_eq!(ann.hear(), "server: (binary) /wA=");
}

#[test]
fn groups_are_changed_and_asked_about() {
    on_one_and_four_shards(|node| {
        let (_ann, ann_id) = node.member("ann");
        let (_bob, bob_id) = node.member("bob");
        let group = "a/b ü?";
        let exists = || ask(node, &["exists", "--group", group]);
        let list = |more: &[&str]| node.service(&[&["list", "--group", group], more].concat());
        assert_eq!((exists(), list(&[])), (no(), String::new()));
        node.service(&[
            "add",
            "--connection",
            &ann_id,
            "--group",
            group,
            "--group",
            "other",
        ]);
        assert_eq!(exists(), yes());
        assert_eq!(list(&[]), format!("{ann_id}\tann"));
        node.service(&["add", "--user", "bob", "--group", group]);
        let mut both = [format!("{ann_id}\tann"), format!("{bob_id}\tbob")];
        both.sort();
        assert_eq!(list(&[]), both.join("\n"));
        // One connection to a page.
        assert_eq!(list(&["--page-size", "1"]), both.join("\n"));
        assert_eq!(list(&["--top", "1"]), both[0]);
        let json = list(&["--json", "--page-size", "1"]);
        let users: Vec<Value> = json
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["userId"].clone())
            .collect();
        assert!(users.contains(&"ann".into()) && users.len() == 2, "{json}");
        node.service(&["remove", "--connection", &ann_id, "--group", group]);
        assert_eq!(list(&[]), format!("{bob_id}\tbob"));
        node.service(&["remove", "--user", "bob", "--all-groups"]);
        assert_eq!(exists(), no());
        assert_eq!(ask(node, &["exists", "--group", "room"]), yes());
        node.service(&["remove", "--connection", &ann_id, "--all-groups"]);
        assert_eq!(ask(node, &["exists", "--group", "other"]), no());
        node.service(&["add", "--all", "--group", "x", "--group", "y"]);
        node.service(&["remove", "--filter", "userId eq 'bob'", "--group", "x"]);
        assert_eq!(
            node.service(&["list", "--group", "x"]),
            format!("{ann_id}\tann")
        );
        assert_eq!(node.service(&["list", "--group", "y"]), both.join("\n"));
    });
}

#[test]
fn connections_are_asked_about_and_closed() {
    on_one_and_four_shards(|node| {
        let (mut ann, ann_id) = node.member("ann");
        let (mut bob, bob_id) = node.member("bob");
        for line in [
            ["exists", "--connection", &ann_id],
            ["exists", "--user", "ann"],
            ["exists", "--group", "room"],
        ] {
            assert_eq!(ask(node, &line), yes(), "{line:?}");
        }
        // An ID may look like an option.
        assert_eq!(ask(node, &["exists", "--connection", "--all"]), no());
        for what in ["--connection", "--user", "--group"] {
            assert_eq!(ask(node, &["exists", what, "nobody"]), no(), "{what}");
        }
        let text = "Application server closed the connection.";
        node.service(&[
            "close",
            "--group",
            "room",
            "--excluded",
            &ann_id,
            "--reason",
            "late",
        ]);
        assert_eq!(bob.hear(), format!("disconnected: {text} Reason: late"));
        assert_eq!(bob.wait().code, 1);
        assert_eq!(ask(node, &["exists", "--connection", &bob_id]), no());
        node.service(&["close", "--user", "bob"]);
        node.service(&["close", "--all"]);
        assert_eq!(ann.hear(), format!("disconnected: {text}"));
        assert_eq!(ann.wait().code, 1);
    });
}

#[test]
fn permissions_are_granted_checked_and_revoked() {
    on_one_and_four_shards(|node| {
        let (mut ann, id) = node.client(&["--user", "ann"]);
        let of = |what: &'static str| [what, "sendToGroup", "--connection", &id, "--group", "room"];
        assert_eq!(ask(node, &of("check")), no());
        node.service(&of("grant"));
        assert_eq!(ask(node, &of("check")), yes());
        ann.say("send room hello");
        assert_eq!(ann.hear(), "✓ send room");
        let all = ["check", "sendToGroup", "--connection", &id];
        assert_eq!(ask(node, &all), no());
        node.service(&of("revoke"));
        assert_eq!(ask(node, &of("check")), no());
        ann.say("send room hello");
        assert!(ann.hear().starts_with("✗ send room: Forbidden"));
        node.service(&["grant", "joinLeaveGroup", "--connection", &id]);
        ann.say("join anything");
        assert_eq!(ann.hear(), "✓ join anything");
    });
}

#[test]
fn tokens_and_health() {
    let node = Node::start_plain();
    assert_eq!(
        node.run(&["service", "health"]).finish().success(),
        "healthy"
    );
    let line = [
        "token",
        "--user",
        "ann",
        "--role",
        "sendToGroup",
        "--group",
        "g",
        "--minutes",
        "5",
    ];
    let json = node.service(&[&line[..], &["--output", "json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    let base = format!("ws://localhost:{}/client/hubs/chat", node.port());
    assert_eq!(json["baseUrl"], base.as_str());
    let token = json["token"].as_str().unwrap();
    assert_eq!(json["url"], format!("{base}?access_token={token}"));
    // It is signed with a key of the server's own, not with the one that we know.
    let known = AccessKey::new(KEY).unwrap();
    assert!(verify(token, &[&known], UnixSeconds(0), std::time::Duration::ZERO).is_err());
    let url = node.service(&["token", "--client-type", "mqtt"]);
    let base = format!(
        "ws://localhost:{}/clients/mqtt/hubs/chat?access_token=",
        node.port()
    );
    assert!(url.starts_with(&base), "{url}");
}

#[test]
fn errors_show_status_code_and_message() {
    let node = Node::start_plain();
    let check = |finished: Finished, code: i32, expect: &str| {
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (code, ""),
            "{finished:?}"
        );
        assert!(finished.stderr.contains(expect), "{expect}: {finished:?}");
        assert!(!finished.stderr.contains(KEY), "{finished:?}");
    };
    let run = |line: &[&str]| {
        node.run(&[&["service"], line, &["--hub", "chat"]].concat())
            .finish()
    };
    check(
        run(&["add", "--connection", "nobody", "--group", "room"]),
        1,
        "404 Not Found: Error.Connection.NotExisted: Connection `nobody` is not found.",
    );
    check(
        run(&["send", "--all", "--filter", "userId eq", "hello"]),
        1,
        "POST /api/hubs/chat/:send?api-version=2024-12-01&filter=userId%20eq: 400 Bad Request: \
         Error.BadRequest: ",
    );
    check(
        run(&["send", "--all", "--data-type", "json", "{"]),
        1,
        "400 Bad Request",
    );
    let wrong = node.connection_string("another-key");
    let wrong = ["--connection-string", wrong.as_str()];
    check(
        run(&[&["send", "--all", "hi"], &wrong[..]].concat()),
        1,
        "401 Unauthorized",
    );
    // A question without an answer is not answered no.
    check(
        run(&[&["exists", "--user", "ann"], &wrong[..]].concat()),
        2,
        "401 Unauthorized",
    );
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("Endpoint=http://{free};AccessKey=k;");
    let nobody = ["--connection-string", nobody.as_str()];
    let expect = format!("cannot connect to {free} ({free}): ");
    check(
        run(&[&["exists", "--user", "ann"], &nobody[..]].concat()),
        2,
        &expect,
    );
    check(
        run(&[&["close", "--all"], &nobody[..]].concat()),
        1,
        &expect,
    );
    for usage in [
        &["send", "hello"][..],
        &["send", "--all", "--user", "ann", "hello"],
        &["send", "--user", "ann", "--excluded", "c", "hello"],
        &["close"],
        &["exists"],
        &["add", "--all"],
        &["remove", "--all", "--all-groups"],
        &["grant", "fly", "--connection", "c"],
    ] {
        check(run(usage), 2, "error: ");
    }
}

#[test]
fn connection_strings_come_from_arguments_then_the_environment() {
    let node = Node::start_plain();
    let health = |variable: &str, key: &str| {
        let line = ["service", "exists", "--hub", "chat", "--user", "ann"];
        let run = hubwire(node.workspace()).args(line);
        run.env(variable, &node.connection_string(key))
            .finish()
            .code
    };
    assert_eq!(health("WebPubSubConnectionString", KEY), 1);
    assert_eq!(health("HUBWIRE_CONNECTION_STRING", KEY), 1);
    assert_eq!(health("HUBWIRE_CONNECTION_STRING", "wrong"), 2);
    let broken = hubwire(node.workspace())
        .args(["service", "health"])
        .env("HUBWIRE_CONNECTION_STRING", "nonsense")
        .env("WebPubSubConnectionString", &node.connection_string(KEY))
        .finish();
    assert_eq!(broken.code, 2);
    assert!(
        broken.stderr.starts_with("HUBWIRE_CONNECTION_STRING: "),
        "{broken:?}"
    );
    // Local configuration, named explicitly, wins over the environment.
    let endpoint = format!("http://localhost:{}", node.port());
    let local = [
        "service",
        "health",
        "--config",
        "node.toml",
        "--endpoint",
        &endpoint,
    ];
    let healthy = hubwire(node.workspace())
        .args(local)
        .env("HUBWIRE_CONNECTION_STRING", "nonsense")
        .finish();
    assert_eq!(healthy.success(), "healthy");
}

#[test]
fn speaks_tls() {
    let node = Node::secure();
    let authority = node.authority();
    let ca = ["--ca", authority.to_str().unwrap()];
    let (_ann, id) = node.client(&[&["--user", "ann"], &ca[..]].concat());
    assert_eq!(
        node.service(&[&["exists", "--connection", &id], &ca[..]].concat()),
        "yes"
    );
    node.service(
        &[
            &["add", "--connection", &id, "--group", "a", "--group", "b"],
            &ca[..],
        ]
        .concat(),
    );
    assert_eq!(
        node.service(&[&["list", "--group", "b"], &ca[..]].concat()),
        format!("{id}\tann")
    );
}

#[test]
fn what_cannot_be_sent_for_want_of_a_file_is_a_usage_error() {
    let check = |string: &str, line: &[&str], expected: &str| {
        let finished = hubwire(&Workspace::new())
            .args([&["service"], line, &["--hub", "chat", "--all"]].concat())
            .env("HUBWIRE_CONNECTION_STRING", string)
            .finish();
        assert_eq!(finished.code, 2, "{finished:?}");
        assert!(finished.stderr.starts_with(expected), "{finished:?}");
    };
    check(
        "Endpoint=http://127.0.0.1:1;AccessKey=k;",
        &["send", "--file", "nope"],
        "--file: cannot read nope: ",
    );
    let secure = "Endpoint=https://127.0.0.1:1;AccessKey=k;";
    check(
        secure,
        &["send", "hi", "--ca", "nope"],
        "cannot read nope: ",
    );
    check(
        secure,
        &["send", "hi", "--ca", "/dev/null"],
        "cannot read /dev/null: ",
    );
}
