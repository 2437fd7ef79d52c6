//! Percent-encoding (RFC 3986 §2.1), as paths and queries of clients and REST callers use it.
//!
//! Every decoder here decodes exactly once: `%252F` becomes `%2F`, never `/`. A `%` that does not
//! start a valid escape stands for itself, since some clients send it bare.

use std::borrow::Cow;

/// The escapes of a text decode to bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The percent-encoded text is not valid UTF-8.")]
pub struct NotUtf8;

/// Decodes one path segment; `+` is a plus.
///
/// # Errors
///
/// [`NotUtf8`] if the escapes do not form UTF-8.
pub fn decode(text: &str) -> Result<Cow<'_, str>, NotUtf8> {
    to_text(decode_bytes(text))
}

/// Decodes one key or value of a query; `+` is a space (the form encoding of the URL standard).
///
/// # Errors
///
/// [`NotUtf8`] if the escapes do not form UTF-8.
pub fn decode_query(text: &str) -> Result<Cow<'_, str>, NotUtf8> {
    if !text.contains('+') {
        return decode(text);
    }
    let spaced = text.replace('+', " ");
    Ok(Cow::Owned(decode(&spaced)?.into_owned()))
}

/// Decodes to whatever bytes the escapes mean. Borrows when there is nothing to decode.
#[must_use]
pub fn decode_bytes(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if memchr::memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (byte, used) = match rest {
            [_, high, low, ..] => match (hex_value(*high), hex_value(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'%', 1),
            },
            _ => (b'%', 1),
        };
        out.push(byte);
        rest = &rest[used..];
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// Encodes everything but the unreserved characters (RFC 3986 §2.3): fit for one path segment or
/// one query value.
#[must_use]
pub fn encode(text: &str) -> Cow<'_, str> {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(unreserved) {
        return Cow::Borrowed(text);
    }
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(out)
}

fn to_text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, NotUtf8> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => Err(NotUtf8),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(_) => Err(NotUtf8),
        },
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
