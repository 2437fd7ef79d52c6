//! The messages of `json.webpubsub.azure.v1`, as a client writes and reads them (protocol notes:
//! json).

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::command::{Command, Data, Payload};
use crate::remote::printable;

/// A request that is to be acknowledged: its frame's text, and how a person would name it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) text: String,
    pub(super) name: String,
}

impl Request {
    /// The request that a command amounts to; `None` if it asks nothing of the server.
    pub(super) fn new(command: &Command, ack_id: u64) -> Option<Self> {
        let (text, name) = match command {
            Command::Join(group) => (
                json!({ "type": "joinGroup", "group": group, "ackId": ack_id }).to_string(),
                format!("join {group}"),
            ),
            Command::Leave(group) => (
                json!({ "type": "leaveGroup", "group": group, "ackId": ack_id }).to_string(),
                format!("leave {group}"),
            ),
            Command::Send(group, payload) => (
                with_data("sendToGroup", "group", group, payload, ack_id),
                format!("send {group}"),
            ),
            Command::Event(name, payload) => (
                with_data("event", "event", name, payload, ack_id),
                format!("event {name}"),
            ),
            Command::Bare(_) | Command::Help | Command::Quit => return None,
        };
        let name = printable(&name).into_owned();
        Some(Self { text, name })
    }
}

/// Written by hand where JSON data must keep its spelling.
fn with_data(kind: &str, member: &str, name: &str, payload: &Payload, ack_id: u64) -> String {
    let no_echo = if payload.no_echo {
        r#","noEcho":true"#
    } else {
        ""
    };
    let (data_type, data) = match &payload.data {
        Data::Text(text) => ("text", json!(text).to_string()),
        Data::Json(value) => ("json", value.clone()),
        Data::Binary(base64) => ("binary", json!(base64).to_string()),
    };
    let name = json!(name);
    format!(
        r#"{{"type":"{kind}","{member}":{name},"ackId":{ack_id}{no_echo},"dataType":"{data_type}","data":{data}}}"#
    )
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Connected {
        connection_id: String,
        user_id: Option<String>,
    },
    /// Why the server is about to close.
    Disconnected(String),
    /// The acknowledgement of a request: nothing if it was done, else name and message of the
    /// error.
    Ack(u64, Result<(), String>),
    /// A message from a group or the server, as one readable line.
    Data(String),
    /// Anything else.
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(rename = "type")]
    kind: String,
    event: Option<String>,
    message: Option<String>,
    connection_id: Option<String>,
    user_id: Option<String>,
    ack_id: Option<u64>,
    success: Option<bool>,
    error: Option<AckError>,
    group: Option<String>,
    from_user_id: Option<String>,
    data_type: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AckError {
    name: Option<String>,
    message: Option<String>,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// If it is not an object of these members.
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let fields: Fields<'_> = serde_json::from_str(text)?;
        Ok(match (fields.kind.as_str(), fields.event.as_deref()) {
            ("system", Some("connected")) => Self::Connected {
                connection_id: fields.connection_id.unwrap_or_default(),
                user_id: fields.user_id,
            },
            ("system", Some("disconnected")) => {
                Self::Disconnected(printable(&fields.message.unwrap_or_default()).into_owned())
            }
            ("ack", _) => Self::Ack(
                fields.ack_id.unwrap_or_default(),
                outcome(fields.success, fields.error),
            ),
            ("message", _) => Self::Data(fields.line()),
            _ => Self::Other,
        })
    }
}

/// Duplicate means that the request was done before (protocol notes: ack errors).
fn outcome(success: Option<bool>, error: Option<AckError>) -> Result<(), String> {
    let Some(error) = error.filter(|_| success != Some(true)) else {
        return match success {
            Some(true) => Ok(()),
            _ => Err("no reason given".to_owned()),
        };
    };
    match error.name.unwrap_or_default().as_str() {
        "Duplicate" => Ok(()),
        name => {
            let message = error.message.unwrap_or_default();
            Err(printable(&format!("{name}: {message}")).into_owned())
        }
    }
}

