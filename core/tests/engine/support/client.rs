//! A client that writes frames into a [`Pipe`] and reads what comes back.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use hubwire_core::id::ConnectionId;
use hubwire_proto::ws::Opcode;
use hubwire_proto::ws::client::{encode_masked, parse_server_frame_header};

use super::pipe::Pipe;

const MASK: [u8; 4] = [0x17, 0xa5, 0x3c, 0xe9];

/// A whole message or control frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl Seen {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The client's end of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ConnectionId,
    pub(crate) pipe: Rc<RefCell<Pipe>>,
    unparsed: Vec<u8>,
    message: Option<(Opcode, Vec<u8>)>,
    closed: bool,
}

impl Client {
    pub(crate) fn new(id: ConnectionId, pipe: Rc<RefCell<Pipe>>) -> Self {
        Self {
            id,
            pipe,
            unparsed: Vec::new(),
            message: None,
            closed: false,
        }
    }

    pub(crate) fn pipe(&self) -> RefMut<'_, Pipe> {
        self.pipe.borrow_mut()
    }

    /// Sends a text message; it arrives when the network moves.
    pub(crate) fn text(&self, text: &str) {
        self.frame(Opcode::Text, text.as_bytes());
    }

    /// Sends one final frame.
    pub(crate) fn frame(&self, opcode: Opcode, payload: &[u8]) {
        let mut bytes = Vec::new();
        encode_masked(opcode, payload, MASK, &mut bytes);
        self.raw(&bytes);
    }

    /// Sends a message in two fragments with a ping in between.
    pub(crate) fn fragments(&self, opcode: Opcode, payload: &[u8]) {
        let (first, second) = payload.split_at(payload.len() / 2);
        let mut bytes = Vec::new();
        encode_masked(opcode, first, MASK, &mut bytes);
        bytes[0] &= 0x7f;
        encode_masked(Opcode::Ping, b"", MASK, &mut bytes);
        encode_masked(Opcode::Continuation, second, MASK, &mut bytes);
        self.raw(&bytes);
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        self.pipe().in_flight.extend(bytes);
    }

    pub(crate) fn close(&self, code: u16) {
        self.frame(Opcode::Close, &code.to_be_bytes());
    }

    /// Takes up to `most` bytes from the wire and returns what they complete.
    pub(crate) fn receive(&mut self, most: usize) -> Vec<Seen> {
        let bytes = self.pipe().take(most);
        self.unparsed.extend(bytes);
        let mut seen = Vec::new();
        let mut at = 0;
        while let Some(header) = parse_server_frame_header(&self.unparsed[at..]) {
            let end = at + header.header_len + usize::try_from(header.payload_len).unwrap();
            if end > self.unparsed.len() {
                break;
            }
            assert!(!self.closed, "{}: bytes behind the close frame", self.id);
            let payload = self.unparsed[at + header.header_len..end].to_vec();
            at = end;
            let opcode = Opcode::from_bits(header.opcode).unwrap();
            seen.extend(self.frame_received(opcode, header.fin, payload));
        }
        self.unparsed.drain(..at);
        seen
    }

    /// Whether nothing of a further message has come.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.unparsed.is_empty() && self.message.is_none()
    }

    /// Everything that is on the wire.
    pub(crate) fn receive_all(&mut self) -> Vec<Seen> {
        self.receive(usize::MAX)
    }

    fn frame_received(&mut self, opcode: Opcode, fin: bool, payload: Vec<u8>) -> Option<Seen> {
        match opcode {
            Opcode::Text | Opcode::Binary => {
                assert!(self.message.is_none(), "a message inside another");
                self.message = Some((opcode, payload));
            }
            Opcode::Continuation => self.message.as_mut().unwrap().1.extend(payload),
            Opcode::Ping => return Some(Seen::Ping),
            Opcode::Pong => return Some(Seen::Pong(payload)),
            Opcode::Close => {
                self.closed = true;
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let reason =
                    String::from_utf8(payload.get(2..).unwrap_or_default().to_vec()).unwrap();
                return Some(Seen::Close(code, reason));
            }
        }
        if !fin {
            return None;
        }
        let (opcode, bytes) = self.message.take()?;
        Some(match opcode {
            Opcode::Text => Seen::Text(String::from_utf8(bytes).unwrap()),
            _ => Seen::Binary(bytes),
        })
    }
}

/// Requests of `json.webpubsub.azure.v1`, as clients spell them.
pub(crate) mod json {
    fn ack(ack_id: Option<u64>) -> String {
        ack_id
            .map(|id| format!(r#","ackId":{id}"#))
            .unwrap_or_default()
    }

    pub(crate) fn join(group: &str, ack_id: Option<u64>) -> String {
        format!(r#"{{"type":"joinGroup","group":"{group}"{}}}"#, ack(ack_id))
    }

    pub(crate) fn leave(group: &str, ack_id: Option<u64>) -> String {
        format!(
            r#"{{"type":"leaveGroup","group":"{group}"{}}}"#,
            ack(ack_id)
        )
    }

    pub(crate) fn publish(group: &str, text: &str, no_echo: bool, ack_id: Option<u64>) -> String {
        let ack = ack(ack_id);
        format!(
            r#"{{"type":"sendToGroup","group":"{group}","noEcho":{no_echo},"dataType":"text","data":"{text}"{ack}}}"#
        )
    }

    pub(crate) fn event(text: &str, ack_id: Option<u64>) -> String {
        format!(
            r#"{{"type":"event","event":"e","dataType":"text","data":"{text}"{}}}"#,
            ack(ack_id)
        )
    }

    pub(crate) const PING: &str = r#"{"type":"ping"}"#;
    pub(crate) const PONG: &str = r#"{"type":"pong"}"#;

    pub(crate) fn acked(ack_id: u64) -> String {
        format!(r#"{{"type":"ack","ackId":{ack_id},"success":true}}"#)
    }

    pub(crate) fn from_group(group: &str, text: &str) -> String {
        format!(
            r#"{{"type":"message","from":"group","group":"{group}","dataType":"text","data":"{text}"}}"#
        )
    }

    pub(crate) fn from_server(text: &str) -> String {
        format!(r#"{{"type":"message","from":"server","dataType":"text","data":"{text}"}}"#)
    }

    pub(crate) fn disconnected(message: &str) -> String {
        format!(r#"{{"type":"system","event":"disconnected","message":"{message}"}}"#)
    }

    /// The text behind `"key":"`, up to the next quotation mark.
    pub(crate) fn string<'a>(message: &'a str, key: &str) -> Option<&'a str> {
        let start = message.find(&format!(r#""{key}":""#))? + key.len() + 4;
        message[start..].split('"').next()
    }

    /// The number behind `"key":`.
    pub(crate) fn number(message: &str, key: &str) -> Option<u64> {
        let start = message.find(&format!(r#""{key}":"#))? + key.len() + 3;
        let digits = message[start..]
            .split(|c: char| !c.is_ascii_digit())
            .next()?;
        digits.parse().ok()
    }
}
