//! Simple clients: bare payloads, no envelope, no acknowledgements (protocol notes: simple
//! clients).
//!
//! Whether a client may send to its group is decided by the session, message by message.

use std::borrow::Cow;

use crate::message::{ClientMessage, Data, DataType};
use crate::metadata::Metadata;
use crate::name;
use crate::ws::MessageKind;

/// The name of the user event that a message becomes in [`SimpleMode::SendEvent`].
pub const EVENT_NAME: &str = "message";

/// What a simple client's messages mean, fixed for the life of the connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SimpleMode {
    /// Each message is the user event [`EVENT_NAME`].
    #[default]
    SendEvent,
    /// Each message is published to one group.
    SendToGroup {
        /// The group, a valid name. The client need not be a member.
        group: Box<str>,
        /// Leave out the sending connection.
        no_echo: bool,
    },
}

/// Query parameters that no mode can be read from. The text is the body of the 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// `webpubsub_mode` is neither mode.
    #[error("Invalid webpubsub_mode. Valid modes are sendToGroup and sendEvent.")]
    Mode,
    /// `group` is missing or not a group name.
    #[error("The raw sendToGroup group name is invalid.")]
    Group,
    /// `noEcho` is no truth value.
    #[error("Invalid noEcho. Valid values are true and false.")]
    NoEcho,
}

impl SimpleMode {
    /// Reads the decoded values of the query parameters `webpubsub_mode`, `group` and `noEcho`, in
    /// the order they came in; the last of each counts. To be called for every new connection,
    /// also for those that turn out not to be simple.
    ///
    /// # Errors
    ///
    /// [`ModeError`]. In event mode `group` and `noEcho` are not looked at.
    pub fn from_query(
        modes: &[&str],
        groups: &[&str],
        no_echo: &[&str],
    ) -> Result<Self, ModeError> {
        fn last<'a>(values: &[&'a str]) -> &'a str {
            values.last().copied().unwrap_or_default()
        }
        let mode = last(modes);
        if mode.is_empty() || mode.eq_ignore_ascii_case("sendEvent") {
            return Ok(Self::SendEvent);
        }
        if !mode.eq_ignore_ascii_case("sendToGroup") {
            return Err(ModeError::Mode);
        }
        let group = last(groups);
        name::check_group(group).map_err(|_| ModeError::Group)?;
        let no_echo = match last(no_echo) {
            value if value.is_empty() || value.eq_ignore_ascii_case("false") => false,
            value if value.eq_ignore_ascii_case("true") => true,
            _ => return Err(ModeError::NoEcho),
        };
        Ok(Self::SendToGroup {
            group: group.into(),
            no_echo,
        })
    }

    /// What a message asks for. The payload of a text message is valid UTF-8, as framing
    /// guarantees.
    #[must_use]
    pub fn decode<'a>(&'a self, kind: MessageKind, payload: &'a [u8]) -> ClientMessage<'a> {
        let data = Data {
            data_type: match kind {
                MessageKind::Text => DataType::Text,
                MessageKind::Binary => DataType::Binary,
            },
            bytes: Cow::Borrowed(payload),
        };
        match self {
            Self::SendEvent => ClientMessage::Event {
                event: Cow::Borrowed(EVENT_NAME),
                data,
                metadata: Metadata::default(),
                ack_id: None,
            },
            Self::SendToGroup { group, no_echo } => ClientMessage::SendToGroup {
                group: Cow::Borrowed(group),
                data,
                no_echo: *no_echo,
                metadata: Metadata::default(),
                ttl_seconds: 0,
                ack_id: None,
            },
        }
    }
}

/// The message in which a simple client gets data; its payload is the data's bytes as they are.
#[must_use]
pub const fn message_kind(data_type: DataType) -> MessageKind {
    match data_type {
        DataType::Json | DataType::Text => MessageKind::Text,
        DataType::Binary | DataType::Protobuf => MessageKind::Binary,
    }
}
