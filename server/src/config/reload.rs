//! Which keys a running node takes when its configuration is read again.

use super::{Config, ConfigError, Origin};

/// A configuration for a node that keeps running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The configuration from now on: what was asked for where that is possible, and what the node
    /// runs with elsewhere.
    pub config: Config,
    /// The keys and tables that the node takes and that have changed. What files of `tls` hold is
    /// not compared.
    pub changed: Vec<&'static str>,
    /// The keys that have changed and that only a restart can take.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// What becomes of this configuration of a running node when `wanted` is asked for.
    ///
    /// # Errors
    ///
    /// If what would come of it must not be, though `wanted` alone may.
    pub fn reloaded(&self, wanted: Self) -> Result<Reloaded, ConfigError> {
        let needs_restart = self.needs_restart(&wanted);
        let has_changed = [
            ("access_keys", self.access_keys != wanted.access_keys),
            ("hub_defaults", self.hub_defaults != wanted.hub_defaults),
            ("hubs", self.hubs != wanted.hubs),
            ("log.level", self.log.level() != wanted.log.level()),
            ("tls", self.has_other_tls_files(&wanted)),
        ];
        let config = Self {
            access_keys: wanted.access_keys,
            hub_defaults: wanted.hub_defaults,
            hubs: wanted.hubs,
            tls: self
                .tls
                .as_ref()
                .and(wanted.tls)
                .or_else(|| self.tls.clone()),
            log: wanted.log.with_format(self.log.format),
            warnings: wanted.warnings,
            ..self.clone()
        };
        if let Some((_, problem)) = config.public_key_problem() {
            let origin = match &config.file {
                Some(path) => Origin::File {
                    path: path.clone(),
                    line: None,
                },
                None => Origin::Default,
            };
            return Err(ConfigError::new(&origin, "access_keys", problem));
        }
        Ok(Reloaded {
            config,
            changed: has_changed
                .into_iter()
                .filter_map(|(key, changed)| changed.then_some(key))
                .collect(),
            needs_restart,
        })
    }

    /// Whether both have TLS, with certificates from different places.
    fn has_other_tls_files(&self, wanted: &Self) -> bool {
        let both = self.tls.as_ref().zip(wanted.tls.as_ref());
        both.is_some_and(|(now, wanted)| now.files() != wanted.files())
    }

    /// The keys by which `wanted` differs and that a running node cannot take.
    fn needs_restart(&self, wanted: &Self) -> Vec<String> {
        // Without `..`, so that each new key is decided about here.
        let Self {
            listen,
            endpoint,
            data_dir,
            keep_sessions,
            admin_listen,
            shards,
            log,
            tls,
            auth,
            rest,
            limits,
            // Taken.
            access_keys: _,
            hub_defaults: _,
            hubs: _,
            // No keys.
            file: _,
            listen_origin: _,
            endpoint_origin: _,
            data_dir_origin: _,
            admin_listen_origin: _,
            warnings: _,
        } = self;
        let keys = [
            ("listen", *listen != wanted.listen),
            ("endpoint", *endpoint != wanted.endpoint),
            ("data_dir", *data_dir != wanted.data_dir),
            ("keep_sessions", *keep_sessions != wanted.keep_sessions),
            ("admin_listen", *admin_listen != wanted.admin_listen),
            ("shards", *shards != wanted.shards),
            ("log.format", log.format != wanted.log.format),
            ("tls", tls.is_some() != wanted.tls.is_some()),
            ("auth", *auth != wanted.auth),
            ("rest", *rest != wanted.rest),
        ];
        let limits = limits.values().into_iter().zip(wanted.limits.values());
        let other_limits = limits.filter(|((_, now), (_, wanted))| now != wanted);
        keys.into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(key, _)| key.to_owned())
            .chain(other_limits.map(|((key, _), _)| format!("limits.{key}")))
            .collect()
    }
}
