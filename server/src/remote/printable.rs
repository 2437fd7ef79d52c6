//! Text that somebody else wrote, on one line of a terminal.

use std::borrow::Cow;

/// `text` with everything escaped that could move the cursor, begin a line, or turn the direction
/// of what follows: otherwise whoever may write to a group could write to the terminals of its
/// members.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_dangerous(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    Cow::Owned(line)
}

/// `json`, which is a JSON value, so that it is one line with the same meaning and none of what
/// [`printable`] escapes.
pub(crate) fn json_printable(json: &str) -> Cow<'_, str> {
    if !json.contains(is_dangerous) {
        return Cow::Borrowed(json);
    }
    let mut line = String::with_capacity(json.len() + 8);
    let mut units = [0; 2];
    for character in json.chars() {
        match character {
            // Outside of strings, where alone they can stand, they are blanks.
            '\t' | '\n' | '\r' => line.push(' '),
            _ if is_dangerous(character) => {
                for unit in character.encode_utf16(&mut units) {
                    line.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => line.push(character),
        }
    }
    Cow::Owned(line)
}

fn is_dangerous(character: char) -> bool {
    // Beside control characters: line separators and the marks that change direction.
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}')
        || matches!(character, '\u{61C}' | '\u{200E}' | '\u{200F}')
        || matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_terminal_would_act_on_is_escaped() {
        let check = |text: &str, expect: &str| assert_eq!(printable(text), expect);
        check(r#"plain \ "text" ü 漢 🎉"#, r#"plain \ "text" ü 漢 🎉"#);
        check("a\nb\tc\r", r"a\nb\tc\r");
        check("\u{1b}[2J\u{7f}\u{9b}", r"\u{1b}[2J\u{7f}\u{9b}");
        check("\u{202e}cod\u{2028}", r"\u{202e}cod\u{2028}");
        check("\u{200f}\u{61c}\u{2066}", r"\u{200f}\u{61c}\u{2066}");
    }

    #[test]
    fn json_stays_what_it_is() {
        let check = |json: &str, expect: &str| {
            assert_eq!(json_printable(json), expect);
            let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(json), value(expect), "{json}");
        };
        check(r#"{"a": "ü 漢 🎉 \u001b"}"#, r#"{"a": "ü 漢 🎉 \u001b"}"#);
        check("{\t\"a\":\r\n[1,\n2]}", r#"{ "a":  [1, 2]}"#);
        check(
            "\"\u{7f}\u{85}\u{9b}2J\u{2028}\u{202e}\u{200f}\"",
            r#""\u007f\u0085\u009b2J\u2028\u202e\u200f""#,
        );
        // Not JSON, and harmless all the same.
        assert_eq!(json_printable("\u{1b}[2J"), r"\u001b[2J");
    }
}
