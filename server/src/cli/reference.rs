//! `hubwire print-reference`: the pages that are written from the table of keys.

use clap::ValueEnum;

use super::print;
use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    page: Page,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Page {
    Limits,
    Configuration,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    print(&match args.page {
        Page::Limits => config::limits_reference(),
        Page::Configuration => config::reference(),
    })?;
    Ok(())
}
