//! The rules of the WebSocket decoder, one table per section of RFC 6455, and what it may hold.
//!
//! Each stream is decoded whole and byte by byte.

#[path = "ws_reference/trace.rs"]
mod trace;

use hubwire_proto::ws::client::encode_masked;
use hubwire_proto::ws::{CloseCode, DecodeError, Decoder, DecoderLimits, Event, Opcode, Step};

use trace::{End, HELD_AT_REST, Seen, Trace, ours};

const LIMIT: usize = 100_000;
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const FIN: u8 = 0x80;

/// A masked frame with any first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_masked(Opcode::Binary, payload, MASK, &mut out);
    out[0] = first;
    out
}

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

fn binary(bytes: &[u8]) -> Seen {
    Seen::Binary(bytes.to_vec())
}

#[track_caller]
fn check(stream: &[u8], seen: &[Seen], end: End<DecodeError>) {
    let expect = Trace {
        seen: seen.to_vec(),
        end,
    };
    assert_eq!(ours(stream, &[], LIMIT), expect, "in one piece");
    assert_eq!(ours(stream, &[1], LIMIT), expect, "byte by byte");
}

#[track_caller]
fn check_refused(stream: &[u8], error: DecodeError) {
    check(stream, &[], End::Failed(error));
}

#[test]
fn whole_messages_of_every_length_form() {
    for len in [0, 1, 3, 4, 7, 8, 9, 125, 126, 127, 65_535, 65_536, LIMIT] {
        let payload: Vec<u8> = (0..=255).cycle().take(len).collect();
        check(&frame(FIN | 2, &payload), &[binary(&payload)], End::Waiting);
        let words = "é".repeat(len / 2);
        check(
            &frame(FIN | 1, words.as_bytes()),
            &[text(&words)],
            End::Waiting,
        );
    }
}

#[test]
fn several_frames_in_one_input() {
    let stream = [
        frame(FIN | 1, b"one"),
        frame(FIN | 2, &[0xFF]),
        frame(FIN | 9, b"ping"),
        frame(FIN | 10, b""),
        frame(FIN | 1, b""),
    ]
    .concat();
    let seen = [
        text("one"),
        binary(&[0xFF]),
        Seen::Ping(b"ping".to_vec()),
        Seen::Pong(Vec::new()),
        text(""),
    ];
    check(&stream, &seen, End::Waiting);
}

#[test]
fn fragments_and_the_control_frames_between_them() {
    let stream = [
        frame(1, b"Hel"),
        frame(0, b""),
        frame(FIN | 9, b"now?"),
        frame(0, b"lo "),
        frame(FIN | 10, b"alive"),
        frame(FIN, "wörld".as_bytes()),
        frame(2, b""),
        frame(FIN, b""),
        frame(FIN | 1, b"next"),
    ]
    .concat();
    let seen = [
        Seen::Ping(b"now?".to_vec()),
        Seen::Pong(b"alive".to_vec()),
        text("Hello wörld"),
        binary(b""),
        text("next"),
    ];
    check(&stream, &seen, End::Waiting);
}

#[test]
fn fragments_out_of_place_are_refused() {
    check_refused(&frame(FIN, b"x"), DecodeError::UnexpectedContinuation);
    check_refused(&frame(0, b""), DecodeError::UnexpectedContinuation);
    for first in [1, 2, FIN | 1, FIN | 2] {
        let stream = [frame(1, b"a"), frame(first, b"b")].concat();
        check_refused(&stream, DecodeError::UnfinishedMessage);
    }
    let stream = [frame(1, b"a"), frame(FIN, b"b"), frame(FIN, b"c")].concat();
    check(
        &stream,
        &[text("ab")],
        End::Failed(DecodeError::UnexpectedContinuation),
    );
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for bit in [0x40, 0x20, 0x10] {
        check_refused(&frame(FIN | bit | 1, b"x"), DecodeError::ReservedBits);
        check_refused(&frame(FIN | bit | 9, b""), DecodeError::ReservedBits);
        check_refused(&[FIN | bit | 3], DecodeError::ReservedBits);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        check_refused(
            &frame(FIN | opcode, b""),
            DecodeError::ReservedOpcode(opcode),
        );
        check_refused(&[opcode], DecodeError::ReservedOpcode(opcode));
    }
}

