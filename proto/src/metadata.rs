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
pub struct Metadata(
    /// `None` when there is none, as it nearly always is: every message has to carry this along.
    Option<Box<Entries>>,
);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Entries(BTreeMap<String, String>);

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
    /// A value with a control character, which no header could carry (RFC 9110 §5.5).
    #[error("Metadata value for key '{0}' must not hold control characters.")]
    ValueControl(String),
    /// A value longer than [`MAX_VALUE_LEN`].
    #[error("Metadata value for key '{0}' exceeds {MAX_VALUE_LEN} bytes.")]
    ValueLength(String),
    /// More than [`MAX_LEN`] in all.
    #[error("Metadata exceeds {MAX_LEN} bytes.")]
    Length,
}

impl MetadataError {
    /// The rule that was broken, for clients; quotes nothing of what they sent.
    pub(crate) const fn rule(&self) -> &'static str {
        match self {
            Self::EmptyKey | Self::KeyCharacters(_) | Self::KeyLength(_) => {
                "a key of `metadata` must be an HTTP token of at most 256 characters"
            }
            Self::ValueCharacters(_) | Self::ValueControl(_) | Self::ValueLength(_) => {
                "a value of `metadata` must be at most 1024 ASCII characters, none a control character"
            }
            Self::Length => "`metadata` must be at most 8192 bytes in all",
        }
    }
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
        let mut metadata = Self::default();
        for (name, line) in headers {
            let Some(key) = name.strip_prefix(HEADER_PREFIX) else {
                continue;
            };
            let last = line.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            let value = match str::from_utf8(last.trim_ascii()) {
                Ok(value) => value,
                Err(_) => return Err(MetadataError::ValueCharacters(key.to_owned())),
            };
            metadata.insert(key, value)?;
        }
        metadata.check_len()?;
        Ok(metadata)
    }

    /// Adds or replaces an entry, and says whether it replaced one. All of them together are left
    /// to [`check_len`](Self::check_len), but no more are taken than could ever pass it.
    ///
    /// # Errors
    ///
    /// [`MetadataError`].
    pub fn insert(&mut self, key: &str, value: &str) -> Result<bool, MetadataError> {
        check(key, value)?;
        let Entries(entries) = &mut **self.0.get_or_insert_default();
        // Every entry takes at least a byte.
        if entries.len() > MAX_LEN {
            return Err(MetadataError::Length);
        }
        let replaced = entries.insert(key.to_owned(), value.to_owned());
        Ok(replaced.is_some())
    }

    /// Whether all entries together are within [`MAX_LEN`].
    ///
    /// # Errors
    ///
    /// [`MetadataError::Length`].
    pub fn check_len(&self) -> Result<(), MetadataError> {
        if self.len() > MAX_LEN {
            return Err(MetadataError::Length);
        }
        Ok(())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of all keys and values together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter()
            .map(|(key, value)| key.len() + value.len())
            .sum()
    }

    /// Keys and values, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.0.iter().flat_map(|entries| &entries.0);
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
    if !value.is_ascii() {
        return Err(MetadataError::ValueCharacters(key.to_owned()));
    }
    if value
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err(MetadataError::ValueControl(key.to_owned()));
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
            let metadata = metadata
                .as_ref()
                .map(|read| read.iter().collect::<Vec<_>>());
            let expect = expect.as_ref().map(|pairs| pairs.to_vec());
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
