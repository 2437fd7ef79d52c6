//! Group state in both codecs (protocol notes: group state).

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

#[path = "protobuf_reference/hex.rs"]
mod hex;

use hubwire_proto::group_state::{GroupState, GroupStateItem};
use hubwire_proto::json;
use hubwire_proto::message::ClientMessage;
use hubwire_proto::protobuf::{self, Fault, WireError};

use hex::hex;

fn state(entries: &[(&str, &str)]) -> GroupState {
    let entries = entries.iter();
    entries
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn set(entries: Option<&[(&str, &str)]>, ack_id: Option<u64>) -> ClientMessage<'static> {
    ClientMessage::SetGroupState {
        group: "g".into(),
        state: entries.map(state),
        ack_id,
    }
}

fn subscribe(ack_id: Option<u64>) -> ClientMessage<'static> {
    ClientMessage::SubscribeGroupState {
        group: "g".into(),
        ack_id,
    }
}

fn unsubscribe(ack_id: Option<u64>) -> ClientMessage<'static> {
    ClientMessage::UnsubscribeGroupState {
        group: "g".into(),
        ack_id,
    }
}

#[test]
fn requests_are_read() {
    let check = |input: &str, digits: &str, expect: ClientMessage<'_>| {
        assert_eq!(json::decode(input).as_ref(), Ok(&expect), "{input}");
        assert_eq!(protobuf::decode(&hex(digits)), Ok(expect), "{digits}");
    };
    check(
        r#"{"type":"setGroupState","group":"g","ackId":1,"state":{"k":"v"}}"#,
        "7A 0F 0A 01 67 10 01 1A 08 0A 06 0A 01 6B 12 01 76",
        set(Some(&[("k", "v")]), Some(1)),
    );
    check(
        r#"{"type":"setGroupState","group":"g"}"#,
        "7A 03 0A 01 67",
        set(None, None),
    );
    // A state without an entry is one.
    check(
        r#"{"type":"setGroupState","group":"g","state":{}}"#,
        "7A 05 0A 01 67 1A 00",
        set(Some(&[]), None),
    );
    // The last of a key counts, and texts may be empty.
    check(
        r#"{"type":"setGroupState","group":"g","state":{"k":"v","":"\u00e9","k":""}}"#,
        "7A 1C 0A 01 67 1A 08 0A 06 0A 01 6B 12 01 76 1A 06 0A 04 12 02 C3 A9 1A 05 0A 03 0A 01 6B",
        set(Some(&[("", "é"), ("k", "")]), None),
    );
    check(
        r#"{"type":"subscribeGroupState","group":"g","ackId":0}"#,
        "82 01 05 0A 01 67 10 00",
        subscribe(Some(0)),
    );
    check(
        r#"{"type":"SUBSCRIBEGROUPSTATE","group":"g","state":1}"#,
        "82 01 05 0A 01 67 18 01",
        subscribe(None),
    );
    check(
        r#"{"type":"unsubscribeGroupState","group":"g","ackId":7}"#,
        "8A 01 05 0A 01 67 10 07",
        unsubscribe(Some(7)),
    );
    // Only JSON has it.
    let null = r#"{"type":"setGroupState","group":"g","state":null}"#;
    assert_eq!(json::decode(null), Ok(set(None, None)));
}

