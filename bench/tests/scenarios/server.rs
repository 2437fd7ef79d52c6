//! A small Web PubSub server to run the generator against: groups, acknowledgements, recovery and
//! the one REST operation that it uses. A thread per connection; correct, and slow.

use std::collections::{HashMap, VecDeque};
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire_proto::token::{AccessKey, DEFAULT_SKEW, UnixSeconds, verify};
use serde_json::{Value, json};
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::StatusCode;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role};
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
    /// Leaves out a number before the publish with this number, counted from 1.
    SkipNumber(u64),
    /// Sends the publish with this number twice, counted from 1.
    Repeat(u64),
    /// Cuts off a reliable client with more unacknowledged messages than this.
    Bound(usize),
    /// Does not recover the connection with this number, counted from 0.
    Forget(u64),
    /// Answers each REST request with `Connection: close`, and closes.
    NoKeepAlive,
}

/// A client's session; of a reliable one it outlives the socket.
struct Member {
    id: u64,
    reliable: bool,
    link: Mutex<Link>,
}

#[derive(Default)]
struct Link {
    socket: Option<WebSocket<TcpStream>>,
    /// The number of the last message.
    numbered: u64,
    unacknowledged: VecDeque<(u64, String)>,
}

pub(crate) struct State {
    fault: Fault,
    publishes: AtomicU64,
    groups: Mutex<HashMap<String, Vec<Arc<Member>>>>,
    sessions: Mutex<HashMap<u64, Arc<Member>>>,
}

impl State {
    /// Sessions of reliable clients, connected or not.
    pub(crate) fn sessions(&self) -> usize {
        lock(&self.sessions).len()
    }
}

/// Listens until the test process ends; returns its connection string.
pub(crate) fn start(fault: Fault) -> String {
    start_watched(fault).0
}

/// As [`start`], with what the server knows.
pub(crate) fn start_watched(fault: Fault) -> (String, Arc<State>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let state = Arc::new(State {
        fault,
        publishes: AtomicU64::new(0),
        groups: Mutex::default(),
        sessions: Mutex::default(),
    });
    let watched = Arc::clone(&state);
    thread::spawn(move || {
        for (stream, id) in listener.incoming().flatten().zip(0..) {
            let state = Arc::clone(&state);
            thread::spawn(move || serve(&state, stream, id));
        }
    });
    (connection_string(address), watched)
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
    let mut query = String::new();
    let mut reliable = false;
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let check = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        query = request.uri().query().unwrap_or_default().to_owned();
        let recovers = parameter(&query, "awps_connection_id").is_some();
        let is_allowed = recovers || parameter(&query, "access_token").is_some_and(is_valid);
        if !is_allowed || request.uri().path() != "/client/hubs/bench" {
            let mut refusal = ErrorResponse::new(Some("The token is invalid.".to_owned()));
            *refusal.status_mut() = StatusCode::UNAUTHORIZED;
            return Err(refusal);
        }
        let offered = request
            .headers()
            .get("sec-websocket-protocol")
            .expect("one is offered");
        reliable = offered == "json.reliable.webpubsub.azure.v1";
        response
            .headers_mut()
            .insert("sec-websocket-protocol", offered.clone());
        Ok(response)
    };
    let Ok(mut reader) = tungstenite::accept_hdr(stream, check) else {
        return;
    };
    let socket = WebSocket::from_raw_socket(copy, Role::Server, None);
    let Some(member) = attach(state, &query, reliable, id, socket) else {
        return;
    };
    let closed = serve_requests(state, &member, &mut reader);
    let mut link = lock(&member.link);
    if member.reliable && !closed {
        link.socket = None;
        return;
    }
    drop(link);
    lock(&state.sessions).remove(&member.id);
    for members in lock(&state.groups).values_mut() {
        members.retain(|other| other.id != member.id);
    }
}

