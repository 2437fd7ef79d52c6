//! Why a connection of the generator failed, and at what stage.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use hubwire_proto::ws::DecodeError;
use thiserror::Error;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Dialing,
    Upgrading,
    Greeting,
    Joining,
    CatchingUp,
    Ready,
    Closed,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dialing => "TCP connect",
            Self::Upgrading => "WebSocket upgrade",
            Self::Greeting => "wait for the `connected` message",
            Self::Joining => "joinGroup",
            Self::CatchingUp => "wait for the messages that were missed",
            Self::Ready => "established connection",
            Self::Closed => "closed connection",
        })
    }
}

/// A connection that failed.
#[derive(Debug, Error)]
#[error("{stage} ({address}, connection {index}): {cause}")]
pub(crate) struct Failure {
    pub(crate) address: SocketAddr,
    pub(crate) index: usize,
    pub(crate) stage: Stage,
    pub(crate) cause: Cause,
}

/// What went wrong.
#[derive(Debug, Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Ended,
    #[error("the server closed with code {code} {reason:?}{}", after(farewell.as_deref()))]
    CloseFrame {
        code: u16,
        reason: String,
        /// What its message `disconnected` said, if one came.
        farewell: Option<String>,
    },
    #[error(
        "the server cut the client off with code 1008 {reason:?}{}, while {unacknowledged} or more \
         messages were not acknowledged: if that is its bound, raise it (of hubwire: \
         limits.replay_messages, limits.replay_bytes) or acknowledge more often \
         (--sequence-ack-interval)",
        after(farewell.as_deref())
    )]
    CutOff {
        reason: String,
        farewell: Option<String>,
        /// As this side counts them; what was under way comes on top.
        unacknowledged: u64,
    },
    #[error("the server disconnected the client: {0}")]
    Disconnected(String),
    #[error("the server answered {status} {reason}{}{body}", if body.is_empty() { "" } else { ": " })]
    Status {
        status: u16,
        reason: String,
        body: String,
    },
    #[error("the answer is not HTTP/1.1: {0}")]
    NotHttp(String),
    #[error("the answer's Sec-WebSocket-Accept does not belong to our key")]
    Accept,
    #[error("the server did not choose the subprotocol {0}")]
    Subprotocol(&'static str),
    #[error("a message of a reliable subprotocol has no sequenceId: {0}")]
    Unnumbered(String),
    #[error("a recovery led to the connection {0:?} instead of the client's own")]
    OtherConnection(String),
    #[error("the answer has a chunked body, which is not supported")]
    Chunked,
    #[error("the server answered nothing on {0} new connections in a row")]
    NoAnswer(u32),
    #[error("invalid frame: {0}")]
    Frame(#[from] DecodeError),
    #[error("the server refused a request: {0}")]
    Refused(String),
    #[error("unexpected message: {0}")]
    Unexpected(String),
}

fn after(farewell: Option<&str>) -> String {
    farewell.map_or_else(String::new, |text| format!(" after saying {text:?}"))
}
