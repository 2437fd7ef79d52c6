//! Making tokens, for the command line and for callers of `:generateToken`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::{AccessKey, UnixSeconds};

/// The lifetime of a token for which none was asked, in minutes: that of the vendor's libraries.
pub const DEFAULT_LIFETIME_MINUTES: u32 = 60;

/// What a new token is to say. What is absent or empty is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewToken<'a> {
    /// `aud`.
    pub audience: &'a str,
    /// `iat`.
    pub issued_at: UnixSeconds,
    /// `exp`.
    pub expires_at: UnixSeconds,
    /// `sub`, the user id.
    pub subject: Option<&'a str>,
    /// `role`.
    pub roles: &'a [String],
    /// `webpubsub.group`: groups to join at once.
    pub groups: &'a [String],
}

/// Signs a token with HS256.
#[must_use]
pub fn sign(token: &NewToken<'_>, key: &AccessKey) -> String {
    let mut signed = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    signed.push('.');
    URL_SAFE_NO_PAD.encode_string(payload(token), &mut signed);
    let tag = key.sign(signed.as_bytes());
    signed.push('.');
    URL_SAFE_NO_PAD.encode_string(tag, &mut signed);
    signed
}

fn payload(token: &NewToken<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Payload<'a> {
        aud: &'a str,
        iat: i64,
        exp: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        sub: Option<&'a str>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        role: &'a [String],
        #[serde(skip_serializing_if = "<[_]>::is_empty", rename = "webpubsub.group")]
        group: &'a [String],
    }

    let payload = Payload {
        aud: token.audience,
        iat: token.issued_at.0,
        exp: token.expires_at.0,
        sub: token.subject,
        role: token.roles,
        group: token.groups,
    };
    // Strings and integers always serialize; an empty payload would only be refused later.
    serde_json::to_vec(&payload).unwrap_or_default()
}
