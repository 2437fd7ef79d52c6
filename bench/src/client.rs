//! One client of the server: WebSocket, subprotocol `json.webpubsub.azure.v1`.
//!
//! A state machine over [`Socket`]: dial, upgrade, `connected`, `joinGroup` if it is to be a
//! member, then count deliveries (protocol notes: client protocol, json).

use std::borrow::Cow;
use std::io;

use hubwire_proto::ws::Opcode;
use hubwire_proto::ws::client::{ServerFrame, read_frame};
use serde::Deserialize;

use crate::failure::{Cause, Stage};
use crate::frames::{self, MAX_PAYLOAD};
use crate::http;
use crate::ledger::Ledger;
use crate::publication::Publication;
use crate::socket::Socket;
use crate::stamp::Stamp;

pub(crate) const SUBPROTOCOL: &str = "json.webpubsub.azure.v1";
/// The key of every handshake and its answer: the pair that RFC 6455 §1.3 shows.
pub(crate) const HANDSHAKE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const HANDSHAKE_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// How much of an unexpected message an error shows.
const SHOWN_MESSAGE: usize = 300;

/// What a client is for, decided before it dials.
#[derive(Debug)]
pub(crate) struct ClientPlan {
    /// The whole upgrade request, token included.
    pub(crate) upgrade: Vec<u8>,
    /// The group to join, if any.
    pub(crate) joins: Option<String>,
    /// What it publishes, if anything.
    pub(crate) publishes: Option<Publication>,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) stage: Stage,
    index: usize,
    plan: ClientPlan,
    dialed: u64,
    /// The time in the last delivery's stamp.
    last: u64,
    /// The stamp of a fragmented message whose end is still to come.
    fragmented: Option<Stamp>,
}

/// Any message of the server that is no delivery.
#[derive(Debug, Deserialize)]
struct Notice<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    event: Cow<'a, str>,
    #[serde(default)]
    success: bool,
    #[serde(borrow)]
    error: Option<NoticeError<'a>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct NoticeError<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

impl Client {
    /// A client whose socket has just begun to connect.
    pub(crate) fn new(index: usize, socket: Socket, plan: ClientPlan, now: u64) -> Self {
        Self {
            socket,
            stage: Stage::Dialing,
            index,
            plan,
            dialed: now,
            last: 0,
            fragmented: None,
        }
    }

    /// Appends one publish to what is to be sent, stamped with `time`.
    #[inline]
    pub(crate) fn publish(&mut self, time: u64) {
        if let Some(publication) = &mut self.plan.publishes {
            publication.append(time, self.socket.outgoing());
        }
    }

