//! Event handlers: which one takes an event, and the call that waits for its answer.
//!
//! How a handler is reached (in the process, over HTTP, through a tunnel) is the business of
//! whoever implements [`Upstream`].

use std::sync::Arc;

use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;

use crate::id::ConnectionId;
use crate::inbox::{Inbox, Mail};
use crate::memory::{Account, Charge, NodeMemory};

/// Where the events of a handler go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// `builtin:echo`: every event is answered with its own data.
    Echo,
}

/// Which user events a handler takes (`user_event_pattern`); names compare ignoring case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventPattern {
    /// `*`
    All,
    /// A comma-separated list.
    Names(Vec<String>),
}

impl EventPattern {
    /// Reads `*`, one name, or a comma-separated list of names; blanks around names are dropped.
    #[must_use]
    pub fn parse(pattern: &str) -> Self {
        if pattern.trim() == "*" {
            return Self::All;
        }
        Self::Names(
            pattern
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
        )
    }

    fn matches(&self, event: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|name| name.eq_ignore_ascii_case(event)),
        }
    }
}

/// One configured event handler of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHandler {
    /// The user events that it takes.
    pub user_events: EventPattern,
    /// Where they go.
    pub destination: Destination,
}

/// The destination of the first handler that takes the user event `event`.
#[must_use]
pub fn destination_of(handlers: &[EventHandler], event: &str) -> Option<Destination> {
    handlers
        .iter()
        .find(|handler| handler.user_events.matches(event))
        .map(|handler| handler.destination)
}

/// Names one call of one session, so that a late answer cannot reach another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId(pub u32);

/// What a handler's reply carries back to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// How to read `bytes`.
    pub data_type: DataType,
    /// The reply's bytes.
    pub bytes: Box<[u8]>,
    /// What travels beside them.
    pub metadata: Metadata,
}

/// How a call ended: an optional reply, or a failure whose details stay on the server.
pub type CallOutcome = Result<Option<Reply>, CallFailed>;

/// The event handler could not be reached or did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event handler failed")]
pub struct CallFailed;

/// An event on its way to its handler; the session that sent it is parked until it is answered.
#[derive(Debug)]
pub struct UpstreamCall {
    /// The lower-case hub name.
    pub hub: Arc<str>,
    /// The event's name as the client wrote it.
    pub event: Box<str>,
    /// How to read `data`.
    pub data_type: DataType,
    /// What the event carries.
    pub data: Box<[u8]>,
    /// What travels beside `data`.
    pub metadata: Metadata,
    /// Where it goes.
    pub destination: Destination,
    /// How to answer.
    pub ticket: CallTicket,
    /// `data` and `metadata` in the node's account of queued bytes.
    pub charge: Charge,
}

/// The right and duty to answer one call. Dropped unanswered, it answers that the call failed.
#[derive(Debug)]
pub struct CallTicket {
    inbox: Arc<Inbox>,
    answered: bool,
    memory: Arc<NodeMemory>,
    connection: ConnectionId,
    call: CallId,
}

impl CallTicket {
    pub(crate) fn new(
        inbox: Arc<Inbox>,
        memory: Arc<NodeMemory>,
        connection: ConnectionId,
        call: CallId,
    ) -> Self {
        Self {
            inbox,
            answered: false,
            memory,
            connection,
            call,
        }
    }

    /// The connection that waits.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Sends the answer to the connection's shard. It takes no room in the inbox, so that calls
    /// that hang keep nobody else out.
    pub fn answer(mut self, outcome: CallOutcome) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: CallOutcome) {
        if !self.answered {
            self.answered = true;
            let bytes = outcome.as_ref().map_or(0, |reply| {
                let len = |reply: &Reply| reply.bytes.len() + reply.metadata.len();
                reply.as_ref().map_or(0, len)
            });
            let charge = self.memory.guard(Account::Incoming, bytes);
            let answer = CallAnswer {
                connection: self.connection,
                call: self.call,
                outcome,
                charge,
            };
            self.inbox.send_beside(Mail::Answer(Box::new(answer)));
        }
    }
}

impl Drop for CallTicket {
    fn drop(&mut self) {
        self.send(Err(CallFailed));
    }
}

/// The answer to a call, as it reaches the shard.
#[derive(Debug)]
pub struct CallAnswer {
    /// The connection that waits.
    pub connection: ConnectionId,
    /// Which of its calls.
    pub call: CallId,
    /// How it ended.
    pub outcome: CallOutcome,
    /// The reply in the node's account of queued bytes.
    pub charge: Charge,
}

/// Takes events to their handlers. Called on a shard's thread, so it must not wait.
pub trait Upstream {
    /// Starts one call.
    fn call(&mut self, call: UpstreamCall);
}

/// The handlers that need no network.
#[derive(Debug, Default, Clone, Copy)]
pub struct Builtin;

impl Upstream for Builtin {
    fn call(&mut self, call: UpstreamCall) {
        match call.destination {
            Destination::Echo => {
                let reply = Reply {
                    data_type: call.data_type,
                    bytes: call.data,
                    metadata: call.metadata,
                };
                call.ticket.answer(Ok(Some(reply)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_handler_takes_an_event() {
        let handler = |pattern: &str| EventHandler {
            user_events: EventPattern::parse(pattern),
            destination: Destination::Echo,
        };
        let check = |patterns: &[&str], event: &str, expected: bool| {
            let handlers: Vec<_> = patterns.iter().map(|pattern| handler(pattern)).collect();
            assert_eq!(
                destination_of(&handlers, event).is_some(),
                expected,
                "{patterns:?} {event}"
            );
        };
        check(&[], "message", false);
        check(&["*"], "message", true);
        check(&["chat, message"], "MESSAGE", true);
        check(&["chat"], "chatter", false);
        check(&["", "chat"], "chat", true);
        check(&[" * "], "anything", true);
    }
}
