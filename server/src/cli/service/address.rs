//! Paths and queries of the REST API, every name in them escaped.

use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::name::HubName;
use hubwire_proto::percent;

/// The version whose operations are used.
pub(super) const API_VERSION: &str = "2024-12-01";

/// The path and the query of a request.
#[derive(Debug, Clone)]
pub(super) struct Address {
    path: String,
    query: String,
}

impl Address {
    pub(super) fn of_hub(endpoint: &Endpoint, hub: &HubName) -> Self {
        Self {
            path: format!("{}/api/hubs", endpoint.base_path()),
            query: format!("?api-version={API_VERSION}"),
        }
        .name(hub.raw())
    }

    /// A segment that is always the same.
    pub(super) fn fixed(mut self, segment: &str) -> Self {
        self.path.push('/');
        self.path.push_str(segment);
        self
    }

    /// A segment that is a name.
    pub(super) fn name(self, name: &str) -> Self {
        self.fixed(&percent::encode(name))
    }

    /// A query parameter; repeated, it is a list.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.query.push('&');
        self.query.push_str(name);
        self.query.push('=');
        self.query.push_str(&percent::encode(value));
        self
    }

    /// A query parameter, if there is a value.
    pub(super) fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, &value.to_string()),
            None => self,
        }
    }

    /// A query parameter for each value.
    pub(super) fn with_each(self, name: &str, values: &[String]) -> Self {
        values
            .iter()
            .fold(self, |address, value| address.with(name, value))
    }

    /// Path and query as they go over the wire.
    pub(super) fn finish(self) -> String {
        self.path + &self.query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_actions_are_not() {
        let endpoint = Endpoint::parse("http://h/base").unwrap();
        let address = Address::of_hub(&endpoint, &HubName::new("a[1]").unwrap())
            .fixed("groups")
            .name("a/b c")
            .fixed(":send")
            .with_some("filter", Some("userId eq 'a&b'"))
            .with_some("reason", None::<&str>)
            .with_each("excluded", &["1,2".to_owned(), "ü".to_owned()]);
        assert_eq!(
            address.finish(),
            "/base/api/hubs/a%5B1%5D/groups/a%2Fb%20c/:send?api-version=2024-12-01\
             &filter=userId%20eq%20%27a%26b%27&excluded=1%2C2&excluded=%C3%BC"
        );
    }
}
