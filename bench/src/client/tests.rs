//! The client's state machine, fed with the bytes of servers good and bad.

use std::net::TcpListener;

use super::*;
use crate::ledger::Counters;
use crate::stamp;

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: json.webpubsub.azure.v1\r\n\r\n";
const CONNECTED: &str =
    r#"{"type":"system","event":"connected","connectionId":"c","reconnectionToken":"t"}"#;
const JOINED: &str = r#"{"type":"ack","ackId":1,"success":true}"#;

/// A client that has sent its upgrade request. Its socket is real but stays silent.
fn upgrading_client(subprotocol: Subprotocol) -> Client {
    let plan = ClientPlan {
        subprotocol,
        upgrade: Vec::new(),
        joins: Some("g\"0".to_owned()),
        publishes: None,
    };
    let mut client = Client::new(7, silent_socket(), plan, 0);
    client.stage = Stage::Upgrading;
    client
}

fn silent_socket() -> Socket {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    Socket::connect(address, None).expect("loopback connects")
}

fn switched(subprotocol: Subprotocol) -> Vec<u8> {
    let answer = SWITCHED.replace(Subprotocol::Json.name(), subprotocol.name());
    answer.into_bytes()
}

fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u8::try_from(payload.len()).expect("short");
    match length {
        0..=125 => [&[first, length], payload].concat(),
        _ => [&[first, 126, 0, length], payload].concat(),
    }
}

