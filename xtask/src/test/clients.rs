//! The outer rings: clients that we did not write, against the release binary.
//!
//! Each suite starts its own servers on ports that the system chooses; it learns the binary from
//! `HUBWIRE_BIN` and needs nothing else from here.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Rings;
use crate::shell::Cmd;
use crate::summary::Outcome;
use crate::tools;

/// `ws`, `@azure/web-pubsub-client` and `@azure/web-pubsub` under Node's test runner.
pub(super) fn javascript(rings: &Rings<'_>) -> Result<Outcome> {
    if let Some(skipped) = missing(&["node", "npm"]) {
        return Ok(skipped);
    }
    node_suite(rings, "javascript", &[])
}

/// A page in headless Chromium, driven by playwright-core.
pub(super) fn browser(rings: &Rings<'_>) -> Result<Outcome> {
    if let Some(skipped) = missing(&["node", "npm"]) {
        return Ok(skipped);
    }
    match tools::chromium() {
        Ok(chromium) => node_suite(rings, "browser", &[("CHROMIUM", &chromium)]),
        Err(reason) => Ok(Outcome::Skipped(reason)),
    }
}

/// A program on the JDK's own WebSocket.
pub(super) fn java(rings: &Rings<'_>) -> Result<Outcome> {
    match tools::java() {
        Ok(()) => programs(rings, "java"),
        Err(reason) => Ok(Outcome::Skipped(reason)),
    }
}

/// A program on .NET's own WebSocket, compiled and run by Mono.
pub(super) fn csharp(rings: &Rings<'_>) -> Result<Outcome> {
    match tools::mono() {
        Ok(()) => programs(rings, "csharp"),
        Err(reason) => Ok(Outcome::Skipped(reason)),
    }
}

/// `websockets` and the vendor's Python SDKs under pytest.
///
/// Node runs the proxy that breaks their connections.
pub(super) fn python(rings: &Rings<'_>) -> Result<Outcome> {
    if let Some(skipped) = missing(&["python3", "node"]) {
        return Ok(skipped);
    }
    let folder = rings.workspace.root.join("tests/sdk/python");
    Cmd::new(python_with_sdks(rings)?)
        .args(["-m", "pytest", "-q"])
        .env("HUBWIRE_BIN", rings.server()?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .dir(&folder)
        .run()?;
    Ok(Outcome::Passed)
}

/// schemathesis, which makes up requests from our description of the REST API.
pub(super) fn schemathesis(rings: &Rings<'_>) -> Result<Outcome> {
    if let Some(skipped) = missing(&["python3"]) {
        return Ok(skipped);
    }
    let folder = rings.workspace.root.join("tests/sdk/schemathesis");
    let bin = tools::python_environment(
        rings.workspace,
        "schemathesis",
        &folder.join("requirements.txt"),
    )?;
    Cmd::new("python3")
        .args([folder.join("run.py")])
        .args([
            "--schemathesis".as_ref(),
            bin.join("schemathesis").as_os_str(),
        ])
        .env("HUBWIRE_BIN", rings.server()?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .dir(&folder)
        .run()?;
    Ok(Outcome::Passed)
}

/// Autobahn's fuzzing client, which exists for Python 2.7 alone.
pub(super) fn autobahn(rings: &Rings<'_>) -> Result<Outcome> {
    if let Some(skipped) = missing(&["python3"]) {
        return Ok(skipped);
    }
    let Some(python2) = tools::python2() else {
        return Ok(Outcome::Skipped(
            "no Python 2.7, the only one that autobahntestsuite runs on: `pyenv install 2.7.18`"
                .to_owned(),
        ));
    };
    let folder = rings.workspace.root.join("tests/sdk/autobahn");
    let packages = tools::python2_packages(
        rings.workspace,
        &python2,
        "autobahn",
        &folder.join("requirements.txt"),
    )?;
    Cmd::new("python3")
        .args([folder.join("run.py")])
        .args(["--python2".as_ref(), python2.as_os_str()])
        .args(["--packages".as_ref(), packages.as_os_str()])
        .args(["--reports".into(), rings.workspace.target.join("autobahn")])
        .env("HUBWIRE_BIN", rings.server()?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .dir(&folder)
        .run()?;
    Ok(Outcome::Passed)
}

/// The Python that has the packages of its suite.
pub(super) fn python_with_sdks(rings: &Rings<'_>) -> Result<PathBuf> {
    let requirements = rings
        .workspace
        .root
        .join("tests/sdk/python/requirements.txt");
    Ok(tools::python_environment(rings.workspace, "python-sdk", &requirements)?.join("python"))
}

/// Programs that a test of ours starts; Node runs it, with no packages.
fn programs(rings: &Rings<'_>, name: &str) -> Result<Outcome> {
    if let Some(skipped) = missing(&["node"]) {
        return Ok(skipped);
    }
    Cmd::new("node")
        .args(["--test", "--test-reporter=spec", "--test-timeout=120000"])
        .args(["conformance.test.mjs"])
        .env("HUBWIRE_BIN", rings.server()?)
        .dir(&rings.workspace.root.join("tests/sdk").join(name))
        .run()?;
    Ok(Outcome::Passed)
}

fn node_suite(rings: &Rings<'_>, name: &str, environment: &[(&str, &Path)]) -> Result<Outcome> {
    let folder = rings.workspace.root.join("tests/sdk").join(name);
    tools::node_packages(&folder)?;
    let mut tests = Cmd::new("npm")
        .args(["test", "--silent"])
        .env("HUBWIRE_BIN", rings.server()?)
        .dir(&folder);
    for (key, value) in environment {
        tests = tests.env(key, value);
    }
    tests.run()?;
    Ok(Outcome::Passed)
}

/// The reason to skip, if one of these programs is not there.
pub(super) fn missing(programs: &[&str]) -> Option<Outcome> {
    let absent: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| !tools::present(program))
        .collect();
    if absent.is_empty() {
        return None;
    }
    Some(Outcome::Skipped(format!(
        "not installed: {}",
        absent.join(", ")
    )))
}
