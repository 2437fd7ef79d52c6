//! Messages of a protobuf client. The judge is prost.

#[path = "../../proto/tests/protobuf_reference/expected.rs"]
mod expected;
#[path = "../../proto/tests/protobuf_reference/schema.rs"]
pub(crate) mod schema;

use hubwire_proto::json;
use hubwire_proto::message::{ClientMessage, Data, DataType};
use hubwire_proto::protobuf as codec;
use prost::Message as _;
use schema::{Any, DataMessage, Downstream, Response, Upstream};

use crate::again::said_again;

/// No message panics or hangs the decoder, what it accepts prost reads alike, and what it carries
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
    let theirs = Upstream::decode(frame).expect("prost reads what we read");
    let theirs = theirs.message.expect("a request");
    let carried = carried(&message);
    let has_any = carried.is_some_and(|data| data.data_type == DataType::Protobuf);
    // An Any may hold fields that prost forgets, and what is wrong with a stream the wire format
    // does not know.
    if !has_any && !matches!(message, ClientMessage::InvalidStream { .. }) {
        assert_eq!(message, expected::expected(&theirs));
    }

    let Some([to_json, to_protobuf]) = said_again(&message) else {
        return;
    };
    assert_ne!(json::check_value(&to_json), Err(json::InvalidJson::Syntax));
    let told = Downstream::decode(&*to_protobuf).expect("prost reads what we write");
    let (Some(Response::Data(DataMessage { data, .. })), Some(carried)) = (told.message, carried)
    else {
        return;
    };
    let bytes = carried.bytes.to_vec();
    let text = |bytes| String::from_utf8(bytes).expect("the decoder looked");
    let carried = match carried.data_type {
        DataType::Text => schema::Data::Text(text(bytes)),
        DataType::Json => schema::Data::Json(text(bytes)),
        DataType::Binary => schema::Data::Binary(bytes),
        DataType::Protobuf => {
            schema::Data::Protobuf(Any::decode(&*bytes).expect("the decoder looked"))
        }
    };
    assert_eq!(data.and_then(|data| data.data), Some(carried));
}

fn carried<'m, 'a>(message: &'m ClientMessage<'a>) -> Option<&'m Data<'a>> {
    match message {
        ClientMessage::SendToGroup { data, .. }
        | ClientMessage::Event { data, .. }
        | ClientMessage::StreamData { data, .. } => Some(data),
        _ => None,
    }
}
