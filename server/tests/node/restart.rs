//! Reliable clients and a server that is stopped and started again.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{
    Client, Lost, Raw, Reliable, Request, Server, Token, eventually, on_one_and_four_shards,
    publish,
};

/// Sessions outlive the process. `DATA_DIR` is the server's own directory.
const KEPT: &str = "data_dir = 'DATA_DIR'\n";

fn file(server: &Server) -> PathBuf {
    server.directory().join("sessions")
}

/// The files that begin as the sessions file does.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.starts_with("sessions"))
        .collect();
    names.sort();
    names
}

fn publish_in_group(group: &str, data: &str) -> serde_json::Value {
    json!({ "type": "sendToGroup", "group": group, "dataType": "text", "data": data })
}

/// What became of the sessions that the process before had saved.
fn restored(server: &Server) -> [u64; 3] {
    ["waiting", "expired", "no_room"].map(|result| {
        server.metric(&format!(
            "hubwire_restored_sessions_total{{result=\"{result}\"}}"
        ))
    })
}

#[test]
fn clients_come_back_to_their_connections_whatever_the_number_of_shards() {
    for (before, after) in [(1, 1), (4, 4), (4, 1), (1, 4)] {
        let first = Server::start(before, KEPT);
        // Many, so that with several shards each has some.
        let mut clients: Vec<_> = (0..12)
            .map(|number| Reliable::connect(&first, "chat", &format!("user{number}")))
            .collect();
        let (mut plain, _) = Client::json(&first, "chat", None);
        for (number, client) in clients.iter_mut().enumerate() {
            client.join("room");
            client.join(&format!("own{number}"));
        }
        publish(&first, "groups/room", "one");
        publish(&first, "groups/room", "two");
        publish(&first, "groups/own3", "three");
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.data(), (1, "one".to_owned()));
            client.data_of(if number == 3 { 2 } else { 1 });
            client.acknowledge(1);
        }
        // Half of them are away already.
        let away: Vec<Lost> = clients.drain(6..).map(Reliable::lose).collect();
        eventually("half of them are away", || {
            (first.metric("hubwire_detached_sessions") == 6).then_some(())
        });
        first.terminate();
        let mut lost = Vec::new();
        for mut client in clients {
            assert_eq!(client.message()["event"], "disconnected");
            assert_eq!(client.closed().0, 1001);
            lost.push(client.lose());
        }
        lost.extend(away);
        assert_eq!(plain.message()["event"], "disconnected");
        assert_eq!(plain.closed().0, 1001);
        drop(plain);
        assert_eq!(first.exited().code(), Some(0), "{}", first.log());
        let mode = fs::metadata(file(&first)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let second = first.start_again(after, KEPT);
        assert_eq!(restored(&second), [12, 0, 0], "{}", second.log());
        assert!(files(second.directory()).is_empty());
        publish(&second, "groups/room", "four");
        for (number, lost) in lost.iter().enumerate() {
            let mut client = lost.recover(&second);
            assert_eq!(client.data(), (2, "two".to_owned()), "{before} {after}");
            let mut next = 3;
            if number == 3 {
                assert_eq!(client.data(), (3, "three".to_owned()));
                next = 4;
            }
            assert_eq!(client.data(), (next, "four".to_owned()));
            // An ack id from before the restart is used.
            let join = r#"{"type":"joinGroup","group":"room","ackId":1}"#;
            client.send(join);
            assert_eq!(client.message()["error"]["name"], "Duplicate");
            // Groups, users and ids find it.
            publish(&second, &format!("groups/own{number}"), "by group");
            publish(&second, &format!("users/user{number}"), "by user");
            publish(&second, &format!("connections/{}", lost.id), "by id");
            let texts = client.data_of(3).into_iter().map(|(_, text)| text);
            assert_eq!(texts.collect::<Vec<_>>(), ["by group", "by user", "by id"]);
        }
        // New connections get places beside them.
        let others: Vec<_> = (0..12)
            .map(|_| Reliable::connect(&second, "chat", "new"))
            .collect();
        assert_eq!(second.metric("hubwire_seats"), 12 + others.len() as u64);
    }
}

