//! The WebSocket protocol (RFC 6455), as the server speaks it: bytes in, events out, and back.
//!
//! [`handshake`] checks an upgrade request, [`Decoder`] turns what a client sends into [`Event`]s,
//! the `encode_*` functions write what the server sends, and [`client`] is the other side, for the
//! load generator, the client of the command line and tests. No extension is spoken, so RSV bits
//! are always 0.
//!
//! When to answer a ping, how long to wait for a close and what a message means is decided by the
//! caller; nothing here touches a socket.

pub mod client;
pub mod handshake;

mod assembly;
mod close;
mod decoder;
mod encode;
mod error;
mod frame;

pub use close::{CloseCode, CloseFrame};
pub use decoder::{Decoder, DecoderLimits, Event, Step};
pub use encode::{
    MAX_FRAME_PAYLOAD, encode_close, encode_empty_close, encode_message, encode_ping, encode_pong,
    encoded_len, join_fragments,
};
pub(crate) use encode::{header, header_len};
pub use error::DecodeError;
pub use frame::{MAX_CONTROL_PAYLOAD, MessageKind, Opcode};
