//! `protobuf.webpubsub.azure.v1`: one `UpstreamMessage` per binary message from the client, one
//! `DownstreamMessage` per binary message to it (protocol notes: protobuf).
//!
//! Requests are read by [`decode`], without a copy. Everything that the server says has a function
//! that appends it to a buffer. The schema is small and fixed, and an `Any` must go through with
//! every byte that it came with, so the two directions are written by hand over the wire format.

mod decode;
mod encode;
mod wire;

pub use decode::{Fault, Malformed, check_any, decode};
pub use encode::{
    JsonField, ack_failed, ack_ok, connected, disconnected, group_message, group_state_snapshot,
    group_state_update, pong, server_message, stream_ack, stream_closed, stream_nack,
};
pub use wire::WireError;
