//! `cargo xtask lint`: formatting, clippy, documentation and the rules for dependencies.

use anyhow::{Result, bail};

use crate::shell::Cmd;
use crate::summary::{Outcome, Summary};
use crate::tools;
use crate::workspace::Workspace;

const ADVISORIES: &str = "https://github.com/rustsec/advisory-db";

/// Adds the lint steps.
pub(crate) fn add(workspace: &Workspace, summary: &mut Summary) {
    summary.step("lint: format", || {
        workspace.cargo().args(["fmt", "--all", "--check"]).run()?;
        workspace
            .cargo()
            .args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])
            .run()?;
        Ok(Outcome::Passed)
    });
    summary.step("lint: clippy", || {
        let clippy = || {
            workspace
                .cargo()
                .args(["clippy", "--all-targets", "--locked"])
        };
        let strict = ["--", "-D", "warnings"];
        clippy().args(["--workspace"]).args(strict).run()?;
        clippy()
            .args(["--manifest-path", "fuzz/Cargo.toml", "--target-dir"])
            .args([&workspace.target])
            .args(strict)
            .run()?;
        Ok(Outcome::Passed)
    });
    summary.step("lint: documentation", || {
        workspace
            .cargo()
            .env("RUSTDOCFLAGS", "-D warnings")
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .run()?;
        Ok(Outcome::Passed)
    });
    summary.step("lint: dependencies", || dependencies(workspace));
}

/// Licences, duplicates and sources always; known vulnerabilities when their database answers.
fn dependencies(workspace: &Workspace) -> Result<Outcome> {
    let deny = tools::developer_tools(workspace)?.join("cargo-deny");
    let check = |what: &[&str]| {
        Cmd::new(&deny)
            .dir(&workspace.root)
            .args(["--workspace", "check"])
            .args(what)
            .run()
    };
    check(&["licenses", "bans", "sources"])?;
    if !Cmd::new("git")
        .args(["ls-remote", "--exit-code", ADVISORIES, "HEAD"])
        .succeeds()
    {
        return Ok(Outcome::Partly(format!(
            "advisories not checked: no answer from {ADVISORIES}"
        )));
    }
    if let Err(error) = check(&["advisories"]) {
        bail!("advisories: {error:#}");
    }
    Ok(Outcome::Passed)
}