/// Says `connected`, on a new session or on the one that is recovered; what was not acknowledged
/// follows. `None` if the recovery is refused.
fn attach(
    state: &State,
    query: &str,
    reliable: bool,
    id: u64,
    mut socket: WebSocket<TcpStream>,
) -> Option<Arc<Member>> {
    let member = match parameter(query, "awps_connection_id") {
        Some(wanted) => {
            let member = wanted.parse().ok();
            let member = member.and_then(|id: u64| lock(&state.sessions).get(&id).cloned());
            let token = parameter(query, "awps_reconnection_token");
            let forgotten = matches!(state.fault, Fault::Forget(id) if id.to_string() == wanted);
            let right = token == Some(&format!("token-{wanted}")) && !forgotten;
            let Some(member) = member.filter(|_| right) else {
                refuse(&mut socket, "no such session");
                return None;
            };
            member
        }
        None => Arc::new(Member {
            id,
            reliable,
            link: Mutex::default(),
        }),
    };
    let id = member.id.to_string();
    let mut connected = json!({"type": "system", "event": "connected", "connectionId": id});
    if reliable {
        connected["reconnectionToken"] = json!(format!("token-{id}"));
        lock(&state.sessions).insert(member.id, Arc::clone(&member));
    }
    let mut link = lock(&member.link);
    let texts = link.unacknowledged.iter().map(|(_, text)| text.clone());
    for text in [connected.to_string()].into_iter().chain(texts) {
        let _ = socket.send(Message::text(text));
    }
    link.socket = Some(socket);
    drop(link);
    Some(member)
}

/// Works on requests until the socket ends; whether the client closed it with 1000.
fn serve_requests(state: &State, member: &Arc<Member>, reader: &mut WebSocket<TcpStream>) -> bool {
    while let Ok(message) = reader.read() {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(frame) => {
                // The next read answers it.
                let _ = reader.read();
                return frame.is_some_and(|frame| frame.code == CloseCode::Normal);
            }
            _ => continue,
        };
        let request: Value = serde_json::from_str(&text).expect("clients send json");
        let group = || request["group"].as_str().expect("a group").to_owned();
        match request["type"].as_str() {
            Some("joinGroup") => {
                let mut groups = lock(&state.groups);
                groups.entry(group()).or_default().push(Arc::clone(member));
            }
            Some("sendToGroup") => {
                let without = request["noEcho"].as_bool().unwrap_or(false);
                let data = request["data"].as_str().expect("text");
                if !publish(state, &group(), data, without.then_some(member.id)) {
                    return false;
                }
            }
            Some("sequenceAck") => {
                let until = request["sequenceId"].as_u64().expect("a number");
                let mut link = lock(&member.link);
                link.unacknowledged.retain(|(number, _)| *number > until);
            }
            other => panic!("unknown request {other:?}"),
        }
        if let Some(ack) = request.get("ackId") {
            let ack = json!({"type": "ack", "ackId": ack, "success": true});
            if let Some(socket) = &mut lock(&member.link).socket {
                let _ = socket.send(Message::text(ack.to_string()));
            }
        }
    }
    false
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
    let groups = lock(&state.groups);
    for member in groups.get(group).into_iter().flatten() {
        if Some(member.id) != without {
            deliver(state, member, &message, nth);
        }
    }
    true
}

/// What fails here because a client has gone is no concern of its group.
fn deliver(state: &State, member: &Member, message: &Value, nth: u64) {
    let mut link = lock(&member.link);
    let mut text = message.to_string();
    let mut copies = 1;
    if member.reliable {
        link.numbered += 1;
        match state.fault {
            Fault::SkipNumber(skipped) if skipped == nth => link.numbered += 1,
            Fault::Repeat(repeated) if repeated == nth => copies = 2,
            _ => {}
        }
        text = format!(r#"{{"sequenceId":{},{}"#, link.numbered, &text[1..]);
        let number = link.numbered;
        link.unacknowledged.push_back((number, text.clone()));
        if let Fault::Bound(bound) = state.fault
            && link.unacknowledged.len() > bound
            && let Some(mut socket) = link.socket.take()
        {
            refuse(&mut socket, "too many unacknowledged messages");
            return;
        }
    }
    if let Some(socket) = &mut link.socket {
        for _ in 0..copies {
            let _ = socket.send(Message::text(text.clone()));
        }
    }
}

fn refuse(socket: &mut WebSocket<TcpStream>, reason: &str) {
    let _ = socket.close(Some(CloseFrame {
        code: CloseCode::Policy,
        reason: reason.into(),
    }));
    let _ = socket.flush();
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
