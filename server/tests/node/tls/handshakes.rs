//! Handshakes: with another implementation, many, hostile ones, and none at all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::{member_token, on_one_and_four_shards};
use crate::support::raw::{FIN, TEXT, frame};
use crate::support::secure::Trust;
use crate::support::{Server, descriptors_suffice, eventually};

/// Asks for the server's health through `openssl s_client`. Returns what it printed, and whether
/// it was content.
fn s_client(server: &Server, options: &[&str]) -> Option<(String, bool)> {
    let child = Command::new("openssl")
        .args(["s_client", "-connect", &server.address.to_string()])
        .args(["-servername", "localhost", "-verify_hostname", "localhost"])
        .args(["-verify_return_error", "-ign_eof", "-CAfile"])
        .arg(server.authority_file())
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI has no openssl: {error}"
            );
            eprintln!("SKIPPED: openssl is not there");
            return None;
        }
    };
    // It may have ended before, content or not.
    let request = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let _ = child.stdin.take().unwrap().write_all(request);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((
        String::from_utf8_lossy(&text).into_owned(),
        output.status.success(),
    ))
}

#[test]
fn openssl_is_content() {
    on_one_and_four_shards("", |server, _| {
        let check = |options: &[&str], expected: &[&str]| {
            let Some((text, success)) = s_client(server, options) else {
                return;
            };
            assert!(success, "{options:?}: {text}");
            for part in expected {
                assert!(text.contains(part), "{part} is not in the answer: {text}");
            }
        };
        let answered = ["HTTP/1.1 200 OK", "Verify return code: 0 (ok)"];
        let [ok, verified] = answered;
        check(&["-tls1_3"], &[ok, verified, "TLSv1.3"]);
        check(&["-tls1_2"], &[ok, verified, "TLSv1.2"]);
        check(
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
            &[ok, verified],
        );
        check(
            &["-alpn", "h2,http/1.1"],
            &[ok, verified, "ALPN protocol: http/1.1"],
        );
        check(&["-verify_ip", "127.0.0.1"], &[ok, verified]);
        check(&["-verify_ip", "::1"], &[ok, verified]);
        let refused = |options: &[&str], expected: &str| {
            if let Some((text, success)) = s_client(server, options) {
                assert!(!success && text.contains(expected), "{options:?}: {text}");
            }
        };
        refused(&["-alpn", "h2"], "no application protocol");
        refused(
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            "alert handshake failure",
        );
        refused(&["-verify_hostname", "example.com"], "ostname mismatch");
    });
}

#[test]
fn openssl_comes_back_with_a_ticket() {
    let server = Server::start_with_dev_tls(1, "");
    for version in ["-tls1_2", "-tls1_3"] {
        let ticket = server.directory().join(format!("ticket{version}"));
        let ticket = ticket.to_str().unwrap();
        let Some((text, success)) = s_client(&server, &[version, "-sess_out", ticket]) else {
            return;
        };
        assert!(success && text.contains("New, TLSv1"), "{text}");
        let (text, success) = s_client(&server, &[version, "-sess_in", ticket]).unwrap();
        assert!(success && text.contains("Reused, TLSv1"), "{text}");
        assert!(text.contains("HTTP/1.1 200 OK"), "{text}");
    }
}

#[test]
fn many_clients_shake_hands_at_once() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 25;
    on_one_and_four_shards("", |server, trust| {
        let token = member_token(server);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let mut client = trust.json(server, &token);
                        client.send(&frame(FIN | TEXT, br#"{"type":"ping"}"#));
                        assert_eq!(client.text(), r#"{"type":"pong"}"#);
                    }
                });
            }
        });
        let count = (CLIENTS * ROUNDS) as u64;
        assert_eq!(server.metric("hubwire_tls_handshakes_total"), count);
        assert_eq!(server.metric("hubwire_tls_handshake_failures_total"), 0);
        eventually("all are gone", || {
            (server.metric("hubwire_connections") == 0).then_some(())
        });
    });
}

