//! `protobuf.webpubsub.azure.v1` in the words of prost, the second implementation.

#[path = "../../../../proto/tests/protobuf_reference/schema.rs"]
mod schema;

use prost::Message as _;

pub(crate) use schema::{
    Ack, AckError, Any, Connected, Data, DataMessage, Disconnected, Downstream, Empty, Event,
    Group, GroupState, GroupStateItem, GroupStates, MessageData, Request, Response, SendToGroup,
    SequenceAck, SetGroupState, StreamAck, StreamClosed, StreamData, StreamEnd, StreamEndError,
    StreamError, StreamInfo, StreamStart, System, SystemMessage, Upstream,
};

use super::client::{Seen, json};

/// A request, as its bytes.
pub(crate) fn request(request: Request) -> Vec<u8> {
    let message = Some(request);
    Upstream { message }.encode_to_vec()
}

pub(crate) fn join(group: &str, ack_id: Option<u64>) -> Vec<u8> {
    request(Request::JoinGroup(Group {
        group: group.to_owned(),
        ack_id,
    }))
}

pub(crate) fn publish(group: &str, data: Data, ack_id: Option<u64>) -> Vec<u8> {
    request(Request::SendToGroup(SendToGroup {
        group: group.to_owned(),
        ack_id,
        data: message_data(data),
        ..SendToGroup::default()
    }))
}

pub(crate) fn event(text: &str, ack_id: Option<u64>) -> Vec<u8> {
    request(Request::Event(Event {
        event: "e".to_owned(),
        data: message_data(Data::Text(text.to_owned())),
        ack_id,
        ..Event::default()
    }))
}

pub(crate) fn ping() -> Vec<u8> {
    request(Request::Ping(Empty {}))
}

/// A response, as a client sees it.
pub(crate) fn seen(response: Response) -> Seen {
    let message = Some(response);
    Seen::Binary(Downstream { message }.encode_to_vec())
}

pub(crate) fn acked(ack_id: u64) -> Seen {
    seen(Response::Ack(Ack {
        ack_id,
        success: true,
        error: None,
    }))
}

pub(crate) fn refused(ack_id: u64, name: &str, message: &str) -> Seen {
    seen(Response::Ack(Ack {
        ack_id,
        success: false,
        error: Some(AckError {
            name: name.to_owned(),
            message: message.to_owned(),
        }),
    }))
}

pub(crate) fn pong() -> Seen {
    seen(Response::Pong(Empty {}))
}

pub(crate) fn connected(connection_id: &str, user_id: &str) -> Seen {
    system(System::Connected(Connected {
        connection_id: connection_id.to_owned(),
        user_id: user_id.to_owned(),
        reconnection_token: String::new(),
    }))
}

pub(crate) fn disconnected(reason: &str) -> Seen {
    system(System::Disconnected(Disconnected {
        reason: reason.to_owned(),
    }))
}

/// A message of a group, or of the server.
pub(crate) fn message(group: Option<&str>, data: Data) -> Seen {
    numbered_message(group, data, None)
}

/// The same with the number that reliable clients see.
pub(crate) fn numbered_message(group: Option<&str>, data: Data, sequence_id: Option<u64>) -> Seen {
    seen(Response::Data(DataMessage {
        from: group.map_or("server", |_| "group").to_owned(),
        group: group.map(str::to_owned),
        data: message_data(data),
        sequence_id,
        ..DataMessage::default()
    }))
}

/// What was seen, written anew: the order of fields is free, and ours begins with the number.
pub(crate) fn in_field_order(seen: &Seen) -> Seen {
    let Seen::Binary(bytes) = seen else {
        panic!("{seen:?}")
    };
    Seen::Binary(Downstream::decode(&**bytes).unwrap().encode_to_vec())
}

fn system(message: System) -> Seen {
    let message = Some(message);
    seen(Response::System(SystemMessage { message }))
}

pub(crate) fn message_data(data: Data) -> Option<MessageData> {
    Some(MessageData { data: Some(data) })
}

/// A request of a json client in these bytes; what is none stays what it is.
pub(crate) fn from_json(text: &str) -> Vec<u8> {
    let member = |key| json::string(text, key).unwrap_or_default().to_owned();
    let ack_id = json::number(text, "ackId");
    let data = || message_data(Data::Text(member("data")));
    request(match json::string(text, "type") {
        Some("joinGroup") => Request::JoinGroup(Group {
            group: member("group"),
            ack_id,
        }),
        Some("leaveGroup") => Request::LeaveGroup(Group {
            group: member("group"),
            ack_id,
        }),
        Some("sendToGroup") => Request::SendToGroup(SendToGroup {
            group: member("group"),
            ack_id,
            data: data(),
            no_echo: Some(text.contains(r#""noEcho":true"#)),
            ..SendToGroup::default()
        }),
        Some("event") => Request::Event(Event {
            event: member("event"),
            data: data(),
            ack_id,
            ..Event::default()
        }),
        Some("ping") => Request::Ping(Empty {}),
        Some("sequenceAck") => Request::SequenceAck(SequenceAck {
            sequence_id: json::number(text, "sequenceId").unwrap(),
        }),
        _ => return text.as_bytes().to_vec(),
    })
}

/// A response as a json client would see it, if it carries text.
pub(crate) fn to_json(bytes: &[u8]) -> String {
    let system = |message: SystemMessage| match message.message.unwrap() {
        System::Connected(connected) => {
            let Connected {
                connection_id,
                user_id,
                reconnection_token,
            } = connected;
            let mut text = format!(
                r#"{{"type":"system","event":"connected","connectionId":"{connection_id}""#
            );
            for (key, value) in [
                ("userId", user_id),
                ("reconnectionToken", reconnection_token),
            ] {
                if !value.is_empty() {
                    text += &format!(r#","{key}":"{value}""#);
                }
            }
            text + "}"
        }
        System::Disconnected(disconnected) => json::disconnected(&disconnected.reason),
    };
    match Downstream::decode(bytes).unwrap().message.unwrap() {
        Response::Ack(Ack {
            ack_id,
            success,
            error: None,
        }) => {
            assert!(success, "a failed ack has an error");
            json::acked(ack_id)
        }
        Response::Ack(Ack {
            ack_id,
            success,
            error: Some(AckError { name, message }),
        }) => {
            assert!(!success, "an error is a failure");
            format!(
                r#"{{"type":"ack","ackId":{ack_id},"success":false,"error":{{"name":"{name}","message":"{message}"}}}}"#
            )
        }
        Response::Data(DataMessage {
            from,
            group,
            data,
            sequence_id,
            stream,
            ..
        }) => {
            let Some(Data::Text(text)) = data.and_then(|data| data.data) else {
                panic!("nobody sends other data");
            };
            let mut message = match (&*from, group) {
                ("group", Some(group)) => json::from_group(&group, &text),
                ("server", None) => json::from_server(&text),
                other => panic!("{other:?}"),
            };
            if let Some(stream) = stream {
                let (id, part) = (stream.stream_id, stream.stream_sequence_id);
                let is_end = stream.end_of_stream.unwrap_or_default();
                message.pop();
                message += &format!(
                    r#","stream":{{"streamId":"{id}","streamSequenceId":{part},"endOfStream":{is_end}}}}}"#
                );
            }
            match sequence_id {
                Some(id) => format!(r#"{{"sequenceId":{id},{}"#, &message[1..]),
                None => message,
            }
        }
        Response::System(message) => system(message),
        Response::Pong(_) => json::PONG.to_owned(),
        other => panic!("no text of a json client: {other:?}"),
    }
}
