//! One frame: its opcode, its header as a client writes it, and its mask (RFC 6455 §5.2, §5.3).
//!
//! How frames make up a message is in `decoder`.

use super::error::DecodeError;

/// The most bytes that a close, ping or pong may carry (RFC 6455 §5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// The longest header: two bytes, a 64-bit length and a mask.
pub(super) const MAX_HEADER: usize = 14;

/// How the payload of a message is to be read (RFC 6455 §5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// What a frame is (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// More of the message in progress.
    Continuation = 0x0,
    /// The start, or all, of a text message.
    Text = 0x1,
    /// The start, or all, of a binary message.
    Binary = 0x2,
    /// The peer closes.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping, or tells that the peer lives.
    Pong = 0xA,
}

impl Opcode {
    /// The opcode with these four bits, or `None` where they are reserved.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// The four bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

impl From<MessageKind> for Opcode {
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text,
            MessageKind::Binary => Self::Binary,
        }
    }
}

/// What a frame is for, as the decoder tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// Begins a message.
    Start(MessageKind),
    /// Goes on with the message in progress.
    Continuation,
    /// Stands alone, even inside a fragmented message.
    Control(ControlKind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlKind {
    Close,
    Ping,
    Pong,
}

impl From<Opcode> for FrameKind {
    fn from(opcode: Opcode) -> Self {
        match opcode {
            Opcode::Continuation => Self::Continuation,
            Opcode::Text => Self::Start(MessageKind::Text),
            Opcode::Binary => Self::Start(MessageKind::Binary),
            Opcode::Close => Self::Control(ControlKind::Close),
            Opcode::Ping => Self::Control(ControlKind::Ping),
            Opcode::Pong => Self::Control(ControlKind::Pong),
        }
    }
}

/// The header of a frame from a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) kind: FrameKind,
    pub(super) mask: [u8; 4],
    /// Bytes of payload that follow.
    pub(super) payload_len: usize,
    /// Bytes of the header itself.
    pub(super) len: usize,
}

/// What decides whether a header is acceptable here and now.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeaderRules {
    /// A fragmented message is in progress.
    pub(super) in_message: bool,
    /// Bytes of that message so far; 0 between messages.
    pub(super) message_len: usize,
    /// The most bytes that a message may have.
    pub(super) limit: usize,
}

impl Header {
    /// Reads a header from the front of `bytes`; `None` while it is incomplete.
    ///
    /// Each rule is applied as soon as the bytes that decide it are there, in their order, so the
    /// outcome never depends on how much of the stream has arrived.
    pub(super) fn parse(bytes: &[u8], rules: HeaderRules) -> Result<Option<Self>, DecodeError> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let fin = first & 0x80 != 0;
        let kind = Self::kind(first, fin, rules.in_message)?;

        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        if second & 0x80 == 0 {
            return Err(DecodeError::Unmasked);
        }
        let short = second & 0x7F;
        if let FrameKind::Control(control) = kind {
            if usize::from(short) > MAX_CONTROL_PAYLOAD {
                return Err(DecodeError::ControlTooLong);
            }
            if control == ControlKind::Close && short == 1 {
                return Err(DecodeError::CloseTooShort);
            }
        }

        let Some((declared, rest)) = payload_len(short, &bytes[2..])? else {
            return Ok(None);
        };
        let payload_len = Self::check_len(declared, kind, rules)?;

        Ok(rest.split_first_chunk().map(|(&mask, rest)| Self {
            fin,
            kind,
            mask,
            payload_len,
            len: bytes.len() - rest.len(),
        }))
    }

    fn kind(first: u8, fin: bool, in_message: bool) -> Result<FrameKind, DecodeError> {
        if first & 0x70 != 0 {
            return Err(DecodeError::ReservedBits);
        }
        let bits = first & 0x0F;
        let opcode = Opcode::from_bits(bits).ok_or(DecodeError::ReservedOpcode(bits))?;
        let kind = FrameKind::from(opcode);
        match kind {
            FrameKind::Control(_) if !fin => Err(DecodeError::FragmentedControl),
            FrameKind::Continuation if !in_message => Err(DecodeError::UnexpectedContinuation),
            FrameKind::Start(_) if in_message => Err(DecodeError::UnfinishedMessage),
            _ => Ok(kind),
        }
    }

    fn check_len(declared: u64, kind: FrameKind, rules: HeaderRules) -> Result<usize, DecodeError> {
        // The length of a control frame is bounded by its own rule, and counts towards no message.
        let room = match kind {
            FrameKind::Control(_) => MAX_CONTROL_PAYLOAD,
            _ => rules.limit.saturating_sub(rules.message_len),
        };
        match usize::try_from(declared) {
            Ok(len) if len <= room => Ok(len),
            _ => Err(DecodeError::MessageTooBig { limit: rules.limit }),
        }
    }
}

/// The payload length, from the seven bits of the second byte and what follows it, and the bytes
/// behind it; `None` while it is incomplete.
fn payload_len(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, DecodeError> {
    let (len, rest) = match short {
        126 => {
            let Some((len, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let len = u64::from(u16::from_be_bytes(*len));
            if len < 126 {
                return Err(DecodeError::NonMinimalLength);
            }
            (len, rest)
        }
        127 => {
            let Some((len, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(*len);
            if len >> 63 != 0 {
                return Err(DecodeError::LengthTopBit);
            }
            if len <= u64::from(u16::MAX) {
                return Err(DecodeError::NonMinimalLength);
            }
            (len, rest)
        }
        _ => (u64::from(short), rest),
    };
    Ok(Some((len, rest)))
}

/// Masks or unmasks `payload` in place; `mask` is aligned to its first byte (RFC 6455 §5.3).
pub(super) fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}
