//! Running other programs: shown before they start, an error when they fail.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A command line under construction.
pub(crate) struct Cmd {
    inner: Command,
    shown: String,
}

impl Cmd {
    /// Starts from a program's name or path.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let shown = program.as_ref().to_string_lossy().into_owned();
        Self {
            inner: Command::new(program),
            shown,
        }
    }

    /// Cargo itself, with the toolchain that runs this program.
    pub(crate) fn cargo() -> Self {
        Self::new("cargo")
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&arg.as_ref().to_string_lossy());
            self.inner.arg(arg);
        }
        self
    }

    /// Sets the folder it runs in.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(key, value);
        self
    }

    /// Removes an environment variable.
    pub(crate) fn env_remove(mut self, key: &str) -> Self {
        self.inner.env_remove(key);
        self
    }

    /// Runs it with this program's output; any exit code but 0 is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("$ {}", self.shown);
        let status = self
            .inner
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` failed: {status}", self.shown);
        }
        Ok(())
    }

    /// Runs it silently and returns its standard output; any exit code but 0 is an error that
    /// carries its standard error.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self
            .inner
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start `{}`", self.shown))?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            bail!(
                "`{}` failed: {}\n{}",
                self.shown,
                output.status,
                reason.trim()
            );
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("`{}` printed bytes that are not UTF-8", self.shown))
    }

    /// Whether it starts and exits with 0; prints nothing.
    pub(crate) fn succeeds(mut self) -> bool {
        self.inner
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::Cmd;

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let error = Cmd::cargo()
            .args(["no-such-subcommand"])
            .output()
            .unwrap_err();
        assert!(
            error.to_string().contains("cargo no-such-subcommand"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let error = Cmd::new("hubwire-no-such-program").run().unwrap_err();
        assert!(
            error.to_string().contains("hubwire-no-such-program"),
            "{error}"
        );
        assert!(!Cmd::new("hubwire-no-such-program").succeeds());
    }
}
