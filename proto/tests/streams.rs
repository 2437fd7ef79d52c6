//! Streams in both codecs (protocol notes: streams).

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

#[path = "protobuf_reference/hex.rs"]
mod hex;

use hubwire_proto::json;
use hubwire_proto::message::{
    ClientMessage, Data, DataType, StreamEndError, StreamError, StreamInfo,
};
use hubwire_proto::metadata::Metadata;
use hubwire_proto::protobuf::{self, Fault, JsonField, WireError};
use hubwire_proto::stream::{
    MAX_STREAM_ID_UNITS, StreamClosedName, StreamErrorName, StreamNackName,
};

use hex::hex;

fn start(stream_id: &str) -> ClientMessage<'_> {
    ClientMessage::StreamStart {
        group: "g".into(),
        stream_id: stream_id.into(),
        idle_timeout_ms: None,
        no_echo: false,
        ack_id: None,
    }
}

fn data<'a>(stream_sequence_id: u64, data_type: DataType, bytes: &'a [u8]) -> ClientMessage<'a> {
    ClientMessage::StreamData {
        stream_id: "s1".into(),
        stream_sequence_id,
        data: Data {
            data_type,
            bytes: bytes.into(),
        },
    }
}

fn keep_alive(stream_id: &str) -> ClientMessage<'_> {
    ClientMessage::StreamKeepAlive {
        stream_id: stream_id.into(),
    }
}

fn end<'a>(error: Option<(Option<&'a str>, Option<&'a str>)>) -> ClientMessage<'a> {
    ClientMessage::StreamEnd {
        stream_id: "s1".into(),
        error: error.map(|(message, code)| StreamEndError {
            message: message.map(Into::into),
            user_error_code: code.map(Into::into),
        }),
    }
}

