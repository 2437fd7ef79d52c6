//! Sequence ids of the reliable protocols, put in front of messages that many receivers share
//! (protocol notes: sequence ids).
//!
//! A message is encoded and framed once, without a number. What a numbered copy has in front of it
//! instead, the *head*, is short and different for every receiver; the *tail* is the rest of the
//! shared frames, byte for byte. So one encoding serves numbered and unnumbered receivers alike.

use crate::ws::{self, MAX_FRAME_PAYLOAD, MessageKind, Opcode};

/// The most bytes of a [`Head`]: two frame headers, and the longest number with its name.
const HEAD_BYTES: usize = 64;

/// How a message carries its sequence id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// As the first member of the object.
    Json,
    /// As the first field of the `DataMessage` inside.
    ProtobufData,
    /// As the first field of the group state message inside.
    ProtobufGroupState,
}

/// A message that can be sent with a number, as far as a head depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unnumbered {
    numbering: Numbering,
    payload_len: usize,
    /// Bytes at the beginning of the payload that a head replaces.
    replaced: usize,
    /// The first of them.
    first: u8,
}

impl Unnumbered {
    /// The unnumbered message `payload`, which must have the form that `numbering` is about: an
    /// object with a member, or a field of bytes that is the whole message. `None` if it has not.
    #[must_use]
    pub fn new(payload: &[u8], numbering: Numbering) -> Option<Self> {
        let first = *payload.first()?;
        let replaced = match numbering {
            Numbering::Json => 1,
            Numbering::ProtobufData | Numbering::ProtobufGroupState => {
                let length = payload.iter().skip(1).take_while(|byte| **byte >= 0x80);
                2 + length.count()
            }
        };
        (payload.len() > replaced).then_some(Self {
            numbering,
            payload_len: payload.len(),
            replaced,
            first,
        })
    }

    /// How the message would carry a number.
    #[must_use]
    pub fn numbering(&self) -> Numbering {
        self.numbering
    }

    /// How many bytes at the beginning of the message's frames are not part of the tail.
    #[must_use]
    pub fn tail_offset(&self) -> usize {
        ws::header_len(self.payload_len.min(MAX_FRAME_PAYLOAD)) + self.replaced
    }

    /// What goes in front of the tail to make it the message with `sequence_id`.
    #[must_use]
    pub fn head(&self, sequence_id: u64) -> Head {
        let mut number = Head::default();
        let content_len = self.payload_len - self.replaced;
        let kind = match self.numbering {
            Numbering::Json => {
                number.push(b"{\"sequenceId\":");
                number.push_decimal(sequence_id);
                number.push(b",");
                MessageKind::Text
            }
            Numbering::ProtobufData => {
                self.push_protobuf(&mut number, 4, sequence_id);
                MessageKind::Binary
            }
            Numbering::ProtobufGroupState => {
                self.push_protobuf(&mut number, 3, sequence_id);
                MessageKind::Binary
            }
        };
        let mut head = Head::default();
        let opcode = Opcode::from(kind);
        if number.len + content_len <= MAX_FRAME_PAYLOAD {
            head.push_header(opcode, true, number.len + content_len);
            head.push(number.bytes());
        } else {
            // The number is a fragment of its own, so that the others may stay as they are.
            let next = self.payload_len.min(MAX_FRAME_PAYLOAD) - self.replaced;
            head.push_header(opcode, false, number.len);
            head.push(number.bytes());
            head.push_header(
                Opcode::Continuation,
                self.payload_len <= MAX_FRAME_PAYLOAD,
                next,
            );
        }
        head
    }

    /// The outer tag and the new length, then the sequence id in `field` of the inner message.
    fn push_protobuf(&self, number: &mut Head, field: u8, sequence_id: u64) {
        let mut inner = Head::default();
        inner.push(&[field << 3]);
        inner.push_varint(sequence_id);
        let content_len = self.payload_len - self.replaced;
        number.push(&[self.first]);
        number.push_varint((inner.len + content_len) as u64);
        number.push(inner.bytes());
    }
}

/// The beginning of a numbered message.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; HEAD_BYTES],
    len: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            bytes: [0; HEAD_BYTES],
            len: 0,
        }
    }
}

impl Head {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    fn push_header(&mut self, opcode: Opcode, fin: bool, payload_len: usize) {
        let (header, len) = ws::header(opcode, fin, payload_len);
        self.push(&header[..len]);
    }

