//! What must hold for any JSON message of a client, valid or not.

use std::collections::BTreeMap;

use hubwire_proto::json;
use hubwire_proto::message::{ClientMessage, Data, DataType, StreamEndError};
use hubwire_proto::metadata::Metadata;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::json;

/// Members of a valid message, as name and raw value.
fn members() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let ack_id = prop_oneof![
        any::<u64>().prop_map(|id| id.to_string()),
        Just("null".to_owned())
    ];
    let value = prop_oneof![
        any::<i64>().prop_map(|n| ("json", n.to_string())),
        ".{0,20}".prop_map(|s| ("json", serde_json::json!([{ "k": s }]).to_string())),
        ".{0,20}".prop_map(|s| ("Text", serde_json::json!(s).to_string())),
        "([A-Za-z0-9+/]{4}){0,5}".prop_map(|s| ("BINARY", format!("\"{s}\""))),
    ];
    (
        any::<bool>(),
        "[a-zA-Z😀\"\\\\\n]{1,20}",
        ack_id,
        any::<bool>(),
        value,
    )
        .prop_map(|(is_event, name, ack_id, no_echo, (data_type, data))| {
            let name = format!("x{name}");
            let mut members = vec![
                ("ackId", ack_id),
                ("dataType", format!("\"{data_type}\"")),
                ("data", data),
            ];
            if is_event {
                let event: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
                members.push(("type", "\"event\"".into()));
                members.push(("event", format!("\"{event}\"")));
            } else {
                members.push(("type", "\"sendToGroup\"".into()));
                members.push(("group", serde_json::json!(name).to_string()));
                members.push(("noEcho", no_echo.to_string()));
            }
            members
        })
}

