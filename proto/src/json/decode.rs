//! Reading requests.
//!
//! Members are first collected whatever they hold, and then judged by the rules of the message's
//! type: so the last of repeated members counts whatever the others held, and members of other
//! types are ignored. `data` stays raw text and is never parsed into a tree.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::members::{Members, Value};
use super::object;
use super::value::{MAX_DATA_DEPTH, is_deeper_than, string};
use crate::group_state::GroupState;
use crate::message::{ClientMessage, Data, DataType, MAX_TTL_SECONDS, StreamEndError};
use crate::metadata::Metadata;
use crate::{name, protobuf};

/// A message that is no valid request (protocol notes: malformed messages). The connection gets
/// this text in `disconnected` and is closed with 1007.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The client message is not a valid JSON protocol message: {reason}.")]
pub struct Malformed {
    reason: Cow<'static, str>,
}

impl Malformed {
    /// The reason in the close frame, which has no room for details.
    pub const CLOSE_REASON: &'static str =
        "The client message is not a valid JSON protocol message.";

    const fn because(reason: &'static str) -> Self {
        Self {
            reason: Cow::Borrowed(reason),
        }
    }

    fn json(error: &serde_json::Error) -> Self {
        match error.classify() {
            // The one data error there is. serde's own text would quote the message.
            serde_json::error::Category::Data => Self::because("it must be a JSON object"),
            _ => Self {
                reason: Cow::Owned(error.to_string()),
            },
        }
    }
}

/// Reads the payload of a text message.
///
/// # Errors
///
/// [`Malformed`], with what is wrong.
pub fn decode(frame: &str) -> Result<ClientMessage<'_>, Malformed> {
    let mut members = Members::default();
    members
        .read(frame)
        .map_err(|error| Malformed::json(&error))?;
    members.interpret()
}

/// Reads the payload of a binary message, which must be UTF-8 all the same.
///
/// # Errors
///
/// [`Malformed`], with what is wrong.
pub fn decode_bytes(frame: &[u8]) -> Result<ClientMessage<'_>, Malformed> {
    let text = simdutf8::basic::from_utf8(frame)
        .map_err(|_| Malformed::because("it must be valid UTF-8"))?;
    decode(text)
}

