//! What the server writes, byte by byte at the borders, and as tungstenite reads it.

#![expect(
    clippy::unwrap_used,
    reason = "what a helper cannot unwrap fails the test"
)]

use std::io::Cursor;

use hubwire_proto::ws::client::{ServerFrameHeader, encode_masked, parse_server_frame_header};
use hubwire_proto::ws::{
    CloseCode, MAX_FRAME_PAYLOAD, MessageKind, Opcode, encode_close, encode_empty_close,
    encode_message, encode_ping, encode_pong, encoded_len,
};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

/// The frames of a message of `len` bytes: opcode, FIN, header length, payload length.
#[track_caller]
fn check(len: usize, frames: &[(Opcode, bool, usize, u64)]) {
    let payload: Vec<u8> = (b'a'..=b'z').cycle().take(len).collect();
    let mut stream = b"before".to_vec();
    encode_message(MessageKind::Binary, &payload, &mut stream);
    assert_eq!(stream.len(), 6 + encoded_len(len));

    let mut rest = &stream[6..];
    let mut found = Vec::new();
    while let Some(header) = parse_server_frame_header(rest) {
        let ServerFrameHeader {
            header_len,
            payload_len,
            opcode,
            fin,
        } = header;
        found.push((
            Opcode::from_bits(opcode).unwrap(),
            fin,
            header_len,
            payload_len,
        ));
        rest = &rest[header_len + usize::try_from(payload_len).unwrap()..];
    }
    assert!(rest.is_empty());
    assert_eq!(found, frames);
    assert_eq!(
        read_back(stream.split_off(6)),
        Message::Binary(payload.into())
    );
}

fn read_back(stream: Vec<u8>) -> Message {
    WebSocket::from_raw_socket(Cursor::new(stream), Role::Client, None)
        .read()
        .unwrap()
}

#[test]
fn messages_take_the_shortest_header_and_fragments_above_64_kib() {
    const FULL: u64 = MAX_FRAME_PAYLOAD as u64;
    use Opcode::{Binary, Continuation};
    check(0, &[(Binary, true, 2, 0)]);
    check(125, &[(Binary, true, 2, 125)]);
    check(126, &[(Binary, true, 4, 126)]);
    check(65_535, &[(Binary, true, 4, 65_535)]);
    check(65_536, &[(Binary, true, 10, FULL)]);
    check(
        65_537,
        &[(Binary, false, 10, FULL), (Continuation, true, 2, 1)],
    );
    check(
        131_072,
        &[(Binary, false, 10, FULL), (Continuation, true, 10, FULL)],
    );
    check(
        131_272,
        &[
            (Binary, false, 10, FULL),
            (Continuation, false, 10, FULL),
            (Continuation, true, 4, 200),
        ],
    );
}

#[test]
fn text_may_be_cut_inside_a_character() {
    let words = "🦀é".repeat(40_000);
    let mut stream = Vec::new();
    encode_message(MessageKind::Text, words.as_bytes(), &mut stream);
    assert_eq!(stream[0], 0x01);
    assert_eq!(read_back(stream), Message::Text(words.into()));
}

#[test]
fn close_reasons_are_cut_between_characters() {
    let check = |reason: &str, kept: usize| {
        let mut stream = Vec::new();
        encode_close(CloseCode::POLICY_VIOLATION, reason, &mut stream);
        let head = [0x88, u8::try_from(2 + kept).unwrap(), 0x03, 0xF0];
        assert_eq!(stream, [&head, &reason.as_bytes()[..kept]].concat());
    };
    check("", 0);
    check("no", 2);
    check(&"x".repeat(123), 123);
    check(&"x".repeat(200), 123);
    check(&"é".repeat(100), 122);
    check(&format!("{}🦀", "x".repeat(120)), 120);
}

#[test]
fn a_close_without_a_code_is_empty() {
    let mut stream = Vec::new();
    encode_empty_close(&mut stream);
    assert_eq!(stream, [0x88, 0]);
    assert_eq!(read_back(stream), Message::Close(None));
}

#[test]
fn pings_and_pongs() {
    let mut stream = Vec::new();
    encode_ping(b"", &mut stream);
    encode_pong(b"hi", &mut stream);
    assert_eq!(stream, [0x89, 0, 0x8A, 2, b'h', b'i']);
    stream.clear();
    encode_pong(&[1; 200], &mut stream);
    assert_eq!(stream[..2], [0x8A, 125]);
    assert_eq!(stream.len(), 127);
}

#[test]
fn masked_frames_of_the_example_in_the_rfc() {
    // RFC 6455 §5.7.
    let mut stream = Vec::new();
    encode_masked(
        Opcode::Text,
        b"Hello",
        [0x37, 0xFA, 0x21, 0x3D],
        &mut stream,
    );
    assert_eq!(
        stream,
        [
            0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58
        ]
    );
}

#[test]
fn a_header_of_the_server_is_awaited_whole() {
    for len in [5, 500, 65_536] {
        let mut stream = Vec::new();
        encode_message(MessageKind::Text, &vec![b'x'; len], &mut stream);
        let header_len = stream.len() - len;
        for have in 0..header_len {
            assert_eq!(parse_server_frame_header(&stream[..have]), None);
        }
        assert!(parse_server_frame_header(&stream[..header_len]).is_some());
    }
}
