//! The configuration before it is typed: a tree of values that remember where they were given.
//!
//! The layers (file, environment, flags) are written into one tree, the later over the earlier.
//! Nothing here knows which keys exist; `section.rs` does.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};
use super::keys::snake_case;

pub(super) type Table = BTreeMap<String, Node>;

/// A value and where it was given. Not `Debug`: it may hold a secret.
#[derive(Clone)]
pub(super) struct Node {
    /// The key as it was spelled; empty for an element of a list.
    pub(super) written: String,
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    /// `None`: a whole number outside 64 bits.
    Integer(Option<i64>),
    Boolean(bool),
    /// A type that no key takes, by its name.
    Other(&'static str),
    /// The untyped text of a variable or flag: text, number or comma list, whichever is expected.
    Plain(String),
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    /// Whether it is a list or a table with nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::List(elements) => elements.is_empty(),
            Self::Table(table) => table.is_empty(),
            _ => false,
        }
    }

    /// The type in the words of an error message.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Plain(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "a truth value",
            Self::Other(name) => name,
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// One step on the way from the root to a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    Index(usize),
    Key(String),
}

/// Reads a TOML document; camelCase keys become snake_case ones, hub names stay as they are.
pub(super) fn from_toml(path: &Path, source: &str) -> Result<Table, ConfigError> {
    let document = DeTable::parse(source).map_err(|error| {
        let line = error.span().map(|span| line_of(source, span.start));
        let origin = Origin::File {
            path: path.to_owned(),
            line,
        };
        ConfigError::new(&origin, "", error.message().replace('\n', ", "))
    })?;
    Reader { path, source }.table(document.get_ref(), "")
}

struct Reader<'a> {
    path: &'a Path,
    source: &'a str,
}

impl Reader<'_> {
    fn table(&self, from: &DeTable<'_>, path: &str) -> Result<Table, ConfigError> {
        let mut table = Table::new();
        // In the order of the file, so that of two spellings the second one is the error.
        let mut entries: Vec<_> = from.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let written = key.get_ref().to_string();
            let name = if path == "hubs" {
                written.clone()
            } else {
                snake_case(&written)
            };
            let full = join(path, &written);
            let origin = self.origin(key.span().start);
            if let Some(first) = table.get::<str>(&name) {
                let problem = format!("already given as {} at {}", first.written, first.origin);
                return Err(ConfigError::new(&origin, full, problem));
            }
            let value = self.value(value, &full)?;
            table.insert(
                name,
                Node {
                    written,
                    origin,
                    value,
                },
            );
        }
        Ok(table)
    }

    fn value(&self, from: &Spanned<DeValue<'_>>, path: &str) -> Result<Value, ConfigError> {
        Ok(match from.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(_) => Value::Other("a date or time"),
            DeValue::Array(elements) => {
                let mut list = Vec::with_capacity(elements.len());
                for (index, element) in elements.iter().enumerate() {
                    let value = self.value(element, &format!("{path}[{index}]"))?;
                    let origin = self.origin(element.span().start);
                    list.push(Node {
                        written: String::new(),
                        origin,
                        value,
                    });
                }
                Value::List(list)
            }
            DeValue::Table(table) => Value::Table(self.table(table, path)?),
        })
    }

    fn origin(&self, offset: usize) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: Some(line_of(self.source, offset)),
        }
    }
}

fn line_of(source: &str, offset: usize) -> usize {
    source
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// The dotted path of `key` in the table at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The dotted spelling of a path.
pub(super) fn dotted(path: &[Segment]) -> String {
    path.iter()
        .fold(String::new(), |text, segment| match segment {
            Segment::Index(index) => format!("{text}[{index}]"),
            Segment::Key(key) => join(&text, key),
        })
}

/// Writes `value` at `path`, over whatever an earlier layer gave there.
///
/// # Errors
///
/// If another variable already gave the same value, or if a list would get a gap.
pub(super) fn set(
    table: &mut Table,
    path: &[Segment],
    value: Value,
    origin: &Origin,
) -> Result<(), ConfigError> {
    set_below(table, path, value, origin)
        .map_err(|problem| ConfigError::new(origin, dotted(path), problem))
}

fn set_below(
    table: &mut Table,
    path: &[Segment],
    value: Value,
    origin: &Origin,
) -> Result<(), String> {
    let [Segment::Key(key), rest @ ..] = path else {
        return Err("a number must follow the name of a list".to_owned());
    };
    let name = existing_name(table, key);
    let empty = match rest {
        [] => {
            refuse_second_variable(table.get(&name), origin)?;
            let written = key.clone();
            table.insert(
                name,
                Node {
                    written,
                    origin: origin.clone(),
                    value,
                },
            );
            return Ok(());
        }
        [Segment::Key(_), ..] => Value::Table(Table::new()),
        [Segment::Index(_), ..] => Value::List(Vec::new()),
    };
    let fits = table
        .get(&name)
        .is_some_and(|node| node.value.type_name() == empty.type_name());
    if !fits {
        refuse_second_variable(table.get(&name), origin)?;
        let node = Node {
            written: key.clone(),
            origin: origin.clone(),
            value: empty,
        };
        table.insert(name.clone(), node);
    }
    match (table.get_mut(&name).map(|node| &mut node.value), rest) {
        (Some(Value::Table(inner)), _) => set_below(inner, rest, value, origin),
        (Some(Value::List(list)), [Segment::Index(index), rest @ ..]) => {
            if *index > list.len() {
                return Err(format!("element {} is missing before it", list.len()));
            }
            if *index == list.len() {
                let value = Value::Table(Table::new());
                list.push(Node {
                    written: String::new(),
                    origin: origin.clone(),
                    value,
                });
            }
            let element = &mut list[*index];
            match (&mut element.value, rest) {
                (_, []) => element.value = value,
                (Value::Table(inner), _) => return set_below(inner, rest, value, origin),
                _ => return Err("this element is not a table".to_owned()),
            }
            element.origin = origin.clone();
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Hub names are compared ignoring case, so a variable reaches the hub that the file spelled.
fn existing_name(table: &Table, key: &str) -> String {
    let same = |name: &&String| name.eq_ignore_ascii_case(key);
    table
        .keys()
        .find(same)
        .map_or_else(|| key.to_owned(), Clone::clone)
}

fn refuse_second_variable(existing: Option<&Node>, origin: &Origin) -> Result<(), String> {
    match existing.map(|node| &node.origin) {
        Some(Origin::Variable(first)) if matches!(origin, Origin::Variable(_)) => {
            Err(format!("already given by {first}"))
        }
        _ => Ok(()),
    }
}
