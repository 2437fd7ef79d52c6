//! What a connection publishes, built once and patched for each message.

use hubwire_proto::ws::Opcode;

use crate::frames;
use crate::stamp::{self, Stamp};

/// `ackId`s begin here, so that all of them have ten digits and the frame never changes its size.
const FIRST_ACK_ID: u64 = 1_000_000_000;
const ACK_ID_DIGITS: usize = 10;

/// A `sendToGroup` frame with holes for the stamp's time and the acknowledgement's id.
#[derive(Debug)]
pub(crate) struct Publication {
    frame: Vec<u8>,
    stamp_at: usize,
    ack: Option<Ack>,
}

#[derive(Debug)]
struct Ack {
    at: usize,
    id: u64,
}

impl Publication {
    /// Text of `size` bytes to `group`, without echo to the sender.
    pub(crate) fn new(group: &str, sender: u32, size: usize, ack: bool) -> Self {
        let group = serde_json::Value::from(group);
        let ack_id = if ack {
            format!(r#","ackId":{FIRST_ACK_ID}"#)
        } else {
            String::new()
        };
        let head = format!(
            r#"{{"type":"sendToGroup","group":{group},"noEcho":true{ack_id},"dataType":"text","data":""#
        );
        let text = stamp::text(size, Stamp { time: 0, sender });
        let message = format!(r#"{head}{text}"}}"#);
        let mut frame = Vec::new();
        frames::write(Opcode::Text, message.as_bytes(), &mut frame);
        let message_at = frame.len() - message.len();
        let ack = head.find(r#""ackId":"#).filter(|_| ack).map(|at| Ack {
            at: message_at + at + r#""ackId":"#.len(),
            id: FIRST_ACK_ID,
        });
        Self {
            stamp_at: message_at + head.len(),
            ack,
            frame,
        }
    }

    /// Appends the next message, stamped with `time`.
    #[inline]
    pub(crate) fn append(&mut self, time: u64, out: &mut Vec<u8>) {
        stamp::set_time(&mut self.frame[self.stamp_at..], time);
        if let Some(ack) = &mut self.ack {
            let mut rest = ack.id;
            for slot in self.frame[ack.at..ack.at + ACK_ID_DIGITS].iter_mut().rev() {
                *slot = b"0123456789"[(rest % 10) as usize];
                rest /= 10;
            }
            ack.id += 1;
        }
        out.extend_from_slice(&self.frame);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_message_is_whole_and_numbered() {
        for (size, ack) in [(26, true), (128, false), (128, true), (70_000, true)] {
            let mut publication = Publication::new("g\"7", 5, size, ack);
            let mut out = Vec::new();
            for (n, time) in [9, 1 << 40, 12].into_iter().enumerate() {
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
}
