//! Every wire format of Hubwire as pure functions: bytes in, values out.
//!
//! Nothing here does I/O, reads a clock, spawns a task or draws a random number; the same bytes
//! always give the same values, however they were split. What to do with a message is decided in
//! `hubwire-core`; sockets and HTTP live in the `hubwire` server.
//!
//! Read [`message`] first: it is the vocabulary that every client protocol decodes to.
#![forbid(unsafe_code)]

pub mod ack;
pub mod connection_string;
pub mod filter;
pub mod group_state;
pub mod json;
pub mod message;
pub mod metadata;
pub mod name;
pub mod numbering;
pub mod pattern;
pub mod percent;
pub mod protobuf;
pub mod query;
pub mod reconnection;
pub mod rest;
pub mod role;
pub mod route;
pub mod simple;
pub mod stream;
pub mod subprotocol;
pub mod token;
pub mod ws;
