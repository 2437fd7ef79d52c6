//! `cargo xtask test`: every test of the repository, in rings from the inside out.
//!
//! The inner ring is Rust. The outer rings run clients that we did not write against the release
//! binary: vendor SDKs, a browser, a conformance suite. This module has the table of rings and
//! what they share; how a ring is run is in `rust`, `clients` and `snippets`.

mod clients;
mod rust;
mod snippets;

use std::cell::OnceCell;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::summary::{Outcome, Summary};
use crate::workspace::Workspace;

/// One line of the summary.
struct Step {
    ring: &'static str,
    name: &'static str,
    run: fn(&Rings<'_>) -> Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step {
        ring: "rust",
        name: "workspace tests",
        run: rust::tests,
    },
    Step {
        ring: "rust",
        name: "node tests over TLS",
        run: rust::over_tls,
    },
    Step {
        ring: "rust",
        name: "documentation tests",
        run: rust::documentation,
    },
    Step {
        ring: "rust",
        name: "fuzz corpora",
        run: rust::corpora,
    },
    Step {
        ring: "javascript",
        name: "ws and vendor SDKs",
        run: clients::javascript,
    },
    Step {
        ring: "python",
        name: "websockets and vendor SDKs",
        run: clients::python,
    },
    Step {
        ring: "browser",
        name: "headless Chromium",
        run: clients::browser,
    },
    Step {
        ring: "java",
        name: "java.net.http",
        run: clients::java,
    },
    Step {
        ring: "csharp",
        name: "ClientWebSocket",
        run: clients::csharp,
    },
    Step {
        ring: "snippets",
        name: "shell and Node",
        run: snippets::node,
    },
    Step {
        ring: "snippets",
        name: "browser",
        run: snippets::browser,
    },
    Step {
        ring: "snippets",
        name: "Python",
        run: snippets::python,
    },
    Step {
        ring: "snippets",
        name: "C#",
        run: snippets::csharp,
    },
    Step {
        ring: "snippets",
        name: "Java",
        run: snippets::java,
    },
    Step {
        ring: "schemathesis",
        name: "REST description",
        run: clients::schemathesis,
    },
    Step {
        ring: "autobahn",
        name: "RFC 6455 conformance",
        run: clients::autobahn,
    },
];

/// Adds the steps of the named rings, or of all when none is named.
pub(crate) fn add(workspace: &Workspace, rings: &[&str], summary: &mut Summary) -> Result<()> {
    let steps = select(rings)?;
    let shared = Rings {
        workspace,
        server: OnceCell::new(),
    };
    for step in steps {
        summary.step(&format!("{}: {}", step.ring, step.name), || {
            (step.run)(&shared)
        });
    }
    Ok(())
}

fn select(rings: &[&str]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = rings
        .iter()
        .find(|ring| STEPS.iter().all(|step| step.ring != **ring))
    {
        let mut known: Vec<&str> = STEPS.iter().map(|step| step.ring).collect();
        known.dedup();
        bail!("no test ring `{unknown}`; rings: {}", known.join(", "));
    }
    Ok(STEPS
        .iter()
        .filter(|step| rings.is_empty() || rings.contains(&step.ring))
        .collect())
}

/// What the rings of one run share.
struct Rings<'a> {
    workspace: &'a Workspace,
    server: OnceCell<PathBuf>,
}

impl Rings<'_> {
    /// The server binary for the outer rings, built at most once.
    fn server(&self) -> Result<PathBuf> {
        if let Some(built) = self.server.get() {
            return Ok(built.clone());
        }
        let path = match std::env::var_os("HUBWIRE_BIN") {
            Some(given) => std::path::absolute(given)?,
            None => {
                self.workspace
                    .cargo()
                    .args(["build", "--release", "--locked", "--package", "hubwire"])
                    .run()?;
                let name = format!("hubwire{}", std::env::consts::EXE_SUFFIX);
                self.workspace.target.join("release").join(name)
            }
        };
        if !path.is_file() {
            bail!("no server binary at {}", path.display());
        }
        Ok(self.server.get_or_init(|| path).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{STEPS, select};

    #[test]
    fn rings_are_selected_by_name() {
        let check = |rings: &[&str], expect: Option<usize>| {
            assert_eq!(
                select(rings).ok().map(|steps| steps.len()),
                expect,
                "{rings:?}"
            );
        };
        check(&[], Some(STEPS.len()));
        check(&["rust"], Some(4));
        check(&["python", "autobahn"], Some(2));
        check(&["snippets"], Some(5));
        check(&["rust", "perl"], None);
    }
}
