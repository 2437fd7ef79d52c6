//! Whose token is believed for which request (protocol notes: client tokens, REST tokens).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::token::audience::{Authorities, accepts_client, accepts_rest};
use hubwire_proto::token::{self, AccessKey, Claims, TokenError, UnixSeconds};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};

use crate::config::AccessKeys;
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
}

impl Unauthorized {
    /// The value of `WWW-Authenticate` (RFC 6750 §3).
    pub(crate) fn challenge(self) -> HeaderValue {
        match self {
            Self::Missing => HeaderValue::from_static("Bearer"),
            Self::Token(_) | Self::Audience => reply::header_text(&format!(
                "Bearer error=\"invalid_token\", error_description=\"{}\"",
                self.to_string().replace(['"', '\\'], "'")
            )),
        }
    }
}

/// Judges tokens.
pub(crate) struct Verifier {
    access_keys: AccessKeys,
    endpoints: Vec<Endpoint>,
    skew: Duration,
}

impl Verifier {
    /// Believes tokens signed with one of `access_keys` for one of `endpoints`, or for the host
    /// that the request itself names.
    pub(super) fn new(access_keys: AccessKeys, endpoints: Vec<Endpoint>, skew: Duration) -> Self {
        Self {
            access_keys,
            endpoints,
            skew,
        }
    }

    /// The public addresses of the server.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The key that the server signs with.
    pub(crate) fn primary_key(&self) -> &AccessKey {
        &self.access_keys.primary
    }

    /// Judges a client's token for a hub, spelled as in the request, on `host`.
    pub(super) fn client(
        &self,
        token: &str,
        hub: &str,
        host: Option<&str>,
    ) -> Result<Claims, Unauthorized> {
        let claims = self.verify(token)?;
        let authorities = Authorities::new(host, &self.endpoints);
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
        host: Option<&str>,
    ) -> Result<(), Unauthorized> {
        let claims = self.verify(bearer(headers).ok_or(Unauthorized::Missing)?)?;
        let authorities = Authorities::new(host, &self.endpoints);
        if accepts_rest(&claims.audiences, path, &authorities) {
            Ok(())
        } else {
            Err(Unauthorized::Audience)
        }
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let keys: Vec<&AccessKey> = self.access_keys.iter().collect();
        token::verify(token, &keys, now(), self.skew)
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

fn now() -> UnixSeconds {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixSeconds(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
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
