//! Reading requests.
//!
//! The rules of the wire format hold: unknown fields are skipped, of repeated fields the last
//! counts, and a message that comes in several pieces is their union.

use std::borrow::Cow;

use super::wire::{Fields, Value, WireError};
use crate::group_state::GroupState;
use crate::json::{self, InvalidJson};
use crate::message::{ClientMessage, Data, DataType, MAX_TTL_SECONDS, StreamEndError};
use crate::metadata::{Metadata, MetadataError};
use crate::name;

/// A message that is no valid request (protocol notes: malformed messages). The connection gets
/// this text in `disconnected` and is closed with 1007.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The client message is not a valid protobuf.webpubsub.azure.v1 protocol message: {0}.")]
pub struct Malformed(pub Fault);

impl Malformed {
    /// The reason in the close frame, which has no room for details.
    pub const CLOSE_REASON: &'static str =
        "The client message is not a valid protobuf.webpubsub.azure.v1 protocol message.";

    /// The reason in the close frame, with 1003, after a message that is text.
    pub const TEXT_CLOSE_REASON: &'static str =
        "The protobuf.webpubsub.azure.v1 subprotocol requires binary messages.";
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its bytes, or those of a message within it.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It holds none of the requests that we know.
    #[error("it holds no known request")]
    NoRequest,
    /// A group that cannot be.
    #[error("`group` must be a string of 1 to 1024 characters, not all blank")]
    Group,
    /// An event that cannot be.
    #[error("`event` must be a string: a letter, then up to 127 letters, digits or any of `_.-`")]
    Event,
    /// Nothing to publish, or to hand to the event handler.
    #[error("`data` is missing")]
    NoData,
    /// More seconds than a message may live.
    #[error("`ttl_seconds` must be an integer from 0 to {MAX_TTL_SECONDS}")]
    TtlSeconds,
    /// A stream that would go to the event handler.
    #[error("an event cannot be a stream")]
    Stream,
    /// Metadata that breaks a rule, which is named.
    #[error("{0}")]
    Metadata(&'static str),
    /// What is not JSON would break every JSON client that receives it.
    #[error("`json_data` must be one JSON value")]
    Json,
    /// As in the json subprotocol.
    #[error("`json_data` must not be null")]
    JsonNull,
    /// As in the json subprotocol.
    #[error(
        "`json_data` must not be nested deeper than {} levels",
        json::MAX_DATA_DEPTH
    )]
    JsonDepth,
}

impl From<MetadataError> for Fault {
    fn from(error: MetadataError) -> Self {
        Self::Metadata(error.rule())
    }
}

impl From<InvalidJson> for Fault {
    fn from(error: InvalidJson) -> Self {
        match error {
            InvalidJson::Syntax => Self::Json,
            InvalidJson::Depth => Self::JsonDepth,
        }
    }
}

/// Reads the payload of a binary message.
///
/// # Errors
///
/// [`Malformed`], with what is wrong.
pub fn decode(message: &[u8]) -> Result<ClientMessage<'_>, Malformed> {
    upstream(message).map_err(Malformed)
}

/// Checks that bytes are a serialized `google.protobuf.Any`, so that they can be carried as
/// [`DataType::Protobuf`]. What its value holds is not looked at.
///
/// # Errors
///
/// [`WireError`].
pub fn check_any(bytes: &[u8]) -> Result<(), WireError> {
    for field in Fields::of(bytes) {
        match field? {
            (1, type_url) => _ = type_url.text()?,
            (2, value) => _ = value.bytes()?,
            _ => {}
        }
    }
    Ok(())
}

/// The members of the oneof in `UpstreamMessage`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    SendToGroup,
    Event,
    JoinGroup,
    LeaveGroup,
    SequenceAck,
    Ping,
    StreamData,
    StreamEnd,
    SetGroupState,
    SubscribeGroupState,
    UnsubscribeGroupState,
}

impl Kind {
    const fn of(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::SendToGroup,
            5 => Self::Event,
            6 => Self::JoinGroup,
            7 => Self::LeaveGroup,
            8 => Self::SequenceAck,
            9 => Self::Ping,
            13 => Self::StreamData,
            14 => Self::StreamEnd,
            15 => Self::SetGroupState,
            16 => Self::SubscribeGroupState,
            17 => Self::UnsubscribeGroupState,
            _ => return None,
        })
    }
}

