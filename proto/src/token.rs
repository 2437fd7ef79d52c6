//! Access tokens: JSON Web Tokens (RFC 7519) signed with an access key (protocol notes: client
//! tokens, REST tokens).
//!
//! [`verify`] judges signature, lifetime and the form of the claims. Whether a token is meant for
//! a request is decided by [`audience`], and what its roles allow by [`crate::role`].

pub mod audience;
mod claims;
mod key;
mod sign;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use claims::{Claims, GroupClaimError};
pub use key::{AccessKey, EmptyKey};
pub use sign::{DEFAULT_LIFETIME_MINUTES, NewToken, sign};

use claims::Header;

/// The longest token that is looked at. Twice the longest request line that clients are promised.
pub const MAX_TOKEN_LEN: usize = 32 * 1024;

/// The clock skew that `exp` and `nbf` are forgiven unless configured otherwise.
pub const DEFAULT_SKEW: Duration = Duration::from_secs(300);

/// Whole seconds since 1970-01-01 00:00 UTC, the time unit of tokens (RFC 7519 §2, NumericDate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// Later by a duration, in whole seconds; stops at the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(seconds))
    }
}

/// Why a token is refused, always with 401. No text repeats any part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_LEN`].
    #[error("The token is longer than {MAX_TOKEN_LEN} bytes.")]
    TooLong,
    /// Not three base64url parts that hold two JSON objects and a signature.
    #[error("The token is not a JSON Web Token.")]
    Format,
    /// Signed with anything but HMAC SHA-256, or not at all.
    #[error("The token must be signed with HS256.")]
    Algorithm,
    /// It demands extensions by `crit` (RFC 7515 §4.1.11); we have none.
    #[error("The token requires an extension that is not supported.")]
    Critical,
    /// No access key made this signature.
    #[error("The signature of the token is invalid.")]
    Signature,
    /// A claim, named here, is not of its type.
    #[error("The claim `{0}` of the token has a wrong type.")]
    ClaimType(&'static str),
    /// `exp` is missing.
    #[error("The token has no expiration time.")]
    NoExpiry,
    /// `exp` has passed.
    #[error("The token has expired.")]
    Expired,
    /// `nbf` is still to come.
    #[error("The token is not valid yet.")]
    NotYetValid,
}

/// Reads a token that one of `keys` signed with HS256 and whose lifetime covers `now`, give or
/// take `skew`. Its audience is not judged.
///
/// # Errors
///
/// [`TokenError`]. Nothing is said about claims before the signature is known to be good.
pub fn verify(
    token: &str,
    keys: &[&AccessKey],
    now: UnixSeconds,
    skew: Duration,
) -> Result<Claims, TokenError> {
    if token.len() > MAX_TOKEN_LEN {
        return Err(TokenError::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Format)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Format)?;
    if payload.contains('.') {
        return Err(TokenError::Format);
    }
    Header::parse(&base64url(header)?)?.check()?;
    let signature = base64url(signature)?;
    if !keys
        .iter()
        .any(|key| key.has_signed(signed.as_bytes(), &signature))
    {
        return Err(TokenError::Signature);
    }
    let payload = String::from_utf8(base64url(payload)?).map_err(|_| TokenError::Format)?;
    let claims = Claims::parse(payload)?;
    if now >= claims.expires_at.plus(skew) {
        return Err(TokenError::Expired);
    }
    if claims
        .not_before
        .is_some_and(|start| start > now.plus(skew))
    {
        return Err(TokenError::NotYetValid);
    }
    Ok(claims)
}

fn base64url(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part.as_bytes())
        .map_err(|_| TokenError::Format)
}
