//! What a session lets its client do: requests that passed its rules.

use std::borrow::Cow;
use std::sync::Arc;

use hubwire_proto::group_state::GroupState;
use hubwire_proto::message::Data;
use hubwire_proto::metadata::Metadata;

use crate::group_state;
use crate::stream::StreamRequest;

/// A request that passed the session's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do.
    pub kind: RequestKind<'a>,
    /// The ack that the client asked for.
    pub ack_id: Option<u64>,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestKind<'a> {
    /// Become a member of the group.
    Join {
        /// The group.
        group: Cow<'a, str>,
    },
    /// Stop being a member of the group.
    Leave {
        /// The group.
        group: Cow<'a, str>,
    },
    /// Publish to the group.
    Publish {
        /// The group.
        group: Cow<'a, str>,
        /// What to publish.
        data: Data<'a>,
        /// What travels beside it.
        metadata: Metadata,
        /// Leave out this connection.
        no_echo: bool,
        /// How long to keep it for a receiver that is away; zero for as long as its session lives.
        ttl_seconds: u16,
    },
    /// Call the event handler.
    Event {
        /// The event's name.
        event: Cow<'a, str>,
        /// What it carries.
        data: Data<'a>,
        /// What travels beside it.
        metadata: Metadata,
    },
    /// Do something with a stream.
    Stream(StreamRequest<'a>),
    /// Set or clear what the group is told of the connection.
    SetGroupState {
        /// The group.
        group: Cow<'a, str>,
        /// What replaces the state; `None` clears it.
        state: Option<Arc<GroupState>>,
    },
    /// Be told what its members tell the group.
    SubscribeGroupState {
        /// The group.
        group: Cow<'a, str>,
    },
    /// Be told that no more.
    UnsubscribeGroupState {
        /// The group.
        group: Cow<'a, str>,
    },
}

impl RequestKind<'_> {
    /// Whether it concerns a list of the hub, and so has its turn when those before it are done.
    #[must_use]
    pub fn needs_turn(&self) -> bool {
        match self {
            Self::Join { .. }
            | Self::Leave { .. }
            | Self::Publish { .. }
            | Self::SetGroupState { .. }
            | Self::SubscribeGroupState { .. }
            | Self::UnsubscribeGroupState { .. } => true,
            Self::Event { .. } => false,
            Self::Stream(request) => request.may_publish(),
        }
    }
}

impl Request<'static> {
    /// Stands in for a request that is being tried again.
    pub(crate) fn nothing() -> Self {
        Self {
            kind: RequestKind::Leave {
                group: Cow::Borrowed(""),
            },
            ack_id: None,
        }
    }
}

impl Request<'_> {
    /// The request with a life of its own, for a session that has to wait.
    #[must_use]
    pub fn into_owned(self) -> Request<'static> {
        fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        fn owned_data(data: Data<'_>) -> Data<'static> {
            Data {
                data_type: data.data_type,
                bytes: Cow::Owned(data.bytes.into_owned()),
            }
        }
        let kind = match self.kind {
            RequestKind::Join { group } => RequestKind::Join {
                group: owned(group),
            },
            RequestKind::Leave { group } => RequestKind::Leave {
                group: owned(group),
            },
            RequestKind::Publish {
                group,
                data,
                metadata,
                no_echo,
                ttl_seconds,
            } => RequestKind::Publish {
                group: owned(group),
                data: owned_data(data),
                metadata,
                no_echo,
                ttl_seconds,
            },
            RequestKind::Event {
                event,
                data,
                metadata,
            } => RequestKind::Event {
                event: owned(event),
                data: owned_data(data),
                metadata,
            },
            RequestKind::Stream(request) => RequestKind::Stream(request.into_owned()),
            RequestKind::SetGroupState { group, state } => RequestKind::SetGroupState {
                group: owned(group),
                state,
            },
            RequestKind::SubscribeGroupState { group } => RequestKind::SubscribeGroupState {
                group: owned(group),
            },
            RequestKind::UnsubscribeGroupState { group } => RequestKind::UnsubscribeGroupState {
                group: owned(group),
            },
        };
        Request {
            kind,
            ack_id: self.ack_id,
        }
    }

    /// Bytes that the request holds on to while it waits.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.kind {
            RequestKind::Join { .. }
            | RequestKind::Leave { .. }
            | RequestKind::SubscribeGroupState { .. }
            | RequestKind::UnsubscribeGroupState { .. } => 0,
            RequestKind::SetGroupState { state, .. } => {
                state.as_deref().map_or(0, group_state::held_bytes)
            }
            RequestKind::Publish { data, metadata, .. }
            | RequestKind::Event { data, metadata, .. } => data.bytes.len() + metadata.len(),
            RequestKind::Stream(request) => request.held_bytes(),
        }
    }
}
