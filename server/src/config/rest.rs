//! The keys of `[auth]` and `[rest]`.

use hubwire_proto::rest::EncodedSlash;

use super::error::ConfigError;
use super::section::Section;

/// Whose tokens are believed, beyond their signature and lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthConfig {
    /// Whether a token's audience must name the request's host or a configured endpoint.
    pub check_audience_host: bool,
    /// Whether `X-Forwarded-Host` names the request's host too.
    pub trust_forwarded_host: bool,
}

/// Choices of the REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestConfig {
    /// Whether old preview versions are accepted.
    pub accept_preview_versions: bool,
    /// What `%2F` in a path segment is.
    pub encoded_slash: EncodedSlash,
    /// Whether an access key's token is good for `:generateToken`.
    pub allow_token_generation: bool,
}

impl AuthConfig {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            check_audience_host: section.boolean("check_audience_host")?.unwrap_or(true),
            trust_forwarded_host: section.boolean("trust_forwarded_host")?.unwrap_or(false),
        })
    }
}

impl RestConfig {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            accept_preview_versions: section.boolean("accept_preview_versions")?.unwrap_or(false),
            encoded_slash: match section.choice("encoded_slash")? {
                Some("keep") => EncodedSlash::Keep,
                _ => EncodedSlash::Decode,
            },
            allow_token_generation: section.choice("token_generation")? != Some("deny"),
        })
    }

    /// The spelling of [`Self::encoded_slash`] in the configuration file.
    pub(super) const fn encoded_slash(&self) -> &'static str {
        match self.encoded_slash {
            EncodedSlash::Decode => "decode",
            EncodedSlash::Keep => "keep",
        }
    }

    /// The spelling of [`Self::allow_token_generation`] in the configuration file.
    pub(super) const fn token_generation(&self) -> &'static str {
        if self.allow_token_generation {
            "allow"
        } else {
            "deny"
        }
    }
}
