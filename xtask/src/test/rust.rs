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

/// The tests of the running node once more, with TLS below them, but for those that measure memory
/// or depend on whether there is TLS.
pub(super) fn over_tls(rings: &Rings<'_>) -> Result<Outcome> {
    let excluded = [
        "tls::",
        "memory::",
        "what_only_a_restart_can_change",
        "links_name_the",
    ];
    let mut tests = rings
        .workspace
        .cargo()
        .args(["test", "--locked", "--package", "hubwire", "--test", "node"])
        .args(["--no-fail-fast", "--"])
        .env("HUBWIRE_TEST_TLS", "1");
    for test in excluded {
        tests = tests.args(["--skip", test]);
    }
    tests.run()?;
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
