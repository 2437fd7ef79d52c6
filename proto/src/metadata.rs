//! Metadata: short texts that travel beside a message (protocol notes: metadata).

use std::collections::BTreeMap;

/// The longest key, in bytes.
pub const MAX_KEY_LEN: usize = 256;
/// The longest value, in bytes.
pub const MAX_VALUE_LEN: usize = 1024;
/// The most bytes of all keys and values of a message together.
pub const MAX_LEN: usize = 8192;

/// What the headers that carry metadata begin with, in lower case.
pub const HEADER_PREFIX: &str = "x-webpubsub-metadata-";

/// The metadata of a message: values by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(BTreeMap<String, String>);

/// Metadata that breaks a rule. The text is the one that REST answers with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// A key without a character.
    #[error("Metadata key must not be empty.")]
    EmptyKey,
    /// A key with a character that no HTTP token has (RFC 9110 §5.6.2).
    #[error("Metadata key '{0}' contains invalid characters.")]
    KeyCharacters(String),
    /// A key longer than [`MAX_KEY_LEN`].
    #[error("Metadata key '{0}' exceeds {MAX_KEY_LEN} bytes.")]
    KeyLength(String),
    /// A value that is not ASCII.
    #[error("Metadata value for key '{0}' must be ASCII.")]
    ValueCharacters(String),
    /// A value longer than [`MAX_VALUE_LEN`].
    #[error("Metadata value for key '{0}' exceeds {MAX_VALUE_LEN} bytes.")]
    ValueLength(String),
    /// More than [`MAX_LEN`] in all.
    #[error("Metadata exceeds {MAX_LEN} bytes.")]
    Length,
}

impl Metadata {
    /// Reads the headers of a request, with their names in lower case. Of several lines for one key
    /// the last counts, and of it what stands behind its last comma, without blanks at the ends.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn from_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, MetadataError> {
        let mut values = BTreeMap::new();
        for (name, line) in headers {
            let Some(key) = name.strip_prefix(HEADER_PREFIX) else {
                continue;
            };
            let last = line.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            let value = match str::from_utf8(last.trim_ascii()) {
                Ok(value) if value.is_ascii() => value,
                _ => return Err(MetadataError::ValueCharacters(key.to_owned())),
            };
            check(key, value)?;
            values.insert(key.to_owned(), value.to_owned());
        }
        let metadata = Self(values);
        if metadata.len() > MAX_LEN {
            return Err(MetadataError::Length);
        }
        Ok(metadata)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all keys and values together.
    #[must_use]
    pub fn len(&self) -> usize {
        let entries = self.0.iter();
        entries.map(|(key, value)| key.len() + value.len()).sum()
    }

    /// Keys and values, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.0.iter();
        entries.map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

fn check(key: &str, value: &str) -> Result<(), MetadataError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if key.is_empty() {
        return Err(MetadataError::EmptyKey);
    }
    if key.len() > MAX_KEY_LEN {
        return Err(MetadataError::KeyLength(key.to_owned()));
    }
    if !key.bytes().all(is_token) {
        return Err(MetadataError::KeyCharacters(key.to_owned()));
    }
    if value.len() > MAX_VALUE_LEN {
        return Err(MetadataError::ValueLength(key.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_each_key_counts() {
        let check = |lines: &[(&str, &str)], expect: Result<&[(&str, &str)], MetadataError>| {
            let headers = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
            let metadata = Metadata::from_headers(headers);
            let expect = expect.map(|pairs| {
                let pairs = pairs.iter();
                Metadata(
                    pairs
                        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                        .collect(),
                )
            });
            assert_eq!(metadata, expect, "{lines:?}");
        };
        let trace = "x-webpubsub-metadata-trace";
        check(&[], Ok(&[]));
        check(
            &[("content-type", "a"), ("x-webpubsub-metadata", "b")],
            Ok(&[]),
        );
        // Case 62.
        check(&[(trace, "first, final ")], Ok(&[("trace", "final")]));
        check(&[(trace, "a"), (trace, "b,")], Ok(&[("trace", "")]));
        let other = "x-webpubsub-metadata-b.c";
        let both = [("b.c", "2"), ("trace", "1")];
        check(&[(trace, "1"), (other, "2")], Ok(&both));
        let key = |key: &str| format!("{HEADER_PREFIX}{key}");
        check(&[(&key(""), "a")], Err(MetadataError::EmptyKey));
        let wrong = MetadataError::KeyCharacters("a b".to_owned());
        check(&[(&key("a b"), "a")], Err(wrong));
        let wrong = MetadataError::ValueCharacters("trace".to_owned());
        check(&[(trace, "é")], Err(wrong));
        let long = "k".repeat(MAX_KEY_LEN + 1);
        check(&[(&key(&long[1..]), "")], Ok(&[(&long[1..], "")]));
        check(
            &[(&key(&long), "")],
            Err(MetadataError::KeyLength(long.clone())),
        );
        let value = "v".repeat(MAX_VALUE_LEN + 1);
        let wrong = MetadataError::ValueLength("trace".to_owned());
        check(&[(trace, &value)], Err(wrong));
        check(&[(trace, &value[1..])], Ok(&[("trace", &value[1..])]));
    }

    #[test]
    fn all_of_it_has_a_bound() {
        let value = "v".repeat(MAX_VALUE_LEN);
        let names: Vec<String> = (0..8)
            .map(|number| format!("{HEADER_PREFIX}{number}"))
            .collect();
        let read = |names: &[String]| {
            let headers = names.iter().map(|name| (name.as_str(), value.as_bytes()));
            Metadata::from_headers(headers).map(|metadata| metadata.len())
        };
        assert_eq!(read(&names[..7]), Ok(7 * (MAX_VALUE_LEN + 1)));
        assert_eq!(read(&names), Err(MetadataError::Length));
    }
}
