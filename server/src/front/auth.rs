//! Whose token is believed for which request (protocol notes: client tokens, REST tokens).

use std::sync::Arc;
use std::time::Duration;

use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::token::audience::{accepts_client, accepts_rest};
use hubwire_proto::token::{self, AccessKey, Claims, TokenError};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{HeaderMap, Uri};

use super::hosts::Hosts;
use crate::clock::now;
use crate::config::AuthConfig;
use crate::keys::{KeyStore, Keys};
use crate::listener::reply;

/// Why a request is refused with 401. The text tells the caller and gives nothing away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unauthorized {
    /// No token.
    #[error("A token is required.")]
    Missing,
    /// Not a token that can be believed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A token for something else.
    #[error("The audience of the token is invalid.")]
    Audience,
    /// Signed with an access key, for an operation that is closed to such tokens.
    #[error("A token that is signed with an access key is not accepted here.")]
    AccessKey,
}

impl Unauthorized {
    /// The value of `WWW-Authenticate` (RFC 6750 §3).
    pub(crate) fn challenge(self) -> HeaderValue {
        match self {
            Self::Missing => HeaderValue::from_static("Bearer"),
            Self::Token(_) | Self::Audience | Self::AccessKey => reply::header_text(&format!(
                "Bearer error=\"invalid_token\", error_description=\"{}\"",
                self.to_string().replace(['"', '\\'], "'")
            )),
        }
    }
}

/// Judges tokens.
pub(crate) struct Verifier {
    keys: Arc<KeyStore>,
    endpoints: Vec<Endpoint>,
    rules: AuthConfig,
    secure: bool,
    skew: Duration,
}

impl Verifier {
    /// Believes tokens signed with one of `keys` for one of `endpoints`, or for a host that the
    /// request itself names, by `rules`. The listener is `secure` if it speaks TLS.
    pub(super) fn new(
        keys: Arc<KeyStore>,
        endpoints: Vec<Endpoint>,
        rules: AuthConfig,
        secure: bool,
        skew: Duration,
    ) -> Self {
        Self {
            keys,
            endpoints,
            rules,
            secure,
            skew,
        }
    }

    /// The hosts that a request names.
    pub(crate) fn hosts<'a>(&self, headers: &'a HeaderMap, uri: &'a Uri) -> Hosts<'a> {
        Hosts::of(headers, uri, self.rules, self.secure)
    }

    /// The public addresses of the server.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The public address that the caller asked for, if it is one.
    pub(crate) fn endpoint_named(&self, hosts: Hosts<'_>) -> Option<&Endpoint> {
        let asked = hosts.asked()?;
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.authority().eq_ignore_ascii_case(asked.authority()))
    }

    /// Where the keys are that are believed now.
    pub(crate) fn key_store(&self) -> &Arc<KeyStore> {
        &self.keys
    }

    /// The keys that are believed now.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.keys.current()
    }

    /// Judges a client's token for a hub, spelled as in the request, which names `hosts`.
    pub(super) fn client(
        &self,
        token: &str,
        hub: &str,
        hosts: Hosts<'_>,
    ) -> Result<Claims, Unauthorized> {
        let claims = self.verify(token, &self.keys().for_clients())?;
        let authorities = hosts.authorities(&self.endpoints);
        if accepts_client(&claims.audiences, hub, &authorities) {
            Ok(claims)
        } else {
            Err(Unauthorized::Audience)
        }
    }

    /// Judges the token of a REST request by its headers and its path as the request line has it.
    pub(crate) fn rest(
        &self,
        headers: &HeaderMap,
        path: &str,
        hosts: Hosts<'_>,
    ) -> Result<(), Unauthorized> {
        let token = bearer(headers).ok_or(Unauthorized::Missing)?;
        let claims = self.verify(token, &self.keys().for_rest())?;
        let authorities = hosts.authorities(&self.endpoints);
        if accepts_rest(&claims.audiences, path, &authorities) {
            Ok(())
        } else {
            Err(Unauthorized::Audience)
        }
    }

    fn verify(&self, token: &str, keys: &[&AccessKey]) -> Result<Claims, TokenError> {
        token::verify(token, keys, now(), self.skew)
    }
}

/// The token in `Authorization`. More than one such header is as good as none.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&'static str], expect: Option<&str>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_static(line));
        }
        assert_eq!(bearer(&headers), expect, "{lines:?}");
    }

    #[test]
    fn one_bearer_token_is_found_in_any_spelling_of_the_scheme() {
        check(&["Bearer abc"], Some("abc"));
        check(&["bEARER   abc "], Some("abc"));
        check(&["Bearer"], None);
        check(&["Bearer "], None);
        check(&["Basic abc"], None);
        check(&["Bearer abc", "Bearer abc"], None);
        check(&[], None);
    }

    #[test]
    fn a_challenge_says_what_is_wrong_once_a_token_was_given() {
        assert_eq!(Unauthorized::Missing.challenge(), "Bearer");
        assert_eq!(
            Unauthorized::Audience.challenge(),
            "Bearer error=\"invalid_token\", \
             error_description=\"The audience of the token is invalid.\""
        );
    }
}