#[test]
fn handshakes_that_do_not_go_on_end_in_time() {
    let settings = "[limits]\nhandshake_timeout_seconds = 1\n";
    on_one_and_four_shards(settings, |server, _| {
        for mut stream in UNFINISHED.map(|bytes| stopped_after(server, bytes)) {
            assert_eq!(read_to_end(&mut stream), b"");
        }
        eventually("they are counted", || {
            let count = server.metric("hubwire_tls_handshake_failures_total");
            (count == UNFINISHED.len() as u64).then_some(())
        });
    });
}

#[test]
fn handshakes_that_do_not_go_on_lock_nobody_out() {
    const STOPPED: usize = 600;
    // So many that the server may have more than these HTTP connections.
    if !descriptors_suffice(11_000) {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI has too few descriptors"
        );
        eprintln!("SKIPPED: as many sockets need a descriptor limit of 11000");
        return;
    }
    let settings = "[limits]\nhandshake_timeout_seconds = 300\n";
    let server = Server::start_with_dev_tls(1, settings);
    let trust = Trust::file(&server.authority_file());
    let bytes = UNFINISHED[1..].iter().cycle().take(STOPPED);
    let stopped: Vec<_> = bytes.map(|bytes| stopped_after(&server, bytes)).collect();
    let are_open = || server.metric("hubwire_http_connections") >= STOPPED as u64;
    eventually("all are open", || are_open().then_some(()));
    // Reading gives up long before the server does with those.
    drop(trust.json(&server, &member_token(&server)));
    assert!(are_open());
    assert_eq!(server.metric("hubwire_tls_handshake_failures_total"), 0);
    drop(stopped);
}

/// Beginnings of handshakes: nothing, a first byte, a head, and a part of the first message.
const UNFINISHED: [&[u8]; 4] = [
    b"",
    b"\x16",
    b"\x16\x03\x01\x02\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03half a hello",
];

fn stopped_after(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = server.dial();
    stream.write_all(bytes).unwrap();
    stream
}

#[test]
fn whatever_comes_instead_of_a_handshake_is_answered_or_closed() {
    on_one_and_four_shards("", |server, trust| {
        let answer = |bytes: &[u8]| {
            let mut stream = server.dial();
            stream.write_all(bytes).unwrap();
            read_to_end(&mut stream)
        };
        // TLS has an alert for some of it and is silent about the rest.
        let mut huge = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff".to_vec();
        huge.resize(5 + 0x4000, 0);
        for garbage in [
            b"\x16\x03\x01\x00\x05hello".as_slice(),
            b"\x16\x03\x01\xff\xffhello",
            b"\x16\x03\x01\x00\x00",
            b"\x16garbage and more of it",
            &[0x16; 100],
            &huge,
        ] {
            let answer = answer(garbage);
            assert!(
                answer.is_empty() || answer.starts_with(b"\x15\x03\x03\x00\x02\x02"),
                "{answer:?}"
            );
        }
        for no_tls in [
            b"\x00\x01\x02".as_slice(),
            b"\x80\x2e\x01\x03\x01 an old hello",
        ] {
            assert_eq!(answer(no_tls), b"");
        }
        for http in [
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "POST /api/hubs/chat/:send HTTP/1.1\r\n",
            "GET",
        ] {
            let answer = String::from_utf8(answer(http.as_bytes())).unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
                "{answer}"
            );
            assert!(
                answer.ends_with("begins with https:// or wss://.\n"),
                "{answer}"
            );
        }
        eventually("all are counted", || {
            (server.metric("hubwire_tls_handshake_failures_total") == 11).then_some(())
        });
        eventually("the log says so", || {
            server
                .log()
                .contains("a TLS handshake failed")
                .then_some(())
        });
        drop(trust.json(server, &member_token(server)));
    });
}

#[test]
fn a_client_that_does_not_trust_says_so_and_goes() {
    let server = Server::start_with_dev_tls(1, "");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let trust = Trust::only(other.cert.pem().as_bytes());
    let error = trust.shake_hands(server.dial()).err().unwrap();
    assert!(error.to_string().contains("certificate"), "{error}");
    eventually("it is counted", || {
        (server.metric("hubwire_tls_handshake_failures_total") == 1).then_some(())
    });
}

/// Everything until the end; a reset is an end too.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    bytes
}
