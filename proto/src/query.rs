//! The query of a request: names and values, decoded once.

use std::borrow::Cow;

use crate::percent::{self, NotUtf8};

/// The parameters of a query in their order. Values are decoded when asked for, so that a broken
/// one that nobody reads does no harm.
///
/// The letter case of a name does not matter: `Excluded` that is passed over would close or reach
/// somebody that the caller meant to spare.
#[derive(Debug, Clone)]
pub struct Query<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Query<'a> {
    /// Splits what stands behind the question mark. A name that is not UTF-8 is nobody's.
    #[must_use]
    pub fn parse(query: Option<&'a str>) -> Self {
        let pairs = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty());
        let named = |pair: &'a str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent::decode_query(name).ok()?, value))
        };
        Self(pairs.filter_map(named).collect())
    }

    /// Every value of a parameter.
    ///
    /// # Errors
    ///
    /// [`NotUtf8`] if the escapes of one do not form UTF-8.
    pub fn all(&self, name: &str) -> Result<Vec<Cow<'a, str>>, NotUtf8> {
        self.encoded(name).map(percent::decode_query).collect()
    }

    /// The first value of a parameter that is not empty, if its escapes form UTF-8.
    #[must_use]
    pub fn first_filled(&self, name: &str) -> Option<Cow<'a, str>> {
        percent::decode_query(self.encoded(name).find(|value| !value.is_empty())?).ok()
    }

    /// Whether a parameter has a value that is not empty.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.encoded(name).any(|value| !value.is_empty())
    }

    fn encoded<'q>(&'q self, wanted: &'q str) -> impl Iterator<Item = &'a str> + 'q {
        self.0
            .iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_once_and_in_order() {
        let query = Query::parse(Some("a=1&b=x%20y+z&a=%252F&empty=&flag&%61=3&bad=%FF"));
        assert_eq!(query.all("a").unwrap(), ["1", "%2F", "3"]);
        assert_eq!(query.all("A").unwrap(), ["1", "%2F", "3"]);
        assert_eq!(query.all("b").unwrap(), ["x y z"]);
        assert_eq!(query.all("flag").unwrap(), [""]);
        assert_eq!((query.has("flag"), query.has("a")), (false, true));
        assert_eq!(query.all("bad"), Err(NotUtf8));
        assert_eq!(query.first_filled("empty"), None);
        assert!(Query::parse(None).all("a").unwrap().is_empty());
    }
}
