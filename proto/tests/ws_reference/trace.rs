//! What a byte stream means to our decoder, and the contract that every step keeps.
//!
//! Shared by the tests and the fuzz target.

use hubwire_proto::ws::{DecodeError, Decoder, DecoderLimits, Event};

/// An event that owns what it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// How reading a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End<E> {
    /// The bytes ran out.
    Waiting,
    /// The client closed.
    Closed,
    /// The client broke a rule.
    Failed(E),
}

/// Everything a stream gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace<E> {
    pub(crate) seen: Vec<Seen>,
    pub(crate) end: End<E>,
}

/// The fixed part of what a decoder may hold: its box, and the payload of a control frame.
pub(crate) const HELD_AT_REST: usize = 512;

/// Decodes `stream`, given in pieces of the `cuts`' lengths (the last one repeats; none: whole).
///
/// Panics if a step breaks its contract, or the decoder holds more than was received.
pub(crate) fn ours(stream: &[u8], cuts: &[usize], limit: usize) -> Trace<DecodeError> {
    let limits = DecoderLimits {
        max_message_bytes: limit,
    };
    let mut decoder = Decoder::default();
    let mut trace = Trace {
        seen: Vec::new(),
        end: End::Waiting,
    };
    let mut rest = stream;
    let mut cuts = cuts.iter().copied();
    let mut cut = stream.len();
    while !rest.is_empty() {
        cut = cuts.next().unwrap_or(cut).clamp(1, rest.len());
        let (piece, later) = rest.split_at(cut);
        rest = later;
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            let left = piece.len() - at;
            let step = match decoder.step(&mut piece[at..], &limits) {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(
                        decoder.step(&mut [], &limits),
                        Err(error),
                        "an error is final"
                    );
                    assert_eq!(decoder.buffered_bytes(), 0, "a spent decoder holds nothing");
                    trace.end = End::Failed(error);
                    return trace;
                }
            };
            assert!(step.consumed <= left, "consumed more than there was");
            assert!(step.consumed > 0, "no progress");
            at += step.consumed;
            match step.event {
                Some(event) => {
                    trace.seen.push(own(event));
                    if trace.end == End::Waiting && matches!(event, Event::Close(_)) {
                        trace.end = End::Closed;
                    }
                }
                None => assert_eq!(step.consumed, left, "stopped without an event"),
            }
        }
        decoder.release();
        let received = stream.len() - rest.len();
        assert!(
            decoder.buffered_bytes() <= 2 * received + HELD_AT_REST,
            "holds too much"
        );
        assert!(
            decoder.buffered_bytes() <= 2 * limit + HELD_AT_REST,
            "holds more than a message"
        );
    }
    trace
}

fn own(event: Event<'_>) -> Seen {
    match event {
        Event::Text(text) => Seen::Text(text.to_owned()),
        Event::Binary(bytes) => Seen::Binary(bytes.to_vec()),
        Event::Ping(bytes) => Seen::Ping(bytes.to_vec()),
        Event::Pong(bytes) => Seen::Pong(bytes.to_vec()),
        Event::Close(frame) => {
            Seen::Close(frame.map(|frame| (frame.code.get(), frame.reason.to_owned())))
        }
    }
}
