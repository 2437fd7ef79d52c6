//! A Web PubSub server seen from outside: connections to it, requests, a client's WebSocket.
//!
//! For the commands that talk to a server, ours or another. The serving part never comes here.
//! What is said over these connections is decided in `cli`.

mod connect;
mod printable;
mod request;
mod upgrade;
mod websocket;

pub(crate) use connect::Dialer;
pub(crate) use printable::{json_printable, printable};
pub(crate) use request::{Call, RequestError, Requester};
pub(crate) use upgrade::Upgrade;
pub(crate) use websocket::{Incoming, WebSocket, WebSocketError, frame};

/// How much of a text that another server wrote an error shows.
const SHOWN_BYTES: usize = 1000;

/// The start of what another server wrote, fit for a terminal.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]);
    printable(text.trim()).into_owned()
}
