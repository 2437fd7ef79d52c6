//! What a JSON client may send (protocol notes: JSON requests). Case numbers are those of the
//! notes' black-box cases.

use std::borrow::Cow;

use hubwire_proto::json::{self, InvalidJson, MAX_DATA_DEPTH};
use hubwire_proto::message::{ClientMessage, Data, DataType};
use hubwire_proto::metadata::Metadata;

fn data(data_type: DataType, bytes: &[u8]) -> Data<'_> {
    Data {
        data_type,
        bytes: Cow::Borrowed(bytes),
    }
}

fn send<'a>(data_type: DataType, bytes: &'a [u8]) -> ClientMessage<'a> {
    ClientMessage::SendToGroup {
        group: "g".into(),
        data: data(data_type, bytes),
        metadata: Metadata::default(),
        no_echo: false,
        ttl_seconds: 0,
        ack_id: None,
    }
}

fn event<'a>(data_type: DataType, bytes: &'a [u8]) -> ClientMessage<'a> {
    ClientMessage::Event {
        event: "e".into(),
        data: data(data_type, bytes),
        metadata: Metadata::default(),
        ack_id: None,
    }
}

fn join(group: &str, ack_id: Option<u64>) -> ClientMessage<'_> {
    ClientMessage::JoinGroup {
        group: group.into(),
        ack_id,
    }
}

/// Text and bytes are read alike.
#[track_caller]
fn check(input: &str, expect: &ClientMessage<'_>) {
    assert_eq!(json::decode(input).as_ref(), Ok(expect), "{input}");
    assert_eq!(
        json::decode_bytes(input.as_bytes()).as_ref(),
        Ok(expect),
        "{input}"
    );
}

#[track_caller]
fn refuse(input: &str, reason: &str) {
    let error = json::decode(input)
        .err()
        .map_or("accepted".to_owned(), |error| error.to_string());
    let expect = format!("The client message is not a valid JSON protocol message: {reason}");
    assert!(error.starts_with(&expect), "{input}\n{error}");
    assert!(error.ends_with('.') && error.len() < 300, "{error}");
}

