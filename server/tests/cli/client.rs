//! `hubwire client` against a running server.

use std::net::TcpListener;

use serde_json::Value;

use crate::node::{KEY, Node, on_one_and_four_shards};
use crate::process::{Finished, hubwire};

#[test]
fn a_session_on_a_pipe() {
    on_one_and_four_shards(|node| {
        let (mut ann, _) = node.member("ann");
        let (bob, _) = node.member("bob");
        for (typed, heard) in [
            ("send room --no-echo hello", "[room] ann: hello"),
            (
                "send room --no-echo  two\u{1b}[2J  ",
                r"[room] ann:  two\u{1b}[2J  ",
            ),
            (
                r#"send room --no-echo --json {"a": 1.50}"#,
                r#"[room] ann: {"a": 1.50}"#,
            ),
            (
                "send room --no-echo --binary AQI=",
                "[room] ann: (binary) AQI=",
            ),
            (r#"send "room" --no-echo -- --json"#, "[room] ann: --json"),
        ] {
            ann.say(typed);
            assert_eq!(ann.hear(), "✓ send room", "{typed}");
            assert_eq!(bob.hear(), heard, "{typed}");
        }
        ann.say("event greet hi there");
        assert_eq!(
            [ann.hear(), ann.hear()],
            ["server: hi there", "✓ event greet"]
        );
        ann.say("leave room");
        assert_eq!(ann.hear(), "✓ leave room");
        ann.say("");
        ann.say("help");
        assert!(ann.hear_error().starts_with("join GROUP"));
        let left = ann.finish();
        assert_eq!((left.code, left.stdout.as_str()), (0, ""), "{left:?}");
        assert_eq!(bob.finish().success(), "");
    });
}

#[test]
fn what_fails_on_a_pipe_is_told_at_the_end() {
    let node = Node::start_plain();
    let (mut client, _) = node.client(&["--role", "sendToGroup.room"]);
    client.say("send room hello");
    assert_eq!(client.hear(), "✓ send room");
    client.say("join room");
    let refused =
        "✗ join room: Forbidden: The client does not have permission to join group 'room'.";
    assert_eq!(client.hear(), refused);
    client.say("jion room");
    assert_eq!(client.hear_error(), "no command \"jion\"; help lists them");
    client.say("quit");
    let finished = client.wait();
    assert_eq!((finished.code, finished.stdout.as_str()), (1, ""));
    assert_eq!(finished.stderr, "2 of the commands failed\n");
}

#[test]
fn sends_once_and_leaves() {
    on_one_and_four_shards(|node| {
        let (bob, _) = node.member("bob");
        let line = [
            "client",
            "--hub",
            "chat",
            "--user",
            "ann",
            "--role",
            "sendToGroup",
        ];
        let line = [&line[..], &["--send", "room=a=b", "--event", "greet=hi"]].concat();
        // The input is not read.
        let output = node.run(&line).finish_with("join room\n").success();
        let lines: Vec<_> = output.lines().skip(1).collect();
        assert_eq!(lines, ["✓ send room", "server: hi", "✓ event greet"]);
        assert_eq!(bob.hear(), "[room] ann: a=b");
        let refused = node
            .run(&["client", "--hub", "chat", "--send", "room=hello"])
            .finish();
        assert_eq!(refused.code, 1, "{refused:?}");
        assert_eq!(refused.stderr, "1 of the commands failed\n");
        assert!(
            refused.stdout.contains("✗ send room: Forbidden: "),
            "{refused:?}"
        );
    });
}

#[test]
fn leaves_after_a_number_of_messages_or_a_time() {
    let node = Node::start_plain();
    let (mut watcher, _) = node.client(&["--group", "room", "--count", "2"]);
    for text in ["one", "two", "too many"] {
        node.service(&["send", "--group", "room", text]);
    }
    let finished = watcher.wait();
    assert_eq!(finished.success(), "[room] one\n[room] two");
    let line = ["client", "--hub", "chat", "--count", "1", "--timeout", "1"];
    let finished = node.run(&line).finish();
    assert_eq!(finished.code, 1);
    assert_eq!(finished.stderr, "0 of 1 messages have come\n");
    let line = ["client", "--hub", "chat", "--watch", "--timeout", "1"];
    assert_eq!(node.run(&line).finish().code, 0);
}

#[test]
fn prints_frames_for_scripts() {
    let node = Node::start_plain();
    let line = ["client", "--hub", "chat", "--user", "ann", "--json"];
    let output = node.run(&line).finish_with("event greet hi\n").success();
    let frames: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let types: Vec<_> = frames.iter().map(|frame| frame["type"].clone()).collect();
    assert_eq!(types, ["system", "message", "ack"], "{output}");
    assert_eq!(
        (&frames[0]["userId"], &frames[1]["data"]),
        (&"ann".into(), &"hi".into())
    );
}

#[test]
fn simple_clients_send_bare_messages() {
    on_one_and_four_shards(|node| {
        let line = ["client", "--hub", "chat", "--simple", "--count", "2"];
        let output = node.run(&line).finish_with("quit\n two\tlines ").success();
        assert_eq!(output, "quit\n two\\tlines ");
        let output = node
            .run(&[&line[..], &["--json"]].concat())
            .finish_with("a\nb\n")
            .success();
        assert_eq!(
            output.lines().next(),
            Some(r#"{"data":"a","dataType":"text"}"#)
        );
        let (bob, _) = node.member("bob");
        let line = ["client", "--hub", "chat", "--simple", "--to-group", "room"];
        let line = [&line[..], &["--role", "sendToGroup", "--user", "ann"]].concat();
        assert_eq!(node.run(&line).finish_with("hello\n").success(), "");
        assert_eq!(bob.hear(), "[room] ann: hello");
    });
}

#[test]
fn connects_with_a_url_that_the_server_made() {
    let node = Node::start_plain();
    let url = node.service(&["token", "--user", "ann", "--role", "joinLeaveGroup"]);
    let output = hubwire(node.workspace())
        .args(["client", "--url", &url])
        .start();
    assert!(output.hear().starts_with("connected as ann, connection "));
    assert_eq!(output.finish().success(), "");
}

#[test]
fn a_close_of_the_server_is_told_with_its_reason() {
    on_one_and_four_shards(|node| {
        let (mut ann, id) = node.member("ann");
        node.service(&["close", "--connection", &id, "--reason", "bye"]);
        let text = "Application server closed the connection. Reason: bye";
        assert_eq!(ann.hear(), format!("disconnected: {text}"));
        let finished = ann.wait();
        assert_eq!(finished.code, 1);
        let expect = format!("the server closed the connection with code 1000: {text}\n");
        assert_eq!(finished.stderr, expect);
    });
}

#[cfg(unix)]
#[test]
fn an_interrupt_closes_properly() {
    let node = Node::start_plain();
    let (mut ann, id) = node.member("ann");
    ann.interrupt();
    let finished = ann.wait();
    assert_eq!(
        (finished.code, finished.stderr.as_str()),
        (0, ""),
        "{finished:?}"
    );
    let gone = ["service", "exists", "--hub", "chat", "--connection", &id];
    assert_eq!(node.run(&gone).finish().code, 1);
}

#[test]
fn refusals_and_dead_addresses_are_named() {
    let node = Node::start_plain();
    let check = |finished: Finished, code: i32, expect: &[&str]| {
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (code, ""),
            "{finished:?}"
        );
        for part in expect {
            assert!(finished.stderr.contains(part), "{part}: {finished:?}");
        }
        for secret in [KEY, "access_token", "eyJ"] {
            assert!(!finished.stderr.contains(secret), "{finished:?}");
        }
    };
    let wrong_key = node.connection_string("another-key");
    let line = ["client", "--hub", "chat", "--connection-string", &wrong_key];
    let refused = [
        "/client/hubs/chat: refused with 401 Unauthorized: ",
        "signature",
    ];
    check(node.run(&line).finish(), 1, &refused);
    let line = ["client", "--hub", "1chat"];
    check(node.run(&line).finish(), 2, &["--hub: a hub name is"]);
    let line = [
        "client",
        "--hub",
        "chat",
        "--connection-string",
        "Endpoint=http://h",
    ];
    check(
        node.run(&line).finish(),
        2,
        &["--connection-string: ", "`AccessKey`"],
    );
    let line = ["client", "--url", "ftp://h/client?access_token=secret"];
    check(
        node.run(&line).finish(),
        2,
        &["--url: must start with ws:// or wss://"],
    );
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("ws://{free}/client/hubs/chat?access_token=eyJ");
    let nowhere = format!("cannot connect to {free} ({free}): ");
    check(
        node.run(&["client", "--url", &nobody]).finish(),
        1,
        &[&nowhere],
    );
    check(
        node.run(&["client", "--url", "ws://nowhere.invalid/client"])
            .finish(),
        1,
        &["nowhere.invalid: no address is known: "],
    );
}

#[test]
fn speaks_tls_and_trusts_only_what_it_is_told_to() {
    let node = Node::secure();
    let authority = node.authority();
    let line = ["client", "--hub", "chat", "--event", "greet=hi"];
    let trusting = [&line[..], &["--ca", authority.to_str().unwrap()]].concat();
    let output = node.run(&trusting).finish().success();
    assert!(output.ends_with("✓ event greet"), "{output}");
    let finished = node.run(&line).finish();
    assert_eq!(
        (finished.code, finished.stdout.as_str()),
        (1, ""),
        "{finished:?}"
    );
    assert!(finished.stderr.contains("--ca FILE names"), "{finished:?}");
    let missing = [&line[..], &["--ca", "missing.pem"]].concat();
    let finished = node.run(&missing).finish();
    assert!(
        finished.stderr.starts_with("cannot read missing.pem: "),
        "{finished:?}"
    );
    // Without a connection string, the local configuration leads to its own authority.
    let local = ["--config", "node.toml", "--dev-tls", "--endpoint"];
    let endpoint = format!("https://localhost:{}", node.port());
    let line = [&line[..], &local, &[endpoint.as_str()]].concat();
    let output = node.run(&line).finish().success();
    assert!(output.ends_with("✓ event greet"), "{output}");
}
