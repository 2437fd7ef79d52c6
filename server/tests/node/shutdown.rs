//! Stopping while clients do not cooperate.

use serde_json::json;

use crate::support::{Client, Raw, Server, Token, eventually};

#[test]
fn clients_that_never_answer_delay_the_end_no_longer_than_configured() {
    for shards in [1, 4] {
        // Only the time to shut down can end this server: closing may take a minute.
        let settings = "[limits]\nclose_timeout_seconds = 60\nshutdown_seconds = 1\n";
        let server = Server::start(shards, settings);
        let stalled_token = Token::client(&server, "chat").group("room").sign();
        let idle_token = Token::client(&server, "chat").sign();
        // Two whose queues are full, and two that hear everything and answer nothing.
        let mut stalled = [(); 2].map(|()| Raw::stalled(&server, "chat", &stalled_token));
        let mut idle = [(); 2].map(|()| Raw::json(&server, "chat", &idle_token));
        let (mut polite, _) = Client::json(&server, "chat", None);
        eventually("all are in", || {
            (server.metric("hubwire_connections") == 5).then_some(())
        });
        // Twice what the system holds for a socket at most, and half of what Hubwire does.
        let message = json!({
            "type": "sendToGroup", "group": "room", "dataType": "text",
            "data": "x".repeat(128 * 1024),
        });
        for _ in 0..64 {
            polite.send(&message.to_string());
        }
        polite.send(r#"{"type":"ping"}"#);
        assert_eq!(polite.text(), r#"{"type":"pong"}"#);
        assert_eq!(server.metric("hubwire_closed_slow_clients_total"), 0);

        server.terminate();
        let goodbye = polite.message();
        assert_eq!(
            (&goodbye["event"], polite.closed().0),
            (&json!("disconnected"), 1001)
        );
        for client in &mut idle {
            client.text();
            assert!(client.text().contains(r#""event":"disconnected""#));
            assert_eq!(client.closed(), 1001);
        }
        assert_eq!(server.exited().code(), Some(0));
        eventually("the log says that not all had closed", || {
            server
                .log()
                .contains("stopped before every client had closed")
                .then_some(())
        });
        for client in &mut stalled {
            while client.frame().is_some() {}
        }
    }
}
