//! One client of the game: what it asked for, what it has to see, and whether it sees it.

mod acks;
mod told;

use hubwire_core::Millis;
use hubwire_proto::ws::Opcode;

use super::model::{ActorIndex, Change, GroupIndex, Model, Stamp, Whereabouts};
use super::numbers::News;
use super::reliable::{NOT_RECOVERED, Reliable};
use super::requests::{Asked, Requests};
use super::rights::Right;
use crate::support::client::{Client, Seen, json};
use crate::support::protobuf;

/// How a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// The words of the json subprotocol, in the bytes of the actor's own.
    Json,
    /// Its messages are events.
    SimpleEvents,
    /// Its messages are publications to a group.
    SimpleGroup { group: GroupIndex, no_echo: bool },
}

/// What an event handler decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Reply,
    NoReply,
    Fail,
}

/// An event that a client sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) actor: ActorIndex,
    pub(crate) ack_id: Option<u64>,
    pub(crate) decision: Option<Decision>,
    pub(crate) replied: bool,
    /// The hubs have no handler.
    pub(crate) never: bool,
}

/// What else a client has to reckon with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    pub(crate) now: Millis,
    /// Joins may be refused.
    pub(crate) few_groups: bool,
    /// The hubs may have no event handler.
    pub(crate) no_handler: bool,
    /// Reliable clients may be closed because too much is not acknowledged.
    pub(crate) small_replay: bool,
    /// The node ends; reliable sessions go on in the next one.
    pub(crate) node_stops: bool,
}

#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) index: ActorIndex,
    pub(crate) client: Client,
    pub(crate) hub: usize,
    pub(crate) user: Option<usize>,
    pub(crate) speech: Speech,
    /// It speaks protobuf, not JSON; what it says and hears is translated.
    pub(crate) in_protobuf: bool,
    /// What it has besides if its protocol is a reliable one.
    pub(crate) reliable: Option<Reliable>,
    /// The only group that it may use, if not all.
    pub(crate) only: Option<GroupIndex>,
    pub(crate) initial: Vec<(GroupIndex, Change)>,
    pub(crate) connected: Option<Stamp>,
    pub(crate) reading: bool,
    /// It does not send any more: it closed, vanished, or misbehaved.
    pub(crate) silent: bool,
    /// It is gone without a word: it takes nothing more.
    pub(crate) vanished: bool,
    /// Something happened after which the server may close it.
    pub(crate) may_end: bool,
    pub(crate) ended: bool,
    /// It missed something, which only an end excuses.
    pub(crate) must_end: bool,
    pub(crate) requests: Requests,
    pub(crate) pings: usize,
    pub(crate) frame_pings: usize,
    pub(crate) last_call: Option<usize>,
    /// When it last had everything that the server had sent.
    pub(crate) drained_at: Millis,
    pub(crate) greeted: bool,
    pub(crate) goodbye: Option<String>,
}

impl Actor {
    pub(crate) fn new(
        index: ActorIndex,
        client: Client,
        hub: usize,
        user: Option<usize>,
        speech: Speech,
    ) -> Self {
        Self {
            index,
            client,
            hub,
            user,
            speech,
            in_protobuf: false,
            reliable: None,
            only: None,
            initial: Vec::new(),
            connected: None,
            reading: true,
            silent: false,
            vanished: false,
            may_end: false,
            ended: false,
            must_end: false,
            requests: Requests::default(),
            pings: 0,
            frame_pings: 0,
            last_call: None,
            drained_at: Millis(0),
            greeted: speech != Speech::Json,
            goodbye: None,
        }
    }

