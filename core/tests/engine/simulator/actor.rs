//! One client of the game: what it asked for, what it has to see, and whether it sees it.

use std::collections::{HashSet, VecDeque};

use hubwire_core::Millis;
use hubwire_proto::ws::Opcode;

use super::model::{ActorIndex, Change, Fate, GroupIndex, Model, Stamp, Whereabouts};
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

/// What an acknowledged request was.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    Join { group: GroupIndex, change: Change },
    Leave { group: GroupIndex, change: Change },
    Publish { group: GroupIndex, index: usize },
    Event { index: usize },
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
    pub(crate) pending: VecDeque<(u64, Asked)>,
    pub(crate) succeeded: HashSet<u64>,
    pub(crate) next_ack: u64,
    pub(crate) pings: usize,
    pub(crate) frame_pings: usize,
    pub(crate) last_call: Option<usize>,
    /// When it last had everything that the server had sent.
    drained_at: Millis,
    greeted: bool,
    goodbye: Option<String>,
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
            only: None,
            initial: Vec::new(),
            connected: None,
            reading: true,
            silent: false,
            vanished: false,
            may_end: false,
            ended: false,
            pending: VecDeque::new(),
            succeeded: HashSet::new(),
            next_ack: 1,
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
        if self.vanished {
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
            self.end();
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
            Seen::Close(code, _) => {
                self.goodbye.get_or_insert_default();
                if !self.silent {
                    // The answer of the closing handshake.
                    self.client.close(code.unwrap_or(1000));
                }
                self.end();
            }
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
                self.connected = Some(model.stamp());
                for (group, change) in std::mem::take(&mut self.initial) {
                    model.join_ended(self.index, group, change, !circumstances.few_groups);
                }
            }
            ("system", None, Some("disconnected")) => {
                self.goodbye = json::string(text, "message").map(str::to_owned);
            }
            ("pong", None, None) => self.pings -= 1,
            ("ack", None, None) => self.check_ack(text, model, events, circumstances),
            ("message", Some(from), None) => {
                let group = json::string(text, "group").map(|name| name[1..].parse().unwrap());
                assert_eq!(group.is_some(), from == "group");
                self.check_data(json::string(text, "data").unwrap(), group, model, events);
            }
            other => panic!("unknown message {other:?} in {text}"),
        }
    }

    fn check_data(
        &mut self,
        data: &str,
        group: Option<GroupIndex>,
        model: &mut Model,
        events: &mut [Sent],
    ) {
        let index: usize = data[1..].split('.').next().unwrap().parse().unwrap();
        if data.starts_with('p') {
            let expires_at = model.publications[index].expires_at;
            assert!(
                expires_at.is_none_or(|at| at > self.drained_at),
                "actor {} was sent {index} after it had expired at {expires_at:?}",
                self.index
            );
            return model.received(self.index, index, self.whereabouts(), group);
        }
        let event = &mut events[index];
        assert_eq!(
            (event.actor, event.decision),
            (self.index, Some(Decision::Reply)),
            "reply {data}"
        );
        assert!(!event.replied, "two replies to {data}");
        event.replied = true;
        let acked_first = self.pending.iter().find_map(|(_, asked)| match asked {
            Asked::Event { index } => Some(*index),
            _ => None,
        });
        assert!(
            acked_first.is_none_or(|first| first >= index),
            "a reply after its ack"
        );
    }

    fn check_ack(
        &mut self,
        text: &str,
        model: &mut Model,
        events: &mut [Sent],
        circumstances: Circumstances,
    ) {
        let ack_id = json::number(text, "ackId").unwrap();
        let (expected_id, asked) = self.pending.pop_front().unwrap();
        assert_eq!(
            ack_id, expected_id,
            "acks of actor {} come in order",
            self.index
        );
        let error = json::string(text, "name");
        let duplicate = self.succeeded.contains(&ack_id);
        let expected = if duplicate {
            vec![Some("Duplicate")]
        } else {
            self.expected_outcomes(asked, model, events, circumstances)
        };
        assert!(
            expected.contains(&error),
            "{text} where one of {expected:?} was expected"
        );
        let succeeded = error.is_none();
        if succeeded {
            self.succeeded.insert(ack_id);
        }
        match asked {
            Asked::Join { group, change, .. } => {
                model.join_ended(self.index, group, change, succeeded);
            }
            // A refused leave changed nothing, so the membership stays as uncertain as it became.
            Asked::Leave { group, change, .. } if succeeded => {
                model.leave_ended(self.index, group, change);
            }
            Asked::Leave { .. } => {}
            Asked::Publish { index, .. } => {
                model.publications[index].fate = if succeeded {
                    Fate::Accepted
                } else {
                    Fate::Rejected
                };
                assert!(
                    succeeded || model.publications[index].received_by.is_empty(),
                    "{index} was refused but sent"
                );
            }
            Asked::Event { index } => {
                let reply_due = succeeded && events[index].decision == Some(Decision::Reply);
                assert_eq!(
                    reply_due,
                    events[index].replied && !duplicate,
                    "a reply comes before its ack"
                );
            }
        }
    }

    /// The errors, or none, with which a request may be answered now.
    fn expected_outcomes(
        &self,
        asked: Asked,
        model: &Model,
        events: &[Sent],
        circumstances: Circumstances,
    ) -> Vec<Option<&'static str>> {
        let (right, group, sent) = match asked {
            Asked::Join { group, change } | Asked::Leave { group, change } => {
                (Right::Join, group, change.requested)
            }
            Asked::Publish { group, index } => (Right::Send, group, model.publications[index].sent),
            Asked::Event { index } => {
                return match events[index].decision {
                    Some(Decision::Reply | Decision::NoReply) => vec![None],
                    Some(Decision::Fail) => vec![Some("InternalServerError")],
                    // It never came to its handler.
                    None if circumstances.no_handler => vec![Some("InternalServerError")],
                    None => Vec::new(),
                };
            }
        };
        let mut expected = match self.may(right, group, sent, model) {
            Some(true) => vec![None],
            Some(false) => vec![Some("Forbidden")],
            None => vec![None, Some("Forbidden")],
        };
        let may_join = expected.contains(&None) && matches!(asked, Asked::Join { .. });
        if may_join && circumstances.few_groups {
            expected.push(Some("BadRequest"));
        }
        expected
    }
}