#[test]
fn every_request_type_is_read() {
    check(
        r#"{"type":"sendToGroup","group":"g","ackId":7,"noEcho":true,"dataType":"text","data":"hi"}"#,
        &ClientMessage::SendToGroup {
            group: "g".into(),
            data: data(DataType::Text, b"hi"),
            metadata: Metadata::default(),
            no_echo: true,
            ttl_seconds: 0,
            ack_id: Some(7),
        },
    );
    check(
        r#"{"type":"event","event":"e","ackId":1,"data":[1]}"#,
        &ClientMessage::Event {
            event: "e".into(),
            data: data(DataType::Json, b"[1]"),
            metadata: Metadata::default(),
            ack_id: Some(1),
        },
    );
    check(
        r#"{"type":"joinGroup","group":"g","ackId":1}"#,
        &join("g", Some(1)),
    );
    check(
        r#" { "ackId" : 2 , "group" : "g" , "type" : "leaveGroup" } "#,
        &ClientMessage::LeaveGroup {
            group: "g".into(),
            ack_id: Some(2),
        },
    );
    check(r#"{"type":"ping"}"#, &ClientMessage::Ping);
    let ack = ClientMessage::SequenceAck { sequence_id: 5 };
    check(r#"{"type":"sequenceAck","sequenceId":5}"#, &ack);
    check(r#"{"type":"sequenceAck","sequenceId":"5"}"#, &ack);
}

/// Case 18.
#[test]
fn type_and_data_type_ignore_letter_case() {
    check(r#"{"type":"JOINGROUP","group":"g"}"#, &join("g", None));
    check(
        r#"{"type":"SendToGroup","group":"g","dataType":"Text","data":""}"#,
        &send(DataType::Text, b""),
    );
}

#[test]
fn property_names_do_not_ignore_letter_case() {
    refuse(r#"{"Type":"ping"}"#, "`type` must be a string.");
    check(
        r#"{"type":"joinGroup","group":"g","ackID":"x"}"#,
        &join("g", None),
    );
}

#[test]
fn escaped_property_names_and_values_mean_the_same() {
    check(
        r#"{"t\u0079pe":"jo\u0069nGroup","group":"\u0067"}"#,
        &join("g", None),
    );
    check(
        r#"{"type":"joinGroup","group":"a\"\\\/\n\ud83d\ude00"}"#,
        &join("a\"\\/\n😀", None),
    );
}

#[test]
fn the_last_of_repeated_members_counts() {
    check(
        r#"{"type":1,"group":"x","ackId":"bad","type":"joinGroup","group":"g","ackId":3}"#,
        &join("g", Some(3)),
    );
    refuse(r#"{"type":"ping","ackId":3,"ackId":"3"}"#, "`ackId`");
}

#[test]
fn unknown_members_and_members_of_other_types_are_ignored() {
    check(
        r#"{"x":{"type":"y","z":[null,{}]},"type":"joinGroup","group":"g","data":null,"noEcho":1,"event":0,"ttlSeconds":-1}"#,
        &join("g", None),
    );
    check(r#"{"type":"ping","group":1}"#, &ClientMessage::Ping);
}

/// Case 17.
#[test]
fn ack_id_is_an_unsigned_64_bit_integer_in_every_type() {
    for (raw, expect) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("null", None),
    ] {
        check(
            &format!(r#"{{"type":"joinGroup","group":"g","ackId":{raw}}}"#),
            &join("g", expect),
        );
    }
    let rests = [
        r#""type":"joinGroup","group":"g""#,
        r#""type":"leaveGroup","group":"g""#,
        r#""type":"sendToGroup","group":"g","data":1"#,
        r#""type":"event","event":"e","data":1"#,
        r#""type":"ping""#,
        r#""type":"sequenceAck","sequenceId":1"#,
    ];
    for raw in [
        r#""1""#,
        "-1",
        "-0",
        "1.5",
        "1.0",
        "1e3",
        "true",
        "false",
        "{}",
        "[1]",
        r#""""#,
        "18446744073709551616",
    ] {
        for rest in rests {
            let input = format!(r#"{{{rest},"ackId":{raw}}}"#);
            refuse(&input, "`ackId` must be an unsigned integer.");
        }
    }
}

/// Case 22.
#[test]
fn no_echo_is_a_boolean() {
    for raw in ["null", "0", "1", r#""true""#, "{}"] {
        refuse(
            &format!(r#"{{"type":"sendToGroup","group":"g","data":1,"noEcho":{raw}}}"#),
            "`noEcho` must be true or false.",
        );
    }
    check(
        r#"{"type":"sendToGroup","group":"g","data":1,"noEcho":false}"#,
        &send(DataType::Json, b"1"),
    );
}

/// Case 21.
#[test]
fn ttl_is_from_0_to_300_seconds() {
    let input =
        |raw| format!(r#"{{"type":"sendToGroup","group":"g","data":1,"ttlSeconds":{raw}}}"#);
    for (raw, expect) in [("0", 0), ("1", 1), ("300", 300), ("null", 0)] {
        let mut sent = send(DataType::Json, b"1");
        if let ClientMessage::SendToGroup { ttl_seconds, .. } = &mut sent {
            *ttl_seconds = expect;
        }
        check(&input(raw), &sent);
    }
    for raw in ["301", "65536", "-1", "1.0", r#""1""#, "true"] {
        refuse(
            &input(raw),
            "`ttlSeconds` must be an integer from 0 to 300.",
        );
    }
}

#[test]
fn json_data_keeps_its_spelling() {
    for raw in [
        "1",
        "-0.0",
        "1E400",
        "123456789012345678901234567890",
        "false",
        r#""""#,
        r#""null""#,
        "{ \"a\" :\n[ 1.50 ] }",
        r#"{"a":1,"a":2}"#,
        r#""\u0041\/""#,
        r#""\ud800""#,
        "\"\u{2028}é\"",
        "[null]",
    ] {
        let input = format!(r#"{{"type":"event","event":"e","data": {raw} }}"#);
        check(&input, &event(DataType::Json, raw.as_bytes()));
        let named = format!(r#"{{"type":"event","event":"e","dataType":"json","data":{raw}}}"#);
        check(&named, &event(DataType::Json, raw.as_bytes()));
    }
}

/// Case 19.
#[test]
fn json_data_is_not_null() {
    refuse(
        r#"{"type":"event","event":"e","data":null}"#,
        "`data` must not be null",
    );
    refuse(
        r#"{"type":"sendToGroup","group":"g","dataType":"json","data": null }"#,
        "`data` must not be null",
    );
}

#[test]
fn data_is_needed() {
    refuse(r#"{"type":"event","event":"e"}"#, "`data` is missing.");
    refuse(
        r#"{"type":"sendToGroup","group":"g","dataType":"text"}"#,
        "`data` is missing.",
    );
}

#[test]
fn text_data_is_a_string() {
    let input = |raw| format!(r#"{{"type":"event","event":"e","dataType":"text","data":{raw}}}"#);
    check(
        &input(r#""a\nb\u00e9""#),
        &event(DataType::Text, "a\nbé".as_bytes()),
    );
    check(&input(r#""""#), &event(DataType::Text, b""));
    for raw in [
        "1",
        "null",
        "{}",
        r#"["a"]"#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
    ] {
        refuse(
            &input(raw),
            "`data` must be a string when `dataType` is text.",
        );
    }
}

#[test]
fn binary_data_is_padded_standard_base64() {
    for (name, data_type) in [
        ("binary", DataType::Binary),
        ("Protobuf", DataType::Protobuf),
    ] {
        let input =
            |raw| format!(r#"{{"type":"event","event":"e","dataType":"{name}","data":{raw}}}"#);
        check(&input(r#""GgA=""#), &event(data_type, &[0x1a, 0]));
        check(
            &input(r#""GgL7\/w==""#),
            &event(data_type, &[0x1a, 2, 0xfb, 0xff]),
        );
        check(&input(r#""""#), &event(data_type, b""));
        for raw in [
            r#""AQI""#,
            r#""-_8=""#,
            r#""AQ\nI=""#,
            r#""AQI=AQI=""#,
            r#"" AQI=""#,
            r#""AQJ=""#,
            "1",
            "null",
        ] {
            refuse(&input(raw), "`data` must be a base64 string");
        }
    }
}

#[test]
fn data_type_is_one_of_four_strings() {
    for raw in ["null", "1", r#""""#, r#""xml""#, "[]"] {
        refuse(
            &format!(r#"{{"type":"event","event":"e","data":1,"dataType":{raw}}}"#),
            "`dataType` must be json, text, binary or protobuf.",
        );
    }
}

#[test]
fn protobuf_data_is_an_any() {
    let input =
        |raw| format!(r#"{{"type":"event","event":"e","dataType":"protobuf","data":"{raw}"}}"#);
    let any = b"\x0a\x1etype.googleapis.com/demo.Point\x12\x02\x08\x01";
    check(
        &input("Ch50eXBlLmdvb2dsZWFwaXMuY29tL2RlbW8uUG9pbnQSAggB"),
        &event(DataType::Protobuf, any),
    );
    // A field that ends too early, a number as type URL, a type URL that is not UTF-8.
    for raw in ["AQI=", "CAE=", "CgH/"] {
        refuse(
            &input(raw),
            "`data` must hold a google.protobuf.Any when `dataType` is protobuf.",
        );
    }
}

#[test]
fn names_are_checked() {
    for raw in [r#""""#, r#"" \t""#, "1", "null"] {
        refuse(
            &format!(r#"{{"type":"joinGroup","group":{raw}}}"#),
            "`group` must be",
        );
        refuse(
            &format!(r#"{{"type":"sendToGroup","group":{raw},"data":1}}"#),
            "`group` must be",
        );
    }
    refuse(r#"{"type":"leaveGroup"}"#, "`group` must be");
    let long = "x".repeat(1025);
    refuse(
        &format!(r#"{{"type":"joinGroup","group":"{long}"}}"#),
        "`group` must be",
    );
    check(
        &format!(r#"{{"type":"joinGroup","group":"{}"}}"#, &long[1..]),
        &join(&long[1..], None),
    );
    for raw in [r#""""#, r#""1a""#, r#""a b""#, "1", "null"] {
        refuse(
            &format!(r#"{{"type":"event","event":{raw},"data":1}}"#),
            "`event` must be",
        );
    }
}

/// Case 16.
#[test]
fn type_is_known() {
    for raw in [
        "invoke",
        "cancelInvocation",
        "streamAck",
        "groupStateUpdate",
        "",
        "pings",
        "ack",
    ] {
        refuse(
            &format!(r#"{{"type":"{raw}","ackId":1}}"#),
            "its `type` is unknown.",
        );
    }
    for input in [
        "{}",
        r#"{"type":1}"#,
        r#"{"type":null}"#,
        r#"{"type":["ping"]}"#,
    ] {
        refuse(input, "`type` must be a string.");
    }
}

#[test]
fn a_message_is_one_json_object() {
    for input in [
        "[]",
        "1",
        "null",
        "true",
        r#""ping""#,
        r#"[{"type":"ping"}]"#,
    ] {
        refuse(input, "it must be a JSON object.");
    }
    refuse(
        &format!(r#""{}""#, "secret".repeat(1000)),
        "it must be a JSON object.",
    );
    for input in [
        "",
        " ",
        "{",
        r#"{"type":"ping""#,
        r#"{"type":"ping"}x"#,
        r#"{"type":"ping"}{}"#,
        r#"{"type":"ping",}"#,
        r#"{type:"ping"}"#,
        r#"{'type':"ping"}"#,
        "{\"type\":\"ping\"/**/}",
        "\u{feff}{\"type\":\"ping\"}",
        r#"{"type":"pi"#,
        "{\"type\":\"joinGroup\",\"group\":\"a\nb\"}",
        r#"{"type":"ping","x":01}"#,
        r#"{"type":"ping","x":nul}"#,
        r#"{"type":"ping","x":"\x"}"#,
    ] {
        refuse(input, "");
    }
}

#[test]
fn sequence_ids_are_unsigned() {
    for raw in ["-1", "1.5", r#""""#, r#""+1""#, r#"" 1""#, "null", "true"] {
        refuse(
            &format!(r#"{{"type":"sequenceAck","sequenceId":{raw}}}"#),
            "`sequenceId` must be an unsigned integer.",
        );
    }
    refuse(r#"{"type":"sequenceAck"}"#, "`sequenceId` must be");
}

#[test]
fn bytes_must_be_utf8() {
    let error = json::decode_bytes(b"{\"type\":\"ping\",\"x\":\"\xff\"}").expect_err("not UTF-8");
    assert!(
        error.to_string().ends_with("it must be valid UTF-8."),
        "{error}"
    );
}

#[test]
fn nesting_is_bounded_and_cheap_at_any_depth() {
    let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let input = |raw: &str| format!(r#"{{"type":"event","event":"e","data":{raw}}}"#);

    let deepest = nested(MAX_DATA_DEPTH);
    check(&input(&deepest), &event(DataType::Json, deepest.as_bytes()));
    // Many brackets, but beside each other or inside strings.
    let wide = format!("[{}\"{}\\\"[\"]", "[],".repeat(500), "[{".repeat(500));
    check(&input(&wide), &event(DataType::Json, wide.as_bytes()));
    for deep in [
        nested(MAX_DATA_DEPTH + 1),
        nested(1 << 19),
        format!("[\"[\",{deepest}]"),
    ] {
        refuse(
            &input(&deep),
            "`data` must not be nested deeper than 63 levels.",
        );
        assert_eq!(json::check_value(deep.as_bytes()), Err(InvalidJson::Depth));
    }

    let open = "[".repeat(1 << 20);
    refuse(&open, "it must be a JSON object.");
    refuse(&input(&open), "");
    refuse(&"{\"data\":".repeat(1 << 17), "");
    let unknown = format!(r#"{{"x":{},"type":"ping"}}"#, nested(1 << 19));
    check(&unknown, &ClientMessage::Ping);
}

#[test]
fn values_from_elsewhere_are_checked() {
    for good in ["null", " 1 ", "\"x\"", "{\"a\":[1]}"] {
        assert_eq!(json::check_value(good.as_bytes()), Ok(()), "{good}");
    }
    for bad in [
        &b""[..],
        b" ",
        b"{",
        b"1 2",
        b"\"\xff\"",
        b"nul",
        b"{\"a\":1,}",
    ] {
        assert_eq!(json::check_value(bad), Err(InvalidJson::Syntax), "{bad:?}");
    }
}

#[test]
fn plain_messages_are_borrowed() {
    let input = r#"{"type":"sendToGroup","group":"g","dataType":"text","data":"hi"}"#;
    let Ok(ClientMessage::SendToGroup { group, data, .. }) = json::decode(input) else {
        panic!("{input} was refused");
    };
    assert!(matches!(group, Cow::Borrowed(_)) && matches!(data.bytes, Cow::Borrowed(_)));
}
