//! The server as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use super::{PATIENCE, Request, Response, eventually};

/// Looks like base64 and must not be taken for it (case 3).
pub(crate) const PRIMARY_KEY: &str = "cHJpbWFyeS1rZXktdGhhdC1sb29rcy1saWtlLWJhc2U2NA==";
pub(crate) const SECONDARY_KEY: &str = "the-secondary-key-of-the-node-under-test";

/// A running server. It is killed when dropped.
pub(crate) struct Server {
    child: Mutex<Child>,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server on free ports. `settings` is the rest of the configuration file.
    pub(crate) fn start(shards: usize, settings: &str) -> Self {
        Self::start_with(shards, settings, |binary| Command::new(binary))
    }

    /// Starts a server that may have `descriptors` open.
    pub(crate) fn start_with_descriptors(shards: usize, settings: &str, descriptors: u32) -> Self {
        Self::start_with(shards, settings, |binary| {
            let mut shell = Command::new("sh");
            shell
                .arg("-c")
                .arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""))
                .arg(binary);
            shell
        })
    }

    /// Starts a server whose allocator gives freed pages back at once, so that its resident memory
    /// is what it uses and not what it used some seconds ago.
    pub(crate) fn start_without_page_cache(shards: usize, settings: &str) -> Self {
        Self::start_with(shards, settings, |binary| {
            let mut env = Command::new("env");
            env.arg("_RJEM_MALLOC_CONF=dirty_decay_ms:0,muzzy_decay_ms:0")
                .arg(binary);
            env
        })
    }

    fn start_with(shards: usize, settings: &str, command: impl Fn(&str) -> Command) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hubwire.toml");
        let text = format!(
            "listen = \"127.0.0.1:0\"
admin_listen = \"127.0.0.1:0\"
shards = {shards}
\
             access_keys.primary = \"{PRIMARY_KEY}\"
access_keys.secondary = \"{SECONDARY_KEY}\"
\
             log.level = \"trace\"
{settings}
"
        );
        std::fs::write(&file, text).unwrap();
        let mut child = command(env!("CARGO_BIN_EXE_hubwire"))
            .args(["serve", "--config"])
            .arg(&file)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let screen = collect(child.stdout.take().unwrap());
        let log = collect(child.stderr.take().unwrap());
        let find = |text: &Mutex<String>, before: &str, after: char| {
            let text = text.lock().unwrap();
            let (_, rest) = text.split_once(before)?;
            rest.split_once(after)?.0.parse().ok()
        };
        let address = eventually("the server serves", || {
            assert!(
                child.try_wait().unwrap().is_none(),
                "{}",
                log.lock().unwrap()
            );
            find(&log, "serving address=", ' ')
        });
        let admin = eventually("the screen", || {
            find(&screen, "Metrics            http://", '/')
        });
        Self {
            child: Mutex::new(child),
            address,
            admin,
            log,
            _directory: directory,
        }
    }

    /// The id of the process.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Host and port, as clients spell it.
    pub(crate) fn authority(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// A new connection.
    pub(crate) fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// A REST request with a fitting token.
    pub(crate) fn rest(&self, method: &str, path: &str) -> Response {
        self.send(Request::new(method, path).authorized(self))
    }

    /// Sends a request on a connection of its own.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "requests are written where they are sent"
    )]
    pub(crate) fn send(&self, request: Request) -> Response {
        request.send(&mut self.dial(), &self.authority())
    }

    /// Sends a request to the admin listener.
    pub(crate) fn admin(&self, path: &str) -> Response {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        Request::new("GET", path).send(&mut stream, &self.admin.to_string())
    }

    /// One number from the metrics.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.admin("/metrics").text();
        let found = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    /// Asks the process to stop.
    pub(crate) fn terminate(&self) {
        let id = rustix::process::Pid::from_child(&self.child.lock().unwrap());
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    /// How the process ended.
    pub(crate) fn exited(&self) -> ExitStatus {
        eventually("the server exits", || {
            self.child.lock().unwrap().try_wait().unwrap()
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        while matches!(lines.read_line(&mut line), Ok(1..)) {
            shared.lock().unwrap().push_str(&line);
            line.clear();
        }
    });
    text
}
