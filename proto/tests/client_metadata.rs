//! Metadata and time to live of what clients send, in both codecs (protocol notes: metadata).

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

#[path = "protobuf_reference/hex.rs"]
mod hex;

use hubwire_proto::message::{ClientMessage, Data, DataType};
use hubwire_proto::metadata::{MAX_LEN, MAX_VALUE_LEN, Metadata};
use hubwire_proto::{json, protobuf};

use hex::hex;

fn metadata(entries: &[(&str, &str)]) -> Metadata {
    let mut metadata = Metadata::default();
    for (key, value) in entries {
        assert_eq!(metadata.insert(key, value), Ok(false));
    }
    metadata
}

/// A message of `text` to the group `g`, and the same as the event `e`.
fn both(text: &str, carried: &Metadata) -> [ClientMessage<'static>; 2] {
    let data = Data {
        data_type: DataType::Text,
        bytes: text.as_bytes().to_vec().into(),
    };
    [
        ClientMessage::SendToGroup {
            group: "g".into(),
            data: data.clone(),
            metadata: carried.clone(),
            no_echo: false,
            ttl_seconds: 0,
            ack_id: None,
        },
        ClientMessage::Event {
            event: "e".into(),
            data,
            metadata: carried.clone(),
            ack_id: None,
        },
    ]
}

