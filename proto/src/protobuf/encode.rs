//! Writing responses. Every function appends to `out`, so that a caller can reuse one buffer.
//!
//! Members of a oneof and both parts of a map entry are written even where they are empty; other
//! fields are left out then.

use super::wire::{field_len, number_field_len, put_bytes, put_head, put_number};
use crate::ack::AckErrorName;
use crate::group_state::{GroupState, GroupStateItem};
use crate::message::{DataType, StreamError, StreamInfo, utf8_or_replaced};
use crate::metadata::Metadata;
use crate::stream::{StreamClosedName, StreamNackName};

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
    let reason = [(2, message)];
    put_head(out, DOWNSTREAM_SYSTEM, field_len(texts_len(&reason)));
    put_texts(out, 2, &reason);
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
        number_len(ack_id) + number_field_len(1),
    );
    put_nonzero(out, 1, ack_id);
    put_number(out, 2, 1);
}

/// The request was not carried out.
pub fn ack_failed(out: &mut Vec<u8>, ack_id: u64, name: AckErrorName, message: &str) {
    let error = [(1, name.as_str()), (2, message)];
    put_head(
        out,
        DOWNSTREAM_ACK,
        number_len(ack_id) + field_len(texts_len(&error)),
    );
    put_nonzero(out, 1, ack_id);
    put_texts(out, 3, &error);
}

/// The publisher's stream takes the part `expected_sequence_id` next; all before it are taken
/// (protocol notes: streams).
pub fn stream_ack(out: &mut Vec<u8>, stream_id: &str, expected_sequence_id: u64) {
    put_head(
        out,
        DOWNSTREAM_STREAM_ACK,
        text_len(stream_id) + number_len(expected_sequence_id),
    );
    put_text(out, 1, stream_id);
    put_nonzero(out, 2, expected_sequence_id);
}

/// A part was not taken, for it is not the one that is expected.
pub fn stream_nack(
    out: &mut Vec<u8>,
    stream_id: &str,
    name: StreamNackName,
    expected_sequence_id: u64,
    message: &str,
) {
    let texts = [(1, stream_id), (2, name.as_str()), (3, message)];
    put_head(
        out,
        DOWNSTREAM_STREAM_NACK,
        texts_len(&texts) + number_len(expected_sequence_id),
    );
    for (number, text) in texts {
        put_text(out, number, text);
    }
    put_nonzero(out, 4, expected_sequence_id);
}

/// The publisher's stream is no more; `error` is what went wrong, and a text about it.
pub fn stream_closed(out: &mut Vec<u8>, stream_id: &str, error: Option<(StreamClosedName, &str)>) {
    let error = error.map(|(name, message)| [(1, name.as_str()), (2, message)]);
    let error_len = error.map_or(0, |error| field_len(texts_len(&error)));
    put_head(
        out,
        DOWNSTREAM_STREAM_CLOSED,
        text_len(stream_id) + error_len,
    );
    put_text(out, 1, stream_id);
    if let Some(error) = error {
        put_texts(out, 2, &error);
    }
}

/// The states of a group's members as they are now (protocol notes: group state).
pub fn group_state_snapshot<'a>(
    out: &mut Vec<u8>,
    group: &str,
    items: impl IntoIterator<Item = GroupStateItem<'a>, IntoIter: Clone>,
) {
    group_state(out, DOWNSTREAM_GROUP_STATE_SNAPSHOT, group, items);
}

/// The states that changed.
pub fn group_state_update<'a>(
    out: &mut Vec<u8>,
    group: &str,
    items: impl IntoIterator<Item = GroupStateItem<'a>, IntoIter: Clone>,
) {
    group_state(out, DOWNSTREAM_GROUP_STATE_UPDATE, group, items);
}

/// A publication to a group. No schema has a place for the sender's user.
///
/// `bytes` are those of [`crate::message::Data`]; where text or JSON is not UTF-8 after all,
/// replacement characters go out. Metadata goes into field 5, a map (protocol notes: metadata);
/// `stream` is where the message belongs in a stream.
pub fn group_message(
    out: &mut Vec<u8>,
    group: &str,
    data_type: DataType,
    bytes: &[u8],
    json: JsonField,
    metadata: Option<&Metadata>,
    stream: Option<&StreamInfo<'_>>,
) {
    let from = Sender {
        from: "group",
        group: Some(group),
        stream,
    };
    data_message(out, &from, data_type, bytes, json, metadata);
}

/// A message to this connection, its user or its hub. For the rest see [`group_message`].
pub fn server_message(
    out: &mut Vec<u8>,
    data_type: DataType,
    bytes: &[u8],
    json: JsonField,
    metadata: Option<&Metadata>,
) {
    let from = Sender {
        from: "server",
        group: None,
        stream: None,
    };
    data_message(out, &from, data_type, bytes, json, metadata);
}