#[test]
fn what_was_acknowledged_to_a_publisher_reaches_its_subscriber_over_a_restart() {
    on_shards(|shards| {
        // The subscriber reads and acknowledges little, and must not be cut off for it.
        let settings = format!("{KEPT}[limits]\nreplay_messages = 1000000\n");
        let first = Server::start(shards, &settings);
        let mut subscriber = Reliable::connect(&first, "chat", "subscriber");
        subscriber.join("room");
        // A publisher of each kind, which stop when they hear no ack any more.
        let publishers = ["a", "b", "c"].map(|name| {
            let (mut client, _) = Client::json(&first, "chat", Some(name));
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let data = format!("{name}{number}");
                    let request = publish_in_group("room", &data);
                    match client.try_request(&request) {
                        Some(ack) => {
                            assert_eq!(ack["success"], true);
                            acknowledged.push(data);
                        }
                        None => break,
                    }
                }
                acknowledged
            })
        });
        // REST as well.
        let rest = {
            let request = |number: u32| {
                let path = "/api/hubs/chat/groups/room/:send";
                Request::new("POST", path)
                    .body("text/plain", format!("rest{number}"))
                    .authorized(&first)
            };
            let requests: Vec<_> = (0..2000).map(request).collect();
            let (mut stream, authority) = (first.dial(), first.authority());
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for (number, request) in requests.into_iter().enumerate() {
                    match request.try_send(&mut stream, &authority) {
                        Some(202) => acknowledged.push(format!("rest{number}")),
                        Some(503) | None => break,
                        other => panic!("{other:?}"),
                    }
                }
                acknowledged
            })
        };
        let mut seen = subscriber.data_of(50);
        subscriber.acknowledge_only(25);
        first.terminate();
        let lost = subscriber.lose();
        let mut expected: Vec<Vec<String>> = publishers.map(|thread| thread.join().unwrap()).into();
        expected.push(rest.join().unwrap());
        assert_eq!(first.exited().code(), Some(0), "{}", first.log());
        let second = first.start_again(shards, &settings);
        let mut subscriber = lost.recover(&second);
        publish(&second, "groups/room", "end");
        loop {
            let (number, text) = subscriber.data();
            if text == "end" {
                break;
            }
            match seen.iter().find(|(known, _)| *known == number) {
                Some((_, known)) => assert_eq!(*known, text),
                None => seen.push((number, text)),
            }
        }
        // Numbers without a gap, and what every publisher knows to be taken, once and in order. A
        // publish whose ack was lost may be there too.
        assert!(
            seen.iter()
                .map(|(number, _)| *number)
                .eq(1..=seen.len() as u64)
        );
        for expected in expected {
            let Some(last) = expected.last() else {
                continue;
            };
            let name = last.trim_end_matches(|c: char| c.is_ascii_digit());
            let of_this = seen
                .iter()
                .map(|(_, text)| text)
                .filter(|text| text.trim_end_matches(|c: char| c.is_ascii_digit()) == name);
            let found: Vec<_> = of_this.collect();
            assert!(found.len() <= expected.len() + 1, "{name}");
            assert!(
                found.iter().zip(&expected).all(|(a, b)| **a == *b),
                "{name}"
            );
            assert!(found.len() >= expected.len(), "{name}");
        }
    });
}

fn on_shards(test: impl Fn(usize)) {
    [1, 4].into_iter().for_each(test);
}

#[test]
fn without_a_place_to_keep_them_sessions_end_with_1008() {
    for settings in ["", "data_dir = 'DATA_DIR'\nkeep_sessions = false\n"] {
        on_one_and_four_shards(settings, |first| {
            // A server that makes its own certificate has a directory in any case.
            if settings.is_empty() && first.scheme() == "https" {
                return;
            }
            let mut ann = Reliable::connect(first, "chat", "ann");
            first.terminate();
            assert_eq!(ann.message()["event"], "disconnected");
            assert_eq!(ann.closed().0, 1008);
            let lost = ann.lose();
            assert_eq!(first.exited().code(), Some(0));
            assert!(files(first.directory()).is_empty());
            let second = first.start_again(1, settings);
            lost.is_refused(&second);
        });
    }
}

#[test]
fn saved_sessions_are_taken_over_once() {
    let first = Server::start(4, KEPT);
    let lost = Reliable::connect(&first, "chat", "ann").lose();
    let second = first.restart(4, KEPT);
    let lost = lost.recover(&second).lose();
    second.kill();
    // What was not saved in order is gone, and nothing older comes up in its place.
    let third = second.start_again(4, KEPT);
    assert_eq!(restored(&third), [0, 0, 0]);
    lost.is_refused(&third);
    // A session may go through many restarts.
    let mut lost = Reliable::connect(&third, "chat", "ann").lose();
    let mut server = third;
    for number in 1..=4 {
        publish(
            &server,
            &format!("connections/{}", lost.id),
            &number.to_string(),
        );
        server = server.restart(number, KEPT);
        let mut ann = lost.recover(&server);
        let texts = (1..=number).map(|number| (number as u64, number.to_string()));
        assert_eq!(ann.data_of(number), texts.collect::<Vec<_>>());
        lost = ann.lose();
    }
}