fn invalid(stream_id: &str, reason: &'static str, ack_id: Option<u64>) -> ClientMessage<'static> {
    ClientMessage::InvalidStream {
        stream_id: stream_id.to_owned().into(),
        reason,
        ack_id,
    }
}

const STREAM_ID: &str = "The stream id must be 1 to 1024 characters.";
const IDLE: &str = "The idle timeout must be a positive number of milliseconds.";
const WITH_DATA: &str = "A stream must start without data.";
const PARTIAL: &str = "Stream data needs a sequence id, a data type and data, or none of them.";

#[test]
fn json_starts_are_read() {
    let check = |input: &str, expect: ClientMessage<'_>| {
        assert_eq!(json::decode(input), Ok(expect), "{input}");
    };
    // As the vendor's library writes it.
    check(
        r#"{"type":"sendToGroup","group":"g","noEcho":false,"stream":{"streamId":"s1"}}"#,
        start("s1"),
    );
    let full = ClientMessage::StreamStart {
        group: "g".into(),
        stream_id: " \u{e9}\"".into(),
        idle_timeout_ms: Some(u64::MAX),
        no_echo: true,
        ack_id: Some(3),
    };
    check(
        r#"{"stream":{"idleTimeoutMs":18446744073709551615,"x":[{}],"streamId":" \u00e9\""},"type":"SENDTOGROUP","group":"g","noEcho":true,"ackId":3}"#,
        full,
    );
    let started = |stream: &str, more: &str| {
        format!(r#"{{"type":"sendToGroup","group":"g","stream":{stream}{more}}}"#)
    };
    let id = r#""streamId":"s1""#;
    check(
        &started(&format!(r#"{{{id},"idleTimeoutMs":null}}"#), ""),
        start("s1"),
    );
    // The last of each member counts.
    check(
        &started(r#"{"streamId":1,"streamId":"s1"}"#, ""),
        start("s1"),
    );
    // Metadata and a time to live have nothing to go with.
    check(
        &started(
            &format!("{{{id}}}"),
            r#","metadata":{"k":"v"},"ttlSeconds":1"#,
        ),
        start("s1"),
    );
    for (idle, ack, ack_id) in [
        ("0", "", None),
        ("-1", r#","ackId":9"#, Some(9)),
        ("1.5", "", None),
    ] {
        check(
            &started(&format!(r#"{{{id},"idleTimeoutMs":{idle}}}"#), ack),
            invalid("s1", IDLE, ack_id),
        );
    }
    for more in [
        r#","data":1"#,
        r#","data":null"#,
        r#","dataType":"json""#,
        r#","dataType":"text","data":"""#,
    ] {
        check(
            &started(&format!("{{{id}}}"), more),
            invalid("s1", WITH_DATA, None),
        );
    }
    // UTF-16 units are counted, two in the last character.
    let longest = format!("{}😀", "é".repeat(MAX_STREAM_ID_UNITS - 2));
    check(
        &started(&format!(r#"{{"streamId":"{longest}"}}"#), ""),
        start(&longest),
    );
    let too_long = format!("{longest}é");
    for id in [&too_long, ""] {
        check(
            &started(&format!(r#"{{"streamId":"{id}"}}"#), ""),
            invalid(id, STREAM_ID, None),
        );
    }
    // `null` is no stream.
    let error = json::decode(&started("null", "").replace("\\", "")).map(drop);
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with("`data` is missing."), "{error}");
}

#[test]
fn json_parts_are_read() {
    let check = |members: &str, expect: ClientMessage<'_>| {
        let input = format!(r#"{{"type":"streamData","streamId":"s1"{members}}}"#);
        assert_eq!(json::decode(&input), Ok(expect), "{input}");
    };
    check(
        r#","streamSequenceId":1,"dataType":"text","data":"a""#,
        data(1, DataType::Text, b"a"),
    );
    check(
        r#","data":"AQI=","dataType":"Binary","streamSequenceId":18446744073709551615"#,
        data(u64::MAX, DataType::Binary, &[1, 2]),
    );
    check(
        r#","streamSequenceId":0,"dataType":"json","data":{"a": 1.50}"#,
        data(0, DataType::Json, b"{\"a\": 1.50}"),
    );
    check(
        r#","streamSequenceId":2,"dataType":"protobuf","data":"GgA=""#,
        data(2, DataType::Protobuf, &[0x1a, 0]),
    );
    check("", keep_alive("s1"));
    check(r#","streamSequenceId":null,"ackId":1"#, keep_alive("s1"));
    for members in [
        r#","streamSequenceId":1"#,
        r#","data":1"#,
        r#","dataType":"json""#,
        r#","streamSequenceId":1,"dataType":"json""#,
        r#","streamSequenceId":1,"data":1"#,
        r#","dataType":"json","data":1"#,
        r#","streamSequenceId":null,"dataType":"json","data":1"#,
    ] {
        check(members, invalid("s1", PARTIAL, None));
    }
    // An id with which no stream could have started is only unknown.
    let input = r#"{"type":"streamData","streamId":""}"#;
    assert_eq!(json::decode(input), Ok(keep_alive("")));
}

#[test]
fn json_ends_are_read() {
    let check = |members: &str, expect: ClientMessage<'_>| {
        let input = format!(r#"{{"type":"streamEnd","streamId":"s1"{members}}}"#);
        assert_eq!(json::decode(&input), Ok(expect), "{input}");
    };
    check("", end(None));
    check(r#","error":null"#, end(None));
    check(r#","error":{}"#, end(Some((None, None))));
    check(
        r#","error":{"name":1,"userErrorCode":"c\u0031","message":"m"}"#,
        end(Some((Some("m"), Some("c1")))),
    );
    check(
        r#","error":{"message":null,"userErrorCode":"ProtocolViolation"}"#,
        end(Some((None, Some("ProtocolViolation")))),
    );
}

#[test]
fn what_has_wrong_types_is_malformed() {
    let check = |input: &str, reason: &str| {
        let error = json::decode(input).map(drop).unwrap_err().to_string();
        assert!(error.ends_with(&format!(": {reason}.")), "{error}: {input}");
    };
    let started =
        |stream: &str| format!(r#"{{"type":"sendToGroup","group":"g","stream":{stream}}}"#);
    for raw in ["1", "true", r#""s1""#, "[]", r#"["s1"]"#] {
        check(&started(raw), "`stream` must be an object");
    }
    let id = "`streamId` must be a string";
    for raw in [
        "{}",
        r#"{"streamId":null}"#,
        r#"{"streamId":1}"#,
        r#"{"StreamId":"s"}"#,
    ] {
        check(&started(raw), id);
    }
    for raw in ["true", r#""1""#, "[]", "{}"] {
        check(
            &started(&format!(r#"{{"streamId":"","idleTimeoutMs":{raw}}}"#)),
            "`idleTimeoutMs` must be a number",
        );
    }
    check(
        r#"{"type":"sendToGroup","group":" ","stream":{"streamId":"s"}}"#,
        "`group` must be a string of 1 to 1024 characters, not all blank",
    );
    check(
        r#"{"type":"sendToGroup","group":"g","noEcho":1,"stream":{"streamId":"s"}}"#,
        "`noEcho` must be true or false",
    );
    // Case 53.
    for more in ["", r#","data":1"#] {
        check(
            &format!(r#"{{"type":"event","event":"e","stream":{{"streamId":"s"}}{more}}}"#),
            "an event cannot be a stream",
        );
    }
    for kind in ["streamData", "streamEnd"] {
        for member in ["", r#","streamId":null"#, r#","streamId":1"#] {
            check(&format!(r#"{{"type":"{kind}"{member}}}"#), id);
        }
    }
    for raw in ["-1", "1.0", r#""1""#, "true", "{}"] {
        check(
            &format!(r#"{{"type":"streamData","streamId":"s1","streamSequenceId":{raw}}}"#),
            "`streamSequenceId` must be an unsigned integer",
        );
    }
    check(
        r#"{"type":"streamData","streamId":"s1","streamSequenceId":1,"dataType":"xml","data":1}"#,
        "`dataType` must be json, text, binary or protobuf",
    );
    check(
        r#"{"type":"streamData","streamId":"s1","streamSequenceId":1,"dataType":"json","data":null}"#,
        "`data` must not be null when `dataType` is json",
    );
    for raw in [
        "1",
        r#""m""#,
        "[]",
        r#"{"message":1}"#,
        r#"{"userErrorCode":{}}"#,
    ] {
        check(
            &format!(r#"{{"type":"streamEnd","streamId":"s1","error":{raw}}}"#),
            "`error` must be an object whose texts are strings",
        );
    }
}

#[test]
fn protobuf_requests_are_read() {
    let check = |digits: &str, expect: ClientMessage<'_>| {
        assert_eq!(protobuf::decode(&hex(digits)), Ok(expect), "{digits}");
    };
    // The samples of the notes.
    let mut sample = start("s1");
    if let ClientMessage::StreamStart {
        idle_timeout_ms, ..
    } = &mut sample
    {
        *idle_timeout_ms = Some(60_000);
    }
    check("0A 0D 0A 01 67 3A 08 0A 02 73 31 10 E0 D4 03", sample);
    check(
        "6A 0B 0A 02 73 31 10 01 1A 03 0A 01 61",
        data(1, DataType::Text, b"a"),
    );
    check("6A 04 0A 02 73 31", keep_alive("s1"));
    check("72 04 0A 02 73 31", end(None));

    let full = ClientMessage::StreamStart {
        group: "g".into(),
        stream_id: "s1".into(),
        idle_timeout_ms: None,
        no_echo: true,
        ack_id: Some(3),
    };
    check("0A 0D 0A 01 67 10 03 20 01 3A 04 0A 02 73 31", full);
    // A stream in two pieces is their union, and data without a member is none.
    let mut union = start("s1");
    if let ClientMessage::StreamStart {
        idle_timeout_ms, ..
    } = &mut union
    {
        *idle_timeout_ms = Some(1);
    }
    check("0A 0F 0A 01 67 3A 02 10 01 3A 04 0A 02 73 31 1A 00", union);
    check("0A 05 0A 01 67 3A 00", invalid("", STREAM_ID, None));
    check(
        "0A 0D 0A 01 67 10 05 3A 06 0A 02 73 31 10 00",
        invalid("s1", IDLE, Some(5)),
    );
    // A number of more than 32 bits loses the others.
    check(
        "0A 0F 0A 01 67 3A 0A 0A 02 73 31 10 80 80 80 80 10",
        invalid("s1", IDLE, None),
    );
    check(
        "0A 0D 0A 01 67 1A 02 0A 00 3A 04 0A 02 73 31",
        invalid("s1", WITH_DATA, None),
    );
    check(
        "6A 0A 0A 02 73 31 10 00 1A 02 12 00",
        data(0, DataType::Binary, b""),
    );
    check("6A 00", keep_alive(""));
    check("6A 06 0A 02 73 31 10 01", invalid("s1", PARTIAL, None));
    check(
        "6A 09 0A 02 73 31 1A 03 0A 01 61",
        invalid("s1", PARTIAL, None),
    );
    check("72 06 0A 02 73 31 12 00", end(Some((None, None))));
    check(
        "72 0C 0A 02 73 31 12 06 0A 01 6D 12 01 63",
        end(Some((Some("m"), Some("c")))),
    );
}

#[test]
fn bad_protobuf_requests_are_refused() {
    let check = |digits: &str, fault: Fault| {
        let error = protobuf::decode(&hex(digits)).map(drop).unwrap_err();
        assert_eq!(error.0, fault, "{digits}");
    };
    // Case 53.
    check("2A 0A 0A 01 65 12 03 0A 01 61 2A 00", Fault::Stream);
    check("0A 02 3A 00", Fault::Group);
    check("6A 08 0A 02 73 31 10 01 1A 00", Fault::NoData);
    check("6A 0B 0A 02 73 31 10 01 1A 03 22 01 7B", Fault::Json);
    check("6A 03 0A 01 FF", Fault::Wire(WireError::Utf8));
    check("6A 02 10 80", Fault::Wire(WireError::Truncated));
    check("72 02 08 01", Fault::Wire(WireError::ValueType));
    check("72 05 12 03 0A 01 FF", Fault::Wire(WireError::Utf8));
    check(
        "0A 08 0A 01 67 3A 03 0A 01 FF",
        Fault::Wire(WireError::Utf8),
    );
}

/// A message in both codecs.
fn check_both(
    json: impl Fn(&mut Vec<u8>),
    protobuf: impl Fn(&mut Vec<u8>),
    text: &str,
    digits: &str,
) {
    let mut out = Vec::new();
    json(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), text);
    out.clear();
    protobuf(&mut out);
    assert_eq!(out, hex(digits), "{text}: {out:02X?}");
}

#[test]
fn what_publishers_are_told_is_written() {
    // The first is a sample of the notes.
    check_both(
        |out| json::stream_ack(out, "s1", 2),
        |out| protobuf::stream_ack(out, "s1", 2),
        r#"{"type":"streamAck","streamId":"s1","expectedSequenceId":2}"#,
        "32 06 0A 02 73 31 10 02",
    );
    check_both(
        |out| json::stream_ack(out, "\"", u64::MAX),
        |out| protobuf::stream_ack(out, "\"", u64::MAX),
        r#"{"type":"streamAck","streamId":"\"","expectedSequenceId":18446744073709551615}"#,
        "32 0E 0A 01 22 10 FF FF FF FF FF FF FF FF FF 01",
    );
    let nack = StreamNackName::InvalidSequenceId;
    check_both(
        |out| json::stream_nack(out, "s1", nack, 3, "no"),
        |out| protobuf::stream_nack(out, "s1", nack, 3, "no"),
        r#"{"type":"streamNack","streamId":"s1","expectedSequenceId":3,"name":"InvalidSequenceId","message":"no"}"#,
        "3A 1D 0A 02 73 31 12 11 49 6E 76 61 6C 69 64 53 65 71 75 65 6E 63 65 49 64 1A 02 6E 6F 20 03",
    );
    check_both(
        |out| json::stream_closed(out, "s1", None),
        |out| protobuf::stream_closed(out, "s1", None),
        r#"{"type":"streamClosed","streamId":"s1"}"#,
        "42 04 0A 02 73 31",
    );
    let error = (StreamClosedName::Forbidden, "no");
    check_both(
        |out| json::stream_closed(out, "s1", Some(error)),
        |out| protobuf::stream_closed(out, "s1", Some(error)),
        r#"{"type":"streamClosed","streamId":"s1","error":{"name":"Forbidden","message":"no"}}"#,
        "42 15 0A 02 73 31 12 0F 0A 09 46 6F 72 62 69 64 64 65 6E 12 02 6E 6F",
    );
}

#[test]
fn what_subscribers_get_is_written() {
    let mut carried = Metadata::default();
    carried.insert("k", "v").unwrap();
    let check = |info: StreamInfo<'_>, text: &str, digits: &str| {
        check_both(
            |out| {
                json::group_message(out, "g", DataType::Text, b"", Some("bob"));
                json::add_stream(out, &info);
                json::add_metadata(out, &carried);
            },
            |out| {
                let json = JsonField::JsonData;
                let text = DataType::Text;
                protobuf::group_message(out, "g", text, b"", json, Some(&carried), Some(&info));
            },
            &format!(
                r#"{{"type":"message","from":"group","group":"g","dataType":"text","data":"","fromUserId":"bob","stream":{text},"metadata":{{"k":"v"}}}}"#
            ),
            digits,
        );
    };
    let rest = "0A 05 67 72 6F 75 70 12 01 67 1A 02 0A 00 2A 06 0A 01 6B 12 01 76";
    let info = |end_of_stream, error| StreamInfo {
        stream_id: "s1".into(),
        stream_sequence_id: 7,
        end_of_stream,
        error,
    };
    check(
        info(false, None),
        r#"{"streamId":"s1","streamSequenceId":7}"#,
        &format!("12 1E {rest} 32 06 0A 02 73 31 10 07"),
    );
    check(
        info(true, None),
        r#"{"streamId":"s1","streamSequenceId":7,"endOfStream":true}"#,
        &format!("12 20 {rest} 32 08 0A 02 73 31 10 07 18 01"),
    );
    let error = |name, message: Option<&'static str>, code: Option<&'static str>| {
        Some(StreamError {
            name,
            message: message.map(Into::into),
            user_error_code: code.map(Into::into),
        })
    };
    check(
        info(true, error(StreamErrorName::Cancelled, None, None)),
        r#"{"streamId":"s1","streamSequenceId":7,"endOfStream":true,"error":{"name":"Cancelled"}}"#,
        &format!(
            "12 2D {rest} 32 15 0A 02 73 31 10 07 18 01 22 0B 0A 09 43 61 6E 63 65 6C 6C 65 64"
        ),
    );
    check(
        info(
            true,
            error(StreamErrorName::UserError, Some("m\""), Some("c")),
        ),
        r#"{"streamId":"s1","streamSequenceId":7,"endOfStream":true,"error":{"name":"UserError","message":"m\"","userErrorCode":"c"}}"#,
        &format!(
            "12 34 {rest} 32 1C 0A 02 73 31 10 07 18 01 22 12 0A 09 55 73 65 72 45 72 72 6F 72 12 02 6D 22 1A 01 63"
        ),
    );
}

#[test]
fn names_are_those_of_the_service() {
    let errors = [
        (StreamErrorName::UserError, "UserError"),
        (StreamErrorName::IdleTimeout, "IdleTimeout"),
        (StreamErrorName::InternalServerError, "InternalServerError"),
        (StreamErrorName::Forbidden, "Forbidden"),
        (StreamErrorName::Cancelled, "Cancelled"),
    ];
    for (name, expect) in errors {
        assert_eq!(name.as_str(), expect);
    }
    let closed = [
        (StreamClosedName::StreamNotFound, "StreamNotFound"),
        (StreamClosedName::Forbidden, "Forbidden"),
        (StreamClosedName::BadRequest, "BadRequest"),
        (StreamClosedName::InternalServerError, "InternalServerError"),
        (StreamClosedName::IdleTimeout, "IdleTimeout"),
    ];
    for (name, expect) in closed {
        assert_eq!(name.as_str(), expect);
    }
}
