//! `cargo xtask fuzz`: a decoder or the engine under libFuzzer, from its committed corpus.
//!
//! Needs a nightly compiler. The ordinary tests replay the same corpora on the stable one.

use anyhow::{Context, Result, bail};

use crate::shell::Cmd;
use crate::tools;
use crate::workspace::Workspace;

const DEFAULT_SECONDS: u32 = 60;

/// Fuzzes one target for a bounded time.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<bool> {
    let targets = targets(workspace)?;
    let Request { target, seconds } = parse(arguments, &targets)?;
    let bin = tools::developer_tools(workspace)?;
    // New inputs go below the target folder; only the ones worth keeping are committed by hand.
    let found = workspace.target.join("fuzz-corpus").join(&target);
    std::fs::create_dir_all(&found)
        .with_context(|| format!("cannot create {}", found.display()))?;
    Cmd::new(bin.join("cargo-fuzz"))
        .dir(&workspace.root)
        .env("RUSTUP_TOOLCHAIN", "nightly")
        .env_remove("CARGO")
        .args(["run", "--features", "libfuzzer", "--target-dir"])
        .args([workspace.target.join("fuzz")])
        .args([target.as_str()])
        .args([found, workspace.root.join("fuzz/corpus").join(&target)])
        .args([
            "--".to_owned(),
            format!("-max_total_time={seconds}"),
            "-timeout=10".to_owned(),
        ])
        .run()?;
    Ok(true)
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    target: String,
    seconds: u32,
}

fn parse(arguments: &[&str], targets: &[String]) -> Result<Request> {
    let known = targets.join(", ");
    let (target, seconds) = match arguments {
        [target] => (target, DEFAULT_SECONDS),
        [target, "--seconds", seconds] => {
            let seconds = seconds
                .parse()
                .with_context(|| format!("--seconds {seconds}"))?;
            (target, seconds)
        }
        _ => bail!("usage: cargo xtask fuzz TARGET [--seconds N]; targets: {known}"),
    };
    if !targets.iter().any(|name| name == target) {
        bail!("no fuzz target `{target}`; targets: {known}");
    }
    Ok(Request {
        target: (*target).to_owned(),
        seconds,
    })
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_SECONDS, Request, parse};

    #[test]
    fn arguments() {
        let check = |arguments: &[&str], expect: Option<u32>| {
            let expect = expect.map(|seconds| Request {
                target: "ws_decode".into(),
                seconds,
            });
            assert_eq!(
                parse(arguments, &["ws_decode".into()]).ok(),
                expect,
                "{arguments:?}"
            );
        };
        check(&["ws_decode"], Some(DEFAULT_SECONDS));
        check(&["ws_decode", "--seconds", "5"], Some(5));
        check(&["ws_decode", "--seconds", "soon"], None);
        check(&["unknown"], None);
        check(&[], None);
    }
}
