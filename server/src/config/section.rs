//! Typed reading of one table of the configuration tree, checked against its keys.

use std::collections::BTreeMap;

use super::error::{ConfigError, Origin};
use super::keys::{Default, Key, Shape, nearest};
use super::tree::{Node, Table, Value, join};

/// A table whose keys are all known, or the absence of one.
pub(super) struct Section<'a> {
    table: Option<&'a Table>,
    keys: &'static [Key],
    /// The dotted path as the operator spelled it; empty for the root.
    path: String,
    origin: Origin,
}

impl<'a> Section<'a> {
    /// The root table.
    ///
    /// # Errors
    ///
    /// If it has a key that `keys` does not list.
    pub(super) fn root(table: &'a Table, keys: &'static [Key]) -> Result<Self, ConfigError> {
        let root = Self {
            table: Some(table),
            keys,
            path: String::new(),
            origin: Origin::Default,
        };
        root.refuse_unknown_keys()?;
        Ok(root)
    }

    fn open(node: &'a Node, keys: &'static [Key], path: String) -> Result<Self, ConfigError> {
        let Value::Table(table) = &node.value else {
            return Err(wrong_type(node, &path, "a table"));
        };
        let section = Self {
            table: Some(table),
            keys,
            path,
            origin: node.origin.clone(),
        };
        section.refuse_unknown_keys()?;
        Ok(section)
    }

    fn refuse_unknown_keys(&self) -> Result<(), ConfigError> {
        for (name, node) in self.table.into_iter().flatten() {
            let problem = match self.key(name).map(|key| &key.shape) {
                Some(Shape::Absent(problem)) if !node.value.is_empty() => (*problem).to_owned(),
                Some(_) => continue,
                None => {
                    let hint = nearest(self.keys, name)
                        .map(|nearest| format!(" (did you mean {nearest}?)"));
                    format!("unknown key{}", hint.unwrap_or_default())
                }
            };
            let path = join(&self.path, &node.written);
            return Err(ConfigError::new(&node.origin, path, problem));
        }
        Ok(())
    }

    /// Where the table itself was given.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The dotted path of the table.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether `name` was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// Where `name` was given.
    pub(super) fn origin_of(&self, name: &str) -> Origin {
        self.node(name)
            .map_or(Origin::Default, |node| node.origin.clone())
    }

    /// An error about `name` in this table.
    pub(super) fn error(&self, name: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(&self.origin_of(name), self.path_of(name), problem)
    }

    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        self.table?.get(name)
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        join(
            &self.path,
            self.node(name).map_or(name, |node| node.written.as_str()),
        )
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, ConfigError> {
        match self.node(name) {
            None => Ok(None),
            Some(node) => text_of(node, &self.path_of(name)).map(Some),
        }
    }

