//! Where a value came from, and the one message an operator sees when it is wrong.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value of the configuration was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the built-in default.
    #[default]
    Default,
    /// A line of the configuration file, or the whole file.
    File {
        /// The path as the operator wrote it.
        path: PathBuf,
        /// Counted from 1; absent when the file as a whole is meant.
        line: Option<usize>,
    },
    /// An environment variable, by its name.
    Variable(String),
    /// A command-line flag, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A configuration that Hubwire refuses to start with; the process exits with code 2.
///
/// It reads `ORIGIN: KEY: PROBLEM`, for example
/// `hubwire.toml:12: limits.mesage_bytes: unknown key (did you mean message_bytes?)`.
/// No message contains the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.text())]
pub struct ConfigError {
    /// Where the offending value was given.
    pub origin: Origin,
    /// The dotted key as the operator spelled it; empty when no single key is to blame.
    pub key: String,
    /// What is wrong, without a full stop.
    pub problem: String,
}

impl ConfigError {
    /// An error about `key`, given at `origin`.
    pub fn new(origin: &Origin, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            origin: origin.clone(),
            key: key.into(),
            problem: problem.into(),
        }
    }

    fn text(&self) -> String {
        let origin = match &self.origin {
            Origin::Default => String::new(),
            given => format!("{given}: "),
        };
        let key = if self.key.is_empty() {
            String::new()
        } else {
            format!("{}: ", self.key)
        };
        format!("{origin}{key}{}", self.problem)
    }
}
