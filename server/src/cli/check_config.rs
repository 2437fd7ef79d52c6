//! `hubwire check-config`: what the server would run with.

use super::{ConfigArgs, print};

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    print(&args.load()?.effective())?;
    Ok(())
}
