//! The client's side of the framing, as far as a load generator and tests need it.
//!
//! It trusts the server: nothing here validates what arrives. The server never uses this module.

use super::encode::encode_header;
use super::frame::{Opcode, apply_mask};

/// Appends one final, masked frame to `out` (RFC 6455 §5.3). A real client draws a fresh,
/// unpredictable `mask` for each.
pub fn encode_masked(opcode: Opcode, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    encode_header(opcode, true, payload.len(), Some(mask), out);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask);
}

/// The header of a frame from a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerFrameHeader {
    /// Bytes of the header itself; the payload starts behind them.
    pub header_len: usize,
    /// Bytes of payload.
    pub payload_len: u64,
    /// The opcode as it is on the wire; see [`Opcode::from_bits`].
    pub opcode: u8,
    /// This frame ends its message.
    pub fin: bool,
}

/// Reads the header of an unmasked frame from the front of `bytes`; `None` while it is incomplete.
#[must_use]
pub fn parse_server_frame_header(bytes: &[u8]) -> Option<ServerFrameHeader> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (header_len, payload_len) = match second & 0x7F {
        126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
        len => (2, u64::from(len)),
    };
    Some(ServerFrameHeader {
        header_len,
        payload_len,
        opcode: first & 0x0F,
        fin: first & 0x80 != 0,
    })
}
