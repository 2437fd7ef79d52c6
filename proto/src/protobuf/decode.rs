//! Reading requests.
//!
//! The rules of the wire format hold: unknown fields are skipped, of repeated fields the last
//! counts, and a message that comes in several pieces is their union.

use std::borrow::Cow;

use super::wire::{Fields, Value, WireError};
use crate::json::{self, InvalidJson};
use crate::message::{ClientMessage, Data, DataType, MAX_TTL_SECONDS};
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
    /// The start of a stream.
    #[error("streams are not supported")]
    Stream,
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
            _ => return None,
        })
    }
}

/// The known fields of a request, whichever it is.
struct Fieldset<'a> {
    kind: Kind,
    /// The group or the event.
    name: &'a str,
    ack_id: Option<u64>,
    no_echo: bool,
    ttl_seconds: u64,
    has_stream: bool,
    sequence_id: u64,
    data: Option<Data<'a>>,
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
    const fn new(kind: Kind) -> Self {
        Self {
            kind,
            name: "",
            ack_id: None,
            no_echo: false,
            ttl_seconds: 0,
            has_stream: false,
            sequence_id: 0,
            data: None,
        }
    }

    fn read(&mut self, number: u32, value: Value<'a>) -> Result<(), WireError> {
        use Kind::{Event, JoinGroup, LeaveGroup, SendToGroup, SequenceAck};
        match (self.kind, number) {
            (SendToGroup | Event | JoinGroup | LeaveGroup, 1) => self.name = value.text()?,
            (SendToGroup | JoinGroup | LeaveGroup, 2) | (Event, 3) => {
                self.ack_id = Some(value.number()?);
            }
            (SendToGroup, 3) | (Event, 2) => self.read_data(value.bytes()?)?,
            (SendToGroup, 4) => self.no_echo = value.number()? != 0,
            (SendToGroup, 5) => self.ttl_seconds = value.number()?,
            (SendToGroup, 7) | (Event, 5) => self.has_stream = true,
            (SequenceAck, 1) => self.sequence_id = value.number()?,
            // Metadata among them.
            _ => {}
        }
        Ok(())
    }

    /// The fields of `MessageData`, which are one oneof.
    fn read_data(&mut self, message: &'a [u8]) -> Result<(), WireError> {
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
        Ok(match self.kind {
            Kind::SendToGroup => {
                if self.has_stream {
                    return Err(Fault::Stream);
                }
                if self.ttl_seconds > MAX_TTL_SECONDS {
                    return Err(Fault::TtlSeconds);
                }
                ClientMessage::SendToGroup {
                    group: self.group()?,
                    no_echo: self.no_echo,
                    ack_id: self.ack_id,
                    data: self.data()?,
                }
            }
            Kind::Event => {
                if self.has_stream {
                    return Err(Fault::Stream);
                }
                name::check_event(self.name).map_err(|_| Fault::Event)?;
                ClientMessage::Event {
                    event: Cow::Borrowed(self.name),
                    ack_id: self.ack_id,
                    data: self.data()?,
                }
            }
            Kind::JoinGroup => ClientMessage::JoinGroup {
                group: self.group()?,
                ack_id: self.ack_id,
            },
            Kind::LeaveGroup => ClientMessage::LeaveGroup {
                group: self.group()?,
                ack_id: self.ack_id,
            },
            Kind::SequenceAck => ClientMessage::SequenceAck {
                sequence_id: self.sequence_id,
            },
            Kind::Ping => ClientMessage::Ping,
        })
    }

    fn group(&self) -> Result<Cow<'a, str>, Fault> {
        name::check_group(self.name).map_err(|_| Fault::Group)?;
        Ok(Cow::Borrowed(self.name))
    }

    fn data(self) -> Result<Data<'a>, Fault> {
        let data = self.data.ok_or(Fault::NoData)?;
        if data.data_type == DataType::Json {
            json::check_value(&data.bytes)?;
            if data.bytes.trim_ascii() == b"null" {
                return Err(Fault::JsonNull);
            }
        }
        Ok(data)
    }
}
