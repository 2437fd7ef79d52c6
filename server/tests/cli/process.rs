//! Runs the real binary in a directory of its own, with a clean environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A working directory that is removed afterwards.
pub(crate) struct Workspace(tempfile::TempDir);

impl Workspace {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file in the temporary directory");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).expect("a file in the temporary directory")
    }
}

/// What a finished process left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Standard output of a process that succeeded, without the line break at its end.
    pub(crate) fn success(self) -> String {
        assert_eq!(
            (self.code, self.stderr.as_str()),
            (0, ""),
            "{}",
            self.stdout
        );
        self.stdout.trim_end_matches('\n').to_owned()
    }
}

pub(crate) struct Run(Command);

/// The binary in `workspace`, with no variable of ours.
pub(crate) fn hubwire(workspace: &Workspace) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwire"));
    command
        .current_dir(workspace.path())
        .env_clear()
        .stdin(Stdio::null());
    Run(command)
}

impl Run {
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn finish(mut self) -> Finished {
        let output = self.0.output().expect("the binary starts");
        Finished {
            code: output.status.code().expect("the binary exits"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}
