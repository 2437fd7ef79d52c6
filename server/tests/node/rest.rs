//! REST by capability. Here is what the tests of all of them speak with.

mod closing;
mod groups;
mod permissions;
mod requests;
mod sends;
mod tokens;

use crate::support::{Client, Request, Server};

const HUB: &str = "/api/hubs/chat";
const VERSIONS: &str = "2021-10-01, 2022-11-01, 2023-07-01, 2024-01-01, 2024-12-01";

fn send(server: &Server, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> u16 {
    let request = Request::new("POST", path)
        .body(content_type, body)
        .authorized(server);
    server.send(request).status
}

/// Sends a text to the whole hub, so that whoever got something before has it before this.
fn mark(server: &Server) {
    assert_eq!(
        send(server, &format!("{HUB}/:send"), "text/plain", "mark"),
        202
    );
}

fn member(server: &Server, user: Option<&str>, group: &str) -> (Client, String) {
    let (mut client, id) = Client::json(server, "chat", user);
    client.join(group);
    (client, id)
}
