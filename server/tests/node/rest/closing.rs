//! Closing connections.

use super::{HUB, member};
use crate::support::on_one_and_four_shards;

#[test]
fn closed_connections_are_told_why_and_are_gone_at_once() {
    on_one_and_four_shards("", |server| {
        let plain = r#"{"type":"system","event":"disconnected","message":"Application server closed the connection."}"#;
        let reasoned = r#"{"type":"system","event":"disconnected","message":"Application server closed the connection. Reason: server close"}"#;
        for (method, path, expect) in [
            // Case 61.
            ("DELETE", "connections/ID?reason=server%20close", reasoned),
            ("DELETE", "connections/ID", plain),
            (
                "POST",
                "users/ann/:closeConnections?reason=server%20close",
                reasoned,
            ),
            ("POST", "groups/room/:closeConnections?reason=", plain),
            ("POST", ":closeConnections?reason=server+close", reasoned),
        ] {
            let (mut client, id) = member(server, Some("ann"), "room");
            let path = format!("{HUB}/{}", path.replace("ID", &id));
            assert_eq!(server.rest(method, &path).status, 204);
            assert_eq!(
                server
                    .rest("HEAD", &format!("{HUB}/connections/{id}"))
                    .status,
                404
            );
            assert_eq!(client.text(), expect, "{path}");
            assert_eq!(client.closed(), (1000, String::new()), "{path}");
        }
    });
}
