//! A WebSocket client: tungstenite, with the words of the json subprotocol.

use std::net::TcpStream;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::CloseFrame;
use tungstenite::{HandshakeError, Message, WebSocket};

use super::{Server, Token};

pub(crate) const JSON: &str = "json.webpubsub.azure.v1";
pub(crate) const JSON_RELIABLE: &str = "json.reliable.webpubsub.azure.v1";

/// How to connect.
pub(crate) struct Connect {
    path: String,
    subprotocols: Option<String>,
}

/// A connected client.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    /// The subprotocol that the server chose.
    pub(crate) subprotocol: Option<String>,
    acks: u64,
}

impl Connect {
    /// To a hub, with a token.
    pub(crate) fn to(hub: &str, token: &Token) -> Self {
        Self::at(&format!("/client/hubs/{hub}?access_token={}", token.sign()))
    }

    /// To a path.
    pub(crate) fn at(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            subprotocols: None,
        }
    }

    /// Offers subprotocols.
    pub(crate) fn offering(mut self, subprotocols: &str) -> Self {
        self.subprotocols = Some(subprotocols.to_owned());
        self
    }

    /// Connects, or says with which status it was refused.
    pub(crate) fn open(self, server: &Server) -> Result<Client, u16> {
        let url = format!("ws://{}{}", server.authority(), self.path);
        let mut request = url.into_client_request().unwrap();
        if let Some(offer) = &self.subprotocols {
            let offer = HeaderValue::from_str(offer).unwrap();
            request
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", offer);
        }
        match tungstenite::client(request, server.dial()) {
            Ok((socket, response)) => {
                assert!(response.headers().get("Sec-WebSocket-Extensions").is_none());
                let chosen = response.headers().get("Sec-WebSocket-Protocol");
                let subprotocol = chosen.map(|name| name.to_str().unwrap().to_owned());
                Ok(Client {
                    socket,
                    subprotocol,
                    acks: 0,
                })
            }
            Err(HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Client {
    /// A client of the json subprotocol that may do everything, and its id.
    pub(crate) fn json(server: &Server, hub: &str, user: Option<&str>) -> (Self, String) {
        let token = Token::client(server, hub)
            .role("webpubsub.joinLeaveGroup")
            .role("webpubsub.sendToGroup");
        let token = user.map_or(token.clone(), |user| token.user(user));
        let mut client = Connect::to(hub, &token)
            .offering(JSON)
            .open(server)
            .unwrap();
        let id = client.connected()["connectionId"]
            .as_str()
            .unwrap()
            .to_owned();
        (client, id)
    }

    /// A simple client in the groups of its token.
    pub(crate) fn simple(server: &Server, hub: &str, groups: &[&str]) -> Self {
        let token = groups
            .iter()
            .fold(Token::client(server, hub), |token, group| {
                token.group(group)
            });
        Connect::to(hub, &token).open(server).unwrap()
    }

    /// The first message, which says who the client is.
    pub(crate) fn connected(&mut self) -> Value {
        let message = self.message();
        assert_eq!(
            (&message["type"], &message["event"]),
            (&json!("system"), &json!("connected"))
        );
        message
    }

    /// The next message, which must be a text.
    pub(crate) fn text(&mut self) -> String {
        match self.next() {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// The next message, which must be bytes.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        match self.next() {
            Message::Binary(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// The next message as JSON.
    pub(crate) fn message(&mut self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The close frame that comes next: its code and reason.
    pub(crate) fn closed(&mut self) -> (u16, String) {
        match self.next() {
            Message::Close(Some(CloseFrame { code, reason })) => {
                (u16::from(code), reason.to_string())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Reads to the end of the stream, which is neither a message nor a close frame.
    pub(crate) fn cut_off(&mut self) {
        match self.socket.read() {
            Err(tungstenite::Error::Io(_) | tungstenite::Error::Protocol(_)) => {}
            other => panic!("{other:?}"),
        }
    }

    /// As [`request`](Self::request), or nothing from a server that goes away.
    pub(crate) fn try_request(&mut self, request: &Value) -> Option<Value> {
        self.acks += 1;
        let mut request = request.clone();
        request["ackId"] = json!(self.acks);
        self.socket.send(Message::text(request.to_string())).ok()?;
        loop {
            match self.socket.read().ok()? {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    return (message["type"] == "ack").then_some(message);
                }
                Message::Ping(_) | Message::Pong(_) => {}
                _ => return None,
            }
        }
    }

    /// Sends a request with the next ack id and gives its answer.
    pub(crate) fn request(&mut self, request: &Value) -> Value {
        self.acks += 1;
        let mut request = request.clone();
        request["ackId"] = json!(self.acks);
        self.send(&request.to_string());
        self.message()
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    pub(crate) fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).unwrap();
    }

    /// Joins a group and waits until that is done.
    pub(crate) fn join(&mut self, group: &str) {
        self.acks += 1;
        let request = json!({ "type": "joinGroup", "group": group, "ackId": self.acks });
        self.send(&request.to_string());
        let ack = self.message();
        assert_eq!(
            (&ack["type"], &ack["success"]),
            (&json!("ack"), &json!(true)),
            "{ack}"
        );
    }

    fn next(&mut self) -> Message {
        loop {
            match self.socket.read().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
}
