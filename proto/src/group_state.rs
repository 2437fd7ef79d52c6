//! Group state: short texts by which a connection tells a group about itself (protocol notes:
//! group state).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The state of one connection in one group: texts by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupState(BTreeMap<String, String>);

impl GroupState {
    /// Adds or replaces an entry.
    pub(crate) fn insert(&mut self, key: String, value: String) {
        self.0.insert(key, value);
    }

    /// Bytes of all keys and values together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, by ascending key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for GroupState {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// The state of one member of a group, as subscribers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupStateItem<'a> {
    /// Whose.
    pub connection_id: &'a str,
    /// The connection's user, if it has one.
    pub user_id: Option<&'a str>,
    /// The state; `None` if it was cleared.
    pub state: Option<&'a GroupState>,
    /// When it was set or cleared, in milliseconds since 1970 (UTC); it rises with every change.
    pub updated_at: i64,
}
