//! Writing responses. Every function appends to `out`, so that a caller can reuse one buffer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ack::AckErrorName;
use crate::group_state::GroupStateItem;
use crate::message::{DataType, StreamError, StreamInfo, utf8_or_replaced};
use crate::metadata::Metadata;
use crate::stream::{StreamClosedName, StreamNackName};

/// The first message on a connection. `reconnection_token` is for reliable protocols only.
pub fn connected(
    out: &mut Vec<u8>,
    connection_id: &str,
    user_id: Option<&str>,
    reconnection_token: Option<&str>,
) {
    raw(out, r#"{"type":"system","event":"connected""#);
    if let Some(user_id) = user_id {
        raw(out, r#","userId":"#);
        string(out, user_id.as_bytes());
    }
    raw(out, r#","connectionId":"#);
    string(out, connection_id.as_bytes());
    if let Some(token) = reconnection_token {
        raw(out, r#","reconnectionToken":"#);
        string(out, token.as_bytes());
    }
    raw(out, "}");
}

/// The last message before the server closes.
pub fn disconnected(out: &mut Vec<u8>, message: &str) {
    raw(out, r#"{"type":"system","event":"disconnected","message":"#);
    string(out, message.as_bytes());
    raw(out, "}");
}

/// The answer to a ping.
pub fn pong(out: &mut Vec<u8>) {
    raw(out, r#"{"type":"pong"}"#);
}

/// The request was carried out.
pub fn ack_ok(out: &mut Vec<u8>, ack_id: u64) {
    raw(out, r#"{"type":"ack","ackId":"#);
    raw(out, itoa::Buffer::new().format(ack_id));
    raw(out, r#","success":true}"#);
}

/// The request was not carried out.
pub fn ack_failed(out: &mut Vec<u8>, ack_id: u64, name: AckErrorName, message: &str) {
    raw(out, r#"{"type":"ack","ackId":"#);
    raw(out, itoa::Buffer::new().format(ack_id));
    raw(out, r#","success":false,"error":{"#);
    error_members(out, name.as_str(), message);
    raw(out, "}}");
}

/// The publisher's stream takes the part `expected_sequence_id` next; all before it are taken
/// (protocol notes: streams).
pub fn stream_ack(out: &mut Vec<u8>, stream_id: &str, expected_sequence_id: u64) {
    raw(out, r#"{"type":"streamAck""#);
    stream_place(out, stream_id, expected_sequence_id);
    raw(out, "}");
}

/// A part was not taken, for it is not the one that is expected.
pub fn stream_nack(
    out: &mut Vec<u8>,
    stream_id: &str,
    name: StreamNackName,
    expected_sequence_id: u64,
    message: &str,
) {
    raw(out, r#"{"type":"streamNack""#);
    stream_place(out, stream_id, expected_sequence_id);
    raw(out, ",");
    error_members(out, name.as_str(), message);
    raw(out, "}");
}

/// The publisher's stream is no more; `error` is what went wrong, and a text about it.
pub fn stream_closed(out: &mut Vec<u8>, stream_id: &str, error: Option<(StreamClosedName, &str)>) {
    raw(out, r#"{"type":"streamClosed","streamId":"#);
    string(out, stream_id.as_bytes());
    if let Some((name, message)) = error {
        raw(out, r#","error":{"#);
        error_members(out, name.as_str(), message);
        raw(out, "}");
    }
    raw(out, "}");
}

/// The states of a group's members as they are now (protocol notes: group state).
pub fn group_state_snapshot<'a>(
    out: &mut Vec<u8>,
    group: &str,
    items: impl IntoIterator<Item = GroupStateItem<'a>>,
) {
    raw(out, r#"{"type":"groupStateSnapshot","group":"#);
    group_state(out, group, items);
}

/// The states that changed.
pub fn group_state_update<'a>(
    out: &mut Vec<u8>,
    group: &str,
    items: impl IntoIterator<Item = GroupStateItem<'a>>,
) {
    raw(out, r#"{"type":"groupStateUpdate","group":"#);
    group_state(out, group, items);
}

/// Adds metadata to the message at the end of `out`, unless there is none.
pub fn add_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    if metadata.is_empty() || out.pop_if(|last| *last == b'}').is_none() {
        return;
    }
    raw(out, r#","metadata":"#);
    texts(out, metadata.iter());
    raw(out, "}");
}

/// Adds to the group message at the end of `out` where it belongs in a stream.
pub fn add_stream(out: &mut Vec<u8>, stream: &StreamInfo<'_>) {
    if out.pop_if(|last| *last == b'}').is_none() {
        return;
    }
    raw(out, r#","stream":{"streamId":"#);
    string(out, stream.stream_id.as_bytes());
    raw(out, r#","streamSequenceId":"#);
    raw(out, itoa::Buffer::new().format(stream.stream_sequence_id));
    if stream.end_of_stream {
        raw(out, r#","endOfStream":true"#);
    }
    if let Some(error) = &stream.error {
        stream_error(out, error);
    }
    raw(out, "}}");
}

/// A publication to a group. `from_user_id` is the sending client's user, if there is one.
///
/// `bytes` are those of [`crate::message::Data`]; where text or JSON is not UTF-8 after all,
/// replacement characters go out.
pub fn group_message(
    out: &mut Vec<u8>,
    group: &str,
    data_type: DataType,
    bytes: &[u8],
    from_user_id: Option<&str>,
) {
    out.reserve(96 + group.len() + bytes.len() + bytes.len() / 3);
    raw(out, r#"{"type":"message","from":"group","group":"#);
    string(out, group.as_bytes());
    data(out, data_type, bytes);
    if let Some(user_id) = from_user_id {
        raw(out, r#","fromUserId":"#);
        string(out, user_id.as_bytes());
    }
    raw(out, "}");
}

/// A message to this connection, its user or its hub. For `bytes` see [`group_message`].
pub fn server_message(out: &mut Vec<u8>, data_type: DataType, bytes: &[u8]) {
    out.reserve(80 + bytes.len() + bytes.len() / 3);
    raw(out, r#"{"type":"message","from":"server""#);
    data(out, data_type, bytes);
    raw(out, "}");
}

fn data(out: &mut Vec<u8>, data_type: DataType, bytes: &[u8]) {
    match data_type {
        DataType::Json => {
            raw(out, r#","dataType":"json","data":"#);
            out.extend_from_slice(&utf8_or_replaced(bytes));
        }
        DataType::Text => {
            raw(out, r#","dataType":"text","data":"#);
            string(out, &utf8_or_replaced(bytes));
        }
        DataType::Binary => {
            raw(out, r#","dataType":"binary","data":"#);
            base64(out, bytes);
        }
        DataType::Protobuf => {
            raw(out, r#","dataType":"protobuf","data":"#);
            base64(out, bytes);
        }
    }
}

/// `name` has nothing to escape.
fn error_members(out: &mut Vec<u8>, name: &str, message: &str) {
    raw(out, r#""name":""#);
    raw(out, name);
    raw(out, r#"","message":"#);
    string(out, message.as_bytes());
}

fn stream_place(out: &mut Vec<u8>, stream_id: &str, expected_sequence_id: u64) {
    raw(out, r#","streamId":"#);
    string(out, stream_id.as_bytes());
    raw(out, r#","expectedSequenceId":"#);
    raw(out, itoa::Buffer::new().format(expected_sequence_id));
}

fn stream_error(out: &mut Vec<u8>, error: &StreamError<'_>) {
    raw(out, r#","error":{"name":""#);
    raw(out, error.name.as_str());
    raw(out, "\"");
    if let Some(message) = &error.message {
        raw(out, r#","message":"#);
        string(out, message.as_bytes());
    }
    if let Some(code) = &error.user_error_code {
        raw(out, r#","userErrorCode":"#);
        string(out, code.as_bytes());
    }
    raw(out, "}");
}

/// What follows the name of the member `group`.
fn group_state<'a>(
    out: &mut Vec<u8>,
    group: &str,
    items: impl IntoIterator<Item = GroupStateItem<'a>>,
) {
    string(out, group.as_bytes());
    raw(out, r#","items":["#);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            raw(out, ",");
        }
        raw(out, r#"{"connectionId":"#);
        string(out, item.connection_id.as_bytes());
        if let Some(user_id) = item.user_id {
            raw(out, r#","userId":"#);
            string(out, user_id.as_bytes());
        }
        if let Some(state) = item.state {
            raw(out, r#","state":"#);
            texts(out, state.iter());
        }
        raw(out, r#","updatedAt":"#);
        raw(out, itoa::Buffer::new().format(item.updated_at));
        raw(out, "}");
    }
    raw(out, "]}");
}

/// An object whose values are strings.
fn texts<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    raw(out, "{");
    for (index, (key, value)) in entries.enumerate() {
        if index > 0 {
            raw(out, ",");
        }
        string(out, key.as_bytes());
        raw(out, ":");
        string(out, value.as_bytes());
    }
    raw(out, "}");
}

fn raw(out: &mut Vec<u8>, json: &str) {
    out.extend_from_slice(json.as_bytes());
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    // Four characters for each started group of three bytes.
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    debug_assert!(written.is_ok());
    out.push(b'"');
}

/// A JSON string: only what RFC 8259 §7 demands is escaped.
fn string(out: &mut Vec<u8>, utf8: &[u8]) {
    const BLOCK: usize = 32;
    out.push(b'"');
    // What lies before is written.
    let mut start = 0;
    for (block_index, block) in utf8.chunks(BLOCK).enumerate() {
        // A fold has no early exit, so the compiler can look at a whole block at once.
        if !block
            .iter()
            .fold(false, |any, &byte| any | must_escape(byte))
        {
            continue;
        }
        for (index, &byte) in block.iter().enumerate() {
            if must_escape(byte) {
                let at = block_index * BLOCK + index;
                out.extend_from_slice(&utf8[start..at]);
                escape(out, byte);
                start = at + 1;
            }
        }
    }
    out.extend_from_slice(&utf8[start..]);
    out.push(b'"');
}

const fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
