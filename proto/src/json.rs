//! `json.webpubsub.azure.v1`: one JSON object per WebSocket message, both ways.
//!
//! Requests are read by [`decode`]. Everything that the server says has a function that appends it
//! to a buffer, compact and in the service's order of members; what is absent is left out. The
//! meaning of acknowledgements, and their texts, are in [`crate::ack`].

mod decode;
mod encode;
mod members;
mod object;
mod value;

pub use decode::{Malformed, decode, decode_bytes};
pub use encode::{
    ack_failed, ack_ok, add_metadata, add_stream, connected, disconnected, group_message,
    group_state_snapshot, group_state_update, pong, server_message, stream_ack, stream_closed,
    stream_nack,
};
pub use value::{InvalidJson, MAX_DATA_DEPTH, check_value};
