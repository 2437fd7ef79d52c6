//! Reloading: the configuration is read again while the node runs.
//!
//! Everything is read and checked before anything changes, and nothing can fail once changes
//! begin, so a reload happens wholly or not at all. Which keys a running node can take is decided
//! in `config/reload.rs`.

use crate::config::{Config, ConfigError, Reloaded, Sources};
use crate::engine_settings::hub_table;
use crate::front::FrontDoor;
use crate::signals::ReloadRequests;
use crate::telemetry::LogLevel;
use crate::tls::Identity;

/// Reloads a running node.
pub(crate) struct Reloader {
    /// The places that the configuration was read from at start.
    pub(crate) sources: Sources,
    /// What the node runs with.
    pub(crate) running: Config,
    pub(crate) front: FrontDoor,
    pub(crate) log_level: LogLevel,
}

/// All that a reload brings, read and checked.
struct Next {
    reloaded: Reloaded,
    identity: Option<Identity>,
}

impl Reloader {
    /// Reloads at every request, for as long as it is polled.
    pub(crate) async fn serve(mut self, mut requests: ReloadRequests) {
        loop {
            requests.next().await;
            // Files are read, and a slow disk must not hold up clients.
            let reload = tokio::task::spawn_blocking(move || {
                self.reload();
                self
            });
            self = match reload.await {
                Ok(reloader) => reloader,
                Err(error) => {
                    tracing::error!(%error, "reloading ended; restart to reconfigure");
                    return;
                }
            };
        }
    }

    fn reload(&mut self) {
        match self.read() {
            Ok(next) => self.apply(next),
            Err(error) => {
                tracing::error!(%error, "the configuration was not reloaded; nothing has changed");
                self.front.counters().reload_refused();
            }
        }
    }

    fn read(&self) -> Result<Next, ConfigError> {
        let wanted = Config::load(&self.sources)?;
        let identity = match (self.front.tls(), &wanted.tls) {
            (Some(_), Some(tls)) => Some(tls.read()?),
            _ => None,
        };
        Ok(Next {
            reloaded: self.running.reloaded(wanted)?,
            identity,
        })
    }

    fn apply(&mut self, next: Next) {
        let Reloaded {
            config,
            mut changed,
            needs_restart,
        } = next.reloaded;
        if let (Some(acceptor), Some(identity)) = (self.front.tls(), next.identity) {
            let is_new = acceptor.replace(identity);
            if is_new && !changed.contains(&"tls") {
                changed.push("tls");
            }
        }
        self.log_level.replace(&config.log);
        self.front.keys().replace(config.access_keys.clone());
        self.front.node().replace_hubs(hub_table(&config));
        self.running = config;

        let changed = if changed.is_empty() {
            "nothing".to_owned()
        } else {
            changed.join(", ")
        };
        tracing::info!(changed, "configuration reloaded");
        for warning in &self.running.warnings {
            tracing::warn!("{warning}");
        }
        if !needs_restart.is_empty() {
            let keys = needs_restart.join(", ");
            tracing::warn!(keys, "these changes need a restart and were left out");
        }
        self.front.counters().reloaded();
    }
}