    pub(crate) fn whereabouts(&self) -> Whereabouts {
        Whereabouts {
            hub: self.hub,
            user: self.user,
            has_subprotocol: self.speech == Speech::Json,
            connected: self.connected,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        !self.ended && !self.silent && !self.vanished
    }

    /// Whether it is told which stream a message is a part of, and of ends.
    pub(crate) fn is_told_of_streams(&self) -> bool {
        self.speech == Speech::Json
    }

    /// Whether it says and hears something, as far as it knows.
    pub(crate) fn is_up(&self) -> bool {
        let reliable = self.reliable.as_ref();
        self.is_live() && reliable.is_none_or(|reliable| reliable.is_up)
    }

    /// Whether it was welcomed on a transport that it takes to be alive.
    pub(crate) fn is_present(&self) -> bool {
        self.is_up() && self.greeted
    }

    /// Whether it has a session to come back to, as far as it knows.
    pub(crate) fn is_away(&self) -> bool {
        let reliable = self.reliable.as_ref();
        self.is_live() && reliable.is_some_and(|reliable| !reliable.is_up)
    }

    /// Whether a request that it made at `sent` is allowed, if that is certain.
    pub(crate) fn may(
        &self,
        right: Right,
        group: GroupIndex,
        sent: Stamp,
        model: &Model,
    ) -> Option<bool> {
        let at_first = self.only.is_none_or(|only| only == group);
        model.rights.allow(self.index, right, group, sent, at_first)
    }

    /// How the actor puts a message of its speech.
    pub(crate) fn put(&self, text: &str) -> (Opcode, Vec<u8>) {
        if self.in_protobuf {
            (Opcode::Binary, protobuf::from_json(text))
        } else {
            (Opcode::Text, text.as_bytes().to_vec())
        }
    }

    /// Takes up to `most` bytes and checks what they say. Returns whether there were any.
    pub(crate) fn receive(
        &mut self,
        most: usize,
        model: &mut Model,
        events: &mut [Sent],
        circumstances: Circumstances,
    ) -> bool {
        let is_up = self.reliable.as_ref().is_none_or(|found| found.is_up);
        if self.vanished || !is_up {
            return false;
        }
        let had_bytes = !self.client.pipe().written.is_empty();
        for seen in self.client.receive(most) {
            self.check(seen, model, events, circumstances);
        }
        if self.client.is_between_messages() && self.client.pipe().is_drained() {
            self.drained_at = circumstances.now;
        }
        let gone = self.client.pipe().server_gone && self.client.pipe().written.is_empty();
        if gone && !self.ended {
            if self.reliable.is_some() {
                self.lose(model);
            } else {
                self.end();
            }
        }
        let finished = self.client.pipe().server_finished && self.client.pipe().written.is_empty();
        if finished {
            self.client.pipe().client_finished = true;
        }
        had_bytes
    }

    fn end(&mut self) {
        self.ended = true;
        assert!(
            self.may_end,
            "actor {} was closed without a reason: {:?}",
            self.index, self.goodbye
        );
    }

    /// The transport of a reliable client is of no use any more, as far as it knows.
    pub(crate) fn lose(&mut self, model: &mut Model) {
        if let Some(reliable) = &mut self.reliable {
            reliable.is_up = false;
        }
        self.requests.transport_lost();
        model.transport_lost(self.index);
        (self.pings, self.frame_pings) = (0, 0);
    }

    fn closed(
        &mut self,
        code: Option<u16>,
        reason: &str,
        model: &mut Model,
        circumstances: Circumstances,
    ) {
        if !self.silent {
            // The answer of the closing handshake.
            self.client.close(code.unwrap_or(1000));
        }
        let Some(reliable) = &self.reliable else {
            self.goodbye.get_or_insert_default();
            return self.end();
        };
        let is_refused = !self.greeted && self.goodbye.is_none() && reliable.was_greeted;
        if is_refused && (code, reason) == (Some(1008), NOT_RECOVERED) {
            assert!(
                self.may_end || !reliable.must_be_there(circumstances.now),
                "the session of actor {} was lost: {reliable:?}",
                self.index
            );
            self.ended = true;
        } else if circumstances.node_stops || (self.goodbye.is_none() && code != Some(1000)) {
            self.lose(model);
        } else {
            self.end();
        }
    }

    fn check(
        &mut self,
        seen: Seen,
        model: &mut Model,
        events: &mut [Sent],
        circumstances: Circumstances,
    ) {
        assert!(
            self.goodbye.is_none() || matches!(seen, Seen::Close(..)),
            "{seen:?} after {:?}",
            self.goodbye
        );
        match seen {
            Seen::Ping => self.client.frame(Opcode::Pong, b""),
            Seen::Pong(_) => self.frame_pings -= 1,
            Seen::Close(code, reason) => self.closed(code, &reason, model, circumstances),
            Seen::Binary(bytes) if self.in_protobuf => {
                self.check_json(&protobuf::to_json(&bytes), model, events, circumstances);
            }
            Seen::Text(_) if self.in_protobuf => panic!("text for a protobuf client"),
            Seen::Text(text) if self.speech == Speech::Json => {
                self.check_json(&text, model, events, circumstances);
            }
            Seen::Text(text) => self.check_data(&text, None, model, events),
            Seen::Binary(_) => panic!("nobody sends binary data"),
        }
    }

    fn check_json(
        &mut self,
        text: &str,
        model: &mut Model,
        events: &mut [Sent],
        circumstances: Circumstances,
    ) {
        // A client that cannot take even the greeting is only told why it ends.
        let is_goodbye = text.contains(r#""event":"disconnected""#);
        let is_greeting = text.contains(r#""event":"connected""#);
        assert!(
            is_goodbye || self.greeted != is_greeting,
            "connected comes first and once, not {text}"
        );
        let kind = json::string(text, "type").unwrap();
        match (
            kind,
            json::string(text, "from"),
            json::string(text, "event"),
        ) {
            ("system", None, Some("connected")) => {
                self.greeted = true;
                assert_eq!(
                    json::string(text, "connectionId"),
                    Some(self.client.id.text().as_str())
                );
                let token = self.reliable.as_ref().map(|reliable| reliable.token);
                assert_eq!(json::string(text, "reconnectionToken"), token);
                if let Some(reliable) = &mut self.reliable {
                    reliable.was_greeted = true;
                    reliable.lease.confirm();
                }
                self.connected.get_or_insert_with(|| model.stamp());
                for (group, change) in std::mem::take(&mut self.initial) {
                    model.join_ended(self.index, group, change, !circumstances.few_groups);
                }
            }
            ("system", None, Some("disconnected")) => {
                self.goodbye = json::string(text, "message").map(str::to_owned);
            }
            ("pong", None, None) => self.pings -= 1,
            ("streamAck" | "streamNack" | "streamClosed", None, None) => {
                self.check_stream_control(kind, text, model);
            }
            ("groupStateSnapshot" | "groupStateUpdate", None, None) => {
                if !self.was_seen(text, model, circumstances) {
                    self.check_states(kind, text, model);
                }
            }
            ("ack", None, None) => self.check_ack(text, model, events, circumstances),
            ("message", Some(from), None) => {
                let group = json::string(text, "group").map(|name| name[1..].parse().unwrap());
                assert_eq!(group.is_some(), from == "group");
                if self.was_seen(text, model, circumstances) {
                    return;
                }
                let data = json::string(text, "data").unwrap();
                if let Some(id) = json::string(text, "streamId") {
                    let part = json::number(text, "streamSequenceId").unwrap();
                    let is_end = text.contains(r#""endOfStream":true"#);
                    let expected = format!("q{}.{part}.", &id[1..]);
                    assert_eq!(data, if is_end { "" } else { &expected });
                    return self.check_part(id[1..].parse().unwrap(), part, is_end, group, model);
                }
                self.check_data(data, group, model, events);
            }
            other => panic!("unknown message {other:?} in {text}"),
        }
    }

    /// Checks the number of a message. Returns whether it is only sent again.
    fn was_seen(&mut self, text: &str, model: &Model, circumstances: Circumstances) -> bool {
        let number = json::number(text, "sequenceId");
        assert_eq!(number.is_some(), self.reliable.is_some(), "{text}");
        let (Some(number), Some(reliable)) = (number, &mut self.reliable) else {
            return false;
        };
        let is_expired = |text: &str| {
            let data = json::string(text, "data");
            let expires_at = data
                .and_then(publication_in)
                .and_then(|index| model.publications[index].expires_at);
            expires_at.is_some_and(|at| at <= circumstances.now)
        };
        let news = reliable.numbers.receive(number, text, is_expired);
        let skipped = reliable.numbers.skipped();
        assert!(
            skipped == 0
                || skipped <= model.expired_unseen(self.index, self.hub, circumstances.now),
            "actor {} was not sent {skipped} messages",
            self.index
        );
        news == News::Again
    }

    fn check_data(
        &mut self,
        data: &str,
        group: Option<GroupIndex>,
        model: &mut Model,
        events: &mut [Sent],
    ) {
        if let Some(index) = publication_in(data) {
            let expires_at = model.publications[index].expires_at;
            assert!(
                expires_at.is_none_or(|at| at > self.drained_at),
                "actor {} was sent {index} after it had expired at {expires_at:?}",
                self.index
            );
            return model.received(self.index, index, self.whereabouts(), group);
        }
        if data.starts_with('q') {
            let part = data.split('.').nth(1).unwrap().parse().unwrap();
            return self.check_part(number_in(data), part, false, group, model);
        }
        let index = number_in(data);
        let event = &mut events[index];
        assert_eq!(
            (event.actor, event.decision),
            (self.index, Some(Decision::Reply)),
            "reply {data}"
        );
        assert!(!event.replied, "two replies to {data}");
        event.replied = true;
        let first = self.requests.pending().find_map(|(_, asked)| match asked {
            Asked::Event { index } => Some(*index),
            _ => None,
        });
        assert!(
            first.is_none_or(|first| first >= index),
            "a reply after its ack"
        );
    }
}

/// The number behind the first letter of what a message carries.
fn number_in(data: &str) -> usize {
    data[1..].split('.').next().unwrap().parse().unwrap()
}

fn publication_in(data: &str) -> Option<usize> {
    data.starts_with('p').then(|| number_in(data))
}