/// What is done to the file of a server that has ended.
type Damage<'a> = &'a dyn Fn(&Path);

#[test]
fn a_file_that_cannot_be_believed_is_set_aside() {
    let first = Server::start(1, KEPT);
    let lost = Reliable::connect(&first, "chat", "ann").lose();
    first.terminate();
    assert_eq!(first.exited().code(), Some(0));
    let good = fs::read(file(&first)).unwrap();
    let changed = |at: usize| {
        let good = good.clone();
        move |path: &Path| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    };
    let put = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        move |path: &Path| fs::write(path, &bytes).unwrap()
    };
    let broken = "it is damaged, or was not written with this server's internal key";
    let other = Server::start(1, KEPT);
    let foreign = Reliable::connect(&other, "chat", "ann").lose();
    other.terminate();
    assert_eq!(other.exited().code(), Some(0));
    let foreign_file = fs::read(file(&other)).unwrap();
    let (last, version) = (
        good.len() - 1,
        "format 0, and this version knows format 1 only",
    );
    let cases: [(&str, Damage<'_>); 10] = [
        (broken, &put(&foreign_file)),
        (broken, &changed(last)),
        (broken, &changed(40)),
        (broken, &changed(last / 2)),
        (broken, &put(&good[..last])),
        (broken, &put(b"")),
        ("it does not hold sessions", &put(&[b'x'; 100])),
        (version, &changed(16)),
        ("it is of node 1", &changed(18)),
        ("not a regular file", &|path| {
            let _ = fs::remove_file(path);
            std::os::unix::fs::symlink("/dev/null", path).unwrap();
        }),
    ];
    let mut server = first;
    for (number, (reason, damage)) in (1..).zip(cases) {
        damage(&file(&server));
        server = server.start_again(1, KEPT);
        let warning = eventually("a warning", || {
            let log = server.log();
            let line = log.lines().find(|line| line.contains("set aside"))?;
            Some(line.to_owned())
        });
        assert!(warning.contains(" WARN "), "{warning}");
        assert!(warning.contains(reason), "{reason}: {warning}");
        lost.is_refused(&server);
        foreign.is_refused(&server);
        // Nine are kept, the last one is replaced.
        assert_eq!(files(server.directory()).len(), number.min(9), "{number}");
        server.terminate();
        assert_eq!(server.exited().code(), Some(0));
    }
}

#[test]
fn what_an_interrupted_start_or_stop_left_is_put_away() {
    let first = Server::start(1, KEPT);
    let lost = Reliable::connect(&first, "chat", "ann").lose();
    first.terminate();
    assert_eq!(first.exited().code(), Some(0));
    let folder = first.directory();
    // A process that ended while it wrote, and one that ended while it read.
    fs::write(folder.join("sessions.0123456789abcdef"), "half").unwrap();
    fs::copy(file(&first), folder.join("sessions.reading")).unwrap();
    let second = first.start_again(1, KEPT);
    lost.recover(&second);
    assert_eq!(files(folder), ["sessions.rejected-1"]);
    assert!(
        second
            .log()
            .contains("an earlier start ended while it was read")
    );
}

#[test]
fn time_without_a_server_counts() {
    let settings = "data_dir = 'DATA_DIR'\n[limits]\nrecovery_seconds = 1\n";
    let first = Server::start(4, settings);
    let mut ann = Reliable::connect(&first, "chat", "ann");
    first.terminate();
    assert_eq!(ann.message()["event"], "disconnected");
    let lost = ann.lose();
    assert_eq!(first.exited().code(), Some(0));
    let ended = Instant::now();
    eventually("its time is over", || {
        (ended.elapsed() > Duration::from_millis(1100)).then_some(())
    });
    let second = first.start_again(4, settings);
    assert_eq!(restored(&second), [0, 1, 0]);
    lost.is_refused(&second);
}

#[test]
fn a_stop_that_is_cut_short_saves_what_there_is() {
    let settings = "data_dir = 'DATA_DIR'\n[limits]\nshutdown_seconds = 2\n\
                    close_timeout_seconds = 60\n";
    let first = Server::start(4, settings);
    let lost: Vec<_> = (0..8)
        .map(|_| Reliable::connect(&first, "chat", "ann").lose())
        .collect();
    // A request that never ends, and clients that never answer.
    let mut endless = first.dial();
    let request = Request::new("POST", "/api/hubs/chat/:send")
        .body("text/plain", "never whole")
        .authorized(&first)
        .bytes(&first.authority());
    endless.write_all(&request[..request.len() - 1]).unwrap();
    let token = Token::client(&first, "chat").sign();
    let _idle = [(); 4].map(|()| Raw::json(&first, "chat", &token));
    eventually("all are in", || {
        (first.metric("hubwire_connections") == 12).then_some(())
    });
    // Whoever asks twice does not want to wait, and loses nothing by it.
    first.terminate();
    first.terminate();
    assert_eq!(first.exited().code(), Some(0));
    // The request takes no time of the messages.
    assert!(!first.log().contains("messages were still under way"));
    let second = first.start_again(4, settings);
    for lost in lost {
        lost.recover(&second);
    }
}

