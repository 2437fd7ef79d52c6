//! `protobuf.webpubsub.azure.v1` byte by byte (protocol notes: protobuf). Case numbers are those
//! of the notes' black-box cases.

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

#[path = "protobuf_reference/hex.rs"]
mod hex;

use std::borrow::Cow;

use hubwire_proto::ack::AckErrorName;
use hubwire_proto::message::{ClientMessage, Data, DataType};
use hubwire_proto::metadata::Metadata;
use hubwire_proto::protobuf::{self, Fault, JsonField, WireError};

use hex::hex;

/// A field that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    assert!(length < 0x80);
    [&[number << 3 | 2, length], bytes].concat()
}

fn data(data_type: DataType, bytes: &[u8]) -> Data<'_> {
    Data {
        data_type,
        bytes: Cow::Borrowed(bytes),
    }
}

fn send(data_type: DataType, bytes: &[u8]) -> ClientMessage<'_> {
    ClientMessage::SendToGroup {
        group: "g".into(),
        data: data(data_type, bytes),
        metadata: Metadata::default(),
        no_echo: false,
        ttl_seconds: 0,
        ack_id: None,
    }
}

fn join(group: &str, ack_id: Option<u64>) -> ClientMessage<'_> {
    ClientMessage::JoinGroup {
        group: group.into(),
        ack_id,
    }
}

#[test]
fn requests_are_read() {
    let check = |digits: &str, expect: ClientMessage<'_>| {
        assert_eq!(protobuf::decode(&hex(digits)), Ok(expect), "{digits}");
    };
    // The samples of the notes.
    check("32 05 0A 01 67 10 01", join("g", Some(1)));
    check(
        "0A 0D 0A 01 67 10 02 1A 04 0A 02 68 69 20 01",
        ClientMessage::SendToGroup {
            group: "g".into(),
            data: data(DataType::Text, b"hi"),
            metadata: Metadata::default(),
            no_echo: true,
            ttl_seconds: 0,
            ack_id: Some(2),
        },
    );
    check(
        "2A 0B 0A 01 65 12 04 22 02 7B 7D 18 03",
        ClientMessage::Event {
            event: "e".into(),
            data: data(DataType::Json, b"{}"),
            metadata: Metadata::default(),
            ack_id: Some(3),
        },
    );
    check("42 02 08 05", ClientMessage::SequenceAck { sequence_id: 5 });
    check("4A 00", ClientMessage::Ping);

    check(
        "3A 03 0A 01 67",
        ClientMessage::LeaveGroup {
            group: "g".into(),
            ack_id: None,
        },
    );
    // Case 54: an id that is there and zero is an id.
    check("32 05 0A 01 67 10 00", join("g", Some(0)));
    check(
        "32 0E 0A 01 67 10 FF FF FF FF FF FF FF FF FF 01",
        join("g", Some(u64::MAX)),
    );
    check("42 00", ClientMessage::SequenceAck { sequence_id: 0 });
    // A number may be longer than it need be.
    check("32 06 0A 01 67 10 81 00", join("g", Some(1)));
    // Empty data that is there is data.
    check("0A 07 0A 01 67 1A 02 0A 00", send(DataType::Text, b""));
    check("0A 07 0A 01 67 1A 02 12 00", send(DataType::Binary, b""));
    check("0A 07 0A 01 67 1A 02 1A 00", send(DataType::Protobuf, b""));
    // An Any goes through with every byte, unknown fields included.
    check(
        "0A 0C 0A 01 67 1A 07 1A 05 0A 01 75 18 05",
        send(DataType::Protobuf, &[0x0a, 1, b'u', 0x18, 5]),
    );
}

