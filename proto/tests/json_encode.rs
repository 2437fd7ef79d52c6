//! What a JSON client is sent: exact spelling, and serde_json as the judge of everything else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hubwire_proto::ack::{self, AckErrorName};
use hubwire_proto::group_state::{GroupState, GroupStateItem};
use hubwire_proto::json;
use hubwire_proto::message::{DataType, StreamError, StreamInfo};
use hubwire_proto::metadata::Metadata;
use hubwire_proto::stream::{StreamClosedName, StreamErrorName, StreamNackName};
use proptest::prelude::*;
use serde_json::{Value, json};

#[track_caller]
fn check(write: impl Fn(&mut Vec<u8>), expect: &str) {
    let mut out = b"kept".to_vec();
    write(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), format!("kept{expect}"));
}

#[test]
fn responses_are_spelled_as_the_service_spells_them() {
    check(
        |out| json::connected(out, "kq3", Some("ann"), Some("t0")),
        r#"{"type":"system","event":"connected","userId":"ann","connectionId":"kq3","reconnectionToken":"t0"}"#,
    );
    check(
        |out| json::connected(out, "kq3", None, None),
        r#"{"type":"system","event":"connected","connectionId":"kq3"}"#,
    );
    check(
        |out| json::disconnected(out, ""),
        r#"{"type":"system","event":"disconnected","message":""}"#,
    );
    check(json::pong, r#"{"type":"pong"}"#);
    check(
        |out| json::ack_ok(out, 0),
        r#"{"type":"ack","ackId":0,"success":true}"#,
    );
    check(
        |out| json::ack_failed(out, u64::MAX, AckErrorName::Forbidden, "no 'x'"),
        r#"{"type":"ack","ackId":18446744073709551615,"success":false,"error":{"name":"Forbidden","message":"no 'x'"}}"#,
    );
    check(
        |out| json::group_message(out, "x", DataType::Binary, &[1, 2], Some("bob")),
        r#"{"type":"message","from":"group","group":"x","dataType":"binary","data":"AQI=","fromUserId":"bob"}"#,
    );
    check(
        |out| json::group_message(out, "x", DataType::Json, b"{ \"a\":1.50}", None),
        r#"{"type":"message","from":"group","group":"x","dataType":"json","data":{ "a":1.50}}"#,
    );
    check(
        |out| json::server_message(out, DataType::Text, "a\"\\/\n\u{1}\u{7f}é😀".as_bytes()),
        "{\"type\":\"message\",\"from\":\"server\",\"dataType\":\"text\",\"data\":\"a\\\"\\\\/\\n\\u0001\u{7f}é😀\"}",
    );
    check(
        |out| json::server_message(out, DataType::Protobuf, b""),
        r#"{"type":"message","from":"server","dataType":"protobuf","data":""}"#,
    );
}

#[test]
fn ack_errors_have_the_documented_texts() {
    for (text, expect) in [
        (
            ack::duplicate(5),
            "Message with ack-id: 5 has been processed",
        ),
        (
            ack::forbidden_join("g"),
            "The client does not have permission to join group 'g'.",
        ),
        (
            ack::forbidden_leave("g"),
            "The client does not have permission to leave group 'g'.",
        ),
        (
            ack::forbidden_send("g"),
            "The client does not have permission to send to group 'g'.",
        ),
        (
            ack::INTERNAL_SERVER_ERROR.to_owned(),
            "Internal server error",
        ),
    ] {
        assert_eq!(text, expect);
    }
    for (name, expect) in [
        (AckErrorName::Duplicate, "Duplicate"),
        (AckErrorName::Forbidden, "Forbidden"),
        (AckErrorName::InternalServerError, "InternalServerError"),
        (AckErrorName::BadRequest, "BadRequest"),
    ] {
        assert_eq!(name.as_str(), expect);
    }
}

#[test]
fn bytes_that_are_not_utf8_still_make_a_valid_message() {
    for data_type in [DataType::Text, DataType::Json] {
        let mut out = Vec::new();
        json::server_message(&mut out, data_type, b"\"\xff\"");
        let tree: Value = serde_json::from_slice(&out).expect("valid JSON");
        assert!(
            tree["data"]
                .as_str()
                .is_some_and(|data| data.contains('\u{fffd}')),
            "{tree}"
        );
    }
}

fn parse(out: &[u8]) -> Result<Value, TestCaseError> {
    serde_json::from_slice(out).map_err(|error| TestCaseError::fail(error.to_string()))
}

/// Text in which much must be escaped, short and long.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\u{0}-\u{80}\"\\\\😀]{0,100}",
        "[a-z]{30,70}[\u{0}-\u{22}]?[a-z]{0,40}"
    ]
}

