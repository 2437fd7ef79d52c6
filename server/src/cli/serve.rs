//! `hubwire serve`: run the server until a signal stops it.

use super::ConfigArgs;
use crate::{app, telemetry};

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = args.load()?;
    telemetry::init(&config.log);
    app::run(&config)
}