fn object(members: &[(&str, String)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, raw)| format!("\"{name}\":{raw}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A message of streams, group state or metadata, and how it ought to be read.
fn newer_message() -> impl Strategy<Value = (serde_json::Value, ClientMessage<'static>)> {
    let text = || prop_oneof![any::<String>(), "[\u{0}-\u{80}\"\\\\😀]{0,40}"];
    let maybe = || prop::option::of(text());
    let name = || text().prop_map(|text| format!("x{text}"));
    let ack_id = || prop::option::of(any::<u64>());
    let idle_timeout_ms = prop::option::of(1..=u64::MAX);
    let state = prop::option::of(prop::collection::btree_map(text(), text(), 0..5));
    let metadata =
        prop::collection::btree_map("[!#$%&'*+.0-9A-Z^_`a-z|~-]{1,9}", "[\t -~]{0,40}", 0..5);
    prop_oneof![
        (name(), name(), idle_timeout_ms, any::<bool>(), ack_id()).prop_map(
            |(group, stream_id, idle_timeout_ms, no_echo, ack_id)| {
                let stream = json!({ "streamId": stream_id, "idleTimeoutMs": idle_timeout_ms });
                let tree = json!({
                    "type": "sendToGroup", "group": group, "stream": stream, "noEcho": no_echo,
                    "ackId": ack_id,
                });
                let message = ClientMessage::StreamStart {
                    group: group.into(),
                    stream_id: stream_id.into(),
                    idle_timeout_ms,
                    no_echo,
                    ack_id,
                };
                (tree, message)
            }
        ),
        (text(), any::<u64>(), text()).prop_map(|(stream_id, number, content)| {
            let tree = json!({
                "type": "streamData", "streamId": stream_id, "streamSequenceId": number,
                "dataType": "text", "data": content,
            });
            let message = ClientMessage::StreamData {
                stream_id: stream_id.into(),
                stream_sequence_id: number,
                data: Data {
                    data_type: DataType::Text,
                    bytes: content.into_bytes().into(),
                },
            };
            (tree, message)
        }),
        text().prop_map(|stream_id| {
            let tree = json!({ "type": "streamData", "streamId": stream_id });
            let stream_id = stream_id.into();
            (tree, ClientMessage::StreamKeepAlive { stream_id })
        }),
        (text(), prop::option::of((maybe(), maybe()))).prop_map(|(stream_id, error)| {
            let raw = error
                .as_ref()
                .map(|(message, code)| json!({ "message": message, "userErrorCode": code }));
            let tree = json!({ "type": "streamEnd", "streamId": stream_id, "error": raw });
            let message = ClientMessage::StreamEnd {
                stream_id: stream_id.into(),
                error: error.map(|(message, code)| StreamEndError {
                    message: message.map(Into::into),
                    user_error_code: code.map(Into::into),
                }),
            };
            (tree, message)
        }),
        (name(), state, ack_id()).prop_map(|(group, state, ack_id)| {
            let tree = json!({
                "type": "setGroupState", "group": group, "state": state, "ackId": ack_id,
            });
            let message = ClientMessage::SetGroupState {
                group: group.into(),
                state: state.map(|state| state.into_iter().collect()),
                ack_id,
            };
            (tree, message)
        }),
        (name(), metadata, 0..=300_u16).prop_map(|(group, entries, ttl_seconds)| {
            let tree = json!({
                "type": "sendToGroup", "group": group, "metadata": entries,
                "ttlSeconds": ttl_seconds, "data": 1,
            });
            let mut metadata = Metadata::default();
            for (key, value) in &entries {
                assert_eq!(metadata.insert(key, value), Ok(false));
            }
            let message = ClientMessage::SendToGroup {
                group: group.into(),
                data: Data {
                    data_type: DataType::Json,
                    bytes: b"1".into(),
                },
                metadata,
                no_echo: false,
                ttl_seconds,
                ack_id: None,
            };
            (tree, message)
        }),
    ]
}

proptest! {
    #[test]
    fn newer_messages_are_read_as_serde_json_wrote_them((tree, expect) in newer_message()) {
        let text = tree.to_string();
        prop_assert_eq!(json::decode(&text), Ok(expect));
    }

    #[test]
    fn every_part_of_a_newer_message_is_an_error((tree, _) in newer_message()) {
        let text = tree.to_string();
        for (length, _) in text.char_indices() {
            prop_assert!(json::decode(&text[..length]).is_err(), "{}", &text[..length]);
        }
    }

    /// The judge is serde_json's own tree.
    #[test]
    fn valid_messages_are_read_as_serde_json_reads_them(members in members()) {
        let input = object(&members);
        let tree: serde_json::Value = serde_json::from_str(&input)?;
        let message = json::decode(&input);
        let (data, ack_id) = match message {
            Ok(ClientMessage::SendToGroup { group, data, no_echo, ack_id, .. }) => {
                prop_assert_eq!(tree["type"].as_str(), Some("sendToGroup"));
                prop_assert_eq!(tree["group"].as_str(), Some(&*group));
                prop_assert_eq!(tree["noEcho"].as_bool(), Some(no_echo));
                (data, ack_id)
            }
            Ok(ClientMessage::Event { event, data, ack_id, .. }) => {
                prop_assert_eq!(tree["event"].as_str(), Some(&*event));
                (data, ack_id)
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(tree["ackId"].as_u64(), ack_id);
        match data.data_type {
            DataType::Json => {
                let value: serde_json::Value = serde_json::from_slice(&data.bytes)?;
                prop_assert_eq!(&tree["data"], &value);
            }
            DataType::Text => {
                prop_assert_eq!(tree["data"].as_str().map(str::as_bytes), Some(&*data.bytes));
            }
            _ => prop_assert_eq!(tree["data"].as_str().map(str::len), Some(data.bytes.len() / 3 * 4)),
        }
    }

    #[test]
    fn order_and_unknown_members_do_not_matter(
        (plain, mixed) in members().prop_flat_map(|m| {
            let mut more = m.clone();
            more.push(("unknown", "{\"type\":[\"\\\"}\"]}".into()));
            more.push(("Data", "null".into()));
            (Just(m), Just(more).prop_shuffle())
        })
    ) {
        let (plain, mixed) = (object(&plain), object(&mixed));
        prop_assert_eq!(json::decode(&plain), json::decode(&mixed));
    }

    #[test]
    fn arbitrary_text_never_panics(input in any::<String>()) {
        let _ = json::decode(&input);
    }

    #[test]
    fn damaged_messages_never_panic(
        members in members(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let mut bytes = object(&members).into_bytes();
        for (at, byte, kind) in damage {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if json::decode_bytes(&bytes).is_ok() {
            // A tree would refuse numbers that fit no type, which is not a matter of grammar.
            let object = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(&bytes);
            prop_assert!(object.is_ok() || String::from_utf8_lossy(&bytes).contains("\\u"));
        }
    }
}