#[test]
fn the_rules_of_the_wire_format_hold() {
    let check = |message: Vec<u8>, expect: ClientMessage<'_>| {
        assert_eq!(protobuf::decode(&message), Ok(expect), "{message:02x?}");
    };
    let group = field(1, b"g");
    // Unknown fields of every kind are skipped: a number, eight bytes, bytes, a group with a group
    // in it, four bytes.
    let unknown = hex(
        "F8 01 05  F9 01 01 02 03 04 05 06 07 08  FA 01 02 61 62  FB 01 0B 08 01 0C FC 01  FD 01 01 02 03 04",
    );
    let inner = [&unknown[..], &group, &unknown].concat();
    let message = [&unknown[..], &field(6, &inner), &unknown].concat();
    check(message, join("g", None));
    // Requests that are not known here are unknown fields too.
    check(
        [field(10, b""), field(9, b"")].concat(),
        ClientMessage::Ping,
    );
    // Of two requests the last counts, and nothing is left of the first.
    let ack_id = [0x10, 7];
    let first = field(6, &[&group[..], &ack_id].concat());
    let leave = field(7, &group);
    check(
        [first.clone(), leave].concat(),
        ClientMessage::LeaveGroup {
            group: "g".into(),
            ack_id: None,
        },
    );
    // One request in two pieces is their union, and so is an Any.
    let second = field(6, &field(1, b"h"));
    check([first, second].concat(), join("h", Some(7)));
    let pieces = [field(3, &field(1, b"u")), field(3, &field(2, b"v"))];
    let request = [&group[..], &field(3, &pieces[0]), &field(3, &pieces[1])].concat();
    let any = [field(1, b"u"), field(2, b"v")].concat();
    check(field(1, &request), send(DataType::Protobuf, &any));
    // Of two kinds of data the last counts.
    let both = [field(1, b"a"), field(2, b"b")].concat();
    let request = [&group[..], &field(3, &both)].concat();
    check(field(1, &request), send(DataType::Binary, b"b"));
}

#[test]
fn what_is_no_request_is_refused_with_the_fault() {
    let check = |message: &[u8], fault: Fault| {
        let error = protobuf::decode(message).unwrap_err();
        assert_eq!(error.0, fault, "{message:02x?}");
        assert_eq!(
            error.to_string(),
            format!(
                "The client message is not a valid protobuf.webpubsub.azure.v1 protocol message: {fault}."
            )
        );
    };
    let sent = |data: &[u8]| field(1, &[field(1, b"g"), field(3, data)].concat());
    let event = |name: &[u8], more: &[u8]| {
        let data = field(2, &field(1, b"a"));
        field(5, &[&field(1, name)[..], &data, more].concat())
    };
    check(b"", Fault::NoRequest);
    check(&hex("52 00"), Fault::NoRequest);
    // Names.
    check(&hex("32 00"), Fault::Group);
    check(&field(7, &field(1, b" \t")), Fault::Group);
    check(&event(b"", b""), Fault::Event);
    check(&event(b"1", b""), Fault::Event);
    // Data.
    check(&field(1, &field(1, b"g")), Fault::NoData);
    check(&sent(b""), Fault::NoData);
    check(&sent(&field(9, b"")), Fault::NoData);
    check(&sent(&field(4, b"")), Fault::Json);
    check(&sent(&field(4, b"{}{}")), Fault::Json);
    check(&sent(&field(4, b" null ")), Fault::JsonNull);
    check(&sent(&field(4, "[".repeat(64).as_bytes())), Fault::Json);
    let mut deep = field(4, &b"["[..]);
    deep = [
        &deep[..1],
        &[0x80, 1],
        "[".repeat(64).as_bytes(),
        "]".repeat(64).as_bytes(),
    ]
    .concat();
    let body = [&field(1, b"g")[..], &[0x1a, 0x83, 1], &deep].concat();
    let deep = [&[0x0a, 0x89, 1][..], &body].concat();
    check(&deep, Fault::JsonDepth);
    check(&sent(&field(1, &[0xff])), Fault::Wire(WireError::Utf8));
    check(
        &sent(&field(3, &field(1, &[0xff]))),
        Fault::Wire(WireError::Utf8),
    );
    check(&sent(&field(3, b"x")), Fault::Wire(WireError::Truncated));
    check(&sent(&field(3, &[8, 1])), Fault::Wire(WireError::ValueType));
    // Case 53.
    check(&event(b"e", &field(5, b"")), Fault::Stream);
    // The wire format.
    check(&hex("32"), Fault::Wire(WireError::Truncated));
    check(&hex("32 05 0A"), Fault::Wire(WireError::Truncated));
    check(
        &hex("32 FF FF FF FF FF FF FF FF FF 01"),
        Fault::Wire(WireError::Truncated),
    );
    check(
        &hex("32 FF FF FF FF FF FF FF FF FF 02"),
        Fault::Wire(WireError::NumberLength),
    );
    check(&hex("00 00"), Fault::Wire(WireError::FieldNumber));
    check(
        &hex("80 80 80 80 10 00"),
        Fault::Wire(WireError::FieldNumber),
    );
    check(&hex("36 00"), Fault::Wire(WireError::WireType));
    check(&hex("0C"), Fault::Wire(WireError::WireType));
    check(&hex("30 00"), Fault::Wire(WireError::ValueType));
    check(&hex("32 02 08 01"), Fault::Wire(WireError::ValueType));
    check(&[0x7b; 100], Fault::Wire(WireError::Truncated));
    check(&[0x7b; 101], Fault::Wire(WireError::Depth));
    check(b"{\"type\":\"ping\"}", Fault::Wire(WireError::Truncated));
}

