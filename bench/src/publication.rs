//! What a connection publishes, built once and patched for each message.

use crate::frames;
use crate::protobuf;
use crate::stamp::{self, Stamp};
use crate::subprotocol::{AckHole, Subprotocol};

/// `ackId`s begin here, so that all of them have ten digits, or five bytes as a varint, and the
/// frame never changes its size.
const FIRST_ACK_ID: u64 = 1_000_000_000;
const ACK_ID_DIGITS: usize = 10;
const ACK_ID_VARINT: usize = protobuf::varint_len(FIRST_ACK_ID);

/// A `sendToGroup` frame with holes for the stamp's time and the acknowledgement's id.
#[derive(Debug)]
pub(crate) struct Publication {
    frame: Vec<u8>,
    stamp_at: usize,
    ack: Option<AckHole>,
    next_ack_id: u64,
}

impl Publication {
    /// Text of `size` bytes to `group`, without echo to the sender.
    pub(crate) fn new(
        subprotocol: Subprotocol,
        group: &str,
        sender: u32,
        size: usize,
        ack: bool,
    ) -> Self {
        let text = stamp::text(size, Stamp { time: 0, sender });
        let template = subprotocol.send_to_group(group, &text, ack.then_some(FIRST_ACK_ID));
        let mut frame = Vec::new();
        frames::write(subprotocol.opcode(), &template.message, &mut frame);
        let message_at = frame.len() - template.message.len();
        Self {
            stamp_at: message_at + template.text_at,
            ack: template.ack.map(|hole| match hole {
                AckHole::Digits(at) => AckHole::Digits(message_at + at),
                AckHole::Varint(at) => AckHole::Varint(message_at + at),
            }),
            next_ack_id: FIRST_ACK_ID,
            frame,
        }
    }

    /// Appends the next message, stamped with `time`.
    #[inline]
    pub(crate) fn append(&mut self, time: u64, out: &mut Vec<u8>) {
        stamp::set_time(&mut self.frame[self.stamp_at..], time);
        match self.ack {
            Some(AckHole::Digits(at)) => {
                set_digits(&mut self.frame[at..at + ACK_ID_DIGITS], self.next_ack_id);
            }
            Some(AckHole::Varint(at)) => {
                protobuf::set_varint(&mut self.frame[at..at + ACK_ID_VARINT], self.next_ack_id);
            }
            None => {}
        }
        self.next_ack_id += 1;
        out.extend_from_slice(&self.frame);
    }
}

fn set_digits(slots: &mut [u8], mut number: u64) {
    for slot in slots.iter_mut().rev() {
        *slot = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const STAMPS: [u64; 3] = [9, 1 << 40, 12];

    #[test]
    fn each_message_is_whole_and_numbered() {
        for (size, ack) in [(26, true), (128, false), (128, true), (70_000, true)] {
            let mut publication = Publication::new(Subprotocol::Json, "g\"7", 5, size, ack);
            let mut out = Vec::new();
            for (n, time) in STAMPS.into_iter().enumerate() {
                out.clear();
                publication.append(time, &mut out);
                let json_at = out
                    .iter()
                    .position(|byte| *byte == b'{')
                    .expect("an object");
                let message: Value = serde_json::from_slice(&out[json_at..]).expect("json");
                let mut expect = json!({
                    "type": "sendToGroup", "group": "g\"7", "noEcho": true, "dataType": "text",
                    "data": stamp::text(size, Stamp { time, sender: 5 }),
                });
                if ack {
                    expect["ackId"] = json!(FIRST_ACK_ID + n as u64);
                }
                assert_eq!(message, expect);
            }
        }
    }

    #[test]
    fn each_protobuf_message_is_what_would_be_written_anew() {
        for (size, ack) in [(26, true), (128, false), (128, true), (70_000, true)] {
            let subprotocol = Subprotocol::ProtobufReliable;
            let mut publication = Publication::new(subprotocol, "g7", 5, size, ack);
            for (id, time) in (FIRST_ACK_ID..).zip(STAMPS) {
                let text = stamp::text(size, Stamp { time, sender: 5 });
                let message = protobuf::send_to_group("g7", &text, ack.then_some(id)).message;
                let mut expect = Vec::new();
                frames::write(subprotocol.opcode(), &message, &mut expect);
                let mut out = Vec::new();
                publication.append(time, &mut out);
                assert_eq!(out, expect, "{size} {ack} {id}");
            }
        }
    }
}
