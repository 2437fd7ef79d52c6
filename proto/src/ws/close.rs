//! Close codes and the payload of a close frame (RFC 6455 §5.5.1, §7.4).

use std::fmt;

use super::error::DecodeError;

/// A close code that may stand in a close frame.
///
/// Codes that only describe a close locally (1005, 1006, 1015), the reserved 1004 and the ranges
/// nobody may use have no value of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server shuts down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a text message where only binary is understood, or the reverse.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: the message is not what its type promises, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: the peer broke a rule of the application.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: the message is larger than the receiver takes.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1011: the server met a condition that it cannot handle.
    pub const INTERNAL_ERROR: Self = Self(1011);

    /// The code with this number, or `None` where the number must not be sent.
    ///
    /// RFC 6455 §7.4.1 defines 1000–1003 and 1007–1011, the IANA registry adds 1012–1014, and
    /// §7.4.2 leaves 3000–4999 to libraries and applications.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a close frame says, when it says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// Why the peer closes.
    pub code: CloseCode,
    /// The peer's words, at most 123 bytes; often empty.
    pub reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// Reads the unmasked payload of a close frame. An empty one carries no code.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return match payload {
                [] => Ok(None),
                _ => Err(DecodeError::CloseTooShort),
            };
        };
        let number = u16::from_be_bytes(*code);
        let code = CloseCode::new(number).ok_or(DecodeError::InvalidCloseCode(number))?;
        let reason = str::from_utf8(reason).map_err(|_| DecodeError::CloseReasonNotUtf8)?;
        Ok(Some(Self { code, reason }))
    }
}
