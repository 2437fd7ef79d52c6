//! Messages of a json client.

use hubwire_proto::json::{self, InvalidJson};
use hubwire_proto::message::{ClientMessage, DataType};
use prost::Message as _;

use crate::again::said_again;
use crate::protobuf::schema::Downstream;

/// No message panics or hangs the decoder, and what it accepts can be said again to clients of
/// both kinds.
pub fn json_decode(frame: &[u8]) {
    let message = json::decode_bytes(frame);
    if let Ok(text) = std::str::from_utf8(frame) {
        assert_eq!(json::decode(text), message);
    }
    let message = match message {
        Ok(message) => message,
        Err(error) => {
            let mut out = Vec::new();
            json::disconnected(&mut out, &error.to_string());
            assert!(out.len() < 1000);
            return;
        }
    };
    if let ClientMessage::SendToGroup { data, .. }
    | ClientMessage::Event { data, .. }
    | ClientMessage::StreamData { data, .. } = &message
        && data.data_type == DataType::Json
    {
        assert_eq!(json::check_value(&data.bytes), Ok(()));
    }
    if let Some([to_json, to_protobuf]) = said_again(&message) {
        // The envelope may be one level too deep to be data itself.
        assert_ne!(json::check_value(&to_json), Err(InvalidJson::Syntax));
        assert!(Downstream::decode(&*to_protobuf).is_ok());
    }
}
