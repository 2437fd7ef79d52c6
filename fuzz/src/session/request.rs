//! Requests in the words of prost, and the same as a json client spells them.

use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::protobuf::schema::{Data, MessageData, Request, StreamEndError, StreamStart, Upstream};

pub(super) fn to_protobuf(request: Request) -> Vec<u8> {
    let message = Some(request);
    Upstream { message }.encode_to_vec()
}

pub(super) fn text(text: impl Into<String>) -> Option<MessageData> {
    Some(MessageData {
        data: Some(Data::Text(text.into())),
    })
}

pub(super) fn to_json(request: &Request) -> String {
    let mut members = Map::new();
    let mut set = |key: &str, value: Value| {
        // Null is not the same as nothing in every member.
        if !value.is_null() {
            members.insert(key.to_owned(), value);
        }
    };
    match request {
        Request::JoinGroup(it) => {
            set("type", "joinGroup".into());
            set("group", it.group.as_str().into());
            set("ackId", it.ack_id.into());
        }
        Request::LeaveGroup(it) => {
            set("type", "leaveGroup".into());
            set("group", it.group.as_str().into());
            set("ackId", it.ack_id.into());
        }
        Request::SubscribeGroupState(it) => {
            set("type", "subscribeGroupState".into());
            set("group", it.group.as_str().into());
            set("ackId", it.ack_id.into());
        }
        Request::UnsubscribeGroupState(it) => {
            set("type", "unsubscribeGroupState".into());
            set("group", it.group.as_str().into());
            set("ackId", it.ack_id.into());
        }
        Request::SetGroupState(it) => {
            set("type", "setGroupState".into());
            set("group", it.group.as_str().into());
            set("ackId", it.ack_id.into());
            set(
                "state",
                json!(it.state.as_ref().map(|state| &state.entries)),
            );
        }
        Request::SendToGroup(it) => {
            set("type", "sendToGroup".into());
            set("group", it.group.as_str().into());
            set("noEcho", it.no_echo.into());
            set("ackId", it.ack_id.into());
            set("stream", it.stream.as_ref().map_or(Value::Null, start));
            add_data(&mut set, it.data.as_ref());
        }
        Request::Event(it) => {
            set("type", "event".into());
            set("event", it.event.as_str().into());
            set("ackId", it.ack_id.into());
            add_data(&mut set, it.data.as_ref());
        }
        Request::SequenceAck(it) => {
            set("type", "sequenceAck".into());
            set("sequenceId", it.sequence_id.into());
        }
        Request::StreamData(it) => {
            set("type", "streamData".into());
            set("streamId", it.stream_id.as_str().into());
            set("streamSequenceId", it.stream_sequence_id.into());
            add_data(&mut set, it.data.as_ref());
        }
        Request::StreamEnd(it) => {
            set("type", "streamEnd".into());
            set("streamId", it.stream_id.as_str().into());
            set("error", it.error.as_ref().map_or(Value::Null, end_error));
        }
        Request::Ping(_) => set("type", "ping".into()),
    }
    Value::Object(members).to_string()
}

fn add_data(set: &mut impl FnMut(&str, Value), data: Option<&MessageData>) {
    if let Some(MessageData { data: Some(data) }) = data {
        let Data::Text(text) = data else {
            unreachable!("requests carry text")
        };
        set("dataType", "text".into());
        set("data", text.as_str().into());
    }
}

fn start(start: &StreamStart) -> Value {
    match start.idle_timeout_ms {
        Some(idle) => json!({"streamId": start.stream_id, "idleTimeoutMs": idle}),
        None => json!({"streamId": start.stream_id}),
    }
}

fn end_error(error: &StreamEndError) -> Value {
    json!({"message": error.message, "userErrorCode": error.user_error_code})
}