impl<'a> Members<'a> {
    fn interpret(&mut self) -> Result<ClientMessage<'a>, Malformed> {
        let message_type = self.message_type()?;
        // A bad id is an error in every message, even in those that never use it.
        let ack_id = self.ack_id()?;
        Ok(match message_type {
            MessageType::JoinGroup => ClientMessage::JoinGroup {
                group: self.group()?,
                ack_id,
            },
            MessageType::LeaveGroup => ClientMessage::LeaveGroup {
                group: self.group()?,
                ack_id,
            },
            MessageType::SendToGroup => self.send_to_group(ack_id)?,
            MessageType::Event => {
                if present(self.stream).is_some() {
                    return Err(Malformed::because("an event cannot be a stream"));
                }
                let event = self.event()?;
                let (data, metadata) = self.content()?;
                ClientMessage::Event {
                    event,
                    data,
                    metadata,
                    ack_id,
                }
            }
            MessageType::Ping => ClientMessage::Ping,
            MessageType::SequenceAck => ClientMessage::SequenceAck {
                sequence_id: self.sequence_id()?,
            },
            MessageType::StreamData => self.stream_data()?,
            MessageType::StreamEnd => ClientMessage::StreamEnd {
                stream_id: text_of(self.stream_id.take()).ok_or(STREAM_ID)?,
                error: present(self.error).map(stream_end_error).transpose()?,
            },
            MessageType::SetGroupState => ClientMessage::SetGroupState {
                group: self.group()?,
                state: present(self.state).map(group_state).transpose()?,
                ack_id,
            },
            MessageType::SubscribeGroupState => ClientMessage::SubscribeGroupState {
                group: self.group()?,
                ack_id,
            },
            MessageType::UnsubscribeGroupState => ClientMessage::UnsubscribeGroupState {
                group: self.group()?,
                ack_id,
            },
        })
    }

    fn send_to_group(&mut self, ack_id: Option<u64>) -> Result<ClientMessage<'a>, Malformed> {
        let group = self.group()?;
        let no_echo = self.no_echo()?;
        let ttl_seconds = self.ttl_seconds()?;
        if let Some(stream) = present(self.stream) {
            let (stream_id, idle_timeout_ms) = stream_start(stream)?;
            let has_data = self.data.is_some() || self.data_type.is_some();
            return Ok(ClientMessage::stream_start(
                group,
                stream_id,
                idle_timeout_ms,
                no_echo,
                ack_id,
                has_data,
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

    fn stream_data(&mut self) -> Result<ClientMessage<'a>, Malformed> {
        let stream_id = text_of(self.stream_id.take()).ok_or(STREAM_ID)?;
        let stream_sequence_id = match self.stream_sequence_id {
            None | Some(Value::Null) => None,
            Some(Value::Unsigned(id)) => Some(id),
            Some(_) => {
                return Err(Malformed::because(
                    "`streamSequenceId` must be an unsigned integer",
                ));
            }
        };
        let has_data = (self.data_type.is_some(), self.data.is_some());
        Ok(match (stream_sequence_id, has_data) {
            (Some(stream_sequence_id), (true, true)) => ClientMessage::StreamData {
                stream_id,
                stream_sequence_id,
                data: self.data()?,
            },
            (None, (false, false)) => ClientMessage::StreamKeepAlive { stream_id },
            _ => ClientMessage::partial_stream_data(stream_id),
        })
    }

    /// Metadata can stand alone, beside an empty text.
    fn content(&self) -> Result<(Data<'a>, Metadata), Malformed> {
        let Some(raw) = present(self.metadata) else {
            return Ok((self.data()?, Metadata::default()));
        };
        let metadata = metadata(raw)?;
        if self.data.is_none() {
            self.data_type()?;
            return Ok((Data::EMPTY_TEXT, metadata));
        }
        Ok((self.data()?, metadata))
    }

    fn message_type(&self) -> Result<MessageType, Malformed> {
        let Some(Value::Text(name)) = &self.message_type else {
            return Err(Malformed::because("`type` must be a string"));
        };
        MessageType::NAMES
            .into_iter()
            .find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
            .ok_or(Malformed::because("its `type` is unknown"))
    }

    fn ack_id(&self) -> Result<Option<u64>, Malformed> {
        match self.ack_id {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Unsigned(id)) => Ok(Some(id)),
            Some(_) => Err(Malformed::because("`ackId` must be an unsigned integer")),
        }
    }

    fn group(&mut self) -> Result<Cow<'a, str>, Malformed> {
        match self.group.take() {
            Some(Value::Text(group)) if name::check_group(&group).is_ok() => Ok(group),
            _ => Err(Malformed::because(
                "`group` must be a string of 1 to 1024 characters, not all blank",
            )),
        }
    }

    fn event(&mut self) -> Result<Cow<'a, str>, Malformed> {
        match self.event.take() {
            Some(Value::Text(event)) if name::check_event(&event).is_ok() => Ok(event),
            _ => Err(Malformed::because(
                "`event` must be a string: a letter, then up to 127 letters, digits or any of `_.-`",
            )),
        }
    }

    fn no_echo(&self) -> Result<bool, Malformed> {
        match self.no_echo {
            None => Ok(false),
            Some(Value::Bool(no_echo)) => Ok(no_echo),
            Some(_) => Err(Malformed::because("`noEcho` must be true or false")),
        }
    }

    fn ttl_seconds(&self) -> Result<u16, Malformed> {
        match self.ttl_seconds {
            None | Some(Value::Null) => Ok(0),
            Some(Value::Unsigned(seconds)) => u16::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds <= MAX_TTL_SECONDS)
                .ok_or(TTL_SECONDS),
            Some(_) => Err(TTL_SECONDS),
        }
    }

    fn data(&self) -> Result<Data<'a>, Malformed> {
        let data_type = self.data_type()?;
        let raw = self.data.ok_or(Malformed::because("`data` is missing"))?;
        let bytes = match data_type {
            DataType::Json => json_data(raw)?,
            DataType::Text => match string(raw) {
                Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
                Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
                None => {
                    return Err(Malformed::because(
                        "`data` must be a string when `dataType` is text",
                    ));
                }
            },
            DataType::Binary | DataType::Protobuf => string(raw)
                .and_then(|text| STANDARD.decode(text.as_bytes()).ok())
                .map(Cow::Owned)
                .ok_or(Malformed::because(
                    "`data` must be a base64 string when `dataType` is binary or protobuf",
                ))?,
        };
        // Anything else would break the protobuf clients that receive it.
        if data_type == DataType::Protobuf && protobuf::check_any(&bytes).is_err() {
            return Err(Malformed::because(
                "`data` must hold a google.protobuf.Any when `dataType` is protobuf",
            ));
        }
        Ok(Data { data_type, bytes })
    }

    fn data_type(&self) -> Result<DataType, Malformed> {
        const WRONG: Malformed =
            Malformed::because("`dataType` must be json, text, binary or protobuf");
        let name = match &self.data_type {
            None => return Ok(DataType::Json),
            Some(Value::Text(name)) => name,
            Some(_) => return Err(WRONG),
        };
        [
            ("json", DataType::Json),
            ("text", DataType::Text),
            ("binary", DataType::Binary),
            ("protobuf", DataType::Protobuf),
        ]
        .into_iter()
        .find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
        .ok_or(WRONG)
    }

    /// A number, or one in quotes: some clients keep 64-bit ids as strings.
    fn sequence_id(&self) -> Result<u64, Malformed> {
        let id = match &self.sequence_id {
            Some(Value::Unsigned(id)) => Some(*id),
            // Parsing alone would also take a leading `+`.
            Some(Value::Text(digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok()
            }
            _ => None,
        };
        id.ok_or(Malformed::because(
            "`sequenceId` must be an unsigned integer",
        ))
    }
}

