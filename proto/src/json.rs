//! `json.webpubsub.azure.v1`: one JSON object per WebSocket message, both ways.
//!
//! Requests are read by [`decode`]. Everything that the server says has a function that appends it
//! to a buffer, compact and in the service's order of members; what is absent is left out. The
//! meaning of acknowledgements, and their texts, are in [`crate::ack`].

mod decode;
mod encode;

pub use decode::{InvalidJson, MAX_DATA_DEPTH, Malformed, check_value, decode, decode_bytes};
pub use encode::{
    ack_failed, ack_ok, add_metadata, connected, disconnected, group_message, pong, server_message,
};
