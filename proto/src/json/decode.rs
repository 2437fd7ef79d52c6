//! Reading requests.
//!
//! Members are first collected whatever they hold, and then judged by the rules of the message's
//! type: so the last of repeated members counts whatever the others held, and members of other
//! types are ignored. `data` stays raw text and is never parsed into a tree.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::message::{ClientMessage, Data, DataType, MAX_TTL_SECONDS};
use crate::{name, protobuf};

/// How deep arrays and objects may nest in `data`. Its envelope is one level more, and 64 levels
/// is what the strictest client library parses; a deeper value would cut off every such member of
/// a group.
pub const MAX_DATA_DEPTH: usize = 63;

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

/// A text that is not one JSON value, or one nested deeper than [`MAX_DATA_DEPTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// Not one JSON value in UTF-8.
    #[error("The text is not one JSON value.")]
    Syntax,
    /// Nested too deep.
    #[error("The JSON value is nested deeper than {MAX_DATA_DEPTH} levels.")]
    Depth,
}

/// Reads the payload of a text message.
///
/// # Errors
///
/// [`Malformed`], with what is wrong.
pub fn decode(frame: &str) -> Result<ClientMessage<'_>, Malformed> {
    let members: Members<'_> =
        serde_json::from_str(frame).map_err(|error| Malformed::json(&error))?;
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

/// Checks that bytes are one JSON value that can be carried as [`DataType::Json`].
///
/// # Errors
///
/// [`InvalidJson`].
pub fn check_value(json: &[u8]) -> Result<(), InvalidJson> {
    let text = simdutf8::basic::from_utf8(json).map_err(|_| InvalidJson::Syntax)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| InvalidJson::Syntax)?;
    if is_deeper_than(text, MAX_DATA_DEPTH) {
        return Err(InvalidJson::Depth);
    }
    Ok(())
}

/// The known members of a request.
#[derive(Default)]
struct Members<'a> {
    message_type: Option<Value<'a>>,
    group: Option<Value<'a>>,
    event: Option<Value<'a>>,
    ack_id: Option<Value<'a>>,
    no_echo: Option<Value<'a>>,
    data_type: Option<Value<'a>>,
    ttl_seconds: Option<Value<'a>>,
    sequence_id: Option<Value<'a>>,
    /// The raw JSON text.
    data: Option<&'a str>,
}

/// A JSON value, as far as any member other than `data` may hold one.
enum Value<'a> {
    Null,
    Bool(bool),
    /// An integer from 0 to 2^64 - 1, spelled without fraction or exponent.
    Unsigned(u64),
    Text(Cow<'a, str>),
    Other,
}

impl<'a> Members<'a> {
    fn interpret(mut self) -> Result<ClientMessage<'a>, Malformed> {
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
            MessageType::SendToGroup => {
                self.check_ttl()?;
                ClientMessage::SendToGroup {
                    group: self.group()?,
                    no_echo: self.no_echo()?,
                    data: self.data()?,
                    ack_id,
                }
            }
            MessageType::Event => ClientMessage::Event {
                event: self.event()?,
                data: self.data()?,
                ack_id,
            },
            MessageType::Ping => ClientMessage::Ping,
            MessageType::SequenceAck => ClientMessage::SequenceAck {
                sequence_id: self.sequence_id()?,
            },
        })
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

    fn check_ttl(&self) -> Result<(), Malformed> {
        match self.ttl_seconds {
            None | Some(Value::Null | Value::Unsigned(0..=MAX_TTL_SECONDS)) => Ok(()),
            Some(_) => Err(Malformed::because(
                "`ttlSeconds` must be an integer from 0 to 300",
            )),
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

#[derive(Clone, Copy)]
enum MessageType {
    JoinGroup,
    LeaveGroup,
    SendToGroup,
    Event,
    Ping,
    SequenceAck,
}

impl MessageType {
    /// The most frequent first.
    const NAMES: [(&'static str, Self); 6] = [
        ("sendToGroup", Self::SendToGroup),
        ("event", Self::Event),
        ("ping", Self::Ping),
        ("sequenceAck", Self::SequenceAck),
        ("joinGroup", Self::JoinGroup),
        ("leaveGroup", Self::LeaveGroup),
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

/// The text of a JSON string, borrowed unless it has escapes; `None` for any other value, and for
/// escapes that mean no character.
fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

/// Whether valid JSON nests deeper than `limit`.
fn is_deeper_than(json: &str, limit: usize) -> bool {
    let bytes = json.as_bytes();
    // Each level takes two bytes and has an opening one, so most values need no walk.
    if bytes.len() <= 2 * limit || memchr::memchr2_iter(b'[', b'{', bytes).nth(limit).is_none() {
        return false;
    }
    let mut depth = 0_usize;
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// Moves past the quote that ends a string.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => _ = bytes.next(),
            _ => {}
        }
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some(key) = map.next_key::<Key>()? {
                    let slot = match key {
                        Key::Type => &mut members.message_type,
                        Key::Group => &mut members.group,
                        Key::Event => &mut members.event,
                        Key::AckId => &mut members.ack_id,
                        Key::NoEcho => &mut members.no_echo,
                        Key::DataType => &mut members.data_type,
                        Key::Data => {
                            members.data = Some(map.next_value::<&RawValue>()?.get());
                            continue;
                        }
                        Key::TtlSeconds => &mut members.ttl_seconds,
                        Key::SequenceId => &mut members.sequence_id,
                        Key::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *slot = Some(map.next_value()?);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Value<'de>, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
                Ok(Value::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
                Ok(Value::Unsigned(value))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
                Ok(Value::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
                Ok(Value::Other)
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(value.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Other)
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}

enum Key {
    Type,
    Group,
    Event,
    AckId,
    NoEcho,
    DataType,
    Data,
    TtlSeconds,
    SequenceId,
    Unknown,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "type" => Key::Type,
                    "group" => Key::Group,
                    "event" => Key::Event,
                    "ackId" => Key::AckId,
                    "noEcho" => Key::NoEcho,
                    "dataType" => Key::DataType,
                    "data" => Key::Data,
                    "ttlSeconds" => Key::TtlSeconds,
                    "sequenceId" => Key::SequenceId,
                    _ => Key::Unknown,
                })
            }
        }

        deserializer.deserialize_identifier(KeyVisitor)
    }
}
