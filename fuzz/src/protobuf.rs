//! Messages of a protobuf client. The judge is prost.

#[path = "../../proto/tests/protobuf_reference/schema.rs"]
mod schema;

use hubwire_proto::json;
use hubwire_proto::message::{ClientMessage, DataType};
use hubwire_proto::protobuf::{self as codec, JsonField};
use prost::Message as _;
use schema::{Any, Data, Downstream, Response, Upstream};

/// No message panics or hangs the decoder, what it accepts prost accepts too, and what it carries
/// can be said again to clients of every kind.
pub fn protobuf(frame: &[u8]) {
    let message = match codec::decode(frame) {
        Ok(message) => message,
        Err(error) => {
            let mut out = Vec::new();
            codec::disconnected(&mut out, &error.to_string());
            assert!(out.len() < 1000);
            return;
        }
    };
    match Upstream::decode(frame) {
        Ok(theirs) => assert!(theirs.message.is_some()),
        // We do not look into these.
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.contains("metadata") || text.contains("stream"),
                "{text}"
            );
        }
    }
    let (name, data) = match message {
        ClientMessage::SendToGroup { group, data, .. } => (group, data),
        ClientMessage::Event { event, data, .. } => (event, data),
        _ => return,
    };
    let mut out = Vec::new();
    let json_field = JsonField::JsonData;
    codec::group_message(
        &mut out,
        &name,
        data.data_type,
        &data.bytes,
        json_field,
        None,
    );
    let Ok(Downstream {
        message: Some(Response::Data(delivered)),
    }) = Downstream::decode(&*out)
    else {
        panic!("prost cannot read {out:02x?}");
    };
    let bytes = data.bytes.into_owned();
    let carried = match data.data_type {
        DataType::Text => String::from_utf8(bytes.clone()).ok().map(Data::Text),
        DataType::Json => String::from_utf8(bytes.clone()).ok().map(Data::Json),
        DataType::Binary => Some(Data::Binary(bytes.clone())),
        DataType::Protobuf => Any::decode(&*bytes).ok().map(Data::Protobuf),
    };
    assert!(carried.is_some());
    assert_eq!(delivered.data.and_then(|data| data.data), carried);
    assert_eq!(delivered.group.as_deref(), Some(&*name));
    out.clear();
    json::group_message(&mut out, &name, data.data_type, &bytes, None);
    assert_ne!(json::check_value(&out), Err(json::InvalidJson::Syntax));
}