    fn push_decimal(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number).as_bytes());
    }

    fn push_varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push(&[number.to_le_bytes()[0] | 0x80]);
            number >>= 7;
        }
        self.push(&[number.to_le_bytes()[0]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::message::DataType;
    use crate::protobuf::{self, JsonField};
    use crate::ws::client::read_frame;

    /// The frames of the numbered copy, each with its payload, opcode and whether it is the last.
    fn frames(
        payload: &[u8],
        numbering: Numbering,
        sequence_id: u64,
    ) -> Vec<(Opcode, bool, Vec<u8>)> {
        let kind = match numbering {
            Numbering::Json => MessageKind::Text,
            Numbering::ProtobufData | Numbering::ProtobufGroupState => MessageKind::Binary,
        };
        let mut shared = Vec::new();
        ws::encode_message(kind, payload, &mut shared);
        let unnumbered = Unnumbered::new(payload, numbering).unwrap();
        let mut rest = unnumbered.head(sequence_id).bytes().to_vec();
        rest.extend_from_slice(&shared[unnumbered.tail_offset()..]);
        let mut frames = Vec::new();
        while let Some(frame) = read_frame(&rest, MAX_FRAME_PAYLOAD).unwrap() {
            frames.push((frame.opcode, frame.fin, frame.payload.to_vec()));
            rest.drain(..frame.size);
        }
        assert!(
            rest.is_empty(),
            "{} bytes behind the last frame",
            rest.len()
        );
        frames
    }

    /// The numbered message, its frames checked.
    fn numbered(payload: &[u8], numbering: Numbering, sequence_id: u64) -> Vec<u8> {
        let frames = frames(payload, numbering, sequence_id);
        for (place, (opcode, fin, _)) in frames.iter().enumerate() {
            assert_eq!(*opcode == Opcode::Continuation, place > 0);
            assert_eq!(*fin, place + 1 == frames.len());
        }
        frames
            .into_iter()
            .flat_map(|(_, _, payload)| payload)
            .collect()
    }

    /// The number at the beginning of `bytes`, and how many bytes it takes.
    fn varint(bytes: &[u8]) -> (usize, usize) {
        let len = 1 + bytes.iter().take_while(|byte| **byte >= 0x80).count();
        let digits = bytes[..len].iter().rev();
        (
            digits.fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7F)),
            len,
        )
    }

    #[test]
    fn json_messages_of_every_size_get_their_number_in_front() {
        let check = |text_len: usize, sequence_id: u64| {
            let mut payload = Vec::new();
            let text = "x".repeat(text_len);
            json::server_message(&mut payload, DataType::Text, text.as_bytes());
            let mut expect = format!("{{\"sequenceId\":{sequence_id},").into_bytes();
            expect.extend_from_slice(&payload[1..]);
            assert_eq!(numbered(&payload, Numbering::Json, sequence_id), expect);
        };
        for sequence_id in [0, 1, 9, 10, 1 << 53, u64::MAX] {
            check(0, sequence_id);
        }
        let envelope = 58;
        for around in [125, MAX_FRAME_PAYLOAD, 2 * MAX_FRAME_PAYLOAD] {
            for text_len in around - envelope - 40..around {
                check(text_len, 7);
            }
        }
    }

    #[test]
    fn protobuf_messages_get_their_number_in_the_inner_message() {
        let check = |payload: &[u8], numbering, sequence_id, expect: &[u8]| {
            assert_eq!(numbered(payload, numbering, sequence_id), expect);
        };
        let data = Numbering::ProtobufData;
        check(b"\x12\x02\x08\x01", data, 7, b"\x12\x04\x20\x07\x08\x01");
        let state = Numbering::ProtobufGroupState;
        check(
            b"\x4A\x02\x08\x01",
            state,
            300,
            b"\x4A\x05\x18\xAC\x02\x08\x01",
        );
        let mut payload = Vec::new();
        for len in [
            100,
            128,
            16_384,
            MAX_FRAME_PAYLOAD - 8,
            MAX_FRAME_PAYLOAD,
            200_000,
        ] {
            payload.clear();
            let text = "x".repeat(len);
            let json = JsonField::default();
            protobuf::server_message(&mut payload, DataType::Text, text.as_bytes(), json, None);
            let whole = numbered(&payload, Numbering::ProtobufData, u64::MAX);
            let (length, length_bytes) = varint(&whole[1..]);
            assert_eq!(whole.len(), 1 + length_bytes + length);
            assert!(whole.ends_with(text.as_bytes()));
        }
    }

    #[test]
    fn what_has_nothing_to_number_is_refused() {
        for payload in [&b""[..], b"{", b"\x12", b"\x12\x00"] {
            assert_eq!(Unnumbered::new(payload, Numbering::ProtobufData), None);
        }
        assert_eq!(Unnumbered::new(b"{", Numbering::Json), None);
    }
}
