//! A client of the game, and what must hold for everything that it receives.

use std::collections::{BTreeMap, HashMap};

use hubwire_core::session::Protocol;
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::Opcode;

use super::request::{to_json, to_protobuf};
use super::streams::{Published, Views, read_part_text};
use super::told::{self, Part, Told};
use crate::engine::client::{Client, Seen};
use crate::engine::world::{Joining, NEXT_TOKEN, TOKEN};
use crate::protobuf::schema::Request;

/// What every client has sent, by the id of the stream.
pub(super) type Streams = HashMap<String, Published>;

/// The clients of a simple and of the four other protocols.
pub(super) fn protocols() -> [Protocol; 6] {
    let group = "room".into();
    [
        Protocol::PubSub(Subprotocol::Json),
        Protocol::PubSub(Subprotocol::JsonReliable),
        Protocol::PubSub(Subprotocol::Protobuf),
        Protocol::PubSub(Subprotocol::ProtobufReliable),
        Protocol::Simple(SimpleMode::SendEvent),
        Protocol::Simple(SimpleMode::SendToGroup {
            group,
            no_echo: false,
        }),
    ]
}

pub(super) struct Player {
    pub(super) client: Client,
    pub(super) joining: Joining<'static>,
    /// It has been in the room from the start, and takes everything that it is sent.
    pub(super) misses_nothing: bool,
    /// It sent something that is not understood here: anything may be acknowledged.
    pub(super) is_odd: bool,
    /// The highest sequence id that it ever acknowledged.
    pub(super) acknowledged: u64,
    /// The highest sequence id that it has seen.
    pub(super) last_number: u64,
    has_come_back: bool,
    is_greeted: bool,
    /// The last sequence id over this transport.
    number_here: Option<u64>,
    /// What the sequence ids stood for.
    numbered: BTreeMap<u64, Seen>,
    views: Views,
}

impl Player {
    pub(super) fn new(client: Client, joining: Joining<'static>) -> Self {
        Self {
            client,
            misses_nothing: joining.groups.contains(&"room"),
            joining,
            is_odd: false,
            acknowledged: 0,
            last_number: 0,
            has_come_back: false,
            is_greeted: false,
            number_here: None,
            numbered: BTreeMap::new(),
            views: Views::default(),
        }
    }

    pub(super) fn is_reliable(&self) -> bool {
        self.joining.protocol.is_reliable()
    }

    pub(super) fn is_simple(&self) -> bool {
        matches!(self.joining.protocol, Protocol::Simple(_))
    }

    /// Goes on with another transport.
    pub(super) fn come_back(&mut self, client: Client) {
        self.client = client;
        self.has_come_back = true;
        self.is_greeted = false;
        self.number_here = None;
    }

    pub(super) fn send(&self, request: Request) {
        match self.joining.protocol {
            Protocol::PubSub(Subprotocol::Json | Subprotocol::JsonReliable) => {
                self.client.text(&to_json(&request));
            }
            Protocol::PubSub(_) => self.client.frame(Opcode::Binary, &to_protobuf(request)),
            Protocol::Simple(_) => self.client.text("x"),
        }
    }

    /// Takes up to `most` bytes and looks at what they complete.
    pub(super) fn receive(&mut self, most: usize, streams: &mut Streams) {
        for seen in self.client.receive(most) {
            match seen {
                Seen::Text(_) | Seen::Binary(_) => self.message(seen, streams),
                Seen::Close(code, reason) if !self.is_greeted && !self.is_simple() => {
                    assert!(self.has_come_back, "{code:?} {reason} is first");
                    assert_eq!(code, Some(1008), "{reason} is first");
                }
                Seen::Ping | Seen::Pong(_) | Seen::Close(..) => {}
            }
        }
    }

    fn message(&mut self, seen: Seen, streams: &mut Streams) {
        let told = match (&self.joining.protocol, &seen) {
            (Protocol::Simple(_), Seen::Text(text)) => {
                if let Some((stream, start, place)) = read_part_text(text) {
                    self.views.part(stream, start, place, self.misses_nothing);
                }
                return;
            }
            (Protocol::Simple(_), _) => return,
            (Protocol::PubSub(Subprotocol::Json | Subprotocol::JsonReliable), Seen::Text(text)) => {
                told::from_json(text)
            }
            (
                Protocol::PubSub(Subprotocol::Protobuf | Subprotocol::ProtobufReliable),
                Seen::Binary(bytes),
            ) => told::from_protobuf(bytes),
            _ => panic!("{seen:?} to another kind of client"),
        };
        assert_eq!(
            matches!(told, Told::Connected { .. }),
            !self.is_greeted,
            "connected comes first, and once: {told:?}"
        );
        match told {
            Told::Connected { connection, token } => {
                assert_eq!(connection, self.client.id.to_string());
                let expected = match (self.is_reliable(), self.has_come_back) {
                    (false, _) => "",
                    (true, false) => TOKEN,
                    (true, true) => NEXT_TOKEN,
                };
                assert_eq!(token, expected);
                self.is_greeted = true;
            }
            Told::Message { number, text, part } => {
                if self.is_new(number, seen) {
                    self.part(&text, part, streams);
                }
            }
            Told::GroupStates { number } => {
                self.is_new(number, seen);
            }
            Told::StreamAck { stream, expected } | Told::StreamNack { stream, expected } => {
                if let Some(published) = streams.get_mut(&stream) {
                    published.told(expected);
                }
            }
            Told::StreamClosed { stream } => {
                if let Some(published) = streams.get_mut(&stream) {
                    published.may_be_over();
                }
            }
            Told::Disconnected | Told::Pong | Told::Ack => {}
        }
    }

    /// Whether a message with this sequence id is seen for the first time.
    fn is_new(&mut self, number: Option<u64>, seen: Seen) -> bool {
        assert_eq!(number.is_some(), self.is_reliable());
        let Some(number) = number else { return true };
        if let Some(last) = self.number_here {
            assert!(number > last, "{number} comes behind {last}");
        }
        // What was acknowledged unseen is not sent again.
        let skipped = self.acknowledged.max(self.number_here.unwrap_or_default());
        assert!(
            number <= skipped + 1 || self.is_odd,
            "{number} is sent, {} acknowledged, {:?} seen here",
            self.acknowledged,
            self.number_here
        );
        self.number_here = Some(number);
        if let Some(earlier) = self.numbered.get(&number) {
            assert_eq!(*earlier, seen, "what is sent again is what was sent");
            return false;
        }
        let is_new = number > self.last_number;
        self.last_number = self.last_number.max(number);
        self.numbered.insert(number, seen);
        is_new
    }

    fn part(&mut self, text: &str, part: Option<Part>, streams: &Streams) {
        let Some(Part {
            stream,
            place,
            is_end,
        }) = part
        else {
            return;
        };
        let Some(published) = streams.get(&stream) else {
            return;
        };
        let starts = published.starts;
        if is_end {
            assert_eq!(text, "");
            self.views.end(&stream, starts, place, self.misses_nothing);
            return;
        }
        let (of, start, sent_as) = read_part_text(text).expect("parts say what they are");
        assert_eq!((of, sent_as), (&*stream, place));
        self.views.part(of, start, place, self.misses_nothing);
    }
}
