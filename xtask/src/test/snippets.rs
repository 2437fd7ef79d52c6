//! The programs in the documentation, run as they are printed; a step for each language, so that
//! a machine without one still runs the others.
//!
//! The suite takes the blocks out of the Markdown itself. It borrows its packages from the suites
//! of JavaScript, Python and the browser.

use std::path::PathBuf;

use anyhow::Result;

use super::Rings;
use super::clients::{missing, python_with_sdks};
use crate::shell::Cmd;
use crate::summary::Outcome;
use crate::tools;

/// `js` and `sh` blocks.
pub(super) fn node(rings: &Rings<'_>) -> Result<Outcome> {
    run(rings, "js,sh", None)
}

/// `html` blocks, in Chromium.
pub(super) fn browser(rings: &Rings<'_>) -> Result<Outcome> {
    if let Some(skipped) = missing(&["npm"]) {
        return Ok(skipped);
    }
    match tools::chromium() {
        Ok(chromium) => {
            tools::node_packages(&rings.workspace.root.join("tests/sdk/browser"))?;
            run(rings, "html", Some(("CHROMIUM", chromium)))
        }
        Err(reason) => Ok(Outcome::Skipped(reason)),
    }
}

/// `python` blocks.
pub(super) fn python(rings: &Rings<'_>) -> Result<Outcome> {
    if let Some(skipped) = missing(&["python3"]) {
        return Ok(skipped);
    }
    run(rings, "python", Some(("PYTHON", python_with_sdks(rings)?)))
}

/// `csharp` blocks, with Mono.
pub(super) fn csharp(rings: &Rings<'_>) -> Result<Outcome> {
    match tools::mono() {
        Ok(()) => run(rings, "csharp", None),
        Err(reason) => Ok(Outcome::Skipped(reason)),
    }
}

/// `java` blocks.
pub(super) fn java(rings: &Rings<'_>) -> Result<Outcome> {
    match tools::java() {
        Ok(()) => run(rings, "java", None),
        Err(reason) => Ok(Outcome::Skipped(reason)),
    }
}

fn run(rings: &Rings<'_>, languages: &str, tool: Option<(&str, PathBuf)>) -> Result<Outcome> {
    if let Some(skipped) = missing(&["node", "npm", "bash"]) {
        return Ok(skipped);
    }
    let suites = rings.workspace.root.join("tests/sdk");
    tools::node_packages(&suites.join("javascript"))?;
    let mut tests = Cmd::new("node")
        .args(["--test", "--test-reporter=spec", "--test-timeout=120000"])
        .args(["snippets.test.mjs"])
        .env("HUBWIRE_BIN", rings.server()?)
        .env("SNIPPETS", languages)
        .dir(&suites.join("snippets"));
    if let Some((variable, path)) = tool {
        tests = tests.env(variable, path);
    }
    tests.run()?;
    Ok(Outcome::Passed)
}