#[test]
fn control_frames_are_short_and_whole() {
    let payload = [b'x'; 126];
    check(
        &frame(FIN | 9, &payload[..125]),
        &[Seen::Ping(vec![b'x'; 125])],
        End::Waiting,
    );
    for opcode in [8, 9, 10] {
        check_refused(&frame(FIN | opcode, &payload), DecodeError::ControlTooLong);
        check_refused(&[FIN | opcode, FIN | 127], DecodeError::ControlTooLong);
        check_refused(&frame(opcode, b""), DecodeError::FragmentedControl);
    }
}

#[test]
fn unmasked_frames_are_refused() {
    check_refused(&[FIN | 1, 2, b'h', b'i'], DecodeError::Unmasked);
    check_refused(&[FIN | 9, 0], DecodeError::Unmasked);
}

#[test]
fn lengths_are_in_their_shortest_form() {
    let long = |len: u64| [&[FIN | 2, FIN | 127][..], &len.to_be_bytes()].concat();
    check_refused(&[FIN | 2, FIN | 126, 0, 0], DecodeError::NonMinimalLength);
    check_refused(&[FIN | 2, FIN | 126, 0, 125], DecodeError::NonMinimalLength);
    check_refused(&long(0), DecodeError::NonMinimalLength);
    check_refused(&long(65_535), DecodeError::NonMinimalLength);
    check_refused(&long(1 << 63), DecodeError::LengthTopBit);
    check_refused(&long(u64::MAX), DecodeError::LengthTopBit);
}

#[test]
fn a_declared_length_over_the_limit_is_refused_from_the_header() {
    let too_big = DecodeError::MessageTooBig { limit: LIMIT };
    for len in [LIMIT as u64 + 1, 1 << 32, 1 << 62, (1 << 63) - 1] {
        let header = [&[FIN | 1, FIN | 127][..], &len.to_be_bytes()].concat();
        check_refused(&header, too_big);
    }
    // The fragment that crosses the limit, by one byte.
    let half = vec![b'x'; LIMIT / 2];
    let mut stream = [frame(1, &half), frame(0, &half), frame(FIN | 9, b"")].concat();
    check(&stream, &[Seen::Ping(Vec::new())], End::Waiting);
    stream.extend([FIN, FIN | 1]);
    check(&stream, &[Seen::Ping(Vec::new())], End::Failed(too_big));
    // An incomplete character counts too.
    let stream = [frame(1, &[0xF0, 0x9F]), vec![FIN, FIN | 2]].concat();
    assert_eq!(
        ours(&stream, &[], 3).end,
        End::Failed(DecodeError::MessageTooBig { limit: 3 })
    );
}

#[test]
fn a_limit_of_nothing_lets_empty_messages_and_control_frames_through() {
    let stream = [
        frame(FIN | 1, b""),
        frame(FIN | 9, b"123"),
        frame(FIN | 2, b"1"),
    ]
    .concat();
    let expect = Trace {
        seen: vec![text(""), Seen::Ping(b"123".to_vec())],
        end: End::Failed(DecodeError::MessageTooBig { limit: 0 }),
    };
    assert_eq!(ours(&stream, &[], 0), expect);
    assert_eq!(ours(&stream, &[1], 0), expect);
}