/// The known fields of a request, whichever it is.
struct Fieldset<'a> {
    kind: Kind,
    /// The group, the event or the stream.
    name: &'a str,
    ack_id: Option<u64>,
    no_echo: bool,
    ttl_seconds: u64,
    metadata: Metadata,
    stream: Option<StreamStart<'a>>,
    /// Of a reliable delivery, or of a part of a stream.
    sequence_id: Option<u64>,
    /// Whether the field is there at all.
    has_data: bool,
    data: Option<Data<'a>>,
    error: Option<StreamEndError<'a>>,
    state: Option<GroupState>,
}

#[derive(Default)]
struct StreamStart<'a> {
    stream_id: &'a str,
    idle_timeout_ms: Option<u64>,
}

fn upstream(message: &[u8]) -> Result<ClientMessage<'_>, Fault> {
    let mut request: Option<Fieldset<'_>> = None;
    for field in Fields::of(message) {
        let (number, value) = field?;
        let Some(kind) = Kind::of(number) else {
            continue;
        };
        let request = match &mut request {
            Some(same) if same.kind == kind => same,
            other => other.insert(Fieldset::new(kind)),
        };
        for field in Fields::of(value.bytes()?) {
            let (number, value) = field?;
            request.read(number, value)?;
        }
    }
    request.ok_or(Fault::NoRequest)?.interpret()
}