    /// Sends a WebSocket ping.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        frames::write(Opcode::Ping, b"", self.socket.outgoing());
        self.socket.flush()
    }

    /// The socket can take bytes, or its connect has ended.
    pub(crate) fn on_writable(&mut self) -> Result<(), Cause> {
        if self.stage == Stage::Dialing {
            if !self.socket.connected()? {
                return Ok(());
            }
            let request = std::mem::take(&mut self.plan.upgrade);
            self.socket.outgoing().extend_from_slice(&request);
            self.stage = Stage::Upgrading;
        }
        Ok(self.socket.flush()?)
    }

    /// The socket has bytes, or its end (`read_closed`).
    pub(crate) fn on_readable(
        &mut self,
        read_closed: bool,
        scratch: &mut Vec<u8>,
        ledger: &mut Ledger,
    ) -> Result<(), Cause> {
        if self.stage == Stage::Dialing {
            return Ok(());
        }
        while let Some(arrival) = self.socket.read(scratch)? {
            if arrival.fresh == 0 {
                return Err(Cause::Ended);
            }
            ledger.now = ledger.clock.now();
            ledger.counters.bytes += arrival.fresh as u64;
            let before = ledger.counters.deliveries;
            let bytes = &scratch[..arrival.available];
            let used = self.consume(bytes, ledger)?;
            self.socket.keep(&bytes[used..]);
            let brought = ledger.counters.deliveries - before;
            if brought > 0 {
                ledger.counters.reads += 1;
                if let Some(receivers) = &mut ledger.receivers {
                    receivers.push((self.index, brought));
                }
            }
            if !self.socket.outgoing().is_empty() {
                self.socket.flush()?;
            }
            // Edge-triggered: a read that did not fill its room has emptied the socket, and what
            // comes later is a new edge. Not so on Windows, where only `WouldBlock` re-arms.
            if cfg!(unix) && !arrival.more && !read_closed {
                break;
            }
        }
        Ok(())
    }

    /// Works on what has arrived; returns how many bytes are done with.
    fn consume(&mut self, bytes: &[u8], ledger: &mut Ledger) -> Result<usize, Cause> {
        let mut used = 0;
        if self.stage == Stage::Upgrading {
            let Some(head) = http::read(bytes)? else {
                return Ok(0);
            };
            if head.status != 101 {
                return Err(head.refusal(&bytes[head.size..]));
            }
            if head.accept != Some(HANDSHAKE_ACCEPT) {
                return Err(Cause::Accept);
            }
            if head.subprotocol != Some(SUBPROTOCOL) {
                return Err(Cause::Subprotocol(SUBPROTOCOL));
            }
            used = head.size;
            self.stage = Stage::Greeting;
        }
        while let Some(frame) = read_frame(&bytes[used..], MAX_PAYLOAD)? {
            used += frame.size;
            self.on_frame(frame, ledger)?;
        }
        Ok(used)
    }

    #[inline]
    fn on_frame(&mut self, frame: ServerFrame<'_>, ledger: &mut Ledger) -> Result<(), Cause> {
        match frame.opcode {
            Opcode::Text | Opcode::Binary => match ledger.finder.find(frame.payload) {
                Some(stamp) if frame.fin => self.on_delivery(stamp, ledger),
                stamp @ Some(_) => self.fragmented = stamp,
                None => self.on_notice(frame.payload, ledger)?,
            },
            Opcode::Continuation if frame.fin => {
                if let Some(stamp) = self.fragmented.take() {
                    self.on_delivery(stamp, ledger);
                }
            }
            Opcode::Continuation => {}
            Opcode::Ping => frames::write(Opcode::Pong, frame.payload, self.socket.outgoing()),
            Opcode::Pong => ledger.counters.pongs += 1,
            Opcode::Close => return Err(close_cause(frame.payload)),
        }
        Ok(())
    }

    #[inline]
    fn on_delivery(&mut self, stamp: Stamp, ledger: &mut Ledger) {
        if u64::from(stamp.sender) == self.index as u64 {
            ledger.counters.echoes += 1;
            return;
        }
        if stamp.time < self.last {
            ledger.counters.out_of_order += 1;
        }
        self.last = stamp.time;
        ledger.delivery(stamp);
    }

    fn on_notice(&mut self, message: &[u8], ledger: &mut Ledger) -> Result<(), Cause> {
        let unexpected = || {
            let shown = &message[..message.len().min(SHOWN_MESSAGE)];
            Cause::Unexpected(String::from_utf8_lossy(shown).into_owned())
        };
        let notice: Notice<'_> = serde_json::from_slice(message).map_err(|_| unexpected())?;
        match (&*notice.kind, &*notice.event, self.stage) {
            ("ack", _, Stage::Ready) if notice.success => ledger.counters.acks += 1,
            ("ack", _, Stage::Joining) if notice.success => self.ready(ledger),
            ("ack", ..) => {
                return Err(Cause::Refused(match notice.error {
                    Some(error) => format!("{}: {}", error.name, error.message),
                    None => "no reason given".to_owned(),
                }));
            }
            ("system", "connected", Stage::Greeting) => match &self.plan.joins {
                Some(group) => {
                    let group = serde_json::Value::from(group.as_str());
                    let join = format!(r#"{{"type":"joinGroup","group":{group},"ackId":1}}"#);
                    frames::write(Opcode::Text, join.as_bytes(), self.socket.outgoing());
                    self.stage = Stage::Joining;
                }
                None => self.ready(ledger),
            },
            ("system", "disconnected", _) => {
                let reason = notice.message.unwrap_or_default().into_owned();
                return Err(Cause::Disconnected(reason));
            }
            _ => return Err(unexpected()),
        }
        Ok(())
    }

    fn ready(&mut self, ledger: &mut Ledger) {
        self.stage = Stage::Ready;
        ledger.setup.record(ledger.now.saturating_sub(self.dialed));
    }
}

