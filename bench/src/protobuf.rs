//! The messages of `protobuf.webpubsub.azure.v1` and `protobuf.reliable.webpubsub.azure.v1`
//! (protocol notes: protobuf): the few fields that a load needs, over the wire format itself.
//!
//! Reading is lenient: a generator that measures servers is no judge of their encoding.

use std::borrow::Cow;

use crate::subprotocol::{AckHole, JOIN_ACK_ID, Notice, Template};

pub(crate) fn join_group(group: &str) -> Vec<u8> {
    let mut join = Vec::new();
    put_bytes(&mut join, 1, group.as_bytes());
    put_number(&mut join, 2, JOIN_ACK_ID);
    upstream(6, &join)
}

pub(crate) fn sequence_ack(sequence_id: u64) -> Vec<u8> {
    let mut ack = Vec::new();
    put_number(&mut ack, 1, sequence_id);
    upstream(8, &ack)
}

pub(crate) fn send_to_group(group: &str, text: &str, ack_id: Option<u64>) -> Template {
    let mut send = Vec::new();
    put_bytes(&mut send, 1, group.as_bytes());
    let ack_at = ack_id.map(|id| {
        put_number(&mut send, 2, id);
        send.len() - varint_len(id)
    });
    let mut data = Vec::new();
    put_bytes(&mut data, 1, text.as_bytes());
    put_bytes(&mut send, 3, &data);
    let text_at = send.len() - text.len();
    put_number(&mut send, 4, 1);
    let message = upstream(1, &send);
    let head = message.len() - send.len();
    Template {
        text_at: head + text_at,
        ack: ack_at.map(|at| AckHole::Varint(head + at)),
        message,
    }
}

#[inline]
pub(crate) fn sequence_id(message: &[u8]) -> Option<u64> {
    let data = bytes(message, DATA)?;
    number(data, DATA_SEQUENCE_ID)
}

pub(crate) fn notice(message: &[u8]) -> Option<Notice<'_>> {
    if let Some(ack) = bytes(message, ACK) {
        return Some(Notice::Ack(match number(ack, 2) {
            Some(1..) => Ok(()),
            _ => Err(bytes(ack, 3).map_or_else(
                || "no reason given".to_owned(),
                |error| format!("{}: {}", text(error, 1), text(error, 2)),
            )),
        }));
    }
    let system = bytes(message, SYSTEM)?;
    if let Some(connected) = bytes(system, 1) {
        return Some(Notice::Connected {
            connection_id: text(connected, 1),
            reconnection_token: text(connected, 3),
        });
    }
    Some(Notice::Disconnected(text(bytes(system, 2)?, 2)))
}

/// Fields of `DownstreamMessage`.
const ACK: u64 = 1;
const DATA: u64 = 2;
const SYSTEM: u64 = 3;
/// A field of `DataMessage`.
const DATA_SEQUENCE_ID: u64 = 4;

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, up to the first that makes no sense. The last one may be cut short:
/// what is read may be the first frame of several.
#[derive(Debug)]
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length.min(self.0.len()))?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for (nth, byte) in self.0.iter().enumerate().take(MAX_VARINT) {
            number |= u64::from(byte & 0x7F) << (7 * nth);
            if *byte < 0x80 {
                self.0 = &self.0[nth + 1..];
                return Some(number);
            }
        }
        None
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

const MAX_VARINT: usize = 10;

#[inline]
fn bytes(message: &[u8], wanted: u64) -> Option<&[u8]> {
    Fields(message).find_map(|(number, value)| match value {
        Value::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    })
}

#[inline]
fn number(message: &[u8], wanted: u64) -> Option<u64> {
    Fields(message).find_map(|(number, value)| match value {
        Value::Number(value) if number == wanted => Some(value),
        _ => None,
    })
}

fn text(message: &[u8], wanted: u64) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes(message, wanted).unwrap_or_default())
}

