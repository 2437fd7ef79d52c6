//! Texts as filters count and change them: in UTF-16 units, the same in every culture.

use std::borrow::Cow;

/// The length in UTF-16 units.
pub(super) fn units(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(char::len_utf16).sum()
}

/// Lower case, character by character; what has no single lower-case character stays.
pub(super) fn to_lower(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|b| b.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => text,
        };
    }
    let lower = |c: char| single(c, c.to_lowercase());
    Cow::Owned(text.chars().map(lower).collect())
}

/// Upper case, as [`to_lower`].
pub(super) fn to_upper(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|b| b.is_ascii_lowercase()) {
            true => Cow::Owned(text.to_ascii_uppercase()),
            false => text,
        };
    }
    let upper = |c: char| single(c, c.to_uppercase());
    Cow::Owned(text.chars().map(upper).collect())
}

/// Without white space at both ends.
pub(super) fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// A part of a text, in UTF-16 units, to its end if no length is given. `None` if it is not in
/// the text, or would cut a character in two.
pub(super) fn substring(
    text: Cow<'_, str>,
    start: i32,
    length: Option<i32>,
) -> Option<Cow<'_, str>> {
    let start = usize::try_from(start).ok()?;
    if length == Some(0) && start <= units(&text) {
        return Some(Cow::Borrowed(""));
    }
    let from = byte_place(&text, start)?;
    let to = match length {
        Some(length) => from + byte_place(&text[from..], usize::try_from(length).ok()?)?,
        None => text.len(),
    };
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[from..to]),
        Cow::Owned(text) => Cow::Owned(text[from..to].to_owned()),
    })
}

/// Where so many UTF-16 units end, in bytes.
fn byte_place(text: &str, units: usize) -> Option<usize> {
    let mut rest = units;
    for (place, c) in text.char_indices() {
        if rest == 0 {
            return Some(place);
        }
        rest = rest.checked_sub(c.len_utf16())?;
    }
    (rest == 0).then_some(text.len())
}

fn single(c: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        _ => c,
    }
}
