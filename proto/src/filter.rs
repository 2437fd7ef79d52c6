//! The filter language of the REST API: an expression that picks connections (protocol notes:
//! filters).
//!
//! A filter is read and checked once and then evaluated for every connection that an operation
//! concerns. Which operations take one, and what an empty one means, is theirs to say.

mod eval;
mod lexer;
mod parser;
mod print;
mod program;
mod text;

use std::sync::Arc;

use program::Program;

/// The longest filter, in bytes.
pub const MAX_FILTER_LEN: usize = 16 * 1024;
/// How deep brackets, calls, lists and `not` may nest.
pub const MAX_NESTING: usize = 100;
/// The most operands, operators and functions of a filter.
pub const MAX_TERMS: usize = 1000;
/// The most text, in bytes, that one evaluation may look through: sixty bytes for every term that
/// a filter can have.
pub const MAX_TEXT_WORK: usize = 64 * 1024;

/// A filter that was read and checked. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Filter(Arc<Program>);

/// What a filter may ask about a connection.
pub trait FilterSubject {
    /// Its id.
    fn connection_id(&self) -> &str;
    /// Its user; `None` if anonymous.
    fn user_id(&self) -> Option<&str>;
    /// The name of its subprotocol; `None` for a simple client.
    fn protocol(&self) -> Option<&str>;
    /// Whether it is a member of exactly this group. The name is any text.
    fn in_group(&self, group: &str) -> bool;
    /// How many groups it is a member of.
    fn group_count(&self) -> usize;
}

/// Why a text is no filter. The text of the error is the one that REST answers with (protocol
/// notes: filter errors).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid syntax for '{place}': {reason} (Parameter 'filter')")]
pub struct FilterError {
    place: String,
    reason: String,
}

/// What a filter has to say about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it picks the connection.
    pub picks: bool,
    /// What it took to know that, at least 1, in units of what a walk over connections spends on
    /// each without a filter: some 50 ns.
    pub cost: usize,
}

impl Filter {
    /// Reads a filter and evaluates it once for a connection that has neither user nor groups, so
    /// that most wrong types are found before anything is delivered. An empty text is no filter.
    ///
    /// # Errors
    ///
    /// [`FilterError`] for the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parser::parse(text).map(|program| Self(Arc::new(program)))
    }

    /// Whether the filter picks the connection, and what it cost to know. One for which a value has the wrong type, or for
    /// which there is more to do than [`MAX_TEXT_WORK`], is not picked.
    ///
    /// Nothing is allocated but for `tolower`, `toupper` and `concat`, and for filters that nest
    /// unusually deep.
    #[must_use]
    pub fn judge<S: FilterSubject + ?Sized>(&self, subject: &S) -> Verdict {
        let (result, text_work) = eval::run(&self.0, subject);
        Verdict {
            picks: result.unwrap_or(false),
            cost: 1 + self.0.steps.len() / STEPS_PER_COST + text_work / TEXT_PER_COST,
        }
    }
}

/// Steps that cost one unit.
const STEPS_PER_COST: usize = 16;
/// Bytes of text that cost one unit where it is dearest to look through: in a change of the letter
/// case beyond ASCII.
const TEXT_PER_COST: usize = 16;

impl FilterError {
    /// A token that ends at this byte can't stand there.
    fn syntax(filter: &str, end: usize) -> Self {
        let position: usize = filter
            .get(..end)
            .map_or(0, |before| before.chars().map(char::len_utf16).sum());
        Self {
            reason: format!("Syntax error at position {position} in '{filter}'."),
            place: filter.to_owned(),
        }
    }

    fn too_long(filter: &str) -> Self {
        let start: String = filter.chars().take(100).collect();
        Self {
            place: format!("{start}…"),
            reason: format!("The filter is longer than {MAX_FILTER_LEN} bytes."),
        }
    }

    fn too_deep(filter: &str) -> Self {
        Self {
            place: filter.to_owned(),
            reason: format!("The filter nests deeper than {MAX_NESTING} levels."),
        }
    }

    fn too_many_terms(filter: &str) -> Self {
        Self {
            place: filter.to_owned(),
            reason: format!("The filter has more than {MAX_TERMS} terms."),
        }
    }

    fn too_much_text(filter: &str) -> Self {
        Self {
            place: filter.to_owned(),
            reason: format!("The filter looks through more than {MAX_TEXT_WORK} bytes of text."),
        }
    }
}
