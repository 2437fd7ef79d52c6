//! Writing responses. Every function appends to `out`, so that a caller can reuse one buffer.
//!
//! Members of a oneof and both parts of a map entry are written even where they are empty; other
//! fields are left out then.

use super::wire::{field_len, number_field_len, put_bytes, put_head, put_number};
use crate::ack::AckErrorName;
use crate::message::{DataType, utf8_or_replaced};
use crate::metadata::Metadata;

/// In which field of `MessageData` JSON goes to protobuf clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum JsonField {
    /// `json_data`, field 4: the client can tell it from text.
    #[default]
    JsonData,
    /// `text_data`, field 1, as the documentation has it.
    TextData,
}

/// The first message on a connection. `reconnection_token` is for reliable protocols only.
pub fn connected(
    out: &mut Vec<u8>,
    connection_id: &str,
    user_id: Option<&str>,
    reconnection_token: Option<&str>,
) {
    let texts = [
        (1, Some(connection_id)),
        (2, user_id),
        (3, reconnection_token),
    ];
    let given = || {
        texts
            .iter()
            .filter_map(|(number, text)| Some((*number, (*text)?)))
    };
    let message = given().map(|(_, text)| field_len(text.len())).sum();
    put_head(out, DOWNSTREAM_SYSTEM, field_len(message));
    put_head(out, 1, message);
    for (number, text) in given() {
        put_bytes(out, number, text.as_bytes());
    }
}

/// The last message before the server closes.
pub fn disconnected(out: &mut Vec<u8>, message: &str) {
    let reason = text_len(message);
    put_head(out, DOWNSTREAM_SYSTEM, field_len(reason));
    put_head(out, 2, reason);
    put_text(out, 2, message);
}

/// The answer to a ping.
pub fn pong(out: &mut Vec<u8>) {
    put_head(out, DOWNSTREAM_PONG, 0);
}

/// The request was carried out.
pub fn ack_ok(out: &mut Vec<u8>, ack_id: u64) {
    put_head(
        out,
        DOWNSTREAM_ACK,
        ack_id_len(ack_id) + number_field_len(1),
    );
    put_ack_id(out, ack_id);
    put_number(out, 2, 1);
}

/// The request was not carried out.
pub fn ack_failed(out: &mut Vec<u8>, ack_id: u64, name: AckErrorName, message: &str) {
    let name = name.as_str();
    let error = text_len(name) + text_len(message);
    put_head(out, DOWNSTREAM_ACK, ack_id_len(ack_id) + field_len(error));
    put_ack_id(out, ack_id);
    put_head(out, 3, error);
    put_text(out, 1, name);
    put_text(out, 2, message);
}

/// A publication to a group. No schema has a place for the sender's user.
///
/// `bytes` are those of [`crate::message::Data`]; where text or JSON is not UTF-8 after all,
/// replacement characters go out. Metadata goes into field 5, a map (protocol notes: metadata).
pub fn group_message(
    out: &mut Vec<u8>,
    group: &str,
    data_type: DataType,
    bytes: &[u8],
    json: JsonField,
    metadata: Option<&Metadata>,
) {
    data_message(out, "group", Some(group), data_type, bytes, json, metadata);
}

/// A message to this connection, its user or its hub. For the rest see [`group_message`].
pub fn server_message(
    out: &mut Vec<u8>,
    data_type: DataType,
    bytes: &[u8],
    json: JsonField,
    metadata: Option<&Metadata>,
) {
    data_message(out, "server", None, data_type, bytes, json, metadata);
}

/// The numbers of the oneof in `DownstreamMessage`.
const DOWNSTREAM_ACK: u8 = 1;
const DOWNSTREAM_DATA: u8 = 2;
const DOWNSTREAM_SYSTEM: u8 = 3;
const DOWNSTREAM_PONG: u8 = 4;

fn data_message(
    out: &mut Vec<u8>,
    from: &str,
    group: Option<&str>,
    data_type: DataType,
    bytes: &[u8],
    json: JsonField,
    metadata: Option<&Metadata>,
) {
    let replaced;
    let (member, bytes) = match (data_type, json) {
        (DataType::Binary, _) => (2, bytes),
        (DataType::Protobuf, _) => (3, bytes),
        (DataType::Text, _) | (DataType::Json, JsonField::TextData) => {
            replaced = utf8_or_replaced(bytes);
            (1, &*replaced)
        }
        (DataType::Json, JsonField::JsonData) => {
            replaced = utf8_or_replaced(bytes);
            (4, &*replaced)
        }
    };
    let data = field_len(bytes.len());
    let entries = || metadata.into_iter().flat_map(Metadata::iter);
    let entry_len = |key: &str, value: &str| field_len(key.len()) + field_len(value.len());
    let message = field_len(from.len())
        + group.map_or(0, |group| field_len(group.len()))
        + field_len(data)
        + entries()
            .map(|(key, value)| field_len(entry_len(key, value)))
            .sum::<usize>();
    out.reserve(field_len(message));
    put_head(out, DOWNSTREAM_DATA, message);
    put_bytes(out, 1, from.as_bytes());
    if let Some(group) = group {
        put_bytes(out, 2, group.as_bytes());
    }
    put_head(out, 3, data);
    put_bytes(out, member, bytes);
    for (key, value) in entries() {
        put_head(out, 5, entry_len(key, value));
        put_bytes(out, 1, key.as_bytes());
        put_bytes(out, 2, value.as_bytes());
    }
}

fn ack_id_len(ack_id: u64) -> usize {
    match ack_id {
        0 => 0,
        ack_id => number_field_len(ack_id),
    }
}

fn put_ack_id(out: &mut Vec<u8>, ack_id: u64) {
    if ack_id != 0 {
        put_number(out, 1, ack_id);
    }
}

fn text_len(text: &str) -> usize {
    match text.len() {
        0 => 0,
        length => field_len(length),
    }
}

fn put_text(out: &mut Vec<u8>, number: u8, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}
