//! Collecting the members of a request, whatever they hold.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The known members of a request, the last of each.
#[derive(Default)]
pub(super) struct Members<'a> {
    pub(super) message_type: Option<Value<'a>>,
    pub(super) group: Option<Value<'a>>,
    pub(super) event: Option<Value<'a>>,
    pub(super) ack_id: Option<Value<'a>>,
    pub(super) no_echo: Option<Value<'a>>,
    pub(super) data_type: Option<Value<'a>>,
    pub(super) ttl_seconds: Option<Value<'a>>,
    pub(super) sequence_id: Option<Value<'a>>,
    pub(super) stream_id: Option<Value<'a>>,
    pub(super) stream_sequence_id: Option<Value<'a>>,
    // What follows is kept as raw JSON text.
    pub(super) data: Option<&'a str>,
    pub(super) metadata: Option<&'a str>,
    pub(super) stream: Option<&'a str>,
    pub(super) error: Option<&'a str>,
    pub(super) state: Option<&'a str>,
}

/// A JSON value, as far as any member that is not raw may hold one.
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// An integer from 0 to 2^64 - 1, spelled without fraction or exponent.
    Unsigned(u64),
    /// Any other number.
    Number,
    Text(Cow<'a, str>),
    /// An array or an object.
    Other,
}

impl<'a> Members<'a> {
    /// Reads a message, which is one object.
    pub(super) fn read(&mut self, json: &'a str) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        deserializer.deserialize_map(self)?;
        deserializer.end()
    }

    fn slot(&mut self, key: Key) -> Slot<'_, 'a> {
        Slot::Value(match key {
            Key::Type => &mut self.message_type,
            Key::Group => &mut self.group,
            Key::Event => &mut self.event,
            Key::AckId => &mut self.ack_id,
            Key::NoEcho => &mut self.no_echo,
            Key::DataType => &mut self.data_type,
            Key::TtlSeconds => &mut self.ttl_seconds,
            Key::SequenceId => &mut self.sequence_id,
            Key::StreamId => &mut self.stream_id,
            Key::StreamSequenceId => &mut self.stream_sequence_id,
            Key::Data => return Slot::Raw(&mut self.data),
            Key::Metadata => return Slot::Raw(&mut self.metadata),
            Key::Stream => return Slot::Raw(&mut self.stream),
            Key::Error => return Slot::Raw(&mut self.error),
            Key::State => return Slot::Raw(&mut self.state),
            Key::Unknown => return Slot::None,
        })
    }
}

/// Where a member goes.
enum Slot<'m, 'a> {
    Value(&'m mut Option<Value<'a>>),
    Raw(&'m mut Option<&'a str>),
    None,
}

impl<'de> Visitor<'de> for &mut Members<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key()? {
            match self.slot(key) {
                Slot::Value(slot) => *slot = Some(map.next_value()?),
                Slot::Raw(slot) => *slot = Some(map.next_value::<&RawValue>()?.get()),
                Slot::None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
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
                Ok(Value::Number)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
                Ok(Value::Number)
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

#[derive(Clone, Copy)]
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
    StreamId,
    StreamSequenceId,
    Metadata,
    Stream,
    Error,
    State,
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
                    "streamId" => Key::StreamId,
                    "streamSequenceId" => Key::StreamSequenceId,
                    "metadata" => Key::Metadata,
                    "stream" => Key::Stream,
                    "error" => Key::Error,
                    "state" => Key::State,
                    _ => Key::Unknown,
                })
            }
        }

        deserializer.deserialize_identifier(KeyVisitor)
    }
}
