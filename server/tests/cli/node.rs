//! A server for the commands that talk to one.

use std::path::PathBuf;

use crate::process::{Run, Running, Workspace, hubwire};

pub(crate) const KEY: &str = "the-primary-key-of-the-node-under-test";

const SETTINGS: &str = "
[[hub_defaults.event_handlers]]
url_template = 'builtin:echo'
user_event_pattern = '*'
";

/// A running server, and a directory for the commands.
pub(crate) struct Node {
    workspace: Workspace,
    port: u16,
    secure: bool,
    _server: Running,
}

/// Runs a test against a node with one shard and one with four.
pub(crate) fn on_one_and_four_shards(test: impl Fn(&Node)) {
    for shards in ["1", "4"] {
        test(&Node::start(&["--shards", shards], false));
    }
}

impl Node {
    /// Starts a server with the defaults.
    pub(crate) fn start_plain() -> Self {
        Self::start(&[], false)
    }

    /// Starts a server with TLS, whose authority is at [`Self::authority`].
    pub(crate) fn secure() -> Self {
        Self::start(&["--dev-tls"], true)
    }

    fn start(args: &[&str], secure: bool) -> Self {
        let workspace = Workspace::new();
        let file = format!("listen = '127.0.0.1:0'\naccess_keys.primary = '{KEY}'\n");
        workspace.write("node.toml", &format!("{file}data_dir = 'data'\n{SETTINGS}"));
        let server = hubwire(&workspace)
            .args(["serve", "--config", "node.toml"])
            .args(args)
            .start();
        let port = loop {
            let line = server.hear_error();
            if let Some((_, rest)) = line.split_once("serving address=127.0.0.1:") {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                break digits.and_then(|port| port.parse().ok()).expect("a port");
            }
        };
        Self {
            workspace,
            port,
            secure,
            _server: server,
        }
    }

    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The certificate to trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.workspace.path().join("data/dev-tls/ca.pem")
    }

    pub(crate) fn connection_string(&self, key: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!(
            "Endpoint={scheme}://localhost:{};AccessKey={key};Version=1.0;",
            self.port
        )
    }

    /// The binary with a connection string in its environment.
    pub(crate) fn run(&self, line: &[&str]) -> Run {
        hubwire(&self.workspace)
            .args(line)
            .env("HUBWIRE_CONNECTION_STRING", &self.connection_string(KEY))
    }

    /// `hubwire service` about the hub `chat`, which must succeed: its output.
    pub(crate) fn service(&self, line: &[&str]) -> String {
        let (command, rest) = line.split_at(1);
        self.run(&[&["service"], command, &["--hub", "chat"], rest].concat())
            .finish()
            .success()
    }

    /// `hubwire client` of the hub `chat`, connected, and its connection ID.
    pub(crate) fn client(&self, line: &[&str]) -> (Running, String) {
        let client = self
            .run(&[&["client", "--hub", "chat"], line].concat())
            .start();
        let greeting = client.hear();
        let (_, id) = greeting.split_once(", connection ").expect("a greeting");
        let id = id.to_owned();
        (client, id)
    }

    /// A client that may do everything, in the group `room`.
    pub(crate) fn member(&self, user: &str) -> (Running, String) {
        let roles = ["--role", "joinLeaveGroup", "--role", "sendToGroup"];
        let (client, id) = self.client(&[&["--user", user, "--join", "room"], &roles[..]].concat());
        assert_eq!(client.hear(), "✓ join room");
        (client, id)
    }
}
