//! Memory of the process as the system sees it: what idle clients cost, and that nothing stays.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::support::raw::{FIN, PING, TEXT, frame, frame_head};
use crate::support::{Client, Raw, Server, Token, eventually};

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
    const CLIENTS: usize = 10_000;
    /// What the design grants an idle client.
    const BUDGET: u64 = 1536;

    if !descriptors_suffice(CLIENTS as u64 + 1000) {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has too few descriptors"
        );
        eprintln!("SKIPPED: ten thousand clients need a descriptor limit of 11000");
        return;
    }
    let server = Server::start_without_page_cache(4, "");
    let token = Token::client(&server, "chat").group("room").sign();
    // Whatever is built once, and whatever connecting itself needs.
    drop(crowd(&server, &token, 400));
    connections_are(&server, 0);

    let before = resident(&server);
    let mut clients = crowd(&server, &token, CLIENTS);
    connections_are(&server, CLIENTS as u64);
    let per_client = eventually("the clients fit their budget", || {
        let grown = resident(&server).saturating_sub(before);
        (grown <= BUDGET * CLIENTS as u64).then_some(grown / CLIENTS as u64)
    });
    eprintln!("{per_client} bytes per idle client");

    // They are there: one message reaches all of them, and then they are as small as before.
    let (mut sender, _) = Client::json(&server, "chat", None);
    sender.send(r#"{"type":"sendToGroup","group":"room","dataType":"text","data":"hi"}"#);
    for client in &mut clients {
        assert!(client.text().contains(r#""data":"hi""#));
    }
    eventually("the clients fit their budget again", || {
        let grown = resident(&server).saturating_sub(before);
        (grown <= BUDGET * CLIENTS as u64).then_some(())
    });
}

/// Connects many clients of the json subprotocol at once and reads their first message.
fn crowd(server: &Server, token: &str, count: usize) -> Vec<Raw> {
    std::thread::scope(|scope| {
        let connectors: Vec<_> = (0..CONNECTORS)
            .map(|_| {
                scope.spawn(|| {
                    (0..count / CONNECTORS)
                        .map(|_| {
                            let mut client = Raw::json(server, "chat", token);
                            client.text();
                            client
                        })
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

/// Raises this process's limit, which the server inherits, and says whether it is enough.
fn descriptors_suffice(needed: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).is_ok()
        && limit.maximum.is_none_or(|maximum| maximum >= needed)
}
