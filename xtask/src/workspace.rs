//! Where the repository is and what it contains, as cargo and git see it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::Cmd;

/// The repository that this program was built from.
pub(crate) struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder; everything that is built or installed goes below it.
    pub(crate) target: PathBuf,
    /// `cargo metadata` of the members, without their dependencies' own metadata.
    pub(crate) metadata: Value,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask is not in a folder of the workspace")?
            .to_path_buf();
        let text = Cmd::cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .dir(&root)
            .output()?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
        let target = metadata
            .get("target_directory")
            .and_then(Value::as_str)
            .context("cargo metadata names no target folder")?;
        Ok(Self {
            root,
            target: PathBuf::from(target),
            metadata,
        })
    }

    /// Cargo, started in the root.
    pub(crate) fn cargo(&self) -> Cmd {
        Cmd::cargo().dir(&self.root)
    }

    /// The files of the repository, committed or about to be, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let listed = Cmd::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .dir(&self.root)
            .output()?;
        let mut files: Vec<String> = listed
            .split('\0')
            .filter(|path| !path.is_empty() && self.root.join(path).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}
