//! Why a byte stream is not a WebSocket stream that we can take.

use super::close::CloseCode;

/// The peer broke the framing rules. The connection is over: send a close frame with
/// [`close_code`](Self::close_code) and drop it (RFC 6455 §7.1.7).
///
/// The text is fit for the reason of that close frame: plain, and under 123 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An RSV bit is set although no extension was agreed (RFC 6455 §5.2).
    #[error("a reserved bit of the frame header is set")]
    ReservedBits,
    /// The opcode has no meaning (RFC 6455 §5.2).
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// A close, ping or pong without the FIN bit (RFC 6455 §5.5).
    #[error("a control frame must not be fragmented")]
    FragmentedControl,
    /// A close, ping or pong that declares more than 125 bytes (RFC 6455 §5.5).
    #[error("a control frame must not carry more than 125 bytes")]
    ControlTooLong,
    /// A continuation frame while no message is in progress (RFC 6455 §5.4).
    #[error("a continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A new message begins inside a fragmented one (RFC 6455 §5.4).
    #[error("a new message began before the last one was finished")]
    UnfinishedMessage,
    /// A client must mask every frame (RFC 6455 §5.1).
    #[error("a frame from a client must be masked")]
    Unmasked,
    /// A server must not mask any frame (RFC 6455 §5.1).
    #[error("a frame from a server must not be masked")]
    Masked,
    /// The length is not written in the fewest bytes (RFC 6455 §5.2).
    #[error("the payload length is not in its shortest form")]
    NonMinimalLength,
    /// The top bit of a 64-bit length is set (RFC 6455 §5.2).
    #[error("the payload length has its top bit set")]
    LengthTopBit,
    /// The message, with the frame just declared, exceeds the limit.
    #[error("the message is larger than {limit} bytes")]
    MessageTooBig {
        /// [`DecoderLimits::max_message_bytes`](super::DecoderLimits::max_message_bytes).
        limit: usize,
    },
    /// A text message that is not UTF-8 (RFC 6455 §8.1).
    #[error("the text message is not valid UTF-8")]
    InvalidUtf8,
    /// A close frame with a single byte, half a code (RFC 6455 §5.5.1).
    #[error("the close frame carries half a close code")]
    CloseTooShort,
    /// A close code that must not be sent (RFC 6455 §7.4).
    #[error("close code {0} must not be sent")]
    InvalidCloseCode(u16),
    /// A close reason that is not UTF-8 (RFC 6455 §5.5.1).
    #[error("the close reason is not valid UTF-8")]
    CloseReasonNotUtf8,
}

impl DecodeError {
    /// The code to close the connection with (RFC 6455 §7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::CloseReasonNotUtf8 => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::UnexpectedContinuation
            | Self::UnfinishedMessage
            | Self::Unmasked
            | Self::Masked
            | Self::NonMinimalLength
            | Self::LengthTopBit
            | Self::CloseTooShort
            | Self::InvalidCloseCode(_) => CloseCode::PROTOCOL_ERROR,
        }
    }
}