proptest! {
    #[test]
    fn messages_read_back(
        group in text(),
        user in prop::option::of(text()),
        content in text(),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let raw = json!([content]).to_string();
        for (data_type, name, bytes, data) in [
            (DataType::Text, "text", content.as_bytes(), json!(content)),
            (DataType::Json, "json", raw.as_bytes(), json!([content])),
            (DataType::Binary, "binary", &bytes[..], json!(STANDARD.encode(&bytes))),
            (DataType::Protobuf, "protobuf", &bytes[..], json!(STANDARD.encode(&bytes))),
        ] {
            let mut out = Vec::new();
            json::group_message(&mut out, &group, data_type, bytes, user.as_deref());
            let mut expect = json!({
                "type": "message", "from": "group", "group": group, "dataType": name, "data": data,
            });
            if let Some(user) = &user {
                expect["fromUserId"] = json!(user);
            }
            prop_assert_eq!(parse(&out)?, expect);

            out.clear();
            json::server_message(&mut out, data_type, bytes);
            let expect =
                json!({ "type": "message", "from": "server", "dataType": name, "data": data });
            prop_assert_eq!(parse(&out)?, expect);
        }
    }

    #[test]
    fn system_messages_read_back(id in text(), user in text(), token in text(), ack_id: u64) {
        let mut out = Vec::new();
        json::connected(&mut out, &id, Some(&user), Some(&token));
        prop_assert_eq!(parse(&out)?, json!({
            "type": "system", "event": "connected", "userId": user, "connectionId": id,
            "reconnectionToken": token,
        }));
        out.clear();
        json::disconnected(&mut out, &user);
        prop_assert_eq!(
            parse(&out)?,
            json!({ "type": "system", "event": "disconnected", "message": user })
        );
        out.clear();
        json::ack_failed(&mut out, ack_id, AckErrorName::Duplicate, &token);
        prop_assert_eq!(parse(&out)?, json!({
            "type": "ack", "ackId": ack_id, "success": false,
            "error": { "name": "Duplicate", "message": token },
        }));
    }

    #[test]
    fn stream_messages_read_back(
        id in text(),
        number: u64,
        message in prop::option::of(text()),
        code in prop::option::of(text()),
        end_of_stream: bool,
    ) {
        let mut out = Vec::new();
        json::stream_ack(&mut out, &id, number);
        prop_assert_eq!(parse(&out)?, json!({
            "type": "streamAck", "streamId": id, "expectedSequenceId": number,
        }));
        out.clear();
        json::stream_nack(&mut out, &id, StreamNackName::InvalidSequenceId, number, &id);
        prop_assert_eq!(parse(&out)?, json!({
            "type": "streamNack", "streamId": id, "expectedSequenceId": number,
            "name": "InvalidSequenceId", "message": id,
        }));
        out.clear();
        json::stream_closed(&mut out, &id, Some((StreamClosedName::BadRequest, &id)));
        prop_assert_eq!(parse(&out)?, json!({
            "type": "streamClosed", "streamId": id,
            "error": { "name": "BadRequest", "message": id },
        }));

        let mut error = json!({ "name": "UserError" });
        if let Some(message) = &message {
            error["message"] = json!(message);
        }
        if let Some(code) = &code {
            error["userErrorCode"] = json!(code);
        }
        let mut stream = json!({ "streamId": id, "streamSequenceId": number, "error": error });
        if end_of_stream {
            stream["endOfStream"] = json!(true);
        }
        let info = StreamInfo {
            stream_id: id.into(),
            stream_sequence_id: number,
            end_of_stream,
            error: Some(StreamError {
                name: StreamErrorName::UserError,
                message: message.map(Into::into),
                user_error_code: code.map(Into::into),
            }),
        };
        out.clear();
        json::group_message(&mut out, "g", DataType::Json, b"{}", None);
        json::add_stream(&mut out, &info);
        prop_assert_eq!(parse(&out)?, json!({
            "type": "message", "from": "group", "group": "g", "dataType": "json", "data": {},
            "stream": stream,
        }));
    }

    #[test]
    fn group_states_read_back(
        group in text(),
        members in prop::collection::vec(
            (
                text(),
                prop::option::of(text()),
                prop::option::of(prop::collection::btree_map(text(), text(), 0..4)),
                any::<i64>(),
            ),
            0..4,
        ),
    ) {
        let states: Vec<Option<GroupState>> = members
            .iter()
            .map(|(_, _, state, _)| Some(state.clone()?.into_iter().collect()))
            .collect();
        let items = members.iter().zip(&states).map(|((id, user, _, updated_at), state)| {
            GroupStateItem {
                connection_id: id,
                user_id: user.as_deref(),
                state: state.as_ref(),
                updated_at: *updated_at,
            }
        });
        let expect: Vec<_> = members
            .iter()
            .map(|(id, user, state, updated_at)| {
                let mut item = json!({ "connectionId": id, "updatedAt": updated_at });
                if let Some(user) = user {
                    item["userId"] = json!(user);
                }
                if let Some(state) = state {
                    item["state"] = json!(state);
                }
                item
            })
            .collect();
        let mut out = Vec::new();
        json::group_state_snapshot(&mut out, &group, items);
        prop_assert_eq!(parse(&out)?, json!({
            "type": "groupStateSnapshot", "group": group, "items": expect,
        }));
    }
}

#[test]
fn metadata_stands_behind_all_other_members() {
    let message = |headers: &[(&str, &str)], expect: &str| {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        let metadata = Metadata::from_headers(headers).unwrap();
        check(
            |out| {
                json::server_message(out, DataType::Text, b"}");
                json::add_metadata(out, &metadata);
            },
            &format!(
                r#"{{"type":"message","from":"server","dataType":"text","data":"}}"{expect}}}"#
            ),
        );
    };
    message(&[], "");
    message(
        &[
            ("x-webpubsub-metadata-b", "a\"b"),
            ("x-webpubsub-metadata-a", ""),
        ],
        r#","metadata":{"a":"","b":"a\"b"}"#,
    );
}
