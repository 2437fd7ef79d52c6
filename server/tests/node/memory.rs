//! Memory of the process as the system sees it: what idle clients cost, and that nothing stays.

use serde_json::json;

use crate::support::raw::{FIN, PING, TEXT, frame, frame_head};
use crate::support::secure::Trust;
use crate::support::{Client, Raw, Server, Token, descriptors_suffice, eventually};

/// Clients that connect at the same time.
const CONNECTORS: usize = 4;

/// Bytes that are resident, without pages of the binary: those come with every new code path.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

fn connections_are(server: &Server, count: u64) {
    eventually(&format!("there are {count} connections"), || {
        (server.metric("hubwire_connections") == count).then_some(())
    });
}

#[test]
fn connections_that_came_and_went_leave_no_memory_behind() {
    /// Connections of a round.
    const CYCLES: usize = 2000;
    /// A quarter of a KiB per connection; one whose state stayed would cost more. It is not zero
    /// because a timer outlives its connection until it would have fired.
    const MARGIN: u64 = 512 * 1024;

    // The timer of a connection that has gone stays until it is due, so it has to be due soon.
    let settings = "[limits]
close_timeout_seconds = 1
[hub_defaults]
web_socket_keep_alive_interval_in_seconds = 1
";
    let server = Server::start_without_page_cache(4, settings);
    let token = Token::client(&server, "chat")
        .user("ann")
        .group("room")
        .sign();
    let round = || {
        std::thread::scope(|scope| {
            for connector in 0..CONNECTORS {
                let (server, token) = (&server, token.as_str());
                scope.spawn(move || {
                    for number in (connector..CYCLES).step_by(CONNECTORS) {
                        come_and_go(server, token, number);
                    }
                });
            }
        });
        connections_are(&server, 0);
        eventually("every HTTP connection is over", || {
            (server.metric("hubwire_http_connections") <= 1).then_some(())
        });
    };
    round();
    let before = resident(&server);
    round();
    eventually("memory is what it was", || {
        (resident(&server) < before + MARGIN).then_some(())
    });
}

/// One client; every number ends in another way.
fn come_and_go(server: &Server, token: &str, number: usize) {
    let mut client = Raw::json(server, "chat", token);
    match number % 8 {
        // A message that never ends, for which the server holds a buffer.
        0 => {
            client.send(&frame_head(FIN | TEXT, 1 << 19));
            client.send(&[0; 16 * 1024]);
        }
        1 => client.send(&frame(TEXT, &[b'x'; 4000])),
        2 => client.send(&frame(FIN | TEXT, b"nonsense")),
        3 => client.send(&frame_head(FIN | TEXT, 1 << 62)),
        4 => client.send(&frame(FIN | PING, b"?").repeat(100)),
        5 => {
            let request = json!({ "type": "joinGroup", "group": number.to_string() });
            client.send(&frame(FIN | TEXT, request.to_string().as_bytes()));
        }
        6 => return client.reset(),
        _ => {}
    }
    client.half_close();
    while client.frame().is_some() {}
}

#[test]
fn ten_thousand_idle_clients_fit_their_budget() {
    check_ten_thousand_idle_clients(1536, Raw::json);
}

#[test]
fn ten_thousand_idle_reliable_clients_fit_their_budget() {
    check_ten_thousand_idle_clients(2048, Raw::json_reliable);
}

/// `budget` is what the design grants an idle client, in bytes.
fn check_ten_thousand_idle_clients(budget: u64, connect: fn(&Server, &str, &str) -> Raw) {
    const CLIENTS: usize = 10_000;

    if !descriptors_suffice(CLIENTS as u64 + 1000) {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has too few descriptors"
        );
        eprintln!("SKIPPED: ten thousand clients need a descriptor limit of 11000");
        return;
    }
    let server = Server::start_without_page_cache(4, "[limits]\nrecovery_seconds = 1\n");
    let token = Token::client(&server, "chat").group("room").sign();
    // Whatever is built once, and whatever connecting itself needs.
    let crowd = |count| crowd(count, || greeted(connect(&server, "chat", &token)));
    drop(crowd(400));
    connections_are(&server, 0);

    let before = resident(&server);
    let mut clients = crowd(CLIENTS);
    connections_are(&server, CLIENTS as u64);
    let per_client = eventually("the clients fit their budget", || {
        let grown = resident(&server).saturating_sub(before);
        (grown <= budget * CLIENTS as u64).then_some(grown / CLIENTS as u64)
    });
    eprintln!("{per_client} bytes per idle client");

    // They are there: one message reaches all of them, and then they are as small as before.
    let (mut sender, _) = Client::json(&server, "chat", None);
    sender.send(r#"{"type":"sendToGroup","group":"room","dataType":"text","data":"hi"}"#);
    for client in &mut clients {
        assert!(client.text().contains(r#""data":"hi""#));
        // Clients of the other subprotocol have nothing to acknowledge, and may.
        let ack = frame(FIN | TEXT, br#"{"type":"sequenceAck","sequenceId":1}"#);
        client.send(&ack);
    }
    eventually("the clients fit their budget again", || {
        let grown = resident(&server).saturating_sub(before);
        (grown <= budget * CLIENTS as u64).then_some(())
    });
}

#[test]
fn idle_clients_with_tls_fit_their_budget() {
    const CLIENTS: usize = 2000;
    /// That of a client without TLS, and keys, ciphers and the state of the session.
    const BUDGET: u64 = 1536 + 3072;

    if !descriptors_suffice(CLIENTS as u64 + 1000) {
        eprintln!("SKIPPED: two thousand clients need a descriptor limit of 3000");
        return;
    }
    let server = Server::start_with_dev_tls_and_without_page_cache(4);
    let trust = Trust::file(&server.authority_file());
    let token = Token::client(&server, "chat").group("room").sign();
    let crowd = |count| crowd(count, || trust.json(&server, &token));
    drop(crowd(400));
    connections_are(&server, 0);

    let before = resident(&server);
    let mut clients = crowd(CLIENTS);
    connections_are(&server, CLIENTS as u64);
    let fit = |what: &str| {
        let per_client = eventually(what, || {
            let grown = resident(&server).saturating_sub(before);
            (grown <= BUDGET * CLIENTS as u64).then_some(grown / CLIENTS as u64)
        });
        eprintln!("{per_client} bytes per idle client with TLS");
    };
    fit("the clients fit their budget");
    let may_send = Token::client(&server, "chat").role("webpubsub.sendToGroup");
    let message = r#"{"type":"sendToGroup","group":"room","dataType":"text","data":"hi"}"#;
    let mut sender = trust.json(&server, &may_send.sign());
    sender.send(&frame(FIN | TEXT, message.as_bytes()));
    for client in &mut clients {
        assert!(client.text().contains(r#""data":"hi""#));
    }
    fit("the clients fit their budget again");
}

/// Connects many clients at once.
fn crowd<C: Send>(count: usize, connect: impl Fn() -> C + Sync) -> Vec<C> {
    std::thread::scope(|scope| {
        let connectors: Vec<_> = (0..CONNECTORS)
            .map(|_| {
                scope.spawn(|| {
                    (0..count / CONNECTORS)
                        .map(|_| connect())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        connectors
            .into_iter()
            .flat_map(|connector| connector.join().unwrap())
            .collect()
    })
}

/// A client that has read its first message.
fn greeted(mut client: Raw) -> Raw {
    client.text();
    client
}
