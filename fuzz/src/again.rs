//! What receivers are told of a client's request, as far as that can be said without the engine.

use hubwire_proto::group_state::GroupStateItem;
use hubwire_proto::message::{
    ClientMessage, Data, DataType, StreamEndError, StreamError, StreamInfo,
};
use hubwire_proto::metadata::{MAX_LEN, Metadata};
use hubwire_proto::protobuf::JsonField;
use hubwire_proto::stream::{MAX_STREAM_ID_UNITS, StreamClosedName, StreamErrorName};
use hubwire_proto::{json, protobuf};

/// The request said again to a json client and to a protobuf client; `None` for one that is only
/// answered. Fails if the request breaks a rule that every accepted one keeps.
pub(crate) fn said_again(message: &ClientMessage<'_>) -> Option<[Vec<u8>; 2]> {
    let mut out = [Vec::new(), Vec::new()];
    let [to_json, to_protobuf] = &mut out;
    match message {
        ClientMessage::SendToGroup {
            group: name,
            data,
            metadata,
            ..
        }
        | ClientMessage::Event {
            event: name,
            data,
            metadata,
            ..
        } => {
            assert!(metadata.len() <= MAX_LEN);
            publication(&mut out, name, data, metadata, None);
        }
        ClientMessage::StreamData {
            stream_id,
            stream_sequence_id,
            data,
        } => {
            let stream = StreamInfo {
                stream_id: (**stream_id).into(),
                stream_sequence_id: *stream_sequence_id,
                end_of_stream: false,
                error: None,
            };
            publication(&mut out, "g", data, &Metadata::default(), Some(&stream));
        }
        ClientMessage::StreamEnd { stream_id, error } => {
            let stream = StreamInfo {
                stream_id: (**stream_id).into(),
                stream_sequence_id: u64::MAX,
                end_of_stream: true,
                error: error.as_ref().map(user_error),
            };
            let nothing = Data {
                data_type: DataType::Text,
                bytes: b"".into(),
            };
            publication(&mut out, "g", &nothing, &Metadata::default(), Some(&stream));
        }
        ClientMessage::StreamStart {
            stream_id,
            idle_timeout_ms,
            ..
        } => {
            assert!((1..=MAX_STREAM_ID_UNITS).contains(&stream_id.encode_utf16().count()));
            assert_ne!(*idle_timeout_ms, Some(0));
            json::stream_ack(to_json, stream_id, 1);
            protobuf::stream_ack(to_protobuf, stream_id, 1);
        }
        ClientMessage::InvalidStream {
            stream_id, reason, ..
        } => {
            let error = Some((StreamClosedName::BadRequest, *reason));
            json::stream_closed(to_json, stream_id, error);
            protobuf::stream_closed(to_protobuf, stream_id, error);
        }
        ClientMessage::SetGroupState { group, state, .. } => {
            let item = GroupStateItem {
                connection_id: "c",
                user_id: None,
                state: state.as_ref(),
                updated_at: 1,
            };
            json::group_state_update(to_json, group, [item]);
            protobuf::group_state_update(to_protobuf, group, [item]);
        }
        _ => return None,
    }
    Some(out)
}

fn publication(
    out: &mut [Vec<u8>; 2],
    group: &str,
    data: &Data<'_>,
    metadata: &Metadata,
    stream: Option<&StreamInfo<'_>>,
) {
    let Data { data_type, bytes } = data;
    let [to_json, to_protobuf] = out;
    json::group_message(to_json, group, *data_type, bytes, Some(group));
    if let Some(stream) = stream {
        json::add_stream(to_json, stream);
    }
    json::add_metadata(to_json, metadata);
    let json = JsonField::JsonData;
    let metadata = Some(metadata);
    protobuf::group_message(
        to_protobuf,
        group,
        *data_type,
        bytes,
        json,
        metadata,
        stream,
    );
}

fn user_error<'a>(error: &'a StreamEndError<'_>) -> StreamError<'a> {
    StreamError {
        name: StreamErrorName::UserError,
        message: error.message.as_deref().map(Into::into),
        user_error_code: error.user_error_code.as_deref().map(Into::into),
    }
}
