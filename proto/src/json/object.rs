//! The objects within a request, read from their raw text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::members::Value;

/// The last value of each of two members; `None` for what is no object.
pub(super) fn members<'a>(raw: &'a str, names: [&str; 2]) -> Option<[Option<Value<'a>>; 2]> {
    parse(raw, Named { names })
}

/// Hands every entry of an object to `each`, which may end the walk by `false`. Gives whether all
/// is an object of strings and was walked.
pub(super) fn walk_texts<'a>(
    raw: &'a str,
    each: impl FnMut(Cow<'a, str>, Cow<'a, str>) -> bool,
) -> bool {
    parse(raw, Texts { each }).is_some()
}

fn parse<'a, S: DeserializeSeed<'a>>(raw: &'a str, seed: S) -> Option<S::Value> {
    // Nothing can follow: `raw` is one value.
    seed.deserialize(&mut serde_json::Deserializer::from_str(raw))
        .ok()
}

struct Named<'n> {
    names: [&'n str; 2],
}

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = [Option<Value<'de>>; 2];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = [Option<Value<'de>>; 2];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let [mut first, mut second] = [None, None];
        while let Some(Text(name)) = map.next_key()? {
            let slot = if name == self.names[0] {
                &mut first
            } else if name == self.names[1] {
                &mut second
            } else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            *slot = Some(map.next_value()?);
        }
        Ok([first, second])
    }
}

struct Texts<F> {
    each: F,
}

impl<'de, F: FnMut(Cow<'de, str>, Cow<'de, str>) -> bool> DeserializeSeed<'de> for Texts<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Cow<'de, str>, Cow<'de, str>) -> bool> Visitor<'de> for Texts<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Text(key), Text(value))) = map.next_entry()? {
            if !(self.each)(key, value) {
                return Err(A::Error::custom("ended"));
            }
        }
        Ok(())
    }
}

/// A string, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
