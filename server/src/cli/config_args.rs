//! The flags that every command with a configuration takes.

use std::path::PathBuf;

use crate::config::{Config, ConfigError, Flag, Sources};

/// Each flag wins over the environment and the file.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConfigArgs {
    /// Configuration file; without it, built-in defaults for development
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for clients, REST and health [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Public address; may be given several times [default: http://localhost:PORT]
    #[arg(long, value_name = "URL")]
    endpoint: Vec<String>,
    /// Address of the admin listener with /metrics [default: off]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Directory for state that survives a restart
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// Threads that own client sockets [default: one per core]
    #[arg(long, value_name = "NUMBER")]
    shards: Option<String>,
    /// What is logged: off, error, warn, info, debug, trace, or a list of target=level
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Form of the log: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// File with the primary access key
    #[arg(long, value_name = "FILE")]
    access_key_file: Option<String>,
    /// Speak TLS with a certificate for this machine, made at first use
    #[arg(long)]
    dev_tls: bool,
}

impl ConfigArgs {
    /// Reads the configuration from these flags, the environment of the process and the file.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.sources())
    }

    /// Whether any of these flags was given.
    pub(super) fn is_given(&self) -> bool {
        self.config.is_some() || self.dev_tls || !self.flags().is_empty()
    }

    /// These flags, the environment of the process and the file.
    pub(super) fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: self.flags(),
            dev_tls: self.dev_tls,
        }
    }

    fn flags(&self) -> Vec<Flag> {
        let one = |value: &Option<String>| value.iter().cloned().collect();
        let flags = [
            ("--listen", "listen", one(&self.listen)),
            ("--endpoint", "endpoint", self.endpoint.clone()),
            ("--admin-listen", "admin_listen", one(&self.admin_listen)),
            ("--data-dir", "data_dir", one(&self.data_dir)),
            ("--shards", "shards", one(&self.shards)),
            ("--log-level", "log.level", one(&self.log_level)),
            ("--log-format", "log.format", one(&self.log_format)),
            (
                "--access-key-file",
                "access_keys.primary.file",
                one(&self.access_key_file),
            ),
        ];
        flags
            .into_iter()
            .filter(|(.., values): &(_, _, Vec<String>)| !values.is_empty())
            .map(|(name, key, values)| Flag { name, key, values })
            .collect()
    }
}