    /// The text behind `name` as `parse` understands it.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        self.text(name)?
            .map(|text| parse(text).map_err(|problem| self.error(name, problem)))
            .transpose()
    }

    /// Every text behind `name`, one or a list, as `parse` understands it; empty if not given.
    pub(super) fn parsed_list<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(node) = self.node(name) else {
            return Ok(Vec::new());
        };
        let path = self.path_of(name);
        let read = |text: &str, origin: &Origin, path: &str| {
            parse(text).map_err(|problem| ConfigError::new(origin, path, problem))
        };
        match &node.value {
            Value::Text(text) => Ok(vec![read(text, &node.origin, &path)?]),
            Value::Plain(texts) => texts
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(|text| read(text, &node.origin, &path))
                .collect(),
            Value::List(elements) => elements
                .iter()
                .enumerate()
                .map(|(index, element)| {
                    let path = format!("{path}[{index}]");
                    read(text_of(element, &path)?, &element.origin, &path)
                })
                .collect(),
            _ => Err(wrong_type(node, &path, "text or a list of texts")),
        }
    }

    /// The whole number behind `name`, within the range of its key, or the key's default.
    pub(super) fn integer(&self, name: &str) -> Result<Option<u64>, ConfigError> {
        let Some(Key {
            shape: Shape::Integer { min, max, .. },
            default,
            ..
        }) = self.key(name)
        else {
            return Err(self.error(name, "not a number in the table of keys"));
        };
        let Some(node) = self.node(name) else {
            return Ok(match default {
                Default::Integer(value) => Some(*value),
                Default::Nothing | Default::Derived(_) => None,
            });
        };
        let (value, written) = match &node.value {
            Value::Integer(Some(number)) => (u64::try_from(*number).ok(), number.to_string()),
            Value::Integer(None) => (None, "a larger number".to_owned()),
            Value::Plain(text) => match text.trim().parse::<i128>() {
                Ok(number) => (u64::try_from(number).ok(), number.to_string()),
                Err(_) => {
                    return Err(self.error(name, format!("must be a whole number, not {text:?}")));
                }
            },
            _ => return Err(wrong_type(node, &self.path_of(name), "a whole number")),
        };
        match value.filter(|value| (min..=max).contains(&value)) {
            Some(value) => Ok(Some(value)),
            None => Err(self.error(
                name,
                format!("must be between {min} and {max}, not {written}"),
            )),
        }
    }

    /// The truth value behind `name`.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        let Some(node) = self.node(name) else {
            return Ok(None);
        };
        match &node.value {
            Value::Boolean(value) => Ok(Some(*value)),
            Value::Plain(text) => match text.trim().parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(self.error(name, format!("must be true or false, not {text:?}"))),
            },
            _ => Err(wrong_type(node, &self.path_of(name), "true or false")),
        }
    }

    /// The word behind `name`, in the spelling of its key.
    pub(super) fn choice(&self, name: &str) -> Result<Option<&'static str>, ConfigError> {
        let Some(Key {
            shape: Shape::Choice(words),
            ..
        }) = self.key(name)
        else {
            return Err(self.error(name, "not a choice in the table of keys"));
        };
        self.parsed(name, |text| {
            words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text))
                .copied()
                .ok_or_else(|| format!("must be {}, not {text:?}", words.join(" or ")))
        })
    }

    /// The table behind `name`; an empty one if it was not given.
    pub(super) fn section(&self, name: &str) -> Result<Self, ConfigError> {
        let Some(Key {
            shape: Shape::Table(keys),
            ..
        }) = self.key(name)
        else {
            return Err(self.error(name, "not a table in the table of keys"));
        };
        let path = self.path_of(name);
        match self.node(name) {
            Some(node) => Self::open(node, keys, path),
            None => Ok(Self {
                table: None,
                keys,
                path,
                origin: Origin::Default,
            }),
        }
    }

    /// The list of tables behind `name`; empty if it was not given.
    pub(super) fn sections(&self, name: &str) -> Result<Vec<Self>, ConfigError> {
        let Some(Key {
            shape: Shape::Tables(keys),
            ..
        }) = self.key(name)
        else {
            return Err(self.error(name, "not a list of tables in the table of keys"));
        };
        let Some(node) = self.node(name) else {
            return Ok(Vec::new());
        };
        let path = self.path_of(name);
        let Value::List(elements) = &node.value else {
            return Err(wrong_type(node, &path, "a list of tables"));
        };
        elements
            .iter()
            .enumerate()
            .map(|(index, element)| Self::open(element, keys, format!("{path}[{index}]")))
            .collect()
    }

    /// The tables under freely chosen names behind `name`, with those names as written.
    ///
    /// # Errors
    ///
    /// If a name is given twice, in whatever case.
    pub(super) fn named(&self, name: &str) -> Result<Vec<(&'a str, Self)>, ConfigError> {
        let Some(Key {
            shape: Shape::Named(keys),
            ..
        }) = self.key(name)
        else {
            return Err(self.error(name, "not a table of names in the table of keys"));
        };
        let Some(node) = self.node(name) else {
            return Ok(Vec::new());
        };
        let path = self.path_of(name);
        let Value::Table(table) = &node.value else {
            return Err(wrong_type(node, &path, "a table"));
        };
        let mut seen: BTreeMap<String, &Node> = BTreeMap::new();
        let mut nodes: Vec<_> = table.values().collect();
        nodes.sort_by_key(|node| line(&node.origin));
        nodes
            .into_iter()
            .map(|node| {
                let path = join(&path, &node.written);
                if let Some(first) = seen.insert(node.written.to_ascii_lowercase(), node) {
                    let problem = format!(
                        "already given as {} at {}; hub names differ in more than case",
                        first.written, first.origin
                    );
                    return Err(ConfigError::new(&node.origin, path, problem));
                }
                Ok((node.written.as_str(), Self::open(node, keys, path)?))
            })
            .collect()
    }
}

/// The line of a value in the file; what is not in the file comes last.
pub(super) fn line(origin: &Origin) -> usize {
    match origin {
        Origin::File {
            line: Some(line), ..
        } => *line,
        _ => usize::MAX,
    }
}

fn text_of<'a>(node: &'a Node, path: &str) -> Result<&'a str, ConfigError> {
    match &node.value {
        Value::Text(text) | Value::Plain(text) => Ok(text),
        _ => Err(wrong_type(node, path, "text")),
    }
}

pub(super) fn wrong_type(node: &Node, path: &str, expected: &str) -> ConfigError {
    let problem = format!("must be {expected}, not {}", node.value.type_name());
    ConfigError::new(&node.origin, path, problem)
}