/// The numbers of the oneof in `DownstreamMessage`.
const DOWNSTREAM_ACK: u8 = 1;
const DOWNSTREAM_DATA: u8 = 2;
const DOWNSTREAM_SYSTEM: u8 = 3;
const DOWNSTREAM_PONG: u8 = 4;
const DOWNSTREAM_STREAM_ACK: u8 = 6;
const DOWNSTREAM_STREAM_NACK: u8 = 7;
const DOWNSTREAM_STREAM_CLOSED: u8 = 8;
const DOWNSTREAM_GROUP_STATE_UPDATE: u8 = 9;
const DOWNSTREAM_GROUP_STATE_SNAPSHOT: u8 = 10;

/// What a data message says about its origin.
struct Sender<'a> {
    from: &'static str,
    group: Option<&'a str>,
    stream: Option<&'a StreamInfo<'a>>,
}

fn data_message(
    out: &mut Vec<u8>,
    sender: &Sender<'_>,
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
    let message = field_len(sender.from.len())
        + sender.group.map_or(0, |group| field_len(group.len()))
        + field_len(data)
        + map_len(entries())
        + sender
            .stream
            .map_or(0, |stream| field_len(stream_len(stream)));
    out.reserve(field_len(message));
    put_head(out, DOWNSTREAM_DATA, message);
    put_bytes(out, 1, sender.from.as_bytes());
    if let Some(group) = sender.group {
        put_bytes(out, 2, group.as_bytes());
    }
    put_head(out, 3, data);
    put_bytes(out, member, bytes);
    put_map(out, 5, entries());
    if let Some(stream) = sender.stream {
        put_stream(out, 6, stream);
    }
}

fn stream_len(stream: &StreamInfo<'_>) -> usize {
    let error = stream.error.as_ref().map(stream_error);
    text_len(&stream.stream_id)
        + number_len(stream.stream_sequence_id)
        + number_len(stream.end_of_stream.into())
        + error.map_or(0, |error| field_len(texts_len(&error)))
}

fn put_stream(out: &mut Vec<u8>, number: u8, stream: &StreamInfo<'_>) {
    put_head(out, number, stream_len(stream));
    put_text(out, 1, &stream.stream_id);
    put_nonzero(out, 2, stream.stream_sequence_id);
    put_nonzero(out, 3, stream.end_of_stream.into());
    if let Some(error) = &stream.error {
        put_texts(out, 4, &stream_error(error));
    }
}

fn stream_error<'a>(error: &'a StreamError<'_>) -> [(u8, &'a str); 3] {
    [
        (1, error.name.as_str()),
        (2, error.message.as_deref().unwrap_or_default()),
        (3, error.user_error_code.as_deref().unwrap_or_default()),
    ]
}

fn group_state<'a>(
    out: &mut Vec<u8>,
    member: u8,
    group: &str,
    items: impl IntoIterator<Item = GroupStateItem<'a>, IntoIter: Clone>,
) {
    let items = items.into_iter();
    let message: usize = items.clone().map(|item| field_len(item_len(&item))).sum();
    put_head(out, member, text_len(group) + message);
    put_text(out, 1, group);
    for item in items {
        put_head(out, 2, item_len(&item));
        put_text(out, 1, item.connection_id);
        if let Some(user_id) = item.user_id {
            put_bytes(out, 2, user_id.as_bytes());
        }
        if let Some(state) = item.state {
            put_head(out, 3, map_len(state.iter()));
            put_map(out, 1, state.iter());
        }
        put_nonzero(out, 4, item.updated_at.cast_unsigned());
    }
}

fn item_len(item: &GroupStateItem<'_>) -> usize {
    let state = |state: &GroupState| field_len(map_len(state.iter()));
    text_len(item.connection_id)
        + item.user_id.map_or(0, |user_id| field_len(user_id.len()))
        + item.state.map_or(0, state)
        + number_len(item.updated_at.cast_unsigned())
}

/// Bytes of the entries of a map in a field with a number up to 15.
fn map_len<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> usize {
    entries
        .map(|(key, value)| field_len(entry_len(key, value)))
        .sum()
}

const fn entry_len(key: &str, value: &str) -> usize {
    field_len(key.len()) + field_len(value.len())
}

fn put_map<'a>(out: &mut Vec<u8>, number: u8, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    for (key, value) in entries {
        put_head(out, number, entry_len(key, value));
        put_bytes(out, 1, key.as_bytes());
        put_bytes(out, 2, value.as_bytes());
    }
}

/// Bytes of the message that holds these texts by their field numbers.
fn texts_len(texts: &[(u8, &str)]) -> usize {
    texts.iter().map(|(_, text)| text_len(text)).sum()
}

/// Appends the message that holds these texts by their field numbers.
fn put_texts(out: &mut Vec<u8>, number: u8, texts: &[(u8, &str)]) {
    put_head(out, number, texts_len(texts));
    for (number, text) in texts {
        put_text(out, *number, text);
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

fn number_len(value: u64) -> usize {
    match value {
        0 => 0,
        value => number_field_len(value),
    }
}

fn put_nonzero(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        put_number(out, number, value);
    }
}
