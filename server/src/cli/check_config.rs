//! `hubwire check-config`: what the server would run with.

use super::{ConfigArgs, Output};

pub(super) fn run(args: &ConfigArgs, output: Output) -> anyhow::Result<()> {
    output.print(&args.load()?.effective())?;
    Ok(())
}
