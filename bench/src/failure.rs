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
    #[error("the server closed with code {code} {reason:?}")]
    CloseFrame { code: u16, reason: String },
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
