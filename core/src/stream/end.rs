//! Why streams end, and what both sides are told of it (protocol notes: streams).

use std::borrow::Cow;
use std::sync::Arc;

use hubwire_proto::ack;
use hubwire_proto::message::{StreamEndError, StreamError, StreamInfo};
use hubwire_proto::stream::{StreamClosedName, StreamErrorName};
use serde::{Deserialize, Serialize};

use super::Outlet;

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// As planned.
    Completed,
    /// The publisher gave up.
    UserError,
    /// The publisher was silent for too long.
    IdleTimeout,
    /// The publisher may not send to the group any more.
    Forbidden,
    /// The publisher sent something that makes no sense.
    BadRequest,
    /// The publisher's session ended.
    Cancelled,
}

impl EndReason {
    /// What the publisher is told; `None` for an end without an error.
    #[must_use]
    pub fn closed_name(self) -> Option<StreamClosedName> {
        match self {
            // The end of a session leaves nobody to be told.
            Self::Completed | Self::UserError | Self::Cancelled => None,
            Self::IdleTimeout => Some(StreamClosedName::IdleTimeout),
            Self::Forbidden => Some(StreamClosedName::Forbidden),
            Self::BadRequest => Some(StreamClosedName::BadRequest),
        }
    }

    /// A text for the publisher that fits every stream which ended so.
    #[must_use]
    pub fn closed_message(self) -> &'static str {
        match self {
            Self::Completed | Self::UserError | Self::Cancelled => "",
            Self::IdleTimeout => IDLE_TIMEOUT,
            Self::Forbidden => "The client does not have permission to send to the group.",
            Self::BadRequest => "The stream was closed for an invalid message.",
        }
    }

    /// What the receivers are told; `None` for an end without an error.
    fn error(self, group: &str) -> Option<StreamError<'static>> {
        let (name, message) = match self {
            Self::Completed => return None,
            Self::UserError => (StreamErrorName::UserError, None),
            Self::IdleTimeout => (StreamErrorName::IdleTimeout, Some(IDLE_TIMEOUT.into())),
            Self::Forbidden => {
                let message = ack::forbidden_send(group);
                (StreamErrorName::Forbidden, Some(message.into()))
            }
            Self::BadRequest => {
                let message = "The publisher sent an invalid message.";
                (StreamErrorName::Cancelled, Some(message.into()))
            }
            Self::Cancelled => {
                let message = "The publisher's connection has ended.";
                (StreamErrorName::Cancelled, Some(message.into()))
            }
        };
        Some(StreamError {
            name,
            message,
            user_error_code: None,
        })
    }
}

const IDLE_TIMEOUT: &str = "Nothing was received for the stream in time.";

/// A stream that was open until now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedStream {
    /// What the publisher called it.
    pub stream_id: Arc<str>,
    /// Where its last message goes.
    pub outlet: Outlet,
    /// Why it ended.
    pub reason: EndReason,
    /// Whether the publisher has yet to be told which part came last.
    pub owes_ack: bool,
}

impl EndedStream {
    /// What the last message says about the stream. `said` is the publisher's own error.
    #[must_use]
    pub fn info(&self, said: Option<&StreamEndError<'_>>) -> StreamInfo<'static> {
        let owned =
            |text: &Option<Cow<'_, str>>| text.as_deref().map(|text| text.to_owned().into());
        let mut error = self.reason.error(&self.outlet.group);
        if let (Some(error), Some(said)) = (&mut error, said) {
            error.message = owned(&said.message);
            error.user_error_code = owned(&said.user_error_code);
        }
        StreamInfo {
            stream_id: Cow::Owned((*self.stream_id).to_owned()),
            stream_sequence_id: self.outlet.sequence_id,
            end_of_stream: true,
            error,
        }
    }
}

/// Whether the end of a stream is remembered for its publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndMemory {
    /// No: the session ends with its transport.
    None,
    /// Yes, and it has a transport over which it is told now.
    Attached,
    /// Yes, and it has no transport.
    Detached,
}
