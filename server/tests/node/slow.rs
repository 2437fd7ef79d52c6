//! Clients that stop reading: they are let go, and nobody else notices.

use serde_json::json;

use crate::support::{Client, Raw, Token, eventually, on_one_and_four_shards};

/// Bytes of a message, large so that the system's own buffers are soon full.
const PAYLOAD: usize = 32 * 1024;

const STALLED: u64 = 3;

#[test]
fn a_client_that_stops_reading_is_closed_and_the_others_lose_nothing() {
    for bound in [
        // By count: fifty messages are far from the bytes.
        "outbound_queue_messages = 50",
        // By bytes: two messages are over the bound, and far from the count.
        "outbound_queue_bytes = 65536\nmessage_bytes = 65536\nrest_body_bytes = 65536",
    ] {
        on_one_and_four_shards(&format!("[limits]\n{bound}\n"), |server| {
            let token = Token::client(server, "chat").group("room").sign();
            let mut stalled: Vec<Raw> = (0..STALLED)
                .map(|_| Raw::stalled(server, "chat", &token))
                .collect();
            let mut readers: Vec<Client> = (0..4)
                .map(|_| {
                    let (mut client, _) = Client::json(server, "chat", None);
                    client.join("room");
                    client
                })
                .collect();
            let (mut sender, _) = Client::json(server, "chat", None);

            let filler = "x".repeat(PAYLOAD);
            let mut number = 0;
            eventually("the stalled clients are closed", || {
                let data = format!("{number} {filler}");
                let message = json!({
                    "type": "sendToGroup", "group": "room", "dataType": "text", "data": data,
                });
                sender.send(&message.to_string());
                for reader in &mut readers {
                    assert_eq!(reader.message()["data"], json!(data));
                }
                number += 1;
                (server.metric("hubwire_closed_slow_clients_total") == STALLED).then_some(())
            });
            assert_eq!(server.metric("hubwire_connections"), 5);
            // What they would still find ends, with or without a farewell that fitted.
            for client in &mut stalled {
                while client.frame().is_some() {}
            }
        });
    }
}