/// `members` of a JSON message to a group, and of a JSON event.
fn json_messages(members: &str) -> [String; 2] {
    [
        format!(r#"{{"type":"sendToGroup","group":"g",{members}}}"#),
        format!(r#"{{"type":"event","event":"e",{members}}}"#),
    ]
}

#[test]
fn json_messages_carry_metadata() {
    let check = |members: &str, expect: &[(&str, &str)]| {
        let expect = both("t", &metadata(expect));
        for (input, expect) in json_messages(members).iter().zip(expect) {
            assert_eq!(json::decode(input), Ok(expect), "{input}");
        }
    };
    let data = r#""dataType":"text","data":"t""#;
    check(data, &[]);
    for raw in ["null", "{}", " { } "] {
        check(&format!(r#"{data},"metadata":{raw}"#), &[]);
    }
    let two = [("Trace-Id", "a; b"), ("k", "")];
    check(
        &format!(r#""metadata":{{"k":"","Trace-Id":"a; b"}},{data}"#),
        &two,
    );
    // Letter case counts.
    check(
        &format!(r#""metadata":{{"K":"1","k":"2"}},{data}"#),
        &[("K", "1"), ("k", "2")],
    );
    // Escapes mean the same, and the last member counts.
    check(
        &format!(r#""metadata":1,"metadata":{{"\u006b":"\u0041\t\\"}},{data}"#),
        &[("k", "A\t\\")],
    );
}

/// Case 57.
#[test]
fn metadata_alone_is_an_empty_text() {
    for (raw, carried) in [("{}", &[][..]), (r#"{"k":"v"}"#, &[("k", "v")])] {
        for more in ["", r#","dataType":"json""#] {
            let members = format!(r#""metadata":{raw}{more}"#);
            let expect = both("", &metadata(carried));
            for (input, expect) in json_messages(&members).iter().zip(expect) {
                assert_eq!(json::decode(input), Ok(expect), "{input}");
            }
        }
    }
    for input in json_messages(r#""metadata":null"#) {
        let error = json::decode(&input).unwrap_err().to_string();
        assert!(error.ends_with(": `data` is missing."), "{error}");
    }
    for input in json_messages(r#""metadata":{},"dataType":1"#) {
        assert!(json::decode(&input).is_err(), "{input}");
    }

    let [sent, event] = both("", &metadata(&[("k", "v")]));
    let decode = |digits| protobuf::decode(digits).map_err(|error| error.0);
    let with_metadata = hex("0A 0B 0A 01 67 32 06 0A 01 6B 12 01 76");
    assert_eq!(decode(&with_metadata), Ok(sent));
    let with_metadata = hex("2A 0B 0A 01 65 22 06 0A 01 6B 12 01 76");
    assert_eq!(decode(&with_metadata), Ok(event));
    // Data without a member is no data, also with metadata.
    let no_member = hex("0A 0D 0A 01 67 1A 00 32 06 0A 01 6B 12 01 76");
    assert_eq!(decode(&no_member), Err(protobuf::Fault::NoData));
}

#[test]
fn bad_metadata_is_refused() {
    const OBJECT: &str = "`metadata` must be an object of strings.";
    const KEY: &str = "a key of `metadata` must be an HTTP token of at most 256 characters.";
    const VALUE: &str =
        "a value of `metadata` must be at most 1024 ASCII characters, none a control character.";
    const LENGTH: &str = "`metadata` must be at most 8192 bytes in all.";
    let check = |raw: &str, reason: &str| {
        for members in [
            format!(r#""data":1,"metadata":{raw}"#),
            format!(r#""metadata":{raw}"#),
        ] {
            for input in json_messages(&members) {
                let error = json::decode(&input).unwrap_err().to_string();
                assert!(error.ends_with(&format!(": {reason}")), "{error}: {input}");
            }
        }
        // No other message has any.
        let other = format!(r#"{{"type":"ping","metadata":{raw}}}"#);
        assert_eq!(json::decode(&other), Ok(ClientMessage::Ping));
    };
    let entry = |key: &str, value: &str| format!(r#"{{"{key}":"{value}"}}"#);
    for raw in [
        "1",
        "true",
        r#""{}""#,
        "[]",
        r#"[["k","v"]]"#,
        r#"{"k":1}"#,
        r#"{"k":null}"#,
        r#"{"k":{}}"#,
        r#"{"k":"v","l":["v"]}"#,
        r#"{"k":"\ud800"}"#,
    ] {
        check(raw, OBJECT);
    }
    for key in ["", "a b", "a:b", "é", r"a\n", r#"\""#, &"k".repeat(257)] {
        check(&entry(key, "v"), KEY);
    }
    for value in ["é", r"\u0000", r"a\r\nb", "\u{7f}", &"v".repeat(1025)] {
        check(&entry("k", value), VALUE);
    }
    check(
        r#"{"k":"1","l":"","k":"1"}"#,
        "a key of `metadata` is repeated.",
    );
    let entries = |count: usize| {
        let value = "v".repeat(MAX_VALUE_LEN - 1);
        let entries: Vec<_> = (0..count)
            .map(|number| format!(r#""{number}":"{value}""#))
            .collect();
        format!("{{{}}}", entries.join(","))
    };
    assert_eq!(8 * MAX_VALUE_LEN, MAX_LEN);
    let [fits, _] = json_messages(&format!(r#""data":1,"metadata":{}"#, entries(8)));
    assert!(json::decode(&fits).is_ok());
    check(&entries(9), LENGTH);
    let many: Vec<_> = (0..100_000).map(|key| format!(r#""{key}":"""#)).collect();
    check(&format!("{{{}}}", many.join(",")), LENGTH);
}

#[test]
fn protobuf_messages_carry_metadata_and_a_time_to_live() {
    let check = |digits: &str, entries: &[(&str, &str)], seconds: u16| {
        let [mut expect, _] = both("t", &metadata(entries));
        if let ClientMessage::SendToGroup { ttl_seconds, .. } = &mut expect {
            *ttl_seconds = seconds;
        }
        let content = hex(&format!("0A 01 67 1A 03 0A 01 74 {digits}"));
        let message = [&[0x0a, u8::try_from(content.len()).unwrap()], &content[..]].concat();
        assert_eq!(protobuf::decode(&message), Ok(expect), "{digits}");
    };
    check("28 00", &[], 0);
    check("28 AC 02", &[], 300);
    check("32 06 0A 01 6B 12 01 76", &[("k", "v")], 0);
    // Half an entry is one all the same, and the last of a key counts.
    check("32 03 0A 01 6B", &[("k", "")], 0);
    check(
        "32 03 0A 01 6B 32 06 0A 01 6A 12 01 76 32 06 12 01 77 0A 01 6B",
        &[("j", "v"), ("k", "w")],
        0,
    );
}

#[test]
fn bad_metadata_and_times_of_protobuf_messages_are_refused() {
    let check = |digits: &str, reason: &str| {
        let content = hex(&format!("0A 01 67 1A 03 0A 01 74 {digits}"));
        let message = [&[0x0a, u8::try_from(content.len()).unwrap()], &content[..]].concat();
        let error = protobuf::decode(&message).unwrap_err().0.to_string();
        assert_eq!(error, reason, "{digits}");
    };
    let ttl = "`ttl_seconds` must be an integer from 0 to 300";
    check("28 AD 02", ttl);
    check("28 FF FF FF FF FF FF FF FF FF 01", ttl);
    let key = "a key of `metadata` must be an HTTP token of at most 256 characters";
    check("32 00", key);
    check("32 03 0A 01 20", key);
    let value =
        "a value of `metadata` must be at most 1024 ASCII characters, none a control character";
    check("32 06 0A 01 6B 12 01 0A", value);
    check("32 07 0A 01 6B 12 02 C3 A9", value);
    check("32 06 0A 01 6B 12 01 FF", "a string is not valid UTF-8");
    check("30 01", "a field has a value of the wrong type");

    let value = "v".repeat(MAX_VALUE_LEN);
    let sent = |count: u8| {
        let mut content = hex("0A 01 67 1A 03 0A 01 74");
        for key in 0..count {
            content.extend([0x32, 0x86, 8, 0x0a, 1, b'a' + key, 0x12, 0x80, 8]);
            content.extend(value.as_bytes());
        }
        let length = u16::try_from(content.len()).unwrap();
        let [low, high] = [length & 0x7f | 0x80, length >> 7];
        let low = u8::try_from(low).unwrap();
        let head = [0x0a, low, u8::try_from(high).unwrap()];
        [&head[..], &content].concat()
    };
    assert!(protobuf::decode(&sent(7)).is_ok());
    let error = protobuf::decode(&sent(8)).unwrap_err().0.to_string();
    assert_eq!(error, "`metadata` must be at most 8192 bytes in all");
}
