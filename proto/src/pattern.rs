//! Group patterns with wildcards, as roles carry them (protocol notes: roles).
//!
//! What a match allows is decided in [`crate::role`].

use serde::{Deserialize, Serialize};

/// The longest pattern, in bytes.
pub const MAX_PATTERN_LEN: usize = 1024;
/// The most unescaped `*` in a pattern; `**` counts as two.
pub const MAX_STARS: usize = 5;
/// The longest name that a pattern matches, in characters: no group name is longer.
const MAX_NAME_CHARS: usize = crate::name::MAX_GROUP_UNITS;

/// A pattern for whole group names. Letter case counts.
///
/// `?` stands for one character other than `.`, `*` for any number of them, `**` for anything;
/// `\` makes the `?`, `*` or `\` after it an ordinary character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern(Box<[Token]>);

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// There is nothing in it.
    #[error("the pattern is empty")]
    Empty,
    /// It has more than [`MAX_PATTERN_LEN`] bytes.
    #[error("the pattern is longer than {MAX_PATTERN_LEN} bytes")]
    TooLong,
    /// It has more than [`MAX_STARS`] unescaped `*`.
    #[error("the pattern has more than {MAX_STARS} `*`")]
    TooManyStars,
    /// A `\` stands at the end or before an ordinary character.
    #[error("`\\` may stand only before `*`, `?` and `\\`")]
    Escape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Segment,
    /// Two or more `*`
    Anything,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > MAX_PATTERN_LEN {
            return Err(InvalidPattern::TooLong);
        }
        let mut tokens = Vec::with_capacity(text.len());
        let mut stars = 0;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => Token::Literal(escaped),
                    _ => return Err(InvalidPattern::Escape),
                },
                '?' => Token::One,
                '*' => {
                    let mut run = 1;
                    while chars.next_if_eq(&'*').is_some() {
                        run += 1;
                    }
                    stars += run;
                    if stars > MAX_STARS {
                        return Err(InvalidPattern::TooManyStars);
                    }
                    if run == 1 {
                        Token::Segment
                    } else {
                        Token::Anything
                    }
                }
                c => Token::Literal(c),
            });
        }
        Ok(Self(tokens.into()))
    }

    /// The one name that a pattern without wildcards matches.
    #[must_use]
    pub fn literal(&self) -> Option<String> {
        self.0
            .iter()
            .map(|token| match token {
                Token::Literal(c) => Some(*c),
                _ => None,
            })
            .collect()
    }

    /// Whether it matches every name.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        *self.0 == [Token::Anything]
    }

    /// Whether it matches the whole name.
    ///
    /// The work grows with the length of the pattern times a 64th of the length of the name, and
    /// nothing is tried twice, however the wildcards stand.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut rest = name.chars();
        let mut tokens = &*self.0;
        while let [Token::Literal(c), after @ ..] = tokens {
            if rest.next() != Some(*c) {
                return false;
            }
            tokens = after;
        }
        let Some(name) = Indexed::new(rest.as_str()) else {
            return false;
        };
        // The places in the name up to which the tokens so far can match.
        let mut reached = Places::default();
        reached.insert(0);
        for token in tokens {
            reached = match token {
                Token::Literal(c) => reached.and(name.places_of(*c)).after(),
                Token::One => reached.and(&name.no_dots).after(),
                Token::Segment => name.within_segments(&reached),
                Token::Anything => name.anywhere_from(&reached),
            };
            if reached.is_empty() {
                return false;
            }
        }
        reached.contains(name.len)
    }
}

/// Where in a name each character stands.
struct Indexed {
    /// In characters.
    len: usize,
    no_dots: Places,
    /// Sorted by character.
    places: Vec<(char, Places)>,
}

impl Indexed {
    /// `None` if the name is longer than any group's.
    fn new(name: &str) -> Option<Self> {
        let mut chars = Vec::new();
        let mut no_dots = Places::default();
        for (place, c) in name.chars().enumerate() {
            if place == MAX_NAME_CHARS {
                return None;
            }
            if c != '.' {
                no_dots.insert(place);
            }
            chars.push((c, place));
        }
        let len = chars.len();
        chars.sort_unstable();
        let places = chars
            .chunk_by(|(a, _), (b, _)| a == b)
            .filter_map(|same| {
                let &(c, _) = same.first()?;
                let mut places = Places::default();
                for (_, place) in same {
                    places.insert(*place);
                }
                Some((c, places))
            })
            .collect();
        Some(Self {
            len,
            no_dots,
            places,
        })
    }

    fn places_of(&self, c: char) -> &Places {
        static NOWHERE: Places = Places([0; WORDS]);
        match self.places.binary_search_by_key(&c, |(known, _)| *known) {
            Ok(found) => &self.places[found].1,
            Err(_) => &NOWHERE,
        }
    }

    /// What can be reached without passing a dot.
    fn within_segments(&self, from: &Places) -> Places {
        let mut reached = from.clone();
        for place in 0..self.len {
            if reached.contains(place) && self.no_dots.contains(place) {
                reached.insert(place + 1);
            }
        }
        reached
    }

    fn anywhere_from(&self, from: &Places) -> Places {
        let mut reached = Places::default();
        let first = (0..=self.len).find(|place| from.contains(*place));
        for place in first.into_iter().flat_map(|first| first..=self.len) {
            reached.insert(place);
        }
        reached
    }
}

/// Words for every place in a name, the one after its end included.
const WORDS: usize = MAX_NAME_CHARS / 64 + 1;

/// A set of places in a name; place `n` is before its character `n`.
#[derive(Clone, Default)]
struct Places([u64; WORDS]);

impl Places {
    fn insert(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn contains(&self, place: usize) -> bool {
        self.0[place / 64] & 1 << (place % 64) != 0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn and(mut self, other: &Self) -> Self {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= other;
        }
        self
    }

    /// Each place moved on by one character.
    fn after(mut self) -> Self {
        let mut carry = 0;
        for word in &mut self.0 {
            let next = *word >> 63;
            *word = *word << 1 | carry;
            carry = next;
        }
        self
    }
}
