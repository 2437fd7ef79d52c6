//! `hubwire check-config`: what the server would run with.

use super::{ConfigArgs, print};
use crate::keys::KeyStore;

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = args.load()?;
    KeyStore::check(&config)?;
    if let Some(tls) = config
        .tls
        .as_ref()
        .filter(|tls| tls.development_authority().is_none())
    {
        tls.read()?;
    }
    for warning in &config.warnings {
        eprintln!("{warning}");
    }
    print(&config.effective())?;
    Ok(())
}
