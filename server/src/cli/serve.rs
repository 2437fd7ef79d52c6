//! `hubwire serve`: run the server until a signal stops it.

use super::ConfigArgs;
use crate::config::Config;
use crate::{app, telemetry};

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let sources = args.sources();
    let config = Config::load(&sources)?;
    let log_level = telemetry::init(&config.log);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    app::run(&config, sources, log_level)
}