impl Fields<'_> {
    /// `[room] ann: hello`, `server: hello`.
    fn line(&self) -> String {
        let mut line = match (&self.group, &self.from_user_id) {
            (Some(group), Some(user)) => format!("[{group}] {user}: "),
            (Some(group), None) => format!("[{group}] "),
            (None, _) => "server: ".to_owned(),
        };
        let data = self.data.map_or("", RawValue::get);
        match self.data_type.as_deref() {
            Some("json") => line.push_str(data),
            kind => {
                // Text, and bytes in base64, are strings.
                let text = serde_json::from_str::<String>(data);
                let text = text.as_deref().unwrap_or(data);
                let _ = match kind {
                    Some("text") => write!(line, "{text}"),
                    Some(kind) => write!(line, "({kind}) {text}"),
                    None => write!(line, "(no type) {text}"),
                };
            }
        }
        printable(&line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_subprotocol() {
        let check = |line: &str, text: &str, name: &str| {
            let command = Command::parse(line).unwrap().unwrap();
            let request = Request::new(&command, 7).unwrap();
            assert_eq!((request.text.as_str(), request.name.as_str()), (text, name));
        };
        check(
            "join room",
            r#"{"ackId":7,"group":"room","type":"joinGroup"}"#,
            "join room",
        );
        check(
            r#"leave "a\"\n""#,
            r#"{"ackId":7,"group":"a\"\n","type":"leaveGroup"}"#,
            r#"leave a"\n"#,
        );
        check(
            r#"send room --no-echo say "hi""#,
            r#"{"type":"sendToGroup","group":"room","ackId":7,"noEcho":true,"dataType":"text","data":"say \"hi\""}"#,
            "send room",
        );
        check(
            "event go --json [1.0, 2]",
            r#"{"type":"event","event":"go","ackId":7,"dataType":"json","data":[1.0, 2]}"#,
            "event go",
        );
        check(
            "event go --binary AQI=",
            r#"{"type":"event","event":"go","ackId":7,"dataType":"binary","data":"AQI="}"#,
            "event go",
        );
    }

    #[test]
    fn messages_are_told_apart() {
        let check = |text: &str, expect: Message| {
            assert_eq!(Message::parse(text).unwrap(), expect, "{text}");
        };
        let data = |line: &str| Message::Data(line.to_owned());
        check(
            r#"{"type":"system","event":"connected","userId":"ann","connectionId":"c1"}"#,
            Message::Connected {
                connection_id: "c1".to_owned(),
                user_id: Some("ann".to_owned()),
            },
        );
        check(
            r#"{"type":"system","event":"disconnected","message":"bye"}"#,
            Message::Disconnected("bye".to_owned()),
        );
        check(
            r#"{"type":"ack","ackId":3,"success":true}"#,
            Message::Ack(3, Ok(())),
        );
        check(
            r#"{"type":"ack","ackId":3,"success":false,"error":{"name":"Duplicate","message":"m"}}"#,
            Message::Ack(3, Ok(())),
        );
        check(
            r#"{"type":"ack","ackId":3,"success":false,"error":{"name":"Forbidden","message":"no"}}"#,
            Message::Ack(3, Err("Forbidden: no".to_owned())),
        );
        check(
            r#"{"type":"ack","ackId":3,"success":false}"#,
            Message::Ack(3, Err("no reason given".to_owned())),
        );
        check(
            r#"{"type":"message","from":"group","group":"room","dataType":"text","data":"a\u001b[2J\nb","fromUserId":"ann"}"#,
            data(r"[room] ann: a\u{1b}[2J\nb"),
        );
        check(
            r#"{"type":"message","from":"group","group":"room","dataType":"binary","data":"AQI="}"#,
            data("[room] (binary) AQI="),
        );
        check(
            r#"{"type":"message","from":"server","dataType":"json","data":{"a": 1.50}}"#,
            data(r#"server: {"a": 1.50}"#),
        );
        check(r#"{"type":"pong"}"#, Message::Other);
        assert!(Message::parse("[]").is_err());
        assert!(Message::parse(r#"{"event":"connected"}"#).is_err());
    }
}