/// An `UpstreamMessage` with this field.
fn upstream(field: u64, message: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    put_bytes(&mut whole, field, message);
    whole
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

fn put_varint(out: &mut Vec<u8>, number: u64) {
    let at = out.len();
    out.resize(at + varint_len(number), 0);
    set_varint(&mut out[at..], number);
}

/// Fills `slot` with a number, which must need just as many bytes.
pub(crate) fn set_varint(slot: &mut [u8], mut number: u64) {
    let last = slot.len().saturating_sub(1);
    for (nth, byte) in slot.iter_mut().enumerate() {
        let more = if nth == last { 0 } else { 0x80 };
        *byte = (number & 0x7F) as u8 | more;
        number >>= 7;
    }
}

/// Bytes that a number takes.
pub(crate) const fn varint_len(number: u64) -> usize {
    ((number | 1).ilog2() / 7 + 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.split(' ')
            .map(|byte| u8::from_str_radix(byte, 16).expect("two digits"))
            .collect()
    }

    #[test]
    fn requests_are_those_of_the_notes() {
        assert_eq!(join_group("g"), hex("32 05 0A 01 67 10 01"));
        assert_eq!(sequence_ack(5), hex("42 02 08 05"));
        let send = send_to_group("g", "hi", Some(2));
        let expect = hex("0A 0D 0A 01 67 10 02 1A 04 0A 02 68 69 20 01");
        assert_eq!(send.message, expect);
        assert_eq!(&send.message[send.text_at..][..2], b"hi");
        assert!(matches!(send.ack, Some(AckHole::Varint(6))));
        let silent = send_to_group("g", "hi", None);
        assert_eq!(
            silent.message,
            hex("0A 0B 0A 01 67 1A 04 0A 02 68 69 20 01")
        );
        assert_eq!(&silent.message[silent.text_at..][..2], b"hi");
    }

    #[test]
    fn a_number_is_read_wherever_it_stands() {
        fn check(message: &str, expect: Option<u64>) {
            assert_eq!(sequence_id(&hex(message)), expect, "{message}");
        }
        check(
            "12 12 0A 05 67 72 6F 75 70 12 01 67 1A 04 0A 02 68 69 20 07",
            Some(7),
        );
        check(
            "12 13 20 AC 02 0A 05 67 72 6F 75 70 12 01 67 1A 04 0A 02 68 69",
            Some(300),
        );
        // The first frame of a longer message, and one that ends within the number.
        check("12 90 4E 20 07 1A 8A 4E 0A 87 4E 68", Some(7));
        check("12 05 20 FF", None);
        check("12 0F 0A 06 73 65 72 76 65 72 1A 05 12 03 01 02 03", None);
        check("0A 04 08 01 10 01", None);
        check("12 04 FF FF FF FF", None);
    }

    #[test]
    fn notices_are_told_apart() {
        fn check(message: &str, expect: &Option<Notice<'_>>) {
            assert_eq!(&notice(&hex(message)), expect, "{message}");
        }
        check("0A 04 08 01 10 01", &Some(Notice::Ack(Ok(()))));
        check(
            "0A 13 08 01 1A 0F 0A 09 46 6F 72 62 69 64 64 65 6E 12 02 6E 6F",
            &Some(Notice::Ack(Err("Forbidden: no".to_owned()))),
        );
        check(
            "1A 0E 0A 0C 0A 02 63 31 12 02 75 31 1A 02 74 31",
            &Some(Notice::Connected {
                connection_id: "c1".into(),
                reconnection_token: "t1".into(),
            }),
        );
        check(
            "1A 07 12 05 12 03 62 79 65",
            &Some(Notice::Disconnected("bye".into())),
        );
        check("22 00", &None);
        check("FF", &None);
    }

    #[test]
    fn numbers_of_any_size_come_back() {
        for number in [0, 1, 127, 128, 1_000_000_000, u64::MAX] {
            let mut message = Vec::new();
            put_number(&mut message, 4, number);
            assert_eq!(message.len(), 1 + varint_len(number));
            assert_eq!(super::number(&message, 4), Some(number));
        }
    }
}
