//! Access keys: their rule, and the three places they are read from.

use std::path::{Path, PathBuf};

use hubwire_proto::token::AccessKey;

use super::error::{ConfigError, Origin};
use super::section::{Section, wrong_type};
use super::tree::Value;
use crate::regular_file;

/// The key that the vendor publishes for its local emulator. Everybody knows it, so Hubwire takes
/// it on loopback only.
const DEVELOPMENT_KEY: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH";

/// The least length of an access key in bytes (RFC 7518 §3.2: no shorter than the hash).
const MIN_KEY_BYTES: usize = 32;

/// More than any key needs.
const MAX_KEY_BYTES: usize = 4096;

/// The most bytes of a secret file: more than any key and the line break behind it.
const MAX_FILE_BYTES: u64 = 8192;

/// Takes `text` as an access key, by the rule of the configuration.
///
/// # Errors
///
/// What is wrong with it, without showing it: shorter than 32 bytes, longer than 4096, a `;`
/// (it would end the key in a connection string), a control character, or a blank at an end.
fn access_key(text: String) -> Result<AccessKey, String> {
    let problem = if text.len() < MIN_KEY_BYTES {
        format!(
            "an access key needs at least {MIN_KEY_BYTES} bytes, not {}",
            text.len()
        )
    } else if text.len() > MAX_KEY_BYTES {
        format!("an access key has at most {MAX_KEY_BYTES} bytes")
    } else if text.contains(';') {
        "an access key must not contain ';'".to_owned()
    } else if text.contains(char::is_control) {
        "an access key must not contain control characters or line breaks".to_owned()
    } else if text.trim() != text {
        "an access key must not begin or end with a blank".to_owned()
    } else {
        return AccessKey::new(text).map_err(|error| error.to_string());
    };
    Err(problem)
}

/// The two keys of a node; either one authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKeys {
    /// Signs what the server itself issues.
    pub primary: AccessKey,
    /// Accepted beside the primary one.
    pub secondary: Option<AccessKey>,
}

impl AccessKeys {
    /// Both keys, primary first.
    pub fn iter(&self) -> impl Iterator<Item = &AccessKey> {
        std::iter::once(&self.primary).chain(&self.secondary)
    }

    /// Whether the primary key is the public development key, so that showing it gives nothing
    /// away.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.primary.expose() == DEVELOPMENT_KEY
    }

    /// Whether everybody can make tokens for this node.
    pub(super) fn is_public(&self) -> bool {
        self.iter().any(|key| key.expose() == DEVELOPMENT_KEY)
    }

    /// Reads the table `access_keys`, and the variables and files that it names. Files with keys
    /// that others may read are told in `warnings`.
    pub(super) fn read(
        section: &Section<'_>,
        variable: impl Fn(&str) -> Option<String>,
        warnings: &mut Vec<ConfigError>,
    ) -> Result<Self, ConfigError> {
        let mut key = |name| read_key(section, name, &variable, warnings);
        Ok(Self {
            primary: match key("primary")? {
                Some(key) => key,
                None => access_key(DEVELOPMENT_KEY.to_owned())
                    .map_err(|problem| section.error("primary", problem))?,
            },
            secondary: key("secondary")?,
        })
    }
}

fn read_key(
    section: &Section<'_>,
    name: &str,
    variable: impl Fn(&str) -> Option<String>,
    warnings: &mut Vec<ConfigError>,
) -> Result<Option<AccessKey>, ConfigError> {
    let Some(node) = section.node(name) else {
        return Ok(None);
    };
    let expected = "text, { env = \"…\" } or { file = \"…\" }";
    let text = match &node.value {
        Value::Text(text) | Value::Plain(text) => {
            if let Origin::File { path, .. } = &node.origin {
                warnings.extend(warn_if_open(&node.origin, &section.path_of(name), path));
            }
            text.clone()
        }
        Value::Table(form) => {
            let mut entries = form.iter();
            let (Some((form, inner)), None) = (entries.next(), entries.next()) else {
                return Err(section.error(name, format!("must be {expected}")));
            };
            let (Value::Text(place) | Value::Plain(place)) = &inner.value else {
                return Err(wrong_type(inner, &section.path_of(name), "text"));
            };
            let found = match form.as_str() {
                "env" => variable(place)
                    .ok_or_else(|| format!("the environment variable {place} is not set or empty")),
                "file" => {
                    let path = secret_path(Path::new(place), &inner.origin);
                    warnings.extend(warn_if_open(&inner.origin, &section.path_of(name), &path));
                    read_secret_file(&path)
                }
                _ => Err(format!("must be {expected}")),
            };
            found.map_err(|problem| section.error(name, problem))?
        }
        _ => return Err(wrong_type(node, &section.path_of(name), expected)),
    };
    access_key(text)
        .map(Some)
        .map_err(|problem| section.error(name, problem))
}

/// A relative path in the configuration file starts at that file's directory.
pub(super) fn secret_path(path: &Path, origin: &Origin) -> PathBuf {
    match origin {
        Origin::File { path: config, .. } => config.parent().unwrap_or(config).join(path),
        _ => path.to_owned(),
    }
}

/// What to say about the file at `path`, which holds the secret `key` given at `origin`, if every
/// user of the machine may read it.
#[cfg(unix)]
pub(crate) fn warn_if_open(origin: &Origin, key: &str, path: &Path) -> Option<ConfigError> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = path.metadata().ok()?.permissions().mode();
    let problem = format!(
        "every user of this machine may read {} (mode {:03o}); chmod 600 keeps it to its owner",
        path.display(),
        mode & 0o777
    );
    (mode & 0o004 != 0).then(|| ConfigError::new(origin, key, problem))
}

/// Elsewhere files have no mode.
#[cfg(not(unix))]
pub(crate) fn warn_if_open(_origin: &Origin, _key: &str, _path: &Path) -> Option<ConfigError> {
    None
}

/// Reads a secret, without the one line break that editors and tools leave at the end.
fn read_secret_file(path: &Path) -> Result<String, String> {
    let mut text = regular_file::read_text(path, MAX_FILE_BYTES)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    Ok(text)
}
