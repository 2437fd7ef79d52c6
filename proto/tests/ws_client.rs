//! What a client reads of a server: frames whole and checked, messages put together.

use hubwire_proto::ws::client::{Messages, ServerFrame, read_frame};
use hubwire_proto::ws::{
    CloseCode, DecodeError, Event, MessageKind, Opcode, encode_close, encode_empty_close,
    encode_message, encode_ping, encode_pong,
};
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;
const FIN: u8 = 0x80;

#[test]
fn a_frame_is_read_only_when_it_is_whole() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
        let payload = vec![b'x'; length];
        let mut bytes = Vec::new();
        encode_message(MessageKind::Text, &payload, &mut bytes);
        let expect = ServerFrame {
            fin: true,
            opcode: Opcode::Text,
            payload: &payload,
            size: bytes.len(),
        };
        for cut in (0..bytes.len()).step_by(1 + length / 50) {
            assert_eq!(
                read_frame(&bytes[..cut], LIMIT),
                Ok(None),
                "{length}, {cut}"
            );
        }
        bytes.push(0x8A);
        assert_eq!(read_frame(&bytes, LIMIT), Ok(Some(expect)), "{length}");
    }
}

#[test]
fn what_no_server_may_send_is_refused_by_its_header() {
    fn check(bytes: &[u8], expect: DecodeError) {
        assert_eq!(read_frame(bytes, 1000), Err(expect), "{bytes:x?}");
    }
    let too_big = DecodeError::MessageTooBig { limit: 1000 };
    check(&[FIN | 1, 0x85], DecodeError::Masked);
    check(&[FIN | 0x40 | 1], DecodeError::ReservedBits);
    check(&[FIN | 3], DecodeError::ReservedOpcode(3));
    check(&[9, 0], DecodeError::FragmentedControl);
    check(&[FIN | 9, 126, 0, 126], DecodeError::ControlTooLong);
    check(&[FIN | 2, 126, 0x03, 0xE9], too_big);
    check(&[FIN | 2, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0], too_big);
}

/// What a stream of frames amounts to, in words.
fn events(mut bytes: &[u8]) -> Result<Vec<String>, DecodeError> {
    let mut messages = Messages::default();
    let mut found = Vec::new();
    while let Some(frame) = read_frame(bytes, 1000)? {
        bytes = &bytes[frame.size..];
        found.extend(messages.accept(frame, 1000)?.map(|event| match event {
            Event::Text(text) => format!("text {text}"),
            Event::Binary(bytes) => format!("binary {bytes:?}"),
            Event::Ping(payload) => format!("ping {payload:?}"),
            Event::Pong(payload) => format!("pong {payload:?}"),
            Event::Close(Some(close)) => format!("close {} {}", close.code, close.reason),
            Event::Close(None) => "close".to_owned(),
        }));
    }
    Ok(found)
}

#[test]
fn fragments_make_a_message_around_control_frames() {
    let mut bytes = Vec::new();
    encode_message(MessageKind::Text, "whole".as_bytes(), &mut bytes);
    // The two bytes of ö come in different fragments.
    bytes.extend([1, 2, b'p', 0xC3, FIN | 9, 1, 7, 0, 0, FIN, 2, 0xB6, b't']);
    encode_message(MessageKind::Binary, &[1, 2], &mut bytes);
    encode_ping(b"", &mut bytes);
    encode_pong(&[3], &mut bytes);
    encode_close(CloseCode::NORMAL, "bye", &mut bytes);
    encode_empty_close(&mut bytes);
    let expect = [
        "text whole",
        "ping [7]",
        "text pöt",
        "binary [1, 2]",
        "ping []",
        "pong [3]",
        "close 1000 bye",
        "close",
    ];
    assert_eq!(events(&bytes).unwrap(), expect);
}

#[test]
fn a_stream_of_frames_that_makes_no_sense_is_refused() {
    fn check(bytes: &[u8], expect: DecodeError) {
        assert_eq!(events(bytes), Err(expect), "{bytes:x?}");
    }
    check(&[FIN, 0], DecodeError::UnexpectedContinuation);
    check(&[1, 0, FIN | 1, 0], DecodeError::UnfinishedMessage);
    check(&[FIN | 1, 1, 0xFF], DecodeError::InvalidUtf8);
    check(&[1, 1, 0xC3, FIN, 0], DecodeError::InvalidUtf8);
    check(&[FIN | 8, 1, 3], DecodeError::CloseTooShort);
    check(&[FIN | 8, 2, 3, 0xED], DecodeError::InvalidCloseCode(1005));
    let mut bytes = vec![2, 126, 3, 0xE8];
    bytes.extend([0; 1000]);
    bytes.extend([FIN, 1, 0]);
    check(&bytes, DecodeError::MessageTooBig { limit: 1000 });
}

proptest! {
    /// A part of a stream says nothing that the whole of it does not.
    #[test]
    fn any_bytes_are_read_alike_however_they_are_cut(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0..200_usize,
    ) {
        let part = read_frame(&bytes[..cut.min(bytes.len())], 100);
        prop_assert!(part == Ok(None) || part == read_frame(&bytes, 100), "{part:?}");
        let _ = events(&bytes);
    }
}