const STREAM_ID: Malformed = Malformed::because("`streamId` must be a string");
const TTL_SECONDS: Malformed = Malformed::because("`ttlSeconds` must be an integer from 0 to 300");

#[derive(Clone, Copy)]
enum MessageType {
    JoinGroup,
    LeaveGroup,
    SendToGroup,
    Event,
    Ping,
    SequenceAck,
    StreamData,
    StreamEnd,
    SetGroupState,
    SubscribeGroupState,
    UnsubscribeGroupState,
}

impl MessageType {
    /// The most frequent first.
    const NAMES: [(&'static str, Self); 11] = [
        ("sendToGroup", Self::SendToGroup),
        ("event", Self::Event),
        ("ping", Self::Ping),
        ("streamData", Self::StreamData),
        ("sequenceAck", Self::SequenceAck),
        ("joinGroup", Self::JoinGroup),
        ("leaveGroup", Self::LeaveGroup),
        ("streamEnd", Self::StreamEnd),
        ("setGroupState", Self::SetGroupState),
        ("subscribeGroupState", Self::SubscribeGroupState),
        ("unsubscribeGroupState", Self::UnsubscribeGroupState),
    ];
}

fn json_data(raw: &str) -> Result<Cow<'_, [u8]>, Malformed> {
    if raw == "null" {
        return Err(Malformed::because(
            "`data` must not be null when `dataType` is json",
        ));
    }
    if is_deeper_than(raw, MAX_DATA_DEPTH) {
        return Err(Malformed::because(
            "`data` must not be nested deeper than 63 levels",
        ));
    }
    Ok(Cow::Borrowed(raw.as_bytes()))
}

/// A raw member that is there and not `null`.
fn present(raw: Option<&str>) -> Option<&str> {
    raw.filter(|raw| *raw != "null")
}

fn text_of(value: Option<Value<'_>>) -> Option<Cow<'_, str>> {
    match value {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn metadata(raw: &str) -> Result<Metadata, Malformed> {
    let mut metadata = Metadata::default();
    let mut wrong = None;
    let is_read = object::walk_texts(raw, |key, value| {
        wrong = match metadata.insert(&key, &value) {
            Ok(false) => None,
            Ok(true) => Some("a key of `metadata` is repeated"),
            Err(error) => Some(error.rule()),
        };
        wrong.is_none()
    });
    if let Some(reason) = wrong {
        return Err(Malformed::because(reason));
    }
    if !is_read {
        return Err(Malformed::because(
            "`metadata` must be an object of strings",
        ));
    }
    metadata
        .check_len()
        .map_err(|error| Malformed::because(error.rule()))?;
    Ok(metadata)
}

/// The stream's id, and how long it may rest; a number that is no time becomes zero.
fn stream_start(raw: &str) -> Result<(Cow<'_, str>, Option<u64>), Malformed> {
    let Some([stream_id, idle_timeout_ms]) = object::members(raw, ["streamId", "idleTimeoutMs"])
    else {
        return Err(Malformed::because("`stream` must be an object"));
    };
    let idle_timeout_ms = match idle_timeout_ms {
        None | Some(Value::Null) => None,
        Some(Value::Unsigned(ms)) => Some(ms),
        Some(Value::Number) => Some(0),
        Some(_) => return Err(Malformed::because("`idleTimeoutMs` must be a number")),
    };
    Ok((text_of(stream_id).ok_or(STREAM_ID)?, idle_timeout_ms))
}

fn stream_end_error(raw: &str) -> Result<StreamEndError<'_>, Malformed> {
    const WRONG: Malformed =
        Malformed::because("`error` must be an object whose texts are strings");
    let texts = object::members(raw, ["message", "userErrorCode"]).ok_or(WRONG)?;
    let [message, user_error_code] = texts.map(|text| match text {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(WRONG),
    });
    Ok(StreamEndError {
        message: message?,
        user_error_code: user_error_code?,
    })
}

fn group_state(raw: &str) -> Result<GroupState, Malformed> {
    let mut state = GroupState::default();
    let is_read = object::walk_texts(raw, |key, value| {
        state.insert(key.into_owned(), value.into_owned());
        true
    });
    if is_read {
        Ok(state)
    } else {
        Err(Malformed::because("`state` must be an object of strings"))
    }
}
