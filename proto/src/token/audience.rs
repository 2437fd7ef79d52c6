//! Whether a token is meant for a request: its audience against the request's path and host
//! (protocol notes: token audience).
//!
//! An audience is a URL. Its scheme may be any of http, https, ws and wss, whatever the request
//! came by; its query never counts. Paths match as they are spelled or percent-decoded, segment by
//! segment, so that an encoded slash never stands for a border between segments.

use crate::connection_string::{Endpoint, strip_default_port};
use crate::percent;

/// The hosts that a token may name.
#[derive(Debug, Clone, Copy)]
pub struct Authorities<'a> {
    host: Option<&'a str>,
    forwarded_host: Option<&'a str>,
    endpoints: &'a [Endpoint],
    any: bool,
}

impl<'a> Authorities<'a> {
    /// The `Host` of the request and the public endpoints of the server. Letter case and default
    /// ports do not count.
    #[must_use]
    pub const fn new(host: Option<&'a str>, endpoints: &'a [Endpoint]) -> Self {
        Self {
            host,
            forwarded_host: None,
            endpoints,
            any: false,
        }
    }

    /// Beside these, the host that a proxy says the request was sent to.
    #[must_use]
    pub const fn or_forwarded(self, host: Option<&'a str>) -> Self {
        Self {
            forwarded_host: host,
            ..self
        }
    }

    /// Any host at all; base paths still belong to their endpoint.
    #[must_use]
    pub const fn or_any(self) -> Self {
        Self { any: true, ..self }
    }

    /// The paths that an audience may mean here: its own if the host is ours, and what is left of
    /// it below the base path of each endpoint on that host.
    fn paths<'u>(self, audience: &'u Audience<'_>) -> impl Iterator<Item = &'u str> {
        let is = |known: &str| strip_default_port(known).eq_ignore_ascii_case(audience.authority);
        let own = self.any
            || self.host.is_some_and(is)
            || self.forwarded_host.is_some_and(is)
            || self
                .endpoints
                .iter()
                .any(|endpoint| is(endpoint.authority()));
        let below = self
            .endpoints
            .iter()
            .filter(move |endpoint| is(endpoint.authority()))
            .filter(|endpoint| !endpoint.base_path().is_empty())
            .filter_map(|endpoint| audience.path.strip_prefix(endpoint.base_path()))
            .filter(|path| path.starts_with('/'));
        own.then_some(audience.path).into_iter().chain(below)
    }
}

/// Whether a client token lets its bearer connect to a hub, spelled as in the request: one
/// audience must be `/client/hubs/{hub}`, or `/client` with that hub in its query. The hub's letter
/// case does not count.
#[must_use]
pub fn accepts_client(audiences: &[String], hub: &str, authorities: &Authorities<'_>) -> bool {
    let names_hub =
        |escaped: &str| percent::decode_bytes(escaped).eq_ignore_ascii_case(hub.as_bytes());
    audiences
        .iter()
        .filter_map(|a| Audience::parse(a))
        .any(|audience| {
            authorities.paths(&audience).any(|path| {
                let path = path.strip_suffix('/').unwrap_or(path);
                if path == "/client" {
                    let mut pairs = audience.query.split('&').filter_map(|p| p.split_once('='));
                    return pairs.any(|(key, value)| key == "hub" && names_hub(value));
                }
                path.strip_prefix("/client/hubs/").is_some_and(names_hub)
            })
        })
}

/// Whether a token lets its bearer make a REST request with this path, as the request line spells
/// it, without the query: one audience must be that path, or extend it by whole segments.
#[must_use]
pub fn accepts_rest(audiences: &[String], path: &str, authorities: &Authorities<'_>) -> bool {
    let wanted = path.strip_suffix('/').unwrap_or(path);
    // Every audience extends the empty path.
    if wanted.is_empty() {
        return false;
    }
    audiences
        .iter()
        .filter_map(|audience| Audience::parse(audience))
        .any(|audience| {
            authorities
                .paths(&audience)
                .any(|path| extends(path, wanted))
        })
}

fn extends(path: &str, base: &str) -> bool {
    let mut segments = path.split('/');
    base.split('/').all(|wanted| {
        segments.next().is_some_and(|segment| {
            segment == wanted || percent::decode_bytes(segment) == percent::decode_bytes(wanted)
        })
    })
}

/// An audience that is a URL of a kind that can name a request.
struct Audience<'a> {
    /// Host and port, without a default port.
    authority: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Audience<'a> {
    fn parse(audience: &'a str) -> Option<Self> {
        let (scheme, rest) = audience.split_once("://")?;
        if !["http", "https", "ws", "wss"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return None;
        }
        let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = strip_default_port(authority);
        (!authority.is_empty()).then_some(Self {
            authority,
            path,
            query,
        })
    }
}
