//! Runs the real binary in a directory of its own, with a clean environment.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// Longer than anything here takes unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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

    #[cfg(unix)]
    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(self.path().join(name), mode)
            .expect("a file in the temporary directory");
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

    /// Runs it with `input` on its standard input.
    pub(crate) fn finish_with(self, input: impl AsRef<[u8]>) -> Finished {
        let mut running = self.start();
        running.write(input);
        running.finish()
    }

    /// Starts it, to be talked with.
    pub(crate) fn start(mut self) -> Running {
        self.0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.0.spawn().expect("the binary starts");
        Running {
            input: child.stdin.take(),
            output: lines(child.stdout.take().expect("piped")),
            errors: lines(child.stderr.take().expect("piped")),
            child,
        }
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

/// A process under way. It is killed when dropped.
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    errors: Receiver<String>,
}

impl Running {
    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        self.write(format!("{line}\n"));
    }

    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let input = self.input.as_mut().expect("the input is open");
        // A process that reads nothing may be gone already.
        let _ = input.write_all(bytes.as_ref());
    }

    /// The next line of its output.
    pub(crate) fn hear(&self) -> String {
        self.output.recv_timeout(PATIENCE).expect("a line")
    }

    /// The next line of its errors.
    pub(crate) fn hear_error(&self) -> String {
        self.errors.recv_timeout(PATIENCE).expect("a line")
    }

    /// Sends SIGINT, as Ctrl-C does.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
    }

    /// Ends its input and waits: its exit code, and what it has printed since.
    pub(crate) fn finish(mut self) -> Finished {
        drop(self.input.take());
        self.wait()
    }

    /// Waits for it without ending its input.
    pub(crate) fn wait(&mut self) -> Finished {
        let rest = |lines: &Receiver<String>| {
            let mut text = String::new();
            loop {
                match lines.recv_timeout(PATIENCE) {
                    Ok(line) => text.extend([line.as_str(), "\n"]),
                    Err(mpsc::RecvTimeoutError::Disconnected) => return text,
                    Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end: {text}"),
                }
            }
        };
        let (stdout, stderr) = (rest(&self.output), rest(&self.errors));
        let status = self.child.wait().expect("it ends");
        Finished {
            code: status.code().expect("it exits"),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
