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

fn is_dangerous(character: char) -> bool {
    // Beside control characters: line separators and the marks that change direction.
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}')
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
    }
}
