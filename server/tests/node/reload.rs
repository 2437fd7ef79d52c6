//! Reading the configuration again while clients are connected.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::{
    Client, Connect, PRIMARY_KEY, Request, SECONDARY_KEY, Server, Token, eventually,
    on_one_and_four_shards,
};

const NEW_KEY: &str = "a-new-key-that-comes-with-a-reload";

const HUBS: &str = "[hubs.chat]\nanonymous_connect_policy = 'deny'\n\
                    [hub_defaults]\nanonymous_connect_policy = 'allow'\n";

/// Connects without a token, or says with which status that was refused.
fn anonymous(server: &Server, hub: &str) -> Result<Client, u16> {
    Connect::at(&format!("/client/hubs/{hub}")).open(server)
}

fn can_ping(client: &mut Client) {
    client.send(r#"{"type":"ping"}"#);
    assert_eq!(client.text(), r#"{"type":"pong"}"#);
}

/// What a client hears of an event that it sends.
fn event(client: &mut Client) -> Vec<Value> {
    client.send(r#"{"type":"event","event":"greet","dataType":"text","data":"hello"}"#);
    client.send(r#"{"type":"ping"}"#);
    std::iter::from_fn(|| Some(client.message()).filter(|message| message["type"] != "pong"))
        .collect()
}

#[test]
fn a_new_policy_holds_for_new_clients_and_the_old_ones_stay() {
    on_one_and_four_shards(HUBS, |server| {
        let (mut member, _) = Client::json(server, "chat", None);
        member.join("room");
        assert_eq!(anonymous(server, "chat").err(), Some(401));
        let mut other_hub = anonymous(server, "other").unwrap();

        server.reload("'deny'", "'Allow'", "applied");
        let mut early = anonymous(server, "chat").unwrap();
        server.reload("'Allow'", "'deny'", "applied");
        assert_eq!(anonymous(server, "chat").err(), Some(401));
        server.reload("'allow'", "'deny'", "applied");
        assert_eq!(anonymous(server, "other").err(), Some(401));

        // Nobody who was in noticed anything.
        let send = |path: &str| {
            let request = Request::new("POST", path).body("text/plain", "hi");
            assert_eq!(server.send(request.authorized(server)).status, 202);
        };
        send("/api/hubs/chat/:send");
        send("/api/hubs/other/:send");
        assert_eq!(early.text(), "hi");
        assert_eq!(other_hub.text(), "hi");
        assert_eq!(member.message()["data"], "hi");
        member.send(r#"{"type":"sendToGroup","group":"room","dataType":"text","data":"mine"}"#);
        assert_eq!(member.message()["data"], "mine");
        assert_eq!(server.metric("hubwire_connections"), 3);
        assert_eq!(server.metric("hubwire_connections_closed_total"), 0);
    });
}

#[test]
fn new_event_handlers_take_the_events_of_clients_that_were_there_before() {
    on_one_and_four_shards("[hubs.chat]\n# HANDLERS\n", |server| {
        let mut clients = [(); 4].map(|()| Client::json(server, "chat", None).0);
        for client in &mut clients {
            assert_eq!(event(client), [] as [Value; 0]);
        }
        let handlers = "event_handlers = [{ url_template = 'builtin:echo', \
                        user_event_pattern = 'greet' }]";
        server.reload("# HANDLERS", handlers, "applied");
        let echo =
            json!({ "type": "message", "from": "server", "dataType": "text", "data": "hello" });
        for client in &mut clients {
            eventually("the new handler answers", || {
                (event(client) == [echo.clone()]).then_some(())
            });
        }
        server.reload(handlers, "# HANDLERS", "applied");
        for client in &mut clients {
            eventually("no handler answers", || {
                event(client).is_empty().then_some(())
            });
        }
    });
}

#[test]
fn a_key_that_is_gone_opens_nothing_more() {
    on_one_and_four_shards("", |server| {
        let path = "/api/hubs/chat/connections/none";
        let audience = format!("http://{}{path}", server.authority());
        let rest = |key: &str| {
            let token = Token::new(&audience).key(key).sign();
            Request::new("HEAD", path).bearer(&token)
        };
        let connect = |key: &str| {
            let token = Token::client(server, "chat").key(key);
            Connect::to("chat", &token).open(server).err()
        };
        let check = |key: &str, believed: bool| {
            let (connected, asked) = if believed {
                (None, 404)
            } else {
                (Some(401), 401)
            };
            assert_eq!(connect(key), connected, "{key}");
            assert_eq!(server.send(rest(key)).status, asked, "{key}");
        };
        let (mut client, _) = Client::json(server, "chat", None);
        // An application server keeps its connection, and is asked for a token each time.
        let mut kept = server.dial();
        assert_eq!(
            rest(PRIMARY_KEY)
                .send(&mut kept, &server.authority())
                .status,
            404
        );
        check(PRIMARY_KEY, true);
        check(SECONDARY_KEY, true);
        check(NEW_KEY, false);

        server.reload(PRIMARY_KEY, NEW_KEY, "applied");
        assert_eq!(
            rest(PRIMARY_KEY)
                .send(&mut kept, &server.authority())
                .status,
            401
        );
        check(PRIMARY_KEY, false);
        check(SECONDARY_KEY, true);
        check(NEW_KEY, true);
        can_ping(&mut client);
    });
}

#[test]
fn a_token_that_the_server_issued_ends_with_the_key_that_it_follows_from() {
    on_one_and_four_shards("", |server| {
        let issue = |key: &str| {
            let path = "/api/hubs/chat/:generateToken";
            let audience = format!("http://{}{path}", server.authority());
            let bearer = Token::new(&audience).key(key).sign();
            let response = server.send(Request::new("POST", path).bearer(&bearer));
            response.json()["token"].as_str().unwrap().to_owned()
        };
        let connect = |token: &str| {
            let at = format!("/client/hubs/chat?access_token={token}");
            Connect::at(&at).open(server).err()
        };
        // With a directory for data the server has a key of its own, which no reload touches.
        let has_own_key = server.directory().join("internal.key").exists();
        let after_its_key = if has_own_key { None } else { Some(401) };
        let first = issue(PRIMARY_KEY);
        assert_eq!(connect(&first), None);
        // The primary key becomes the secondary one, and then goes.
        server.edit(SECONDARY_KEY, "OLD");
        server.edit(PRIMARY_KEY, NEW_KEY);
        server.reload("OLD", PRIMARY_KEY, "applied");
        let second = issue(NEW_KEY);
        assert_eq!((connect(&first), connect(&second)), (None, None));
        server.reload(PRIMARY_KEY, SECONDARY_KEY, "applied");
        assert_eq!(connect(&first), after_its_key);
        assert_eq!(connect(&second), None);
    });
}

#[test]
fn keys_and_hubs_come_from_files_that_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("key");
    std::fs::write(&secret, format!("{SECONDARY_KEY}\n")).unwrap();
    let server = Server::start(1, "# COMMENT\n");
    let by_file = format!("{{ file = '{}' }}", secret.display());
    server.reload(&format!("\"{SECONDARY_KEY}\""), &by_file, "applied");
    let connect = |key: &str| {
        let token = Token::client(&server, "chat").key(key);
        Connect::to("chat", &token).open(&server).err()
    };
    assert_eq!(
        (connect(SECONDARY_KEY), connect(NEW_KEY)),
        (None, Some(401))
    );
    // The file of the configuration stays as it is.
    std::fs::write(&secret, NEW_KEY).unwrap();
    server.reload("# COMMENT", "# COMMENT 2", "applied");
    assert_eq!(
        (connect(SECONDARY_KEY), connect(NEW_KEY)),
        (Some(401), None)
    );
    std::fs::remove_file(&secret).unwrap();
    server.reload("# COMMENT 2", "# COMMENT 3", "refused");
    assert_eq!(
        (connect(SECONDARY_KEY), connect(NEW_KEY)),
        (Some(401), None)
    );
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_by_line_and_key() {
    let settings = format!("{HUBS}[limits]\n# HERE\n");
    on_one_and_four_shards(&settings, |server| {
        let (mut client, _) = Client::json(server, "chat", None);
        // Everything else in the file is a change that would be taken.
        server.edit("'deny'", "'Allow'");
        server.edit(PRIMARY_KEY, NEW_KEY);
        let mut line = "# HERE";
        for (bad, problem) in [
            (
                "mesage_bytes = 5",
                "limits.mesage_bytes: unknown key (did you mean message_bytes?)",
            ),
            (
                "message_bytes = 5",
                "limits.message_bytes: must be between 1024 and 1073741824, not 5",
            ),
            ("message_bytes = = 5", "extra `=`, expected nothing"),
            (
                "[hubs.bad]\neventHandlers = [{ urlTemplate = 'https://a.example' }]",
                "hubs.bad.eventHandlers[0].urlTemplate: event handlers over https are not supported",
            ),
            (
                "[hubs.bad]\nanonymousConnectPolicy = 'deny'\nanonymous_connect_policy = 'deny'",
                "hubs.bad.anonymous_connect_policy: already given as anonymousConnectPolicy at ",
            ),
        ] {
            server.reload(line, bad, "refused");
            let at = bad.lines().last().unwrap();
            let expected = format!("hubwire.toml:{}: {problem}", server.line_of(at));
            eventually("the log says why", || {
                let log = server.log();
                let told = log.lines().find(|line| line.contains(&expected))?;
                told.contains("the configuration was not reloaded; nothing has changed")
                    .then_some(())
            });
            assert_eq!(anonymous(server, "chat").err(), Some(401), "{bad}");
            let token = Token::client(server, "chat").key(NEW_KEY);
            assert_eq!(
                Connect::to("chat", &token).open(server).err(),
                Some(401),
                "{bad}"
            );
            can_ping(&mut client);
            line = bad;
        }
        server.reload(line, "# HERE", "applied");
        assert!(anonymous(server, "chat").is_ok());
        let token = Token::client(server, "chat").key(NEW_KEY);
        assert!(Connect::to("chat", &token).open(server).is_ok());
        can_ping(&mut client);
    });
}

#[test]
fn what_only_a_restart_can_change_is_told_and_left_and_the_rest_is_taken() {
    let settings = format!("[limits]\n# LIMIT\n{HUBS}");
    on_one_and_four_shards(&settings, |server| {
        server.edit(
            "listen = \"127.0.0.1:0\"\nadmin",
            "listen = '127.0.0.1:1'\nadmin",
        );
        server.edit("shards = ", "log.format = 'json'\nshards = 1");
        server.edit("# LIMIT", "message_bytes = 2048");
        server.reload("'deny'", "'Allow'", "applied");
        assert!(anonymous(server, "chat").is_ok());
        eventually("the log names the keys", || {
            let log = server.log();
            let told = log.lines().find(|line| line.contains("need a restart"))?;
            let keys = "keys=\"listen, shards, log.format, limits.message_bytes\"";
            assert!(told.contains(keys), "{told}");
            Some(())
        });
        let (mut client, _) = Client::json(server, "chat", None);
        client.join("room");
        let data = "x".repeat(4096);
        let message =
            json!({ "type": "sendToGroup", "group": "room", "dataType": "text", "data": data });
        client.send(&message.to_string());
        assert_eq!(client.message()["data"], data);
    });
}

#[test]
fn of_many_quick_requests_the_last_one_counts() {
    on_one_and_four_shards(HUBS, |server| {
        let (mut client, _) = Client::json(server, "chat", None);
        for _ in 0..20 {
            server.edit("'deny'", "'Allow'");
            server.hang_up();
            server.edit("'Allow'", "'deny'");
            server.hang_up();
        }
        server.edit("'deny'", "'Allow'");
        server.hang_up();
        eventually("the last file holds", || anonymous(server, "chat").ok());
        assert_eq!(server.reloads("refused"), 0);
        can_ping(&mut client);
    });
}

#[test]
fn under_load_nothing_is_lost_and_nobody_is_refused() {
    on_one_and_four_shards(HUBS, |server| {
        let (mut receiver, _) = Client::json(server, "chat", None);
        receiver.join("room");
        let (mut sender, _) = Client::json(server, "chat", None);
        let (mut connected, mut sent) = (0, 0);
        let over = AtomicBool::new(false);
        let goes_on = || !over.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while goes_on() || sent < 100 {
                    let data = sent.to_string();
                    let message = json!({
                        "type": "sendToGroup", "group": "room", "dataType": "text",
                        "data": data, "ackId": sent,
                    });
                    sender.send(&message.to_string());
                    assert_eq!(receiver.message()["data"], data);
                    assert_eq!(sender.message()["success"], true);
                    sent += 1;
                }
            });
            scope.spawn(|| {
                while goes_on() || connected < 10 {
                    let (mut client, _) = Client::json(server, "chat", None);
                    client.join("room");
                    connected += 1;
                }
            });
            for _ in 0..10 {
                server.reload("'deny'", "'Allow'", "applied");
                server.reload("'Allow'", "'deny'", "applied");
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(sent >= 100 && connected >= 10);
    });
}

#[test]
fn the_log_level_changes_too() {
    let server = Server::start(1, "# COMMENT\n");
    // This reload says nothing about itself any more, and the next one does again.
    server.reload("\"trace\"", "\"error\"", "applied");
    server.reload("# COMMENT", "# SILENT", "applied");
    server.reload("\"error\"", "\"info\"", "applied");
    let told = eventually("the log tells of the last reload", || {
        let log = server.log();
        let told: Vec<_> = log
            .lines()
            .filter(|line| line.contains("configuration reloaded"))
            .map(str::to_owned)
            .collect();
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("changed=\"log.level\""), "{told:?}");
}
