//! The binary against a small server: every scenario gives its line, every failure its message.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what helpers of a test cannot do fails the test"
)]

mod server;

use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::{Fault, KEY, State, connection_string, start, start_watched};

const SHORT: &str = "--duration 0.3 --warm-up 0.1";

fn bench(connection_string: &str, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hubwire-bench"))
        .args(arguments.split_whitespace())
        .args(["--connection-string", connection_string])
        .env_remove("HUBWIRE_CONNECTION_STRING")
        .output()
        .expect("the binary runs")
}

/// The one line of a run that succeeds.
fn line(connection_string: &str, arguments: &str) -> Value {
    let output = bench(connection_string, arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {progress}");
    assert_eq!(text.lines().count(), 1, "{arguments}: {text}");
    serde_json::from_str(&text).expect("a line of json")
}

/// Runs to a failure, and checks its code and its message.
fn fails(connection_string: &str, arguments: &str, code: i32, expect: &[&str]) {
    let output = bench(connection_string, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {error}");
    assert!(
        output.stdout.is_empty(),
        "{arguments}: a result in spite of {error}"
    );
    for part in expect {
        assert!(error.contains(part), "{arguments}: no {part:?} in {error}");
    }
    assert!(!error.contains(KEY), "{error}");
}

fn count(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count"))
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn is_sane(latency: &Value) {
    let [p50, p99, p99_9, max] = ["p50", "p99", "p99.9", "max"].map(|name| number(&latency[name]));
    assert!(
        0.0 < p50 && p50 <= p99 && p99 <= p99_9 && p99_9 <= max,
        "{latency}"
    );
}

#[test]
fn fanout_delivers_each_publish_to_each_subscriber() {
    let server = start(Fault::None);
    let arguments = format!("fanout --connections 5 --window 4 --rate 50 {SHORT}");
    let report = line(&server, &arguments);
    assert_eq!(report["scenario"], "fanout");
    assert_eq!(report["hub"], "bench");
    assert_eq!(report["connections"], 5);
    let closed = &report["closed_loop"];
    assert!(count(&closed["deliveries"]) > 0);
    assert!(count(&closed["acks"]) > 0);
    let fixed = &report["fixed_rate"];
    assert_eq!(count(&fixed["deliveries"]), 5 * 15, "15 publishes to 5");
    for phase in [closed, fixed] {
        assert_eq!(phase["lost"], 0, "{phase}");
        assert_eq!(phase["out_of_order"], 0, "{phase}");
        assert_eq!(phase["echoes"], 0, "{phase}");
        assert!(number(&phase["deliveries_per_read"]) >= 1.0);
        assert!(number(&phase["bytes_per_delivery"]) > 128.0);
        assert!(phase.get("server").is_none(), "no pid was given");
        is_sane(&phase["latency_ms"]);
    }
}

#[test]
fn fanout_carries_messages_larger_than_a_read() {
    let server = start(Fault::None);
    let arguments = format!("fanout --connections 2 --window 2 --rate 20 --size 700000 {SHORT}");
    let report = line(&server, &arguments);
    assert_eq!(report["fixed_rate"]["lost"], 0, "{report}");
    assert_eq!(count(&report["fixed_rate"]["deliveries"]), 2 * 6);
    assert!(number(&report["fixed_rate"]["bytes_per_delivery"]) > 700_000.0);
}

#[test]
fn what_a_server_forgets_is_lost() {
    let server = start(Fault::Lose(3));
    let report = line(
        &server,
        "fanout --connections 4 --window 0 --rate 30 --duration 0.2 --warm-up 0",
    );
    assert!(report.get("closed_loop").is_none());
    assert_eq!(report["fixed_rate"]["lost"], 4, "{report}");
    assert_eq!(count(&report["fixed_rate"]["deliveries"]), 4 * 5);
}

#[test]
fn pairs_answer_each_other_with_and_without_acks() {
    let server = start(Fault::None);
    for ack in [true, false] {
        let arguments = format!("pairs --groups 3 --rate 20 --ack {ack} {SHORT}");
        let report = line(&server, &arguments);
        assert_eq!(
            (&report["groups"], &report["connections"]),
            (&3.into(), &6.into())
        );
        let fixed = &report["fixed_rate"];
        assert_eq!(count(&fixed["deliveries"]), 6 * 20 * 3 / 10, "{fixed}");
        assert_eq!(fixed["publishes_per_second"], 120.0);
        for phase in [fixed, &report["closed_loop"]] {
            assert_eq!(phase["lost"], 0, "{phase}");
            assert_eq!(phase["echoes"], 0, "{phase}");
            assert_eq!(count(&phase["acks"]) > 0, ack, "{phase}");
            is_sane(&phase["latency_ms"]);
        }
    }
}

#[test]
fn reliable_clients_get_the_same_deliveries() {
    let server = start(Fault::None);
    let reliable = "--subprotocol json.reliable --sequence-ack-interval 0.05";
    let arguments = format!("fanout --connections 5 --window 4 --rate 50 {SHORT} {reliable}");
    let report = line(&server, &arguments);
    assert_eq!(report["subprotocol"], "json.reliable.webpubsub.azure.v1");
    assert_eq!(count(&report["fixed_rate"]["deliveries"]), 5 * 15);
    let pairs = line(
        &server,
        &format!("pairs --groups 3 --rate 20 {SHORT} {reliable}"),
    );
    for report in [&report, &pairs] {
        for phase in [&report["closed_loop"], &report["fixed_rate"]] {
            assert_eq!(phase["lost"], 0, "{phase}");
            assert_eq!(phase["duplicates"], 0, "{phase}");
            assert_eq!(phase["sequence_gaps"], 0, "{phase}");
            assert!(count(&phase["sequence_acks"]) > 0, "{phase}");
        }
    }
    let report = line(&server, &format!("fanout --connections 2 {SHORT}"));
    assert!(report["fixed_rate"].get("sequence_acks").is_none());
    for scenario in ["connect", "idle --settle 0 --duration 0.1"] {
        line(&server, &format!("{scenario} --connections 4 {reliable}"));
    }
}

#[test]
fn sessions_end_with_their_run() {
    fn leaves(server: &State, expect: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while server.sessions() != expect {
            assert!(Instant::now() < deadline, "{} are left", server.sessions());
            thread::sleep(Duration::from_millis(5));
        }
    }
    let reliable = "--subprotocol json.reliable";
    let (server, state) = start_watched(Fault::None);
    for scenario in ["fanout --connections 4", "pairs --groups 2"] {
        line(&server, &format!("{scenario} {SHORT} {reliable}"));
        leaves(&state, 0);
    }
    line(&server, "recover --connections 3");
    leaves(&state, 0);
    let (server, state) = start_watched(Fault::HangUp(5));
    fails(
        &server,
        &format!("fanout --connections 2 {reliable}"),
        1,
        &["closed"],
    );
    // The publisher, on whom the server hung up, could still come back.
    leaves(&state, 1);
}

#[test]
fn wrong_numbers_are_counted() {
    for (fault, gaps, duplicates) in [(Fault::SkipNumber(2), 4, 0), (Fault::Repeat(3), 0, 4)] {
        let server = start(fault);
        let report = line(
            &server,
            "fanout --connections 4 --window 0 --rate 30 --duration 0.2 --warm-up 0 \
             --subprotocol json.reliable",
        );
        let phase = &report["fixed_rate"];
        assert_eq!(count(&phase["deliveries"]), 4 * 6, "{phase}");
        assert_eq!(count(&phase["sequence_gaps"]), gaps, "{phase}");
        assert_eq!(count(&phase["duplicates"]), duplicates, "{phase}");
    }
}

#[test]
fn a_client_that_is_cut_off_says_what_to_do() {
    let server = start(Fault::Bound(20));
    let arguments = "fanout --connections 2 --rate 0 --subprotocol json.reliable";
    fails(
        &server,
        &format!("{arguments} --sequence-ack-interval 0"),
        1,
        &[
            "closed loop",
            "1008 \"too many unacknowledged messages\"",
            "limits.replay_messages",
            "--sequence-ack-interval",
        ],
    );
}

#[test]
fn clients_that_were_cut_recover_what_they_missed() {
    let server = start(Fault::None);
    let report = line(&server, "recover --connections 20 --missed 3 --parallel 4");
    assert_eq!(report["subprotocol"], "json.reliable.webpubsub.azure.v1");
    let figures = [
        "recovered",
        "refused",
        "gave_up",
        "retries",
        "deliveries",
        "lost",
    ];
    assert_eq!(
        figures.map(|name| count(&report[name])),
        [20, 0, 0, 0, 60, 0],
        "{report}"
    );
    assert_eq!(
        (&report["duplicates"], &report["sequence_gaps"]),
        (&0.into(), &0.into())
    );
    assert!(number(&report["recoveries_per_second"]) > 0.0);
    is_sane(&report["recovery_ms"]);
    is_sane(&report["catch_up_ms"]);
    fails(
        &server,
        "recover --subprotocol protobuf",
        1,
        &["cannot recover"],
    );
}

#[test]
fn refused_recoveries_are_counted() {
    let server = start(Fault::Forget(2));
    let report = line(&server, "recover --connections 5 --missed 1");
    let figures = [
        "recovered",
        "refused",
        "gave_up",
        "retries",
        "deliveries",
        "lost",
    ];
    assert_eq!(
        figures.map(|name| count(&report[name])),
        [4, 1, 0, 0, 4, 0],
        "{report}"
    );
}

#[test]
fn connect_times_each_connection() {
    let server = start(Fault::None);
    let report = line(&server, "connect --connections 40 --members 4 --parallel 8");
    assert_eq!(report["connections"], 40);
    assert!(number(&report["connections_per_second"]) > 0.0);
    is_sane(&report["setup_ms"]);
}

#[test]
fn idle_connections_stay() {
    let server = start(Fault::None);
    for (arguments, members) in [("--members 5", 5), ("--one-group", 20)] {
        let arguments = format!("idle --connections 20 --settle 0.1 --duration 0.2 {arguments}");
        let report = line(&server, &arguments);
        assert_eq!(report["alive"], 20);
        assert_eq!(report["members"], members);
    }
}

#[test]
fn rest_publishes_reach_the_subscriber() {
    for (fault, token) in [
        (Fault::None, "fresh"),
        (Fault::None, "repeated"),
        (Fault::NoKeepAlive, "repeated"),
    ] {
        let server = start(fault);
        let report = line(
            &server,
            &format!("rest --connections 3 --token {token} {SHORT}"),
        );
        assert_eq!(report["token"], token);
        assert!(count(&report["requests"]) > 0);
        assert_eq!(report["lost"], 0, "{report}");
        assert_eq!(
            count(&report["reconnects"]) > 0,
            fault == Fault::NoKeepAlive,
            "{report}"
        );
        is_sane(&report["response_ms"]);
        is_sane(&report["latency_ms"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_local_servers_cpu_and_memory_are_reported() {
    let server = start(Fault::None);
    let pid = std::process::id();
    let report = line(
        &server,
        &format!("fanout --connections 3 {SHORT} --server-pid {pid}"),
    );
    for phase in [&report["closed_loop"], &report["fixed_rate"]] {
        let figures = &phase["server"];
        let [user, system, sum] =
            ["user_seconds", "system_seconds", "cpu_seconds"].map(|name| number(&figures[name]));
        assert!((user + system - sum).abs() < 1e-3, "{figures}");
        assert!(number(&figures["rss_mib_after"]) > 0.0);
        assert!(number(&phase["generator"]["cpu_seconds"]) > 0.0);
        let per_million = number(&phase["cpu_seconds_per_million_deliveries"]);
        let expect = sum * 1e6 / number(&phase["deliveries"]);
        assert!((per_million - expect).abs() < 1e-3, "{phase}");
    }
    let arguments = format!("idle --connections 3 --settle 0 --duration 0.1 --server-pid {pid}");
    let report = line(&server, &arguments);
    assert!(number(&report["rss_mib_before"]) > 0.0);
    assert!(report["rss_kib_per_connection"].is_number());
    fails(
        &server,
        "connect --server-pid 4294967295",
        2,
        &["no process 4294967295"],
    );
}

#[test]
fn an_unreachable_endpoint_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let text = connection_string(address);
    let address = address.to_string();
    fails(
        &text,
        "fanout",
        1,
        &["subscribers", "TCP connect", &address, "refused"],
    );
}

#[test]
fn a_wrong_key_is_said() {
    let server = start(Fault::None).replace(KEY, "another-key-another-key-another!");
    fails(
        &server,
        "idle --connections 3",
        1,
        &["WebSocket upgrade", "401"],
    );
    fails(&server, "rest", 1, &["subscriber", "401"]);
}

#[test]
fn a_silent_server_meets_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let text = connection_string(listener.local_addr().expect("an address"));
    let expect = ["0 of 3 are ready", "WebSocket upgrade", "200ms"];
    fails(
        &text,
        "connect --connections 3 --connect-timeout 0.2",
        1,
        &expect,
    );
}

#[test]
fn a_server_that_hangs_up_ends_the_run() {
    let server = start(Fault::HangUp(5));
    let expect = ["closed loop", "established connection", "closed"];
    fails(&server, "fanout --connections 2 --window 1", 1, &expect);
}

#[test]
fn wrong_calls_are_refused() {
    let tls = format!("Endpoint=https://127.0.0.1:1;AccessKey={KEY};Version=1.0;");
    fails(&tls, "fanout", 2, &["TLS"]);
    fails("Endpoint=http://127.0.0.1:1", "fanout", 2, &["AccessKey"]);
    fails(&tls, "fanout --hub 1st", 2, &["--hub 1st"]);
    let output = Command::new(env!("CARGO_BIN_EXE_hubwire-bench"))
        .arg("idle")
        .env_remove("HUBWIRE_CONNECTION_STRING")
        .output()
        .expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("--connection-string"), "{error}");
}
