//! The keys of `[log]`.

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::error::ConfigError;
use super::section::Section;

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or a comma list of `target=level`; always one that [`Self::targets`] understands.
    level: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::default(),
        }
    }
}

impl LogConfig {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let level = section.parsed("level", |text| targets(text).map(|_| text.to_owned()))?;
        let format = match section.choice("format")? {
            Some("json") => LogFormat::Json,
            _ => LogFormat::Text,
        };
        Ok(Self {
            level: level.unwrap_or_else(|| Self::default().level),
            format,
        })
    }

    /// The level as it was given.
    #[must_use]
    pub fn level(&self) -> &str {
        &self.level
    }

    /// The same level in another form.
    pub(super) fn with_format(self, format: LogFormat) -> Self {
        Self { format, ..self }
    }

    /// The filter that the level stands for.
    #[must_use]
    pub fn targets(&self) -> Targets {
        targets(&self.level).unwrap_or_default()
    }
}

impl LogFormat {
    /// The spelling of the configuration file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Stricter than the parser of the logging library, which takes a misspelt level for a target.
fn targets(text: &str) -> Result<Targets, String> {
    let mut targets = Targets::new();
    for part in text.split(',').map(str::trim) {
        let (target, level) = part
            .rsplit_once('=')
            .map_or((None, part), |(t, l)| (Some(t), l));
        let level = match level.to_ascii_lowercase().as_str() {
            "off" => LevelFilter::OFF,
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => {
                return Err(format!(
                    "must be off, error, warn, info, debug or trace, or a list of target=level, \
                     not {text:?}"
                ));
            }
        };
        targets = match target {
            Some(target) => targets.with_target(target, level),
            None => targets.with_default(level),
        };
    }
    Ok(targets)
}
