//! The server as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use super::secure::Relay;
use super::{PATIENCE, Request, Response, eventually};

/// Looks like base64 and must not be taken for it (case 3).
pub(crate) const PRIMARY_KEY: &str = "cHJpbWFyeS1rZXktdGhhdC1sb29rcy1saWtlLWJhc2U2NA==";
pub(crate) const SECONDARY_KEY: &str = "the-secondary-key-of-the-node-under-test";

/// Set, every test of this target runs over TLS, through a relay: an environment variable.
const OVER_TLS: &str = "HUBWIRE_TEST_TLS";

/// What stands for the server's own directory in its settings.
const DATA_DIR: &str = "DATA_DIR";

/// The configuration file.
const FILE: &str = "hubwire.toml";

/// A running server. It is killed when dropped.
pub(crate) struct Server {
    child: Mutex<Child>,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
    directory: Arc<tempfile::TempDir>,
    /// Between the tests and the server if they run over TLS.
    relay: Option<Relay>,
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
        Self::start_with(shards, settings, without_page_cache)
    }

    /// The same with a certificate of its own making.
    pub(crate) fn start_with_dev_tls_and_without_page_cache(shards: usize) -> Self {
        Self::start_with_own_tls(shards, "", without_page_cache)
    }

    /// Starts a server with a certificate of its own making.
    pub(crate) fn start_with_dev_tls(shards: usize, settings: &str) -> Self {
        Self::start_with_own_tls(shards, settings, |binary| Command::new(binary))
    }

    fn start_with_own_tls(
        shards: usize,
        settings: &str,
        command: impl Fn(&str) -> Command,
    ) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self::start_with_tls(directory, shards, settings, command, true)
    }

    /// Starts a server with the directory of this one, which has ended.
    pub(crate) fn start_again(&self, shards: usize, settings: &str) -> Self {
        assert!(self.child.lock().unwrap().try_wait().unwrap().is_some());
        let directory = Arc::clone(&self.directory);
        Self::start_in(directory, shards, settings, |binary| Command::new(binary))
    }

    /// Stops this server as a supervisor would, and starts another with its directory.
    pub(crate) fn restart(&self, shards: usize, settings: &str) -> Self {
        self.terminate();
        assert_eq!(self.exited().code(), Some(0), "{}", self.log());
        self.start_again(shards, settings)
    }

    fn start_with(shards: usize, settings: &str, command: impl Fn(&str) -> Command) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self::start_in(directory, shards, settings, command)
    }

    fn start_in(
        directory: Arc<tempfile::TempDir>,
        shards: usize,
        settings: &str,
        command: impl Fn(&str) -> Command,
    ) -> Self {
        // Tests of certificates say so themselves.
        let over_tls = std::env::var_os(OVER_TLS).is_some() && !settings.contains("[tls]");
        let mut server = Self::start_with_tls(directory, shards, settings, command, over_tls);
        if over_tls {
            let relay = Relay::start(server.address, &server.authority_file());
            server.address = relay.address;
            server.relay = Some(relay);
        }
        server
    }

    /// The certificate to trust of a server with a certificate of its own making.
    pub(crate) fn authority_file(&self) -> PathBuf {
        self.directory().join("dev-tls").join("ca.pem")
    }

    fn start_with_tls(
        directory: Arc<tempfile::TempDir>,
        shards: usize,
        settings: &str,
        command: impl Fn(&str) -> Command,
        dev_tls: bool,
    ) -> Self {
        let file = directory.path().join(FILE);
        let data_dir = directory.path().display().to_string();
        let settings = settings.replace(DATA_DIR, &data_dir);
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
            .args(dev_tls.then_some("--dev-tls"))
            .args(dev_tls.then_some("--data-dir"))
            .args(dev_tls.then_some(directory.path()))
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
            directory,
            relay: None,
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

    /// What the server takes its own addresses to begin with.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.relay.is_some() {
            "https"
        } else {
            "http"
        }
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

    /// The directory of the configuration file.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The line of the configuration file that has `text`, counted from 1.
    pub(crate) fn line_of(&self, text: &str) -> usize {
        let file = std::fs::read_to_string(self.directory().join(FILE)).unwrap();
        let line = file.lines().position(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("no {text} in {file}")) + 1
    }

    /// Replaces `from` in the configuration file by `to`, all at once. Nobody is told.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let path = self.directory().join(FILE);
        let file = std::fs::read_to_string(&path).unwrap();
        assert_eq!(file.matches(from).count(), 1, "{from} in {file}");
        let draft = path.with_extension("draft");
        std::fs::write(&draft, file.replace(from, to)).unwrap();
        std::fs::rename(draft, path).unwrap();
    }

    /// Asks the process to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// Reloads that were `applied` or `refused` so far.
    pub(crate) fn reloads(&self, result: &str) -> u64 {
        let result = format!("hubwire_configuration_reloads_total{{result=\"{result}\"}}");
        self.metric(&result)
    }

    /// Edits the configuration file and has it read, which must end with `result`.
    pub(crate) fn reload(&self, from: &str, to: &str, result: &str) {
        self.edit(from, to);
        let (count, all) = (self.reloads(result), self.all_reloads());
        self.hang_up();
        eventually("the configuration is read", || {
            (self.all_reloads() == all + 1).then_some(())
        });
        assert_eq!(self.reloads(result), count + 1, "{}", self.log());
    }

    fn all_reloads(&self) -> u64 {
        self.reloads("applied") + self.reloads("refused")
    }

    /// Ends the process without a warning.
    pub(crate) fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
        self.exited();
    }

    /// Asks the process to stop.
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child.lock().unwrap());
        rustix::process::kill_process(id, signal).unwrap();
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

fn without_page_cache(binary: &str) -> Command {
    let mut env = Command::new("env");
    env.arg("_RJEM_MALLOC_CONF=dirty_decay_ms:0,muzzy_decay_ms:0")
        .arg(binary);
    env
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
