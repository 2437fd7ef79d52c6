//! What clients say about their streams, once the session's rules let it through.

use std::borrow::Cow;

use hubwire_proto::message::{Data, StreamEndError};

/// A message of a client that concerns one of its streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamRequest<'a> {
    /// Open it.
    Start(Start<'a>),
    /// Publish the next part of it.
    Part {
        /// Which stream.
        stream_id: Cow<'a, str>,
        /// The place of the part, from 1.
        sequence_id: u64,
        /// What it carries.
        data: Data<'a>,
    },
    /// Keep it open.
    KeepAlive {
        /// Which stream.
        stream_id: Cow<'a, str>,
    },
    /// End it.
    End {
        /// Which stream.
        stream_id: Cow<'a, str>,
        /// Why, if it did not end as planned.
        error: Option<StreamEndError<'a>>,
    },
    /// A message that makes no sense, for which it is closed.
    Invalid {
        /// Which stream.
        stream_id: Cow<'a, str>,
        /// What is wrong.
        reason: &'static str,
    },
}

/// A stream to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start<'a> {
    /// What the publisher calls it.
    pub stream_id: Cow<'a, str>,
    /// The group that it is published to.
    pub group: Cow<'a, str>,
    /// Leave out the publisher's connection.
    pub no_echo: bool,
    /// How long it may rest; `None` for [`DEFAULT_IDLE_TIMEOUT_MS`](super::DEFAULT_IDLE_TIMEOUT_MS).
    pub idle_timeout_ms: Option<u64>,
}

impl StreamRequest<'_> {
    /// The request with a life of its own.
    #[must_use]
    pub fn into_owned(self) -> StreamRequest<'static> {
        fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        match self {
            Self::Start(start) => StreamRequest::Start(Start {
                stream_id: owned(start.stream_id),
                group: owned(start.group),
                no_echo: start.no_echo,
                idle_timeout_ms: start.idle_timeout_ms,
            }),
            Self::Part {
                stream_id,
                sequence_id,
                data,
            } => StreamRequest::Part {
                stream_id: owned(stream_id),
                sequence_id,
                data: Data {
                    data_type: data.data_type,
                    bytes: Cow::Owned(data.bytes.into_owned()),
                },
            },
            Self::KeepAlive { stream_id } => StreamRequest::KeepAlive {
                stream_id: owned(stream_id),
            },
            Self::End { stream_id, error } => StreamRequest::End {
                stream_id: owned(stream_id),
                error: error.map(|error| StreamEndError {
                    message: error.message.map(owned),
                    user_error_code: error.user_error_code.map(owned),
                }),
            },
            Self::Invalid { stream_id, reason } => StreamRequest::Invalid {
                stream_id: owned(stream_id),
                reason,
            },
        }
    }

    /// Whether it may have something for the receivers.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        matches!(self, Self::Part { .. } | Self::End { .. })
    }

    /// Bytes that the request holds on to while it waits.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Start(start) => start.stream_id.len() + start.group.len(),
            Self::Part {
                stream_id, data, ..
            } => stream_id.len() + data.bytes.len(),
            Self::End { stream_id, error } => {
                let bytes =
                    |text: &Option<Cow<'_, str>>| text.as_ref().map_or(0, |text| text.len());
                let said = |error: &StreamEndError<'_>| {
                    bytes(&error.message) + bytes(&error.user_error_code)
                };
                stream_id.len() + error.as_ref().map_or(0, said)
            }
            Self::KeepAlive { stream_id } | Self::Invalid { stream_id, .. } => stream_id.len(),
        }
    }
}
