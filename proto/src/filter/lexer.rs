//! Words, literals and brackets of a filter. What they mean together is the parser's business.

/// A piece of a filter, by its place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// In bytes.
    pub(super) start: usize,
    /// In bytes, behind the last one.
    pub(super) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Close,
    Comma,
    /// An operator, a function, a property, or `true`, `false`, `null`.
    Word,
    /// With its quotes.
    Text,
    /// Whatever starts like a number; that it is one is not sure.
    Number,
    End,
    /// Nothing that can stand in a filter.
    Stray,
}

/// The first token at or after a place; behind the end there is always another [`Kind::End`].
pub(super) fn next(text: &str, from: usize) -> Token {
    let behind = |start: usize| text.get(start..).unwrap_or_default();
    let rest = behind(from).trim_start();
    let start = text.len() - rest.len();
    let token = |kind, len| Token {
        kind,
        start,
        end: start + len,
    };
    let Some(first) = rest.chars().next() else {
        return token(Kind::End, 0);
    };
    match first {
        '(' => token(Kind::Open, 1),
        ')' => token(Kind::Close, 1),
        ',' => token(Kind::Comma, 1),
        '\'' => match text_len(rest) {
            Some(len) => token(Kind::Text, len),
            None => token(Kind::Stray, rest.len()),
        },
        _ if is_number(rest) => token(Kind::Number, prefix_len(rest, is_number_char)),
        _ if is_word_start(first) => {
            let len = prefix_len(rest, |c| c.is_alphanumeric() || c == '_');
            // A quote right behind a word would be a literal with a type, such as a date.
            match behind(start + len).starts_with('\'') {
                true => token(Kind::Stray, len + 1),
                false => token(Kind::Word, len),
            }
        }
        _ => token(Kind::Stray, first.len_utf8()),
    }
}

/// The length of the text literal at the start, whose quotes inside are doubled.
fn text_len(text: &str) -> Option<usize> {
    let mut quotes = text.match_indices('\'').map(|(place, _)| place).skip(1);
    let mut end = quotes.next()?;
    while text[end + 1..].starts_with('\'') {
        quotes.next();
        end = quotes.next()?;
    }
    Some(end + 1)
}

fn is_number(text: &str) -> bool {
    text.strip_prefix('-')
        .unwrap_or(text)
        .starts_with(|c: char| c.is_ascii_digit())
}

/// Dates, times and fractions are taken whole, so that an error can name them whole.
fn is_number_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_')
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn prefix_len(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}