/// A close frame as a cause (RFC 6455 §5.5.1); without a body it stands for 1005 (§7.4.1).
fn close_cause(payload: &[u8]) -> Cause {
    let (code, reason) = match payload.split_first_chunk::<2>() {
        Some((code, reason)) => (u16::from_be_bytes(*code), reason),
        None => (1005, &[][..]),
    };
    Cause::CloseFrame {
        code,
        reason: String::from_utf8_lossy(reason).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::ledger::Counters;
    use crate::stamp;

    const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Protocol: json.webpubsub.azure.v1\r\n\r\n";
    const CONNECTED: &str = r#"{"type":"system","event":"connected","connectionId":"c"}"#;
    const JOINED: &str = r#"{"type":"ack","ackId":1,"success":true}"#;

    /// A client that has sent its upgrade request. Its socket is real but stays silent.
    fn upgrading_client() -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let socket = Socket::connect(address, None).expect("loopback connects");
        let plan = ClientPlan {
            upgrade: Vec::new(),
            joins: Some("g\"0".to_owned()),
            publishes: None,
        };
        let mut client = Client::new(7, socket, plan, 0);
        client.stage = Stage::Upgrading;
        client
    }

    fn frame(first: u8, payload: &str) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        match length {
            0..=125 => [&[first, length], payload.as_bytes()].concat(),
            _ => [&[first, 126, 0, length], payload.as_bytes()].concat(),
        }
    }

    fn message(time: u64, sender: u32) -> String {
        let data = stamp::text(40, Stamp { time, sender });
        format!(
            r#"{{"type":"message","from":"group","group":"g","dataType":"text","data":"{data}"}}"#
        )
    }

    /// Feeds bytes in pieces of `sizes` (again and again), as reads would bring them.
    fn feed(client: &mut Client, bytes: &[u8], sizes: &[usize]) -> Result<Ledger, Cause> {
        let mut ledger = Ledger::new();
        let mut held = Vec::new();
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            let (piece, later) = rest.split_at((*size).min(rest.len()));
            held.extend_from_slice(piece);
            let used = client.consume(&held, &mut ledger)?;
            held.drain(..used);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        assert!(held.is_empty(), "{} bytes are left over", held.len());
        Ok(ledger)
    }

    #[test]
    fn deliveries_are_counted_however_the_bytes_are_split() {
        let stream: Vec<u8> = [
            SWITCHED.as_bytes().to_vec(),
            frame(0x81, CONNECTED),
            frame(0x81, JOINED),
            frame(0x81, &message(10, 1)),
            frame(0x82, &message(20, 1)),
            frame(0x89, "are you there"),
            frame(0x81, &message(15, 1)),
            frame(0x81, &message(16, 7)),
            frame(0x01, &message(30, 1)),
            frame(0x8A, ""),
            frame(0x80, "the rest of a fragmented message"),
            frame(0x81, r#"{"type":"ack","ackId":1000000000,"success":true}"#),
        ]
        .concat();
        let expect = Counters {
            deliveries: 4,
            echoes: 1,
            out_of_order: 1,
            acks: 1,
            pongs: 1,
            ..Counters::default()
        };
        let splits = (1..stream.len()).map(|size| vec![size]);
        for sizes in splits.chain([vec![1, 7, 3, 200, 2], vec![stream.len()]]) {
            let mut client = upgrading_client();
            let ledger = feed(&mut client, &stream, &sizes).expect("a valid stream");
            assert_eq!(ledger.counters, expect, "{sizes:?}");
            assert_eq!(client.stage, Stage::Ready);
            let mut sent = Vec::new();
            let join = r#"{"type":"joinGroup","group":"g\"0","ackId":1}"#;
            frames::write(Opcode::Text, join.as_bytes(), &mut sent);
            frames::write(Opcode::Pong, b"are you there", &mut sent);
            assert_eq!(*client.socket.outgoing(), sent, "{sizes:?}");
        }
    }

    #[test]
    fn what_ends_a_connection_is_said() {
        fn check(after_upgrade: &[Vec<u8>], expect: &str) {
            let mut client = upgrading_client();
            let stream = [SWITCHED.as_bytes().to_vec(), after_upgrade.concat()].concat();
            let cause = feed(&mut client, &stream, &[stream.len()]).expect_err("it ends");
            assert!(cause.to_string().contains(expect), "{cause}");
        }
        let ack = r#"{"type":"ack","ackId":1,"success":false,"error":{"name":"Forbidden","message":"no right"}}"#;
        check(
            &[frame(0x81, CONNECTED), frame(0x81, ack)],
            "Forbidden: no right",
        );
        check(&[frame(0x88, "\x03\u{8}no")], "code 776 \"no\"");
        check(&[frame(0x88, "")], "code 1005");
        let bye = r#"{"type":"system","event":"disconnected","message":"bye"}"#;
        check(&[frame(0x81, bye)], "disconnected the client: bye");
        check(&[frame(0x81, "hello")], "unexpected message: hello");
        check(&[frame(0x83, "")], "opcode 0x3");
        check(&[frame(0xC1, "")], "reserved bit");
    }

    #[test]
    fn a_refused_upgrade_is_said() {
        fn check(answer: &str, expect: &str) {
            let mut client = upgrading_client();
            let answer = answer.as_bytes();
            let cause = feed(&mut client, answer, &[answer.len()]).expect_err("refused");
            assert!(cause.to_string().contains(expect), "{cause}");
        }
        check(
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nbad token",
            "401 Unauthorized: bad token",
        );
        check(&SWITCHED.replace("s3pP", "t3pP"), "Sec-WebSocket-Accept");
        check(&SWITCHED.replace("azure.v1", "azure.v2"), "subprotocol");
    }
}