fn message(time: u64, sender: u32) -> String {
    let data = stamp::text(40, Stamp { time, sender });
    format!(r#"{{"type":"message","from":"group","group":"g","dataType":"text","data":"{data}"}}"#)
}

fn numbered(sequence_id: u64, time: u64, sender: u32) -> String {
    let rest = message(time, sender);
    format!(r#"{{"sequenceId":{sequence_id},{}"#, &rest[1..])
}

/// A `DownstreamMessage` whose numbers are all below 128.
fn protobuf_numbered(sequence_id: u8, time: u64, sender: u32) -> Vec<u8> {
    let text = stamp::text(40, Stamp { time, sender });
    let head = [
        0x20,
        sequence_id,
        0x0A,
        5,
        b'g',
        b'r',
        b'o',
        b'u',
        b'p',
        0x12,
        1,
        b'g',
    ];
    let data = [&[0x1A, 42, 0x0A, 40], text.as_bytes()].concat();
    let length = u8::try_from(head.len() + data.len()).expect("short");
    [&[0x12, length], &head[..], &data].concat()
}

/// Feeds bytes in pieces of `sizes` (again and again), as reads would bring them.
fn feed(client: &mut Client, bytes: &[u8], sizes: &[usize]) -> Result<Ledger, Cause> {
    let mut ledger = Ledger::new();
    let mut held = Vec::new();
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        let (piece, later) = rest.split_at((*size).min(rest.len()));
        held.extend_from_slice(piece);
        let used = client.consume(&held, &mut ledger)?;
        held.drain(..used);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    assert!(held.is_empty(), "{} bytes are left over", held.len());
    Ok(ledger)
}

/// Feeds a stream in all ways, and checks what was counted and what the client sent.
fn check(subprotocol: Subprotocol, after_upgrade: &[Vec<u8>], expect: Counters, sent: &[u8]) {
    let stream = [switched(subprotocol), after_upgrade.concat()].concat();
    let splits = (1..stream.len()).map(|size| vec![size]);
    for sizes in splits.chain([vec![1, 7, 3, 200, 2], vec![stream.len()]]) {
        let mut client = upgrading_client(subprotocol);
        let ledger = feed(&mut client, &stream, &sizes).expect("a valid stream");
        assert_eq!(ledger.counters, expect, "{subprotocol:?} {sizes:?}");
        assert_eq!(client.stage, Stage::Ready);
        assert_eq!(*client.socket.outgoing(), sent, "{subprotocol:?} {sizes:?}");
    }
}

#[test]
fn deliveries_are_counted_however_the_bytes_are_split() {
    let stream = [
        frame(0x81, CONNECTED),
        frame(0x81, JOINED),
        frame(0x81, message(10, 1)),
        frame(0x82, message(20, 1)),
        frame(0x89, "are you there"),
        frame(0x81, message(15, 1)),
        frame(0x81, message(16, 7)),
        frame(0x01, message(30, 1)),
        frame(0x8A, ""),
        frame(0x80, "the rest of a fragmented message"),
        frame(0x81, r#"{"type":"ack","ackId":1000000000,"success":true}"#),
    ];
    let expect = Counters {
        deliveries: 4,
        echoes: 1,
        out_of_order: 1,
        acks: 1,
        pongs: 1,
        ..Counters::default()
    };
    let mut sent = Vec::new();
    let join = r#"{"type":"joinGroup","group":"g\"0","ackId":1}"#;
    frames::write(Opcode::Text, join.as_bytes(), &mut sent);
    frames::write(Opcode::Pong, b"are you there", &mut sent);
    check(Subprotocol::Json, &stream, expect, &sent);
}

#[test]
fn numbers_are_followed_in_both_encodings() {
    let expect = Counters {
        deliveries: 4,
        echoes: 1,
        duplicates: 1,
        sequence_gaps: 1,
        ..Counters::default()
    };
    let json = [
        frame(0x81, CONNECTED),
        frame(0x81, JOINED),
        frame(0x81, numbered(1, 10, 1)),
        frame(0x81, numbered(2, 11, 7)),
        frame(0x81, numbered(3, 12, 1)),
        frame(0x81, numbered(3, 12, 1)),
        frame(0x81, numbered(9, 13, 1)),
        frame(0x01, numbered(10, 14, 1)),
        frame(0x80, "the rest of a fragmented message"),
    ];
    let mut sent = Vec::new();
    let join = r#"{"type":"joinGroup","group":"g\"0","ackId":1}"#;
    frames::write(Opcode::Text, join.as_bytes(), &mut sent);
    check(Subprotocol::JsonReliable, &json, expect, &sent);

    let protobuf = [
        frame(0x82, b"\x1A\x0A\x0A\x08\x0A\x01c\x1A\x03tok"),
        frame(0x82, [0x0A, 4, 8, 1, 0x10, 1]),
        frame(0x82, protobuf_numbered(1, 10, 1)),
        frame(0x82, protobuf_numbered(2, 11, 7)),
        frame(0x82, protobuf_numbered(3, 12, 1)),
        frame(0x82, protobuf_numbered(3, 12, 1)),
        frame(0x82, protobuf_numbered(9, 13, 1)),
        frame(0x02, protobuf_numbered(10, 14, 1)),
        frame(0x80, "the rest of a fragmented message"),
    ];
    let mut sent = Vec::new();
    let join = b"\x32\x07\x0A\x03g\"0\x10\x01";
    frames::write(Opcode::Binary, join, &mut sent);
    check(Subprotocol::ProtobufReliable, &protobuf, expect, &sent);
}

#[test]
fn a_client_acknowledges_what_is_new_and_continues_on_another_socket() {
    let subprotocol = Subprotocol::JsonReliable;
    let mut client = upgrading_client(subprotocol);
    let stream = [
        switched(subprotocol),
        frame(0x81, CONNECTED),
        frame(0x81, JOINED),
        frame(0x81, numbered(1, 10, 1)),
        frame(0x81, numbered(2, 11, 1)),
    ]
    .concat();
    feed(&mut client, &stream, &[stream.len()]).expect("a valid stream");
    client.socket.outgoing().clear();
    // The socket is not connected: the frame is still there after the attempt to send it.
    let _ = client.acknowledge();
    let mut acked = Vec::new();
    let ack = br#"{"type":"sequenceAck","sequenceId":2}"#;
    frames::write(Opcode::Text, ack, &mut acked);
    assert_eq!(*client.socket.outgoing(), acked);
    assert!(!client.acknowledge().expect("nothing to send"));

    let identity = client.identity().expect("a reliable client has one");
    assert_eq!(identity.connection_id, "c");
    assert_eq!(identity.reconnection_token, "t");
    client.recover(silent_socket(), b"GET".to_vec(), 4, 0);
    client.stage = Stage::Upgrading;
    let stream = [switched(subprotocol), frame(0x81, CONNECTED)].concat();
    feed(&mut client, &stream, &[9]).expect("a valid stream");
    assert_eq!(client.stage, Stage::CatchingUp);
    let stream = [
        frame(0x81, numbered(2, 11, 1)),
        frame(0x81, numbered(3, 12, 1)),
    ]
    .concat();
    let ledger = feed(&mut client, &stream, &[9]).expect("a valid stream");
    assert_eq!(client.stage, Stage::CatchingUp);
    assert_eq!(
        (ledger.counters.duplicates, ledger.counters.deliveries),
        (1, 1)
    );
    feed(&mut client, &frame(0x81, numbered(4, 13, 1)), &[9]).expect("a valid stream");
    assert_eq!(client.stage, Stage::Ready);

    client.recover(silent_socket(), b"GET".to_vec(), 4, 0);
    client.stage = Stage::Upgrading;
    let other = CONNECTED.replace(r#""c""#, r#""d""#);
    let stream = [switched(subprotocol), frame(0x81, &other)].concat();
    let cause = feed(&mut client, &stream, &[9]).expect_err("not its connection");
    assert!(matches!(cause, Cause::OtherConnection(id) if id == "d"));
}

#[test]
fn what_ends_a_connection_is_said() {
    fn check(subprotocol: Subprotocol, after_upgrade: &[Vec<u8>], expect: &str) {
        let mut client = upgrading_client(subprotocol);
        let stream = [switched(subprotocol), after_upgrade.concat()].concat();
        let cause = feed(&mut client, &stream, &[stream.len()]).expect_err("it ends");
        assert!(cause.to_string().contains(expect), "{cause}");
    }
    let json = Subprotocol::Json;
    let ack = r#"{"type":"ack","ackId":1,"success":false,"error":{"name":"Forbidden","message":"no right"}}"#;
    check(
        json,
        &[frame(0x81, CONNECTED), frame(0x81, ack)],
        "Forbidden: no right",
    );
    check(json, &[frame(0x88, "\x03\u{8}no")], "code 776 \"no\"");
    check(json, &[frame(0x88, "")], "code 1005");
    let bye = r#"{"type":"system","event":"disconnected","message":"bye"}"#;
    check(
        json,
        &[frame(0x81, bye), frame(0x88, b"\x03\xE8")],
        "code 1000 \"\" after saying \"bye\"",
    );
    check(json, &[frame(0x81, "hello")], "unexpected message: hello");
    check(json, &[frame(0x83, "")], "opcode 0x3");
    check(json, &[frame(0xC1, "")], "reserved bit");
    let reliable = Subprotocol::JsonReliable;
    let begin = [frame(0x81, CONNECTED), frame(0x81, JOINED)].concat();
    check(
        reliable,
        &[begin.clone(), frame(0x81, message(10, 1))],
        "has no sequenceId: {\"type\":\"message\"",
    );
    let slow = [frame(0x81, bye), frame(0x88, b"\x03\xF0slow")].concat();
    let delivery = frame(0x81, numbered(1, 10, 1));
    check(
        reliable,
        &[begin.clone(), delivery, slow.clone()],
        "1008 \"slow\" after saying \"bye\", while 1 or more messages were not acknowledged",
    );
    check(reliable, &[begin, slow], "closed with code 1008 \"slow\"");
}

#[test]
fn a_refused_upgrade_is_said() {
    fn check(answer: &str, expect: &str) {
        let mut client = upgrading_client(Subprotocol::Json);
        let answer = answer.as_bytes();
        let cause = feed(&mut client, answer, &[answer.len()]).expect_err("refused");
        assert!(cause.to_string().contains(expect), "{cause}");
    }
    check(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nbad token",
        "401 Unauthorized: bad token",
    );
    check(&SWITCHED.replace("s3pP", "t3pP"), "Sec-WebSocket-Accept");
    check(&SWITCHED.replace("azure.v1", "azure.v2"), "subprotocol");
}
