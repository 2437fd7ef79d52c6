//! The client's side of the framing: our own frames masked, a server's read and checked.
//!
//! For the load generator, the client of the command line and tests. The server never uses it.

use super::close::CloseFrame;
use super::decoder::Event;
use super::encode::encode_header;
use super::error::DecodeError;
use super::frame::{MAX_CONTROL_PAYLOAD, MessageKind, Opcode, apply_mask};

/// Appends one final, masked frame to `out` (RFC 6455 §5.3). A real client draws a fresh,
/// unpredictable `mask` for each.
pub fn encode_masked(opcode: Opcode, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    encode_header(opcode, true, payload.len(), Some(mask), out);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask);
}

/// One frame of a server (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerFrame<'a> {
    /// This frame ends its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What it carries.
    pub payload: &'a [u8],
    /// Bytes of the input that the frame takes, header included.
    pub size: usize,
}

/// The frame at the front of `bytes`, or `None` while part of it is missing. A payload of more
/// than `limit` bytes is refused by its header.
///
/// # Errors
///
/// If no server may send such a frame, whatever came before it.
#[inline]
pub fn read_frame(bytes: &[u8], limit: usize) -> Result<Option<ServerFrame<'_>>, DecodeError> {
    let Some(first) = bytes.first() else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(DecodeError::ReservedBits);
    }
    let bits = first & 0x0F;
    let opcode = Opcode::from_bits(bits).ok_or(DecodeError::ReservedOpcode(bits))?;
    if bytes.get(1).is_some_and(|second| second & 0x80 != 0) {
        return Err(DecodeError::Masked);
    }
    let Some(header) = parse_server_frame_header(bytes) else {
        return Ok(None);
    };
    let too_big = DecodeError::MessageTooBig { limit };
    let payload_len = usize::try_from(header.payload_len).map_err(|_| too_big)?;
    if matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong) {
        if !header.fin {
            return Err(DecodeError::FragmentedControl);
        }
        if payload_len > MAX_CONTROL_PAYLOAD {
            return Err(DecodeError::ControlTooLong);
        }
    } else if payload_len > limit {
        return Err(too_big);
    }
    let size = header.header_len.checked_add(payload_len).ok_or(too_big)?;
    Ok(bytes
        .get(header.header_len..size)
        .map(|payload| ServerFrame {
            fin: header.fin,
            opcode,
            payload,
            size,
        }))
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
/// Nothing is checked, see [`read_frame`].
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

/// Puts the frames of one server together to messages (RFC 6455 §5.4).
#[derive(Debug, Default)]
pub struct Messages {
    /// The fragmented message in progress.
    kind: Option<MessageKind>,
    /// What has arrived of it; or the message that the last event lends.
    bytes: Vec<u8>,
}

impl Messages {
    /// Takes the next frame: the event that it completes, if any. A message of more than `limit`
    /// bytes is refused.
    ///
    /// # Errors
    ///
    /// If the server broke the protocol. The connection is over then.
    pub fn accept<'a>(
        &'a mut self,
        frame: ServerFrame<'a>,
        limit: usize,
    ) -> Result<Option<Event<'a>>, DecodeError> {
        if self.kind.is_none() {
            self.bytes = Vec::new();
        }
        let kind = match frame.opcode {
            Opcode::Ping => return Ok(Some(Event::Ping(frame.payload))),
            Opcode::Pong => return Ok(Some(Event::Pong(frame.payload))),
            Opcode::Close => return CloseFrame::parse(frame.payload).map(Event::Close).map(Some),
            Opcode::Text => self.begin(MessageKind::Text)?,
            Opcode::Binary => self.begin(MessageKind::Binary)?,
            Opcode::Continuation => self.kind.ok_or(DecodeError::UnexpectedContinuation)?,
        };
        if frame.fin && self.kind.is_none() {
            return message(kind, frame.payload).map(Some);
        }
        if self.bytes.len() + frame.payload.len() > limit {
            return Err(DecodeError::MessageTooBig { limit });
        }
        self.bytes.extend_from_slice(frame.payload);
        self.kind = (!frame.fin).then_some(kind);
        if !frame.fin {
            return Ok(None);
        }
        message(kind, &self.bytes).map(Some)
    }

    fn begin(&self, kind: MessageKind) -> Result<MessageKind, DecodeError> {
        match self.kind {
            Some(_) => Err(DecodeError::UnfinishedMessage),
            None => Ok(kind),
        }
    }
}

fn message(kind: MessageKind, payload: &[u8]) -> Result<Event<'_>, DecodeError> {
    match kind {
        MessageKind::Text => simdutf8::basic::from_utf8(payload)
            .map(Event::Text)
            .map_err(|_| DecodeError::InvalidUtf8),
        MessageKind::Binary => Ok(Event::Binary(payload)),
    }
}
