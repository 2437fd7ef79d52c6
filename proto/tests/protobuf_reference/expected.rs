//! Requests as prost reads them, in the words of the codec.

use std::collections::BTreeMap;

use hubwire_proto::message::{ClientMessage, Data, DataType, StreamEndError};
use hubwire_proto::metadata::Metadata;
use prost::Message as _;

use super::schema::{self, Request};

pub(crate) fn metadata(entries: &BTreeMap<String, String>) -> Metadata {
    let mut metadata = Metadata::default();
    for (key, value) in entries {
        metadata.insert(key, value).unwrap();
    }
    metadata
}

pub(crate) fn type_and_bytes(data: &schema::Data) -> (DataType, Vec<u8>) {
    match data.clone() {
        schema::Data::Text(text) => (DataType::Text, text.into_bytes()),
        schema::Data::Binary(bytes) => (DataType::Binary, bytes),
        schema::Data::Protobuf(any) => (DataType::Protobuf, any.encode_to_vec()),
        schema::Data::Json(json) => (DataType::Json, json.into_bytes()),
    }
}

/// A request as we ought to read it, if it keeps the rules that the wire format does not know.
pub(crate) fn expected(request: &Request) -> ClientMessage<'static> {
    let data = |data: &Option<schema::MessageData>| {
        let data = data.as_ref().and_then(|data| data.data.as_ref());
        let (data_type, bytes) = type_and_bytes(data.unwrap());
        let bytes = bytes.into();
        Data { data_type, bytes }
    };
    // Metadata can stand alone.
    let content = |sent: &Option<schema::MessageData>| match sent {
        Some(_) => data(sent),
        None => Data {
            data_type: DataType::Text,
            bytes: Vec::new().into(),
        },
    };
    match request.clone() {
        Request::SendToGroup(send) => match send.stream {
            Some(stream) => ClientMessage::StreamStart {
                group: send.group.into(),
                stream_id: stream.stream_id.into(),
                idle_timeout_ms: stream.idle_timeout_ms.map(u64::from),
                no_echo: send.no_echo.unwrap_or_default(),
                ack_id: send.ack_id,
            },
            None => ClientMessage::SendToGroup {
                data: content(&send.data),
                group: send.group.into(),
                metadata: metadata(&send.metadata),
                no_echo: send.no_echo.unwrap_or_default(),
                ttl_seconds: send.ttl_seconds.unwrap_or_default().try_into().unwrap(),
                ack_id: send.ack_id,
            },
        },
        Request::Event(event) => ClientMessage::Event {
            data: content(&event.data),
            event: event.event.into(),
            metadata: metadata(&event.metadata),
            ack_id: event.ack_id,
        },
        Request::JoinGroup(join) => ClientMessage::JoinGroup {
            group: join.group.into(),
            ack_id: join.ack_id,
        },
        Request::LeaveGroup(leave) => ClientMessage::LeaveGroup {
            group: leave.group.into(),
            ack_id: leave.ack_id,
        },
        Request::SequenceAck(schema::SequenceAck { sequence_id }) => {
            ClientMessage::SequenceAck { sequence_id }
        }
        Request::Ping(_) => ClientMessage::Ping,
        Request::StreamData(part) => match part.stream_sequence_id {
            Some(stream_sequence_id) => ClientMessage::StreamData {
                stream_id: part.stream_id.into(),
                stream_sequence_id,
                data: data(&part.data),
            },
            None => ClientMessage::StreamKeepAlive {
                stream_id: part.stream_id.into(),
            },
        },
        Request::StreamEnd(end) => ClientMessage::StreamEnd {
            stream_id: end.stream_id.into(),
            error: end.error.map(|error| StreamEndError {
                message: error.message.map(Into::into),
                user_error_code: error.user_error_code.map(Into::into),
            }),
        },
        Request::SetGroupState(set) => ClientMessage::SetGroupState {
            group: set.group.into(),
            state: set.state.map(|state| state.entries.into_iter().collect()),
            ack_id: set.ack_id,
        },
        Request::SubscribeGroupState(subscribe) => ClientMessage::SubscribeGroupState {
            group: subscribe.group.into(),
            ack_id: subscribe.ack_id,
        },
        Request::UnsubscribeGroupState(unsubscribe) => ClientMessage::UnsubscribeGroupState {
            group: unsubscribe.group.into(),
            ack_id: unsubscribe.ack_id,
        },
    }
}