#[test]
fn sessions_are_safe_before_clients_have_answered() {
    let settings = "data_dir = 'DATA_DIR'\n[limits]\nclose_timeout_seconds = 60\n\
                    shutdown_seconds = 60\n";
    let first = Server::start(4, settings);
    let lost = Reliable::connect(&first, "chat", "ann").lose();
    let token = Token::client(&first, "chat").sign();
    let _idle = Raw::json(&first, "chat", &token);
    first.terminate();
    eventually("the sessions are saved", || {
        file(&first).exists().then_some(())
    });
    // A supervisor that waits no longer.
    first.kill();
    lost.recover(&first.start_again(4, settings));
}

#[test]
fn a_stop_during_the_start_loses_nothing() {
    let first = Server::start(1, KEPT);
    let lost = Reliable::connect(&first, "chat", "ann").lose();
    // Enough to read for the signal to come while it is read.
    for _ in 0..12 {
        let path = format!("connections/{}", lost.id);
        publish(&first, &path, &"x".repeat(1_000_000));
    }
    first.terminate();
    assert_eq!(first.exited().code(), Some(0), "{}", first.log());
    let mut second = Command::new(env!("CARGO_BIN_EXE_hubwire"))
        .args(["serve", "--config"])
        .arg(first.directory().join("hubwire.toml"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the file is taken", || {
        (!file(&first).exists()).then_some(())
    });
    kill_process(Pid::from_child(&second), Signal::TERM).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(0));
    let third = first.start_again(1, KEPT);
    let mut ann = lost.recover(&third);
    assert_eq!(ann.data_of(12).len(), 12);
}

#[test]
fn the_largest_sessions_are_left_out_of_a_file_that_is_too_small() {
    let settings = "data_dir = 'DATA_DIR'\n[limits]\nsnapshot_bytes = 1048576\n";
    let first = Server::start(4, settings);
    let [large, small] = ["large", "small"].map(|name| Reliable::connect(&first, "chat", name));
    for _ in 0..3 {
        publish(
            &first,
            &format!("connections/{}", large.id),
            &"x".repeat(500_000),
        );
    }
    publish(&first, &format!("connections/{}", small.id), "little");
    let [large, small] = [large, small].map(Reliable::lose);
    let second = first.restart(4, settings);
    eventually("the log says so", || {
        first.log().contains("sessions=1 left_out=1").then_some(())
    });
    assert_eq!(small.recover(&second).data(), (1, "little".to_owned()));
    large.is_refused(&second);
}

#[test]
fn a_server_that_stops_lets_nobody_in_and_does_not_turn_anybody_away_for_good() {
    on_one_and_four_shards(
        "data_dir = 'DATA_DIR'\n[limits]\nclose_timeout_seconds = 60\nshutdown_seconds = 60\n",
        |server| {
            let lost = Reliable::connect(server, "chat", "ann").lose();
            // Somebody who does not answer the close frame keeps the server waiting.
            let token = Token::client(server, "chat").sign();
            let mut idle = Raw::json(server, "chat", &token);
            let mut keep_alive = server.dial();
            let health = |stream: &mut std::net::TcpStream| {
                let request = Request::new("GET", "/api/health");
                request.send(stream, &server.authority()).status
            };
            assert_eq!(health(&mut keep_alive), 200);
            server.terminate();
            idle.text();
            assert!(idle.text().contains("disconnected"));
            assert_eq!(health(&mut keep_alive), 503);
            let recovery = server.send(lost.request());
            assert_eq!(recovery.status, 503);
            let new = format!("/client/hubs/chat?access_token={token}");
            assert_eq!(server.send(Request::upgrade(&new)).status, 503);
            let rest = server.rest("HEAD", "/api/hubs/chat/users/ann");
            assert_eq!((rest.status, rest.header("retry-after")), (503, Some("1")));
            // Once it has its answer, the server ends.
            let mut stream = idle.0;
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            assert_eq!(server.exited().code(), Some(0), "{}", server.log());
            let second = server.start_again(1, KEPT);
            lost.recover(&second);
        },
    );
}
