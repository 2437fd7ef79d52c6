//! A client of a reliable subprotocol: what it needs to come back, and how it does.

use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};

use super::{Client, Connect, JSON_RELIABLE, Request, Server, Token};

/// A client, or one that was and may be again.
pub(crate) struct Reliable {
    client: Client,
    pub(crate) hub: String,
    /// The connection.
    pub(crate) id: String,
    /// The reconnection token.
    pub(crate) token: String,
}

impl Reliable {
    /// A client that may do everything.
    pub(crate) fn connect(server: &Server, hub: &str, user: &str) -> Self {
        let token = Token::client(server, hub)
            .user(user)
            .role("webpubsub.joinLeaveGroup")
            .role("webpubsub.sendToGroup");
        Self::connect_with(server, hub, &token)
    }

    /// A client with a token.
    pub(crate) fn connect_with(server: &Server, hub: &str, token: &Token) -> Self {
        let connect = Connect::to(hub, token).offering(JSON_RELIABLE);
        Self::greeted(connect.open(server).unwrap(), hub)
    }

    fn greeted(mut client: Client, hub: &str) -> Self {
        let Lost { id, token, .. } = Lost::of(hub, &client.connected());
        Self {
            client,
            hub: hub.to_owned(),
            id,
            token,
        }
    }

    /// Loses its socket, which ends without a close frame.
    pub(crate) fn lose(self) -> Lost {
        self.again()
    }

    /// The same client, as it would come back while its socket is still there.
    pub(crate) fn again(&self) -> Lost {
        Lost {
            hub: self.hub.clone(),
            id: self.id.clone(),
            token: self.token.clone(),
            more: String::new(),
        }
    }

    /// Acknowledges messages, and does not wait until that is known.
    pub(crate) fn acknowledge_only(&mut self, sequence_id: u64) {
        let ack = json!({ "type": "sequenceAck", "sequenceId": sequence_id });
        self.send(&ack.to_string());
    }

    /// Acknowledges messages, all that came.
    pub(crate) fn acknowledge(&mut self, sequence_id: u64) {
        self.acknowledge_only(sequence_id);
        // Answered once the ack is dealt with.
        self.send(r#"{"type":"ping"}"#);
        assert_eq!(self.text(), r#"{"type":"pong"}"#);
    }

    /// The next message, which must have data: its number and its data.
    pub(crate) fn data(&mut self) -> (u64, String) {
        let message = self.message();
        let number = message["sequenceId"].as_u64();
        let data = message["data"].as_str();
        match (number, data) {
            (Some(number), Some(data)) => (number, data.to_owned()),
            _ => panic!("{message}"),
        }
    }

    /// As many messages with data.
    pub(crate) fn data_of(&mut self, count: usize) -> Vec<(u64, String)> {
        (0..count).map(|_| self.data()).collect()
    }
}

impl Deref for Reliable {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Reliable {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// A client without a socket.
#[derive(Clone)]
pub(crate) struct Lost {
    pub(crate) hub: String,
    pub(crate) id: String,
    token: String,
    /// What its URL has besides.
    more: String,
}

impl Lost {
    /// Whoever was greeted with `connected`.
    pub(crate) fn of(hub: &str, connected: &Value) -> Self {
        let text = |name: &str| {
            let text = connected[name].as_str();
            text.unwrap_or_else(|| panic!("{connected}")).to_owned()
        };
        Self {
            hub: hub.to_owned(),
            id: text("connectionId"),
            token: text("reconnectionToken"),
            more: String::new(),
        }
    }

    /// With more behind the URL.
    pub(crate) fn with(self, more: &str) -> Self {
        let more = more.to_owned();
        Self { more, ..self }
    }

    /// With another hub in the URL.
    pub(crate) fn in_hub(self, hub: &str) -> Self {
        let hub = hub.to_owned();
        Self { hub, ..self }
    }

    /// The path with which it would come back.
    pub(crate) fn path(&self) -> String {
        let Self {
            hub,
            id,
            token,
            more,
        } = self;
        format!("/client/hubs/{hub}?awps_connection_id={id}&awps_reconnection_token={token}{more}")
    }

    /// Comes back to the same connection.
    pub(crate) fn recover(&self, server: &Server) -> Reliable {
        let connect = Connect::at(&self.path()).offering(JSON_RELIABLE);
        let client = connect.open(server).unwrap();
        assert_eq!(client.subprotocol.as_deref(), Some(JSON_RELIABLE));
        let recovered = Reliable::greeted(client, &self.hub);
        assert_eq!(recovered.id, self.id);
        recovered
    }

    /// Tries to come back and is told never to try again.
    pub(crate) fn is_refused(&self, server: &Server) {
        is_refused(server, &self.path());
    }

    /// The upgrade request with which it would come back.
    pub(crate) fn request(&self) -> Request {
        Request::upgrade(&self.path())
    }
}

/// Asks for a connection and is told never to try again.
pub(crate) fn is_refused(server: &Server, path: &str) {
    let connect = Connect::at(path).offering(JSON_RELIABLE);
    let mut client = connect.open(server).unwrap();
    assert_eq!(client.subprotocol.as_deref(), Some(JSON_RELIABLE));
    let reason = "The connection could not be recovered.".to_owned();
    assert_eq!(client.closed(), (1008, reason), "{path}");
}
