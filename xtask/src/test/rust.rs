//! The Rust ring: the workspace's own tests, its documentation, and the fuzz corpora replayed by
//! the stable compiler.

use anyhow::Result;

use super::Rings;
use crate::shell::Cmd;
use crate::summary::Outcome;

/// Unit and integration tests, through nextest where it is installed.
pub(super) fn tests(rings: &Rings<'_>) -> Result<Outcome> {
    let cargo = rings.workspace.cargo();
    if Cmd::cargo().args(["nextest", "--version"]).succeeds() {
        cargo
            .args([
                "nextest",
                "run",
                "--workspace",
                "--locked",
                "--no-fail-fast",
            ])
            .run()?;
    } else {
        cargo
            .args(["test", "--workspace", "--locked", "--no-fail-fast"])
            .args(["--lib", "--bins", "--tests"])
            .run()?;
    }
    Ok(Outcome::Passed)
}

/// The examples in documentation comments.
pub(super) fn documentation(rings: &Rings<'_>) -> Result<Outcome> {
    rings
        .workspace
        .cargo()
        .args(["test", "--workspace", "--locked", "--doc"])
        .run()?;
    Ok(Outcome::Passed)
}

/// Every committed fuzz input through its decoder. The fuzz crate is a workspace of its own; in
/// the same target folder it reuses what the tests above have built.
pub(super) fn corpora(rings: &Rings<'_>) -> Result<Outcome> {
    rings
        .workspace
        .cargo()
        .args([
            "test",
            "--locked",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--target-dir",
        ])
        .args([&rings.workspace.target])
        .run()?;
    Ok(Outcome::Passed)
}