#[test]
fn responses_are_written() {
    let check = |encode: &dyn Fn(&mut Vec<u8>), digits: &str| {
        let mut out = Vec::new();
        encode(&mut out);
        assert_eq!(out, hex(digits), "{out:02x?}");
    };
    // The samples of the notes.
    check(&protobuf::pong, "22 00");
    check(&|out| protobuf::ack_ok(out, 1), "0A 04 08 01 10 01");
    check(
        &|out| protobuf::ack_failed(out, 1, AckErrorName::Forbidden, "no"),
        "0A 13 08 01 1A 0F 0A 09 46 6F 72 62 69 64 64 65 6E 12 02 6E 6F",
    );
    check(
        &|out| protobuf::connected(out, "c1", Some("u1"), Some("t1")),
        "1A 0E 0A 0C 0A 02 63 31 12 02 75 31 1A 02 74 31",
    );
    check(
        &|out| protobuf::disconnected(out, "bye"),
        "1A 07 12 05 12 03 62 79 65",
    );
    let json = JsonField::JsonData;
    check(
        &|out| protobuf::group_message(out, "g", DataType::Text, b"hi", json, None, None),
        "12 10 0A 05 67 72 6F 75 70 12 01 67 1A 04 0A 02 68 69",
    );
    check(
        &|out| protobuf::server_message(out, DataType::Binary, &[1, 2, 3], json, None),
        "12 0F 0A 06 73 65 72 76 65 72 1A 05 12 03 01 02 03",
    );

    check(
        &|out| protobuf::connected(out, "c1", None, None),
        "1A 06 0A 04 0A 02 63 31",
    );
    check(&|out| protobuf::disconnected(out, ""), "1A 02 12 00");
    check(&|out| protobuf::ack_ok(out, 0), "0A 02 10 01");
    check(
        &|out| protobuf::ack_ok(out, u64::MAX),
        "0A 0D 08 FF FF FF FF FF FF FF FF FF 01 10 01",
    );
    let server = "0A 06 73 65 72 76 65 72";
    for (data_type, json, digits) in [
        (DataType::Text, JsonField::JsonData, "0A 01 31"),
        (DataType::Binary, JsonField::JsonData, "12 01 31"),
        (DataType::Json, JsonField::JsonData, "22 01 31"),
        (DataType::Json, JsonField::TextData, "0A 01 31"),
        (DataType::Binary, JsonField::TextData, "12 01 31"),
    ] {
        check(
            &|out| protobuf::server_message(out, data_type, b"1", json, None),
            &format!("12 0D {server} 1A 03 {digits}"),
        );
    }
    check(
        &|out| protobuf::server_message(out, DataType::Protobuf, &[0x0a, 0], json, None),
        &format!("12 0E {server} 1A 04 1A 02 0A 00"),
    );
    // Data that is empty is there all the same.
    check(
        &|out| protobuf::server_message(out, DataType::Text, b"", json, None),
        &format!("12 0C {server} 1A 02 0A 00"),
    );
    // Text that is not UTF-8 would break its receiver.
    check(
        &|out| protobuf::server_message(out, DataType::Text, &[0xff], json, None),
        &format!("12 0F {server} 1A 05 0A 03 EF BF BD"),
    );
    let header = ("x-webpubsub-metadata-k", &b"v"[..]);
    let metadata = Metadata::from_headers([header]).unwrap();
    check(
        &|out| protobuf::server_message(out, DataType::Text, b"1", json, Some(&metadata)),
        &format!("12 15 {server} 1A 03 0A 01 31 2A 06 0A 01 6B 12 01 76"),
    );
}
