//! What clients are told. A message that is not in the protocol notes is a panic.

use prost::Message as _;
use serde_json::Value;

use crate::protobuf::schema::{Data, Downstream, Response, System};

/// A response, as far as the game looks at it.
#[derive(Debug)]
pub(super) enum Told {
    Connected {
        connection: String,
        token: String,
    },
    Disconnected,
    Pong,
    Ack,
    Message {
        number: Option<u64>,
        text: String,
        part: Option<Part>,
    },
    GroupStates {
        number: Option<u64>,
    },
    StreamAck {
        stream: String,
        expected: u64,
    },
    StreamNack {
        stream: String,
        expected: u64,
    },
    StreamClosed {
        stream: String,
    },
}

/// Where a message is in its stream.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) stream: String,
    pub(super) place: u64,
    pub(super) is_end: bool,
}

pub(super) fn from_json(text: &str) -> Told {
    let message: Value = serde_json::from_str(text).expect("JSON");
    let string = |value: &Value, key: &str| match &value[key] {
        Value::String(text) => text.clone(),
        other => panic!("{key} is {other} in {text}"),
    };
    let optional = |key: &str| match &message[key] {
        Value::Null => String::new(),
        _ => string(&message, key),
    };
    let integer = |value: &Value, key: &str| match value[key].as_u64() {
        Some(number) => number,
        None => panic!("no {key} in {text}"),
    };
    let number = message
        .get("sequenceId")
        .map(|_| integer(&message, "sequenceId"));
    let check_error = |error: Option<&Value>| {
        if let Some(error) = error {
            assert!(!string(error, "name").is_empty());
            string(error, "message");
        }
    };
    match &*string(&message, "type") {
        "system" => match &*string(&message, "event") {
            "connected" => Told::Connected {
                connection: string(&message, "connectionId"),
                token: optional("reconnectionToken"),
            },
            "disconnected" => {
                string(&message, "message");
                Told::Disconnected
            }
            other => panic!("the event {other}"),
        },
        "pong" => Told::Pong,
        "ack" => {
            integer(&message, "ackId");
            check_error(message.get("error"));
            let succeeded = message["success"].as_bool().expect("success");
            assert_eq!(succeeded, message.get("error").is_none());
            Told::Ack
        }
        "message" => {
            match &*string(&message, "from") {
                "group" => assert!(!string(&message, "group").is_empty()),
                "server" => assert!(message.get("group").is_none()),
                other => panic!("from {other}"),
            }
            string(&message, "dataType");
            let part = message.get("stream").map(|stream| {
                check_error(stream.get("error"));
                Part {
                    stream: string(stream, "streamId"),
                    place: integer(stream, "streamSequenceId"),
                    is_end: stream["endOfStream"] == true,
                }
            });
            let text = message.get("data").expect("data").as_str();
            let text = text.unwrap_or_default().to_owned();
            Told::Message { number, text, part }
        }
        "groupStateSnapshot" | "groupStateUpdate" => {
            string(&message, "group");
            for item in message["items"].as_array().expect("items") {
                string(item, "connectionId");
                assert!(item["updatedAt"].is_i64());
                assert!(item["state"].is_null() || item["state"].is_object());
            }
            Told::GroupStates { number }
        }
        "streamAck" => Told::StreamAck {
            stream: string(&message, "streamId"),
            expected: integer(&message, "expectedSequenceId"),
        },
        "streamNack" => {
            check_error(Some(&message));
            Told::StreamNack {
                stream: string(&message, "streamId"),
                expected: integer(&message, "expectedSequenceId"),
            }
        }
        "streamClosed" => {
            check_error(message.get("error"));
            let stream = string(&message, "streamId");
            Told::StreamClosed { stream }
        }
        other => panic!("the type {other}"),
    }
}

pub(super) fn from_protobuf(bytes: &[u8]) -> Told {
    let message = Downstream::decode(bytes).expect("prost reads it");
    match message.message.expect("a response") {
        Response::System(system) => match system.message.expect("a system message") {
            System::Connected(it) => Told::Connected {
                connection: it.connection_id,
                token: it.reconnection_token,
            },
            System::Disconnected(_) => Told::Disconnected,
        },
        Response::Pong(_) => Told::Pong,
        Response::Ack(ack) => {
            assert_eq!(ack.success, ack.error.is_none());
            Told::Ack
        }
        Response::Data(it) => {
            match (&*it.from, it.group) {
                ("group", Some(_)) | ("server", None) => {}
                other => panic!("from {other:?}"),
            }
            let text = match it.data.and_then(|data| data.data).expect("data") {
                Data::Text(text) => text,
                _ => String::new(),
            };
            let part = it.stream.map(|stream| Part {
                stream: stream.stream_id,
                place: stream.stream_sequence_id,
                is_end: stream.end_of_stream.unwrap_or_default(),
            });
            let number = it.sequence_id;
            Told::Message { number, text, part }
        }
        Response::GroupStateUpdate(states) | Response::GroupStateSnapshot(states) => {
            let number = states.sequence_id;
            Told::GroupStates { number }
        }
        Response::StreamAck(it) => Told::StreamAck {
            stream: it.stream_id,
            expected: it.expected_sequence_id,
        },
        Response::StreamNack(it) => Told::StreamNack {
            stream: it.stream_id,
            expected: it.expected_sequence_id,
        },
        Response::StreamClosed(it) => {
            let stream = it.stream_id;
            Told::StreamClosed { stream }
        }
    }
}
