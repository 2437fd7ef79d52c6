//! Developer commands of Hubwire, started as `cargo xtask COMMAND`.
//!
//! Here live the command line and the list of commands. What a command does is in the module of
//! the same name; nothing here is needed to build or run the server.

#![expect(
    clippy::print_stdout,
    reason = "a developer command answers on standard output"
)]

mod fuzz;
mod lint;
mod shell;
mod summary;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::summary::Summary;
use crate::workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [RING]...                  run the tests, and install what they need
                                  rings: rust javascript python browser java csharp snippets
                                  schemathesis autobahn (default: all)
  lint                            formatting, clippy, documentation, dependencies
  tidy [--fix]                    the repository's own rules; --fix rewrites generated references
  fuzz TARGET [--seconds N]       fuzz a decoder or the engine (default 60 seconds)
  ci                              lint, tidy and test: what a change must pass

environment:
  CI=true         a skipped test fails the run
  HUBWIRE_BIN     server binary for the outer rings (default: built once, release profile)
  CHROMIUM        browser for the browser ring (default: `chromium` on PATH)
  FAULT_SEED      where the schedules of broken connections begin, as a failed run printed it
  FAULT_SECONDS   how long clients talk over broken connections (default: 20, in Python 10)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs one command; `Ok(false)` means that it ran and something in it failed.
fn run(arguments: &[String]) -> Result<bool> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some((command, rest)) = arguments.split_first() else {
        bail!("no command\n\n{USAGE}");
    };
    match *command {
        "test" => summarised(|workspace, summary| test::add(workspace, rest, summary)),
        "lint" => summarised(|workspace, summary| {
            no_arguments(rest)?;
            lint::add(workspace, summary);
            Ok(())
        }),
        "ci" => summarised(|workspace, summary| {
            no_arguments(rest)?;
            lint::add(workspace, summary);
            tidy::add(workspace, summary);
            test::add(workspace, &[], summary)
        }),
        "tidy" => tidy::run(&Workspace::find()?, rest),
        "fuzz" => fuzz::run(&Workspace::find()?, rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(true)
        }
        unknown => bail!("unknown command `{unknown}`\n\n{USAGE}"),
    }
}

fn summarised(steps: impl FnOnce(&Workspace, &mut Summary) -> Result<()>) -> Result<bool> {
    let workspace = Workspace::find()?;
    let mut summary = Summary::new(std::env::var_os("CI").is_some_and(|value| value == "true"));
    steps(&workspace, &mut summary)?;
    Ok(summary.finish())
}

fn no_arguments(rest: &[&str]) -> Result<()> {
    match rest.first() {
        Some(extra) => bail!("unexpected argument `{extra}`\n\n{USAGE}"),
        None => Ok(()),
    }
}
