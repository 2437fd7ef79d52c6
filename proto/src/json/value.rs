//! JSON values that are carried as their own text: what they may be, and looking into them without
//! a tree.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// How deep arrays and objects may nest in `data`. Its envelope is one level more, and 64 levels
/// is what the strictest client library parses; a deeper value would cut off every such member of
/// a group.
pub const MAX_DATA_DEPTH: usize = 63;

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

/// Checks that bytes are one JSON value that can be carried as
/// [`Json`](crate::message::DataType::Json).
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

/// The text of a JSON string, borrowed unless it has escapes; `None` for any other value, and for
/// escapes that mean no character.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

/// Whether valid JSON nests deeper than `limit`.
pub(super) fn is_deeper_than(json: &str, limit: usize) -> bool {
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
