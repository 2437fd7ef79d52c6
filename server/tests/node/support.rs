//! What the tests speak with: the server as a process, HTTP, WebSocket, tokens.

mod http;
mod process;
pub(crate) mod raw;
mod reliable;
pub(crate) mod secure;
mod socket;
mod tokens;

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(crate) use http::{Request, Response};
pub(crate) use process::{PRIMARY_KEY, SECONDARY_KEY, Server};
pub(crate) use raw::Raw;
pub(crate) use reliable::{Lost, Reliable, is_refused};
pub(crate) use socket::{Client, Connect, JSON, JSON_RELIABLE};
pub(crate) use tokens::Token;

/// Longer than anything here takes unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test against a node with one shard and one with four.
pub(crate) fn on_one_and_four_shards(settings: &str, test: impl Fn(&Server)) {
    for shards in [1, 4] {
        let server = Server::start(shards, settings);
        test(&server);
    }
}

/// Waits until `condition` gives something.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "this never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Raises this process's limit, which the server inherits, and says whether it is enough.
pub(crate) fn descriptors_suffice(needed: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).is_ok()
        && limit.maximum.is_none_or(|maximum| maximum >= needed)
}

/// Sends a text to whatever in hub `chat`.
pub(crate) fn publish(server: &Server, target: &str, text: &str) {
    let path = format!("/api/hubs/chat/{target}/:send");
    let request = Request::new("POST", &path).body("text/plain", text);
    assert_eq!(server.send(request.authorized(server)).status, 202);
}
