//! The body of a bulk change of groups (protocol notes: REST bulk group changes).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Fault;
use crate::name;

/// Which connections join or leave which groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkChange<'a> {
    /// Valid names, at least one; a name may be there twice. Borrowed from the body where it spells
    /// them without escapes, since there may be very many.
    pub groups: Vec<Cow<'a, str>>,
    /// The connections meant; `None` means all of the hub, never empty.
    pub filter: Option<String>,
}

const NOT_A_REQUEST: &str = "The request body is not a valid groups request.";
const GROUPS_REQUIRED: &str = "A nonempty list of valid group names is required.";

impl<'a> BulkChange<'a> {
    /// Reads a JSON object with `groups` and perhaps `filter`, whatever the letter case of these
    /// names; other members are passed over, and of a repeated one the last counts.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub fn parse(body: &'a str) -> Result<Self, Fault> {
        let mut json = serde_json::Deserializer::from_str(body);
        let members = json
            .deserialize_map(MembersVisitor)
            .and_then(|members| json.end().map(|()| members))
            .map_err(|_| Fault::of_request(NOT_A_REQUEST))?;
        let groups = members.groups.unwrap_or_default().into_iter();
        let groups: Vec<Cow<'a, str>> = groups.map(|Name(group)| group).collect();
        let valid = |group: &Cow<'_, str>| name::check_group(group).is_ok();
        if groups.is_empty() || !groups.iter().all(valid) {
            return Err(Fault::of_request(GROUPS_REQUIRED));
        }
        Ok(Self {
            groups,
            filter: members.filter.filter(|filter| !filter.is_empty()),
        })
    }
}

#[derive(Default)]
struct Members<'a> {
    groups: Option<Vec<Name<'a>>>,
    filter: Option<String>,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with groups and perhaps a filter")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            if name.eq_ignore_ascii_case("groups") {
                members.groups = map.next_value()?;
            } else if name.eq_ignore_ascii_case("filter") {
                members.filter = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(members)
    }
}