#[test]
fn text_is_utf8_wherever_it_is_cut() {
    let words = "κόσμε 🦀 \u{7FF}\u{FFFF}\u{10FFFF}";
    for at in 0..=words.len() {
        let (a, b) = words.as_bytes().split_at(at);
        check(
            &[frame(1, a), frame(FIN, b)].concat(),
            &[text(words)],
            End::Waiting,
        );
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_at_the_first_impossible_byte() {
    let impossible: [&[u8]; 9] = [
        &[0x80],
        &[0xC0],
        &[0xFF],
        &[0xC3, 0x28],
        &[0xE0, 0x80],
        &[0xED, 0xA0],
        &[0xF0, 0x80],
        &[0xF4, 0x90],
        &[0xF0, 0x9F, 0xA6, 0x00],
    ];
    for bytes in impossible {
        for before in [
            "",
            "é",
            "a long enough beginning for the vectorized check, more than 64 bytes",
        ] {
            let payload = [before.as_bytes(), bytes].concat();
            check_refused(&frame(FIN | 1, &payload), DecodeError::InvalidUtf8);
            // The same bytes at the front of a fragment, and of a frame that never completes.
            check_refused(&frame(1, &payload), DecodeError::InvalidUtf8);
            let mut cut_off = frame(1, &[&payload[..], &[b'x'; 40]].concat());
            cut_off.truncate(cut_off.len() - 40);
            check_refused(&cut_off, DecodeError::InvalidUtf8);
            let all_but_last = cut_off.len() - 1;
            check(&cut_off[..all_but_last], &[], End::Waiting);
        }
        check(&frame(FIN | 2, bytes), &[binary(bytes)], End::Waiting);
    }
    let unfinished = [frame(1, b"a"), frame(0, &[0xF0]), frame(FIN, &[0x9F, 0xA6])].concat();
    check_refused(&unfinished, DecodeError::InvalidUtf8);
    check_refused(&frame(FIN | 1, &[0xF0, 0x9F]), DecodeError::InvalidUtf8);
}

#[test]
fn close_frames() {
    let close = |code: u16, reason: &[u8]| frame(FIN | 8, &[&code.to_be_bytes(), reason].concat());
    check(&frame(FIN | 8, b""), &[Seen::Close(None)], End::Closed);
    for code in [
        1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ] {
        let seen = Seen::Close(Some((code, "bye ✓".to_owned())));
        check(&close(code, "bye ✓".as_bytes()), &[seen], End::Closed);
    }
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        check_refused(&close(code, b""), DecodeError::InvalidCloseCode(code));
        assert_eq!(CloseCode::new(code), None);
    }
    check_refused(&frame(FIN | 8, &[3]), DecodeError::CloseTooShort);
    check_refused(&close(1000, &[0xFF]), DecodeError::CloseReasonNotUtf8);
    // What follows a close is ignored, whatever it is.
    let stream = [close(1000, b""), frame(FIN | 9, b"late"), vec![0xFF; 9]].concat();
    check(
        &stream,
        &[Seen::Close(Some((1000, String::new())))],
        End::Closed,
    );
    // A close may come inside a message.
    let stream = [frame(1, b"half a"), close(1001, b"")].concat();
    check(
        &stream,
        &[Seen::Close(Some((1001, String::new())))],
        End::Closed,
    );
}

#[test]
fn every_error_has_a_close_code_and_fits_a_close_frame() {
    let errors = [
        (DecodeError::ReservedBits, 1002),
        (DecodeError::ReservedOpcode(11), 1002),
        (DecodeError::FragmentedControl, 1002),
        (DecodeError::ControlTooLong, 1002),
        (DecodeError::UnexpectedContinuation, 1002),
        (DecodeError::UnfinishedMessage, 1002),
        (DecodeError::Unmasked, 1002),
        (DecodeError::Masked, 1002),
        (DecodeError::NonMinimalLength, 1002),
        (DecodeError::LengthTopBit, 1002),
        (DecodeError::MessageTooBig { limit: usize::MAX }, 1009),
        (DecodeError::InvalidUtf8, 1007),
        (DecodeError::CloseTooShort, 1002),
        (DecodeError::InvalidCloseCode(65_535), 1002),
        (DecodeError::CloseReasonNotUtf8, 1007),
    ];
    for (error, code) in errors {
        assert_eq!(error.close_code().get(), code);
        assert!(error.to_string().len() <= 123, "{error}");
    }
}

#[test]
fn a_whole_frame_is_lent_out_of_the_input() {
    let mut decoder = Decoder::default();
    let mut input = frame(FIN | 1, b"hello");
    let payload = input.as_ptr_range().end as usize - 5;
    let Ok(Step {
        consumed: 11,
        event: Some(Event::Text(text)),
    }) = decoder.step(
        &mut input,
        &DecoderLimits {
            max_message_bytes: LIMIT,
        },
    )
    else {
        panic!("not one text message");
    };
    assert_eq!(text, "hello");
    assert_eq!(text.as_ptr() as usize, payload);
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn an_idle_decoder_is_small_and_owns_nothing() {
    assert!(size_of::<Decoder>() <= 32, "{}", size_of::<Decoder>());
    let limits = DecoderLimits {
        max_message_bytes: 1 << 20,
    };
    let mut decoder = Decoder::default();
    assert_eq!(decoder.buffered_bytes(), 0);

    // A large message in fragments: the event lends it from the decoder, until released.
    let mut input = [
        frame(1, &vec![b'x'; 300_000]),
        frame(FIN, &vec![b'y'; 300_000]),
    ]
    .concat();
    let step = decoder.step(&mut input, &limits).unwrap();
    assert!(matches!(step.event, Some(Event::Text(text)) if text.len() == 600_000));
    assert!(decoder.buffered_bytes() >= 600_000);
    decoder.release();
    assert_eq!(decoder.buffered_bytes(), 0);

    // One that a read cut in two; the next step gives it back.
    let mut input = frame(FIN | 2, &vec![7; 300_000]);
    let (first, second) = input.split_at_mut(200_000);
    assert_eq!(decoder.step(first, &limits).unwrap().event, None);
    assert!(matches!(
        decoder.step(second, &limits).unwrap().event,
        Some(Event::Binary(_))
    ));
    assert_eq!(
        decoder.step(&mut [], &limits),
        Ok(Step {
            consumed: 0,
            event: None
        })
    );
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn a_control_frame_inside_a_message_is_given_back_alone() {
    let limits = DecoderLimits {
        max_message_bytes: LIMIT,
    };
    let mut decoder = Decoder::default();
    let mut stream = [frame(1, b"kept"), frame(FIN | 9, &[b'p'; 100])].concat();
    let (first, second) = stream.split_at_mut(60);
    assert_eq!(decoder.step(first, &limits).unwrap().event, None);
    let before = decoder.buffered_bytes();
    assert_eq!(
        decoder.step(second, &limits).unwrap().event,
        Some(Event::Ping(&[b'p'; 100]))
    );
    decoder.release();
    assert!(decoder.buffered_bytes() < before);
    let mut last = frame(FIN, b"!");
    assert_eq!(
        decoder.step(&mut last, &limits).unwrap().event,
        Some(Event::Text("kept!"))
    );
}

#[test]
fn memory_follows_what_was_received() {
    let limits = DecoderLimits {
        max_message_bytes: 1 << 20,
    };
    let mut frame = frame(FIN | 2, &vec![0; 1 << 20]);
    for received in [1, 5, 13, 14, 24, 1000, 70_000, 600_000] {
        let mut decoder = Decoder::default();
        let mut held = 0;
        // In pieces, as reads give them: growth must not add up to more than double.
        for piece in frame[..received].chunks_mut(1460) {
            assert_eq!(decoder.step(piece, &limits).unwrap().event, None);
            held += piece.len();
            assert!(decoder.buffered_bytes() <= 2 * held + HELD_AT_REST);
        }
    }
    // Nearly complete, it takes no more than the message.
    let mut decoder = Decoder::default();
    let all_but_last = frame.len() - 1;
    for piece in frame[..all_but_last].chunks_mut(1460) {
        assert_eq!(decoder.step(piece, &limits).unwrap().event, None);
    }
    assert!(decoder.buffered_bytes() <= (1 << 20) + HELD_AT_REST);
}
