//! Frames as the server sends them: unmasked, and never larger than every client takes.

use super::close::CloseCode;
use super::frame::{MAX_CONTROL_PAYLOAD, MessageKind, Opcode};

/// The most bytes of payload that one data frame carries; a larger message goes out in fragments.
/// It is the default limit of the clients that have one (protocol notes: limits).
pub const MAX_FRAME_PAYLOAD: usize = 65_536;

/// The most bytes of a close reason: a control frame less its close code.
const MAX_CLOSE_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Appends a whole message to `out`, fragmented where `payload` exceeds [`MAX_FRAME_PAYLOAD`]
/// (RFC 6455 §5.4). A text payload must be UTF-8; a fragment may end inside a character.
pub fn encode_message(kind: MessageKind, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(encoded_len(payload.len()));
    let mut opcode = Opcode::from(kind);
    let mut rest = payload;
    while rest.len() > MAX_FRAME_PAYLOAD {
        let (fragment, later) = rest.split_at(MAX_FRAME_PAYLOAD);
        encode_header(opcode, false, fragment.len(), None, out);
        out.extend_from_slice(fragment);
        opcode = Opcode::Continuation;
        rest = later;
    }
    encode_header(opcode, true, rest.len(), None, out);
    out.extend_from_slice(rest);
}

/// How many bytes [`encode_message`] appends for a payload of this many bytes.
#[must_use]
pub const fn encoded_len(payload_len: usize) -> usize {
    let last = match payload_len % MAX_FRAME_PAYLOAD {
        0 if payload_len > 0 => MAX_FRAME_PAYLOAD,
        len => len,
    };
    let fragments_before = (payload_len - last) / MAX_FRAME_PAYLOAD;
    payload_len + fragments_before * header_len(MAX_FRAME_PAYLOAD) + header_len(last)
}

/// The payload of a message that [`encode_message`] framed.
#[must_use]
pub fn join_fragments(frames: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(frames.len());
    let mut rest = frames;
    while let Some(second) = rest.get(1) {
        let header_len = match second {
            127 => 10,
            126 => 4,
            _ => 2,
        };
        let fragment = rest.get(header_len..).unwrap_or_default();
        let len = if rest[0] & FIN == 0 {
            fragment.len().min(MAX_FRAME_PAYLOAD)
        } else {
            fragment.len()
        };
        payload.extend_from_slice(&fragment[..len]);
        rest = &fragment[len..];
    }
    payload
}

/// Appends a close frame to `out` (RFC 6455 §5.5.1). Of the reason goes what fits into 123 bytes,
/// in whole characters.
pub fn encode_close(code: CloseCode, reason: &str, out: &mut Vec<u8>) {
    let reason = &reason[..reason.floor_char_boundary(MAX_CLOSE_REASON)];
    encode_header(Opcode::Close, true, 2 + reason.len(), None, out);
    out.extend_from_slice(&code.get().to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends a close frame without a code to `out`: the answer to one that has none.
pub fn encode_empty_close(out: &mut Vec<u8>) {
    encode_header(Opcode::Close, true, 0, None, out);
}

/// Appends a ping to `out` (RFC 6455 §5.5.2). Of the payload go the first 125 bytes.
pub fn encode_ping(payload: &[u8], out: &mut Vec<u8>) {
    encode_control(Opcode::Ping, payload, out);
}

/// Appends a pong to `out` (RFC 6455 §5.5.3). Of the payload go the first 125 bytes; that of a
/// ping which the decoder let through always fits.
pub fn encode_pong(payload: &[u8], out: &mut Vec<u8>) {
    encode_control(Opcode::Pong, payload, out);
}

fn encode_control(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
    encode_header(opcode, true, payload.len(), None, out);
    out.extend_from_slice(payload);
}

/// Appends the header of a frame, with the shortest form of its length (RFC 6455 §5.2).
pub(super) fn encode_header(
    opcode: Opcode,
    fin: bool,
    payload_len: usize,
    mask: Option<[u8; 4]>,
    out: &mut Vec<u8>,
) {
    let (mut header, len) = header(opcode, fin, payload_len);
    if let Some(mask) = mask {
        header[1] |= MASKED;
        out.extend_from_slice(&header[..len]);
        out.extend_from_slice(&mask);
    } else {
        out.extend_from_slice(&header[..len]);
    }
}

/// An unmasked header, with the shortest form of its length (RFC 6455 §5.2), and how much of the
/// array it takes.
pub(crate) fn header(opcode: Opcode, fin: bool, payload_len: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = opcode.bits() | if fin { FIN } else { 0 };
    let len = match (u8::try_from(payload_len), u16::try_from(payload_len)) {
        (Ok(len @ ..=125), _) => {
            header[1] = len;
            2
        }
        (_, Ok(len)) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&len.to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
            10
        }
    };
    (header, len)
}

/// Bytes of an unmasked header.
pub(crate) const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    }
}
