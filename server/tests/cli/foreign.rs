//! `hubwire client` and `hubwire service` against servers that are not ours, and not always right.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use hubwire_proto::ws::client::encode_masked;
use hubwire_proto::ws::handshake::accept_key;
use hubwire_proto::ws::{
    CloseCode, MessageKind, Opcode, encode_close, encode_message, encode_ping,
};

use crate::process::{Finished, Workspace, hubwire};

const CONNECTED: &str = r#"{"type":"system","event":"connected","connectionId":"c"}"#;

/// A server that gives each connection to `serve` with the head of its request, until that says
/// that it was the last.
fn serving(serve: impl Fn(&str, &mut TcpStream) -> bool + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            if serve(&String::from_utf8(head).unwrap(), &mut stream) {
                return;
            }
        }
    });
    address.to_string()
}

/// A server that answers every request with `answer` and closes.
fn answering(answer: Vec<u8>) -> String {
    serving(move |_, stream| {
        // A client that has read enough may be gone.
        let _ = stream.write_all(&answer);
        false
    })
}

/// Runs a client against a server at `address`.
fn client(address: &str, line: &[&str]) -> Finished {
    let url = format!("ws://{address}/client/hubs/chat?access_token=secret");
    hubwire(&Workspace::new())
        .args([&["client", "--url", &url], line].concat())
        .finish()
}

/// A server that accepts one upgrade, then does what `speak` says.
fn upgrading(speak: impl Fn(&mut TcpStream) + Send + 'static) -> String {
    serving(move |head, stream| {
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        let (key, protocol) = (
            header("sec-websocket-key:"),
            header("sec-websocket-protocol:"),
        );
        let accept = accept_key(&key);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        speak(stream);
        true
    })
}

