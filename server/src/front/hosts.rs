//! The hosts that a request names: its own, and the one that a proxy says it was sent to.

use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::token::audience::Authorities;
use hyper::header::{HOST, HeaderName};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Uri};

use crate::config::AuthConfig;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The hosts that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hosts<'a> {
    /// Of the request itself.
    own: Option<&'a str>,
    /// From a proxy that is trusted.
    forwarded: Option<&'a str>,
    /// Whether the caller speaks TLS, as far as is known.
    secure: bool,
    /// Whether a token for any host is as good as one for these.
    any: bool,
}

impl<'a> Hosts<'a> {
    /// Reads them by the rules of `[auth]`, on a listener that is `secure` if it speaks TLS.
    pub(super) fn of(
        headers: &'a HeaderMap,
        uri: &'a Uri,
        rules: AuthConfig,
        secure: bool,
    ) -> Self {
        let header = |name| headers.get(name)?.to_str().ok();
        // A target in absolute form wins over the header (RFC 9112 §3.2.2).
        let in_target = uri.authority().map(Authority::as_str);
        // Of several proxies the first one met the caller.
        let forwarded = |name| {
            let first = header(name)?.split(',').next()?.trim();
            (rules.trust_forwarded_host && !first.is_empty()).then_some(first)
        };
        Self {
            own: in_target.or_else(|| header(HOST)),
            forwarded: forwarded(X_FORWARDED_HOST),
            secure: forwarded(X_FORWARDED_PROTO)
                .map_or(secure, |scheme| scheme.eq_ignore_ascii_case("https")),
            any: !rules.check_audience_host,
        }
    }

    /// The address that the caller asked for, as far as is known.
    pub(crate) fn asked(self) -> Option<Endpoint> {
        let scheme = if self.secure { "https" } else { "http" };
        let host = self.forwarded.or(self.own)?;
        Endpoint::parse(&format!("{scheme}://{host}")).ok()
    }

    /// The hosts that the audience of its token may name.
    pub(super) fn authorities<'b>(self, endpoints: &'b [Endpoint]) -> Authorities<'b>
    where
        'a: 'b,
    {
        let authorities = Authorities::new(self.own, endpoints).or_forwarded(self.forwarded);
        if self.any {
            authorities.or_any()
        } else {
            authorities
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn what_a_proxy_tells_counts_only_where_it_is_trusted() {
        let check = |headers: &[(HeaderName, &'static str)], uri: &str, trust, expect: &str| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, HeaderValue::from_static(value));
            }
            let rules = AuthConfig {
                check_audience_host: true,
                trust_forwarded_host: trust,
            };
            let asked = Hosts::of(&map, &uri.parse().unwrap(), rules, false).asked();
            let asked = asked.map(|endpoint| endpoint.to_string());
            assert_eq!(asked.unwrap_or_default(), expect, "{headers:?}");
        };
        let all = &[
            (HOST, "inner:8080"),
            (X_FORWARDED_HOST, "public.example, middle.example"),
            (X_FORWARDED_PROTO, "https"),
        ];
        check(all, "/", true, "https://public.example");
        check(all, "/", false, "http://inner:8080");
        check(&all[..2], "/", true, "http://public.example");
        check(&all[..1], "/", true, "http://inner:8080");
        let target = "http://target.example/";
        check(&all[..1], target, true, "http://target.example");
        let empty = &[(HOST, "inner"), (X_FORWARDED_HOST, " ,b")];
        check(empty, "/", true, "http://inner");
        check(&[], "/", true, "");
    }

    #[test]
    fn a_listener_with_tls_is_asked_by_https() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("127.0.0.1:8443"));
        let rules = AuthConfig {
            check_audience_host: true,
            trust_forwarded_host: false,
        };
        let uri = Uri::from_static("/");
        let asked = Hosts::of(&headers, &uri, rules, true).asked().unwrap();
        assert_eq!(asked.to_string(), "https://127.0.0.1:8443");
    }
}
