//! Properties of the WebSocket decoder over random streams: how a stream is cut changes nothing,
//! and tungstenite understands the same.

#[path = "ws_reference/agreement.rs"]
mod agreement;
#[path = "ws_reference/trace.rs"]
mod trace;

use hubwire_proto::ws::Opcode;
use hubwire_proto::ws::client::encode_masked;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::{prop_assert_eq, proptest};

use agreement::{check_agreement, theirs};
use trace::{End, ours};

/// Small enough that random messages come near it and cross it.
const LIMIT: usize = 700;

/// A frame of a client, some of which no client may send.
#[derive(Debug, Clone)]
struct Frame {
    first: u8,
    payload: Vec<u8>,
    mask: [u8; 4],
}

impl Frame {
    fn new(opcode: Opcode, fin: bool, payload: Vec<u8>) -> Self {
        let first = opcode.bits() | if fin { 0x80 } else { 0 };
        Self {
            first,
            payload,
            mask: [0x37, 0xFA, 0x21, 0x3D],
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        encode_masked(Opcode::Binary, &self.payload, self.mask, out);
        out[at] = self.first;
    }
}

fn control() -> impl Strategy<Value = Frame> {
    (
        select(vec![Opcode::Ping, Opcode::Pong]),
        vec(any::<u8>(), 0..=125),
    )
        .prop_map(|(opcode, payload)| Frame::new(opcode, true, payload))
}

fn close() -> impl Strategy<Value = Frame> {
    let code = prop_oneof![4 => select(vec![1000_u16, 1001, 1011, 1013, 1014, 3000, 4999]), 1 => 990..5010_u16];
    let body = (code, "\\PC{0,30}").prop_map(|(code, reason)| {
        let mut body = code.to_be_bytes().to_vec();
        body.extend_from_slice(reason.as_bytes());
        body
    });
    prop_oneof![Just(Vec::new()), body].prop_map(|body| Frame::new(Opcode::Close, true, body))
}

/// The frames of one message, cut anywhere (in text: also inside characters), with control frames
/// in between.
fn message() -> impl Strategy<Value = Vec<Frame>> {
    let text = prop_oneof!["\\PC{0,90}", "[a-z]{0,300}", "[🦀é]{0,40}"]
        .prop_map(|text: String| (Opcode::Text, text.into_bytes()));
    let binary = vec(any::<u8>(), 0..400).prop_map(|bytes| (Opcode::Binary, bytes));
    let cuts = vec((any::<Index>(), vec(control(), 0..2)), 0..4);
    (prop_oneof![text, binary], cuts, any::<[u8; 4]>()).prop_map(|((opcode, bytes), cuts, mask)| {
        let mut cuts: Vec<_> = cuts
            .into_iter()
            .map(|(at, controls)| (at.index(bytes.len() + 1), controls))
            .collect();
        cuts.sort_by_key(|(at, _)| *at);
        let mut frames = Vec::new();
        let (mut start, mut opcode) = (0, opcode);
        for (at, controls) in cuts {
            frames.push(Frame {
                mask,
                ..Frame::new(opcode, false, bytes[start..at].to_vec())
            });
            frames.extend(controls);
            (start, opcode) = (at, Opcode::Continuation);
        }
        frames.push(Frame {
            mask,
            ..Frame::new(opcode, true, bytes[start..].to_vec())
        });
        frames
    })
}

fn valid_stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![4 => message(), 1 => control().prop_map(|frame| vec![frame])];
    (vec(part, 0..6), proptest::option::of(close())).prop_map(|(parts, close)| {
        let mut out = Vec::new();
        parts
            .iter()
            .flatten()
            .chain(&close)
            .for_each(|frame| frame.encode(&mut out));
        out
    })
}

/// Frames in no sensible order, and streams that were damaged on the way.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let frame = (any::<u8>(), vec(any::<u8>(), 0..300), any::<[u8; 4]>()).prop_map(
        |(first, payload, mask)| Frame {
            first: first & 0x8F,
            payload,
            mask,
        },
    );
    let frames = vec(prop_oneof![frame, control(), close()], 0..6).prop_map(|frames| {
        let mut out = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut out));
        out
    });
    let damage = vec((any::<Index>(), any::<u8>()), 1..4);
    let damaged = (valid_stream(), damage).prop_map(|(mut stream, damage)| {
        for (at, byte) in damage {
            if !stream.is_empty() {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
        }
        stream
    });
    prop_oneof![valid_stream(), damaged, frames, vec(any::<u8>(), 0..40)]
}

/// Lengths of pieces: single bytes, few, many.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        vec(1..8_usize, 1..60),
        vec(1..400_usize, 1..20)
    ]
}

proptest! {
    #[test]
    fn how_the_stream_is_cut_changes_nothing(stream in any_stream(), cuts in cuts()) {
        prop_assert_eq!(ours(&stream, &cuts, LIMIT), ours(&stream, &[], LIMIT));
    }

    #[test]
    fn tungstenite_agrees_on_any_stream(stream in any_stream()) {
        check_agreement(&stream, LIMIT);
    }

    #[test]
    fn tungstenite_agrees_on_messages_without_a_violation(frames in vec(message(), 1..6)) {
        let mut stream = Vec::new();
        frames.iter().flatten().for_each(|frame| frame.encode(&mut stream));
        let (ours, theirs) = (ours(&stream, &[], usize::MAX / 4), theirs(&stream, usize::MAX));
        prop_assert_eq!(ours.end, End::Waiting);
        prop_assert_eq!(theirs.end, End::Waiting);
        prop_assert_eq!(ours.seen, theirs.seen);
    }
}