/// A client against a server that accepts the upgrade, sends `bytes` and closes.
fn client_of(bytes: Vec<u8>, line: &[&str]) -> Finished {
    let address = upgrading(move |stream| {
        stream.write_all(&bytes).unwrap();
        // Closed with something unread, the connection would be reset.
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    client(&address, line)
}

/// A server that never closes, and says something ten times a second until nobody listens.
fn chatting() -> String {
    upgrading(|stream| {
        stream.write_all(&text(CONNECTED)).unwrap();
        let message = text(r#"{"type":"message","from":"server","dataType":"text","data":"hi"}"#);
        while stream.write_all(&message).is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    })
}

fn text(message: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_message(MessageKind::Text, message.as_bytes(), &mut bytes);
    bytes
}

#[test]
fn what_is_no_upgrade_is_refused() {
    let check = |answer: &str, expect: &str| {
        let finished = client(&answering(answer.as_bytes().to_vec()), &[]);
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (1, ""),
            "{finished:?}"
        );
        assert!(finished.stderr.contains(expect), "{expect}: {finished:?}");
        assert!(!finished.stderr.contains("secret"), "{finished:?}");
    };
    check("", "connection closed");
    check("SSH-2.0-OpenSSH\r\n\r\n", "invalid HTTP");
    check(
        &format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(100_000)),
        "message head is too large",
    );
    check(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\nbusy\x1b[2J\n",
        r"/client/hubs/chat: refused with 503 Service Unavailable: busy\u{1b}[2J",
    );
    check(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "does not belong to our key",
    );
}

#[test]
fn a_server_that_breaks_the_protocol_or_off_is_told() {
    let check = |bytes: Vec<u8>, stdout: &str, expect: &str| {
        let finished = client_of(bytes, &["--watch"]);
        assert_eq!(
            (finished.code, finished.stdout.as_str()),
            (1, stdout),
            "{finished:?}"
        );
        assert!(finished.stderr.contains(expect), "{expect}: {finished:?}");
    };
    let ended = "the connection ended without a close frame";
    check(Vec::new(), "", ended);
    check(text(CONNECTED)[..10].to_vec(), "", ended);
    check(text(CONNECTED), "connected, connection c\n", ended);
    // Any order, odd JSON, a ping in between: all of it is shown.
    let mut bytes = [text("{}"), text("\u{1b}[2J"), text(CONNECTED)].concat();
    encode_ping(b"?", &mut bytes);
    let bye = r#"{"type":"system","event":"disconnected","message":"bye\n"}"#;
    bytes.extend(text(bye));
    let shown = "{}\n\\u{1b}[2J\nconnected, connection c\ndisconnected: bye\\n\n";
    check(bytes.clone(), shown, &format!("{ended}: bye\\n"));
    encode_close(CloseCode::GOING_AWAY, "later", &mut bytes);
    check(
        bytes,
        shown,
        "the server closed the connection with code 1001: bye\\n",
    );
    let mut masked = Vec::new();
    encode_masked(Opcode::Text, b"hi", [1; 4], &mut masked);
    check(
        masked,
        "",
        "broke the WebSocket protocol: a frame from a server must not be masked",
    );
    let huge = [0x82, 127, 0, 0, 0, 0, 1, 0, 0, 1].to_vec();
    check(
        huge,
        "",
        "broke the WebSocket protocol: the message is larger than 16777216 bytes",
    );
}

/// The messages that a client takes at most from [`chatting`] before it is gone; if it waited for
/// the server to close there would be some 600.
const FEW: usize = 100;

#[test]
fn the_timeout_covers_connecting_and_closing() {
    // It takes connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let finished = client(
        &listener.local_addr().unwrap().to_string(),
        &["--timeout", "1"],
    );
    assert_eq!(
        (finished.code, finished.stderr.as_str()),
        (1, "not connected within 1 s\n")
    );
    let finished = client(&chatting(), &["--watch", "--timeout", "1"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(
        finished.stderr.contains("did not answer the close frame"),
        "{finished:?}"
    );
    assert!(finished.stdout.lines().count() < FEW, "{finished:?}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_is_not_kept_waiting_for_the_server() {
    let url = format!("ws://{}/client/hubs/chat?access_token=secret", chatting());
    let mut client = hubwire(&Workspace::new())
        .args(["client", "--url", &url, "--watch"])
        .start();
    assert_eq!(client.hear(), "connected, connection c");
    assert_eq!(client.hear(), "server: hi");
    client.interrupt();
    let finished = client.wait();
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(
        finished.stderr.contains("did not answer the close frame"),
        "{finished:?}"
    );
    assert!(finished.stdout.lines().count() < FEW, "{finished:?}");
}

#[test]
fn what_is_printed_as_json_does_nothing_to_a_terminal() {
    let odd = "{\t\"type\":\r\n\"odd\u{9b}2J\u{2028}\u{202e}\u{200f}\u{7f}\"}";
    let finished = client_of(text(odd), &["--watch", "--json"]);
    let expect = r#"{ "type":  "odd\u009b2J\u2028\u202e\u200f\u007f"}"#;
    assert_eq!(finished.stdout, format!("{expect}\n"));
    let body = "{\"value\":[{\"connectionId\":\"\u{9b}\",\"userId\":\"\u{202e}\"}]}";
    let finished = service(&answering(ok(body)), &["list", "--group", "g", "--json"]);
    assert_eq!(
        finished.success(),
        r#"{"connectionId":"\u009b","userId":"\u202e"}"#
    );
    let token = || answering(ok("{\"token\":\"a\u{9b}\\u001b\\n\"}"));
    let finished = service(&token(), &["token", "--output", "token"]);
    assert_eq!(finished.success(), r"a\u{9b}\u{1b}\n");
    let json = service(&token(), &["token", "--output", "json"]).success();
    assert!(json.contains(r#""token":"a\u009b\u001b\n""#), "{json}");
}

#[test]
fn a_request_has_its_time() {
    // It takes connections and says nothing, or not enough.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let slow = serving(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
        stream.write_all(head).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        true
    });
    for address in [silent, slow] {
        let finished = service(&address, &["list", "--group", "g", "--timeout", "1"]);
        assert_eq!(finished.code, 1, "{finished:?}");
        assert_eq!(
            finished.stderr,
            format!("{address}: no answer within 1 s\n")
        );
    }
}

/// Runs a command about the hub `chat` of a server at `address`.
fn service(address: &str, line: &[&str]) -> Finished {
    let string = format!("Endpoint=http://{address};AccessKey=k;");
    hubwire(&Workspace::new())
        .args([&["service"], line, &["--hub", "chat"]].concat())
        .env("HUBWIRE_CONNECTION_STRING", &string)
        .finish()
}

fn list(address: &str) -> Finished {
    service(address, &["list", "--group", "g"])
}

fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[test]
fn answers_that_make_no_sense_end_the_command() {
    let check = |answer: Vec<u8>, expect: &str| {
        let finished = list(&answering(answer));
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.stderr.contains(expect), "{expect}: {finished:?}");
    };
    check(ok("[]"), "the answer is no list of connections");
    check(
        ok(r#"{"value":[],"nextLink":"nowhere"}"#),
        "unusable nextLink",
    );
    check(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec(),
        "the answer is larger than 16777216 bytes",
    );
    check(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec(),
        "end of file",
    );
    check(
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\
          WWW-Authenticate: Bearer error=\"invalid_token\"\r\n\r\n"
            .to_vec(),
        "401 Unauthorized: Bearer error=\"invalid_token\"",
    );
}

#[test]
fn pages_are_asked_for_where_the_first_one_was() {
    let page = |id: &str, link: &str| {
        ok(&format!(
            r#"{{"value":[{{"connectionId":"{id}","userId":null}}],"nextLink":"{link}"}}"#
        ))
    };
    let address = serving(move |head, stream| {
        let answer = match head.split(' ').nth(1) {
            Some("/api/next?page=2") => page("b", ""),
            _ => page("a", "https://elsewhere.invalid/api/next?page=2"),
        };
        stream.write_all(&answer).unwrap();
        false
    });
    assert_eq!(list(&address).success(), "a\t\nb\t");
    let address = answering(page("a", "http://h/api/next"));
    let finished = list(&address);
    assert_eq!(
        (finished.code, finished.stdout.as_str()),
        (1, "a\t\na\t\n"),
        "{finished:?}"
    );
    assert!(
        finished.stderr.contains("the same nextLink again"),
        "{finished:?}"
    );
}
