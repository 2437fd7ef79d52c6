//! What a path means (protocol notes: endpoints, REST operations).
//!
//! Paths are cut before they are decoded, so that an encoded slash is never a border. One slash at
//! the end is overlooked.

use crate::connection_string::Endpoint;

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'a> {
    /// Where clients connect.
    Client {
        /// The hub as the path has it, encoded; `None`: it is in the query.
        hub: Option<&'a str>,
    },
    /// `/api/health`.
    Health,
    /// A REST operation on a hub.
    Hub {
        /// The hub, encoded.
        hub: &'a str,
        /// The segments behind it, encoded.
        segments: Vec<&'a str>,
    },
    /// Nothing.
    Unknown,
}

impl<'a> Route<'a> {
    /// Reads a path as the request line spells it. It may begin with the base path of one of
    /// `endpoints`, which a proxy may have left in.
    #[must_use]
    pub fn of(path: &'a str, endpoints: &[Endpoint]) -> Self {
        let route = Self::of_own(path);
        if route != Self::Unknown {
            return route;
        }
        let below = |endpoint: &Endpoint| match endpoint.base_path() {
            "" => None,
            base => path.strip_prefix(base),
        };
        endpoints
            .iter()
            .filter_map(below)
            .map(Self::of_own)
            .find(|route| *route != Self::Unknown)
            .unwrap_or(Self::Unknown)
    }

    fn of_own(path: &'a str) -> Self {
        let Some(path) = path.strip_prefix('/') else {
            return Self::Unknown;
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        let all: Vec<&str> = path.split('/').collect();
        match all.as_slice() {
            ["client"] => Self::Client { hub: None },
            ["client", "hubs"] => Self::Client { hub: Some("") },
            ["client", "hubs", hub] => Self::Client { hub: Some(hub) },
            ["api", "health"] => Self::Health,
            ["api", "hubs", hub, segments @ ..] if !segments.is_empty() => Self::Hub {
                hub,
                segments: segments.to_vec(),
            },
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expect: &Route<'_>) {
        let endpoints = [Endpoint::parse("http://h/base/path").unwrap()];
        assert_eq!(Route::of(path, &endpoints), *expect, "{path}");
    }

    #[test]
    fn paths_are_cut_at_real_slashes_only() {
        check("/client/hubs/chat", &Route::Client { hub: Some("chat") });
        check("/client/hubs/chat/", &Route::Client { hub: Some("chat") });
        check("/client/hubs/a%2Fb", &Route::Client { hub: Some("a%2Fb") });
        check("/client/hubs/chat/x", &Route::Unknown);
        check("/client", &Route::Client { hub: None });
        check("/client/", &Route::Client { hub: None });
        check("/api/health", &Route::Health);
        check("/api/health/", &Route::Health);
        let send = |hub| Route::Hub {
            hub,
            segments: vec!["groups", "a%2Fb", ":send"],
        };
        check("/api/hubs/chat/groups/a%2Fb/:send", &send("chat"));
        check("/api/hubs/chat/groups/a%2Fb/:send/", &send("chat"));
        check("/base/path/api/hubs//groups/a%2Fb/:send", &send(""));
        for path in [
            "",
            "/",
            "*",
            "/api/hubs/chat",
            "/API/health",
            "/base/pathapi/health",
            "//client",
        ] {
            check(path, &Route::Unknown);
        }
    }
}
