//! Messages of a json client.

use hubwire_proto::json::{self, InvalidJson};
use hubwire_proto::message::{ClientMessage, DataType};

/// No message panics or hangs the decoder, and what it accepts can be said again as valid JSON.
pub fn json_decode(frame: &[u8]) {
    let message = json::decode_bytes(frame);
    if let Ok(text) = std::str::from_utf8(frame) {
        assert_eq!(json::decode(text), message);
    }
    let (group, data) = match message {
        Ok(ClientMessage::SendToGroup { group, data, .. }) => (group, data),
        Ok(ClientMessage::Event { event, data, .. }) => (event, data),
        Ok(_) => return,
        Err(error) => {
            let mut out = Vec::new();
            json::disconnected(&mut out, &error.to_string());
            assert!(out.len() < 1000);
            return;
        }
    };
    if data.data_type == DataType::Json {
        assert_eq!(json::check_value(&data.bytes), Ok(()));
    }
    let mut out = Vec::new();
    json::group_message(&mut out, &group, data.data_type, &data.bytes, Some(&group));
    // The envelope may be one level too deep to be data itself.
    assert_ne!(json::check_value(&out), Err(InvalidJson::Syntax));
}
