//! Pages that the server writes about itself: committed, so that they can be read without
//! building, and compared here, so that they stay true.

use std::fs;

use anyhow::{Context, Result};

use super::Finding;
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// The file and the name under which `hubwire print-reference` prints it.
const REFERENCES: &[(&str, &str)] = &[
    ("LIMITS.md", "limits"),
    ("docs/configuration.md", "configuration"),
];

/// Compares the pages, or rewrites them.
pub(super) fn check(workspace: &Workspace, fix: bool) -> Result<Vec<Finding>> {
    workspace
        .cargo()
        .args(["build", "--quiet", "--package", "hubwire"])
        .run()?;
    let name = format!("hubwire{}", std::env::consts::EXE_SUFFIX);
    let server = workspace.target.join("debug").join(name);
    let mut findings = Vec::new();
    for (path, reference) in REFERENCES {
        let generated = Cmd::new(&server)
            .args(["print-reference", reference])
            .output()?;
        let file = workspace.root.join(path);
        if fix {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            fs::write(&file, &generated).with_context(|| file.display().to_string())?;
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        findings.extend(difference(path, &committed, &generated));
    }
    Ok(findings)
}

fn difference(path: &str, committed: &str, generated: &str) -> Option<Finding> {
    if committed == generated {
        return None;
    }
    let same = committed
        .lines()
        .zip(generated.lines())
        .take_while(|(a, b)| a == b)
        .count();
    let message = "differs from what the server prints: run `cargo xtask tidy --fix`";
    Some(Finding::new(path, same + 1, message))
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn the_first_line_that_differs_is_named() {
        let line = |committed, generated| difference("L.md", committed, generated).map(|f| f.line);
        assert_eq!(line("a\nb\n", "a\nb\n"), None);
        assert_eq!(line("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(line("", "a\n"), Some(1));
        assert_eq!(line("a\n", "a\nb\n"), Some(2));
    }
}
