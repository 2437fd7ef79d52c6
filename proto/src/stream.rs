//! What both sides of a stream call their troubles (protocol notes: streams).

/// The longest id with which a stream may start, in UTF-16 code units: that of groups.
pub const MAX_STREAM_ID_UNITS: usize = 1024;

/// Why a stream ended early, as its receivers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamErrorName {
    /// The publisher said so.
    UserError,
    /// The publisher was silent for too long.
    IdleTimeout,
    /// The server's fault.
    InternalServerError,
    /// The publisher may not send to the group any more.
    Forbidden,
    /// The publisher is gone.
    Cancelled,
}

impl StreamErrorName {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserError => "UserError",
            Self::IdleTimeout => "IdleTimeout",
            Self::InternalServerError => "InternalServerError",
            Self::Forbidden => "Forbidden",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// Why a publisher's stream was closed, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamClosedName {
    /// There is no such stream.
    StreamNotFound,
    /// The publisher may not send to the group.
    Forbidden,
    /// The request makes no sense.
    BadRequest,
    /// The server's fault.
    InternalServerError,
    /// The publisher was silent for too long.
    IdleTimeout,
}

impl StreamClosedName {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StreamNotFound => "StreamNotFound",
            Self::Forbidden => "Forbidden",
            Self::BadRequest => "BadRequest",
            Self::InternalServerError => "InternalServerError",
            Self::IdleTimeout => "IdleTimeout",
        }
    }
}

/// Why a part of a stream was not taken; the stream stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamNackName {
    /// It is not the next one.
    InvalidSequenceId,
}

impl StreamNackName {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSequenceId => "InvalidSequenceId",
        }
    }
}
