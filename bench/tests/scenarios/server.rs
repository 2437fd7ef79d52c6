//! A small Web PubSub server to run the generator against: groups, acknowledgements and the one
//! REST operation that it uses. A thread per connection; correct, and slow.

use std::collections::HashMap;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire_proto::token::{AccessKey, DEFAULT_SKEW, UnixSeconds, verify};
use serde_json::{Value, json};
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::StatusCode;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

pub(crate) const KEY: &str = "a-key-of-32-bytes-a-key-of-32-by";

/// What the server does wrong, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Forgets the deliveries of the publish with this number, counted from 1.
    Lose(u64),
    /// Hangs up on the sender of the publish with this number, counted from 1.
    HangUp(u64),
    /// Answers each REST request with `Connection: close`, and closes.
    NoKeepAlive,
}

type Writer = Arc<Mutex<WebSocket<TcpStream>>>;

struct State {
    fault: Fault,
    publishes: AtomicU64,
    groups: Mutex<HashMap<String, Vec<(u64, Writer)>>>,
}

/// Listens until the test process ends; returns its connection string.
pub(crate) fn start(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let state = Arc::new(State {
        fault,
        publishes: AtomicU64::new(0),
        groups: Mutex::default(),
    });
    thread::spawn(move || {
        for (stream, id) in listener.incoming().flatten().zip(0..) {
            let state = Arc::clone(&state);
            thread::spawn(move || serve(&state, stream, id));
        }
    });
    connection_string(address)
}

pub(crate) fn connection_string(address: SocketAddr) -> String {
    format!("Endpoint=http://{address};AccessKey={KEY};Version=1.0;")
}

fn serve(state: &State, stream: TcpStream, id: u64) {
    stream.set_nodelay(true).expect("a TCP socket");
    let mut first = [0; 4];
    match stream.peek(&mut first) {
        Ok(4) if &first == b"POST" => rest(state, stream),
        Ok(_) => client(state, stream, id),
        Err(_) => {}
    }
}

fn client(state: &State, stream: TcpStream, id: u64) {
    let copy = stream.try_clone().expect("descriptors");
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let check = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let query = request.uri().query().unwrap_or_default();
        let token = query.strip_prefix("access_token=").unwrap_or_default();
        if !is_valid(token) || request.uri().path() != "/client/hubs/bench" {
            let mut refusal = ErrorResponse::new(Some("The token is invalid.".to_owned()));
            *refusal.status_mut() = StatusCode::UNAUTHORIZED;
            return Err(refusal);
        }
        let offered = request
            .headers()
            .get("sec-websocket-protocol")
            .expect("one is offered");
        response
            .headers_mut()
            .insert("sec-websocket-protocol", offered.clone());
        Ok(response)
    };
    let Ok(mut reader) = tungstenite::accept_hdr(stream, check) else {
        return;
    };
    let writer = Arc::new(Mutex::new(WebSocket::from_raw_socket(
        copy,
        Role::Server,
        None,
    )));
    send(
        &writer,
        &json!({"type": "system", "event": "connected", "connectionId": id.to_string()}),
    );
    while let Ok(message) = reader.read() {
        let Message::Text(text) = message else {
            continue;
        };
        let request: Value = serde_json::from_str(&text).expect("clients send json");
        let group = request["group"].as_str().expect("a group").to_owned();
        match request["type"].as_str() {
            Some("joinGroup") => {
                let mut groups = state.groups.lock().unwrap_or_else(PoisonError::into_inner);
                groups
                    .entry(group)
                    .or_default()
                    .push((id, Arc::clone(&writer)));
            }
            Some("sendToGroup") => {
                let without = request["noEcho"].as_bool().unwrap_or(false).then_some(id);
                let data = request["data"].as_str().expect("text");
                if !publish(state, &group, data, without) {
                    return;
                }
            }
            other => panic!("unknown request {other:?}"),
        }
        if let Some(ack) = request.get("ackId") {
            send(
                &writer,
                &json!({"type": "ack", "ackId": ack, "success": true}),
            );
        }
    }
}

/// Returns false if the sender is to be hung up on.
fn publish(state: &State, group: &str, data: &str, without: Option<u64>) -> bool {
    let nth = state.publishes.fetch_add(1, Ordering::Relaxed) + 1;
    match state.fault {
        Fault::Lose(lost) if lost == nth => return true,
        Fault::HangUp(last) if last == nth => return false,
        _ => {}
    }
    let message = json!({"type": "message", "from": "group", "group": group, "dataType": "text",
        "data": data});
    let groups = state.groups.lock().unwrap_or_else(PoisonError::into_inner);
    for (id, member) in groups.get(group).into_iter().flatten() {
        if Some(*id) != without {
            send(member, &message);
        }
    }
    true
}

fn send(writer: &Writer, message: &Value) {
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    // A client that has gone is no concern of its group.
    let _ = writer.send(Message::text(message.to_string()));
}

fn rest(state: &State, mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("descriptors"));
    while let Some((head, body)) = request(&mut reader) {
        let token = head
            .lines()
            .find_map(|line| line.strip_prefix("Authorization: Bearer "))
            .expect("a token");
        let answer = if !is_valid(token) {
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
        } else if state.fault == Fault::NoKeepAlive {
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        } else {
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
        };
        assert!(
            head.starts_with("POST /api/hubs/bench/groups/g0/:send?api-version="),
            "{head}"
        );
        publish(state, "g0", &body, None);
        if stream.write_all(answer.as_bytes()).is_err() || state.fault == Fault::NoKeepAlive {
            return;
        }
    }
}

fn request(reader: &mut impl std::io::BufRead) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .and_then(|length| length.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

fn is_valid(token: &str) -> bool {
    let key = AccessKey::new(KEY).expect("a key");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    verify(token, &[&key], UnixSeconds(0).plus(now), DEFAULT_SKEW).is_ok()
}
