//! `cargo xtask tidy`: the repository's own rules, those that no other tool knows.
//!
//! A rule is a pure function from text to findings, so each has a test with a sample that breaks
//! it. `manifests` has the rules for crates, `sources` those for lines and files, `links` those
//! for Markdown, `references` the generated pages.

mod links;
mod manifests;
mod references;
mod sources;

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::summary::{Outcome, Summary};
use crate::workspace::Workspace;

/// A text file of the repository.
struct Source {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

/// Something that breaks a rule, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1; 0 means the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Adds the step to a run of several commands.
pub(crate) fn add(workspace: &Workspace, summary: &mut Summary) {
    summary.step("tidy", || {
        let findings = check(workspace, false)?;
        match findings.len() {
            0 => Ok(Outcome::Passed),
            count => bail!("{count} findings, listed above"),
        }
    });
}

/// Runs it alone; `--fix` rewrites the generated references.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<bool> {
    let fix = match arguments {
        [] => false,
        ["--fix"] => true,
        _ => bail!("usage: cargo xtask tidy [--fix]"),
    };
    Ok(check(workspace, fix)?.is_empty())
}

fn check(workspace: &Workspace, fix: bool) -> Result<Vec<Finding>> {
    let files = workspace.files()?;
    let sources = read(workspace, &files)?;
    let mut findings = manifests::check(&workspace.metadata);
    for source in &sources {
        findings.extend(sources::check(source));
        findings.extend(links::check(source, &|path| {
            workspace.root.join(path).exists()
        }));
    }
    // What needs a build comes last, so that the rest is seen at once.
    show(&findings);
    let references = references::check(workspace, fix)?;
    show(&references);
    findings.extend(references);
    println!("{} files, {} findings", sources.len(), findings.len());
    Ok(findings)
}

fn show(findings: &[Finding]) {
    for finding in findings {
        println!("{finding}");
    }
}

/// Reads the files that are text; pictures and fuzz inputs are not.
fn read(workspace: &Workspace, files: &[String]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in files
        .iter()
        .filter(|path| !path.starts_with("fuzz/corpus/"))
    {
        let bytes = std::fs::read(workspace.root.join(path)).with_context(|| path.clone())?;
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source {
                path: path.clone(),
                text,
            });
        }
    }
    Ok(sources)
}