impl<'a> Fieldset<'a> {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            name: "",
            ack_id: None,
            no_echo: false,
            ttl_seconds: 0,
            metadata: Metadata::default(),
            stream: None,
            sequence_id: None,
            has_data: false,
            data: None,
            error: None,
            state: None,
        }
    }

    fn read(&mut self, number: u32, value: Value<'a>) -> Result<(), Fault> {
        use Kind::{
            Event, JoinGroup, LeaveGroup, Ping, SendToGroup, SequenceAck, SetGroupState,
            StreamData, StreamEnd, SubscribeGroupState, UnsubscribeGroupState,
        };
        match (self.kind, number) {
            (SequenceAck, 1) | (StreamData, 2) => self.sequence_id = Some(value.number()?),
            (SequenceAck | Ping, _) => {}
            (_, 1) => self.name = value.text()?,
            (
                SendToGroup
                | JoinGroup
                | LeaveGroup
                | SetGroupState
                | SubscribeGroupState
                | UnsubscribeGroupState,
                2,
            )
            | (Event, 3) => self.ack_id = Some(value.number()?),
            (SendToGroup | StreamData, 3) | (Event, 2) => self.read_data(value.bytes()?)?,
            (SendToGroup, 4) => self.no_echo = value.number()? != 0,
            (SendToGroup, 5) => self.ttl_seconds = value.number()?,
            (SendToGroup, 6) | (Event, 4) => {
                let (key, text) = map_entry(value.bytes()?)?;
                self.metadata.insert(key, text)?;
            }
            (SendToGroup, 7) | (Event, 5) => self.read_stream(value.bytes()?)?,
            (StreamEnd, 2) => self.read_error(value.bytes()?)?,
            (SetGroupState, 3) => self.read_state(value.bytes()?)?,
            _ => {}
        }
        Ok(())
    }

    /// The fields of `StreamStartInfo`.
    fn read_stream(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        let stream = self.stream.get_or_insert_default();
        for field in Fields::of(message) {
            match field? {
                (1, stream_id) => stream.stream_id = stream_id.text()?,
                // Longer numbers lose what does not fit into the type of the field.
                (2, ms) => stream.idle_timeout_ms = Some(ms.number()? & u64::from(u32::MAX)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The fields of `StreamEndError`.
    fn read_error(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        let error = self.error.get_or_insert_default();
        for field in Fields::of(message) {
            match field? {
                (1, text) => error.message = Some(Cow::Borrowed(text.text()?)),
                (2, code) => error.user_error_code = Some(Cow::Borrowed(code.text()?)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The field of `GroupState`, a map.
    fn read_state(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        let state = self.state.get_or_insert_default();
        for field in Fields::of(message) {
            if let (1, entry) = field? {
                let (key, value) = map_entry(entry.bytes()?)?;
                state.insert(key.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    /// The fields of `MessageData`, which are one oneof.
    fn read_data(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        self.has_data = true;
        for field in Fields::of(message) {
            let (number, value) = field?;
            let (data_type, bytes) = match number {
                1 => (DataType::Text, value.text()?.as_bytes()),
                2 => (DataType::Binary, value.bytes()?),
                3 => (DataType::Protobuf, value.bytes()?),
                4 => (DataType::Json, value.text()?.as_bytes()),
                _ => continue,
            };
            if data_type == DataType::Protobuf {
                check_any(bytes)?;
                if let Some(Data {
                    data_type: DataType::Protobuf,
                    bytes: earlier,
                }) = &mut self.data
                {
                    // The union of two serialized messages is one behind the other.
                    earlier.to_mut().extend_from_slice(bytes);
                    continue;
                }
            }
            self.data = Some(Data {
                data_type,
                bytes: Cow::Borrowed(bytes),
            });
        }
        Ok(())
    }

    fn interpret(self) -> Result<ClientMessage<'a>, Fault> {
        let ack_id = self.ack_id;
        Ok(match self.kind {
            Kind::SendToGroup => self.send_to_group()?,
            Kind::Event => {
                if self.stream.is_some() {
                    return Err(Fault::Stream);
                }
                name::check_event(self.name).map_err(|_| Fault::Event)?;
                let event = Cow::Borrowed(self.name);
                let (data, metadata) = self.content()?;
                ClientMessage::Event {
                    event,
                    data,
                    metadata,
                    ack_id,
                }
            }
            Kind::JoinGroup => ClientMessage::JoinGroup {
                group: self.group()?,
                ack_id,
            },
            Kind::LeaveGroup => ClientMessage::LeaveGroup {
                group: self.group()?,
                ack_id,
            },
            Kind::SequenceAck => ClientMessage::SequenceAck {
                sequence_id: self.sequence_id.unwrap_or_default(),
            },
            Kind::Ping => ClientMessage::Ping,
            Kind::StreamData => self.stream_data()?,
            Kind::StreamEnd => ClientMessage::StreamEnd {
                stream_id: Cow::Borrowed(self.name),
                error: self.error,
            },
            Kind::SetGroupState => ClientMessage::SetGroupState {
                group: self.group()?,
                state: self.state,
                ack_id,
            },
            Kind::SubscribeGroupState => ClientMessage::SubscribeGroupState {
                group: self.group()?,
                ack_id,
            },
            Kind::UnsubscribeGroupState => ClientMessage::UnsubscribeGroupState {
                group: self.group()?,
                ack_id,
            },
        })
    }

    fn send_to_group(self) -> Result<ClientMessage<'a>, Fault> {
        let group = self.group()?;
        let ttl_seconds = u16::try_from(self.ttl_seconds)
            .ok()
            .filter(|seconds| *seconds <= MAX_TTL_SECONDS)
            .ok_or(Fault::TtlSeconds)?;
        let (no_echo, ack_id) = (self.no_echo, self.ack_id);
        if let Some(stream) = self.stream {
            return Ok(ClientMessage::stream_start(
                group,
                Cow::Borrowed(stream.stream_id),
                stream.idle_timeout_ms,
                no_echo,
                ack_id,
                self.data.is_some(),
            ));
        }
        let (data, metadata) = self.content()?;
        Ok(ClientMessage::SendToGroup {
            group,
            data,
            metadata,
            no_echo,
            ttl_seconds,
            ack_id,
        })
    }

    fn stream_data(self) -> Result<ClientMessage<'a>, Fault> {
        let stream_id = Cow::Borrowed(self.name);
        Ok(match (self.sequence_id, self.has_data) {
            (Some(stream_sequence_id), true) => ClientMessage::StreamData {
                stream_id,
                stream_sequence_id,
                data: checked(self.data)?,
            },
            (None, false) => ClientMessage::StreamKeepAlive { stream_id },
            _ => ClientMessage::partial_stream_data(stream_id),
        })
    }

    fn group(&self) -> Result<Cow<'a, str>, Fault> {
        name::check_group(self.name).map_err(|_| Fault::Group)?;
        Ok(Cow::Borrowed(self.name))
    }

    /// Metadata can stand alone, beside an empty text.
    fn content(self) -> Result<(Data<'a>, Metadata), Fault> {
        self.metadata.check_len()?;
        let data = if self.has_data || self.metadata.is_empty() {
            checked(self.data)?
        } else {
            Data::EMPTY_TEXT
        };
        Ok((data, self.metadata))
    }
}

fn checked(data: Option<Data<'_>>) -> Result<Data<'_>, Fault> {
    let data = data.ok_or(Fault::NoData)?;
    if data.data_type == DataType::Json {
        json::check_value(&data.bytes)?;
        if data.bytes.trim_ascii() == b"null" {
            return Err(Fault::JsonNull);
        }
    }
    Ok(data)
}

/// An entry of a map of strings. What is absent is empty.
fn map_entry(message: &[u8]) -> Result<(&str, &str), WireError> {
    let (mut key, mut value) = ("", "");
    for field in Fields::of(message) {
        match field? {
            (1, text) => key = text.text()?,
            (2, text) => value = text.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}