#[test]
fn bad_requests_are_refused() {
    for raw in [
        "1",
        r#""{}""#,
        "[]",
        r#"{"k":1}"#,
        r#"{"k":null}"#,
        r#"{"k":"v","l":{}}"#,
        r#"{"k":"\ud800"}"#,
    ] {
        let input = format!(r#"{{"type":"setGroupState","group":"g","state":{raw}}}"#);
        let error = json::decode(&input).unwrap_err().to_string();
        assert!(
            error.ends_with(": `state` must be an object of strings."),
            "{error}: {input}"
        );
    }
    for kind in [
        "setGroupState",
        "subscribeGroupState",
        "unsubscribeGroupState",
    ] {
        for member in ["", r#","group":" ""#, r#","group":1"#] {
            let input = format!(r#"{{"type":"{kind}"{member}}}"#);
            let error = json::decode(&input).unwrap_err().to_string();
            assert!(error.contains(": `group` must be"), "{error}: {input}");
        }
    }
    for (digits, fault) in [
        ("7A 00", Fault::Group),
        ("82 01 00", Fault::Group),
        ("8A 01 03 0A 01 20", Fault::Group),
        ("7A 05 0A 01 67 18 01", Fault::Wire(WireError::ValueType)),
        (
            "7A 07 0A 01 67 1A 02 08 01",
            Fault::Wire(WireError::ValueType),
        ),
        (
            "7A 0A 0A 01 67 1A 05 0A 03 0A 01 FF",
            Fault::Wire(WireError::Utf8),
        ),
        ("7A 06 0A 01 67 1A 01 0A", Fault::Wire(WireError::Truncated)),
    ] {
        let error = protobuf::decode(&hex(digits)).unwrap_err();
        assert_eq!(error.0, fault, "{digits}");
    }
}

#[test]
fn snapshots_and_updates_are_written() {
    let check = |items: &[GroupStateItem<'_>], text: &str, digits: &str| {
        let write = |of: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            of(&mut out);
            out
        };
        let items = || items.iter().copied();
        for (kind, encode) in [
            (
                "groupStateSnapshot",
                &(|out: &mut Vec<u8>| json::group_state_snapshot(out, "g", items()))
                    as &dyn Fn(&mut Vec<u8>),
            ),
            ("groupStateUpdate", &|out| {
                json::group_state_update(out, "g", items());
            }),
        ] {
            let expect = format!(r#"{{"type":"{kind}","group":"g","items":[{text}]}}"#);
            assert_eq!(String::from_utf8_lossy(&write(encode)), expect);
        }
        let content = hex(&format!("0A 01 67 {digits}"));
        let length = u8::try_from(content.len()).unwrap();
        let snapshot = write(&|out| protobuf::group_state_snapshot(out, "g", items()));
        assert_eq!(snapshot, [&[0x52, length], &content[..]].concat());
        let update = write(&|out| protobuf::group_state_update(out, "g", items()));
        assert_eq!(update, [&[0x4a, length], &content[..]].concat());
    };
    check(&[], "", "");
    let states = [state(&[("a", ""), ("k", "\"")]), GroupState::default()];
    let anonymous = GroupStateItem {
        connection_id: "c1",
        user_id: None,
        state: Some(&states[0]),
        updated_at: 5,
    };
    check(
        &[anonymous],
        r#"{"connectionId":"c1","state":{"a":"","k":"\""},"updatedAt":5}"#,
        "12 17 0A 02 63 31 1A 0F 0A 05 0A 01 61 12 00 0A 06 0A 01 6B 12 01 22 20 05",
    );
    let empty = GroupStateItem {
        user_id: Some("u"),
        state: Some(&states[1]),
        updated_at: 0,
        ..anonymous
    };
    let cleared = GroupStateItem {
        user_id: Some(""),
        state: None,
        updated_at: -1,
        ..anonymous
    };
    check(
        &[empty, cleared],
        r#"{"connectionId":"c1","userId":"u","state":{},"updatedAt":0},{"connectionId":"c1","userId":"","updatedAt":-1}"#,
        "12 09 0A 02 63 31 12 01 75 1A 00 12 11 0A 02 63 31 12 00 20 FF FF FF FF FF FF FF FF FF 01",
    );
}

#[test]
fn a_state_counts_its_bytes() {
    assert!(state(&[]).is_empty());
    let state = state(&[("b", "é"), ("a", ""), ("b", "xyz")]);
    assert_eq!(state.len(), 5);
    let entries: Vec<_> = state.iter().collect();
    assert_eq!(entries, [("a", ""), ("b", "xyz")]);
}
