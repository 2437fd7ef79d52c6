//! The two JSON objects inside a token.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{TokenError, UnixSeconds};
use crate::name;

/// What a verified token says.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    /// `aud`; see [`super::audience`].
    pub audiences: Vec<String>,
    /// `sub`, the user id; an empty one counts as none.
    pub subject: Option<String>,
    /// `role`.
    pub roles: Vec<String>,
    /// `webpubsub.group`: groups to join at once. Not checked, see [`Claims::check_groups`].
    pub groups: Vec<String>,
    /// `exp`.
    pub expires_at: UnixSeconds,
    /// `nbf`.
    pub not_before: Option<UnixSeconds>,
    /// The payload as its JSON text, for the claims not listed here.
    pub payload: String,
}

/// A token that names an impossible group. The text is the body of the 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The token contains an invalid group name.")]
pub struct GroupClaimError;

impl Claims {
    /// Checks the names of the initial groups.
    ///
    /// # Errors
    ///
    /// [`GroupClaimError`] if one is no group name.
    pub fn check_groups(&self) -> Result<(), GroupClaimError> {
        let valid = |group: &String| name::check_group(group).is_ok();
        if self.groups.iter().all(valid) {
            Ok(())
        } else {
            Err(GroupClaimError)
        }
    }

    pub(super) fn parse(payload: String) -> Result<Self, TokenError> {
        let raw: RawClaims<'_> = object(payload.as_bytes())?;
        Ok(Self {
            audiences: strings(raw.aud, "aud")?,
            subject: text(raw.sub, "sub")?.filter(|subject| !subject.is_empty()),
            roles: strings(raw.role, "role")?,
            groups: strings(raw.group, "webpubsub.group")?,
            expires_at: date(raw.exp, "exp")?.ok_or(TokenError::NoExpiry)?,
            not_before: date(raw.nbf, "nbf")?,
            payload,
        })
    }
}

/// Claims are personal data, so a stray debug line shows none of them.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What decides how to check a token; all else in the header is ignored.
#[derive(Deserialize)]
pub(super) struct Header<'a> {
    #[serde(borrow)]
    alg: Option<&'a RawValue>,
    #[serde(borrow)]
    crit: Option<&'a RawValue>,
}

impl<'a> Header<'a> {
    pub(super) fn parse(json: &'a [u8]) -> Result<Self, TokenError> {
        object(json)
    }

    pub(super) fn check(&self) -> Result<(), TokenError> {
        if text(self.alg, "alg")?.as_deref() != Some("HS256") {
            return Err(TokenError::Algorithm);
        }
        if self.crit.is_some() {
            return Err(TokenError::Critical);
        }
        Ok(())
    }
}

/// Each claim as raw text, so that a wrong one can be named without quoting it.
#[derive(Deserialize)]
struct RawClaims<'a> {
    #[serde(borrow)]
    aud: Option<&'a RawValue>,
    #[serde(borrow)]
    sub: Option<&'a RawValue>,
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow, rename = "webpubsub.group")]
    group: Option<&'a RawValue>,
    #[serde(borrow)]
    exp: Option<&'a RawValue>,
    #[serde(borrow)]
    nbf: Option<&'a RawValue>,
}

/// A JSON object; left alone, serde would also take an array that has the members in order.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, TokenError> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(TokenError::Format);
    }
    serde_json::from_slice(json).map_err(|_| TokenError::Format)
}

fn text(claim: Option<&RawValue>, name: &'static str) -> Result<Option<String>, TokenError> {
    claim
        .map(|raw| serde_json::from_str(raw.get()).map_err(|_| TokenError::ClaimType(name)))
        .transpose()
}

/// One string, or an array of strings.
fn strings(claim: Option<&RawValue>, name: &'static str) -> Result<Vec<String>, TokenError> {
    let Some(raw) = claim else {
        return Ok(Vec::new());
    };
    if raw.get().starts_with('"') {
        return Ok(text(claim, name)?.into_iter().collect());
    }
    serde_json::from_str(raw.get()).map_err(|_| TokenError::ClaimType(name))
}

/// A NumericDate, which may have a fraction (RFC 7519 §2); it is cut off.
fn date(claim: Option<&RawValue>, name: &'static str) -> Result<Option<UnixSeconds>, TokenError> {
    let Some(raw) = claim else {
        return Ok(None);
    };
    let number: serde_json::Number =
        serde_json::from_str(raw.get()).map_err(|_| TokenError::ClaimType(name))?;
    let seconds = number
        .as_i64()
        .or_else(|| number.as_f64().map(saturating_seconds))
        .ok_or(TokenError::ClaimType(name))?;
    Ok(Some(UnixSeconds(seconds)))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and a date beyond the range means never or always"
)]
fn saturating_seconds(seconds: f64) -> i64 {
    seconds.floor() as i64
}
