//! The stamp that a published text begins with: when it was due, and who sent it.
//!
//! `^~`, sixteen hexadecimal digits of nanoseconds, eight of the sender; padding follows. All of it
//! is plain ASCII that JSON does not escape, so the stamp crosses any envelope unchanged and is
//! found by a plain search.

use memchr::memmem::Finder;

const MARK: &[u8] = b"^~";
const TIME_DIGITS: usize = 16;
const SENDER_DIGITS: usize = 8;

/// Bytes of a stamp, and so the smallest payload.
pub(crate) const SIZE: usize = MARK.len() + TIME_DIGITS + SENDER_DIGITS;

/// When and by whom a message was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds on the run's clock: the due time at a fixed rate, else the time of sending.
    pub(crate) time: u64,
    /// Index of the sending connection.
    pub(crate) sender: u32,
}

/// Searches messages for stamps.
#[derive(Debug)]
pub(crate) struct StampFinder(Finder<'static>);

impl StampFinder {
    pub(crate) fn new() -> Self {
        Self(Finder::new(MARK))
    }

    /// The stamp in a message, or `None` if it carries none.
    #[inline]
    pub(crate) fn find(&self, message: &[u8]) -> Option<Stamp> {
        let at = self.0.find(message)? + MARK.len();
        let digits = message.get(at..at + TIME_DIGITS + SENDER_DIGITS)?;
        let (time, sender) = digits.split_at(TIME_DIGITS);
        Some(Stamp {
            time: unhex(time)?,
            sender: u32::try_from(unhex(sender)?).ok()?,
        })
    }
}

/// A text of `size` bytes (at least [`SIZE`]) with a stamp at its start.
pub(crate) fn text(size: usize, stamp: Stamp) -> String {
    let mut text = format!("^~{:016x}{:08x}", stamp.time, stamp.sender);
    text.extend(std::iter::repeat_n('x', size.saturating_sub(SIZE)));
    text
}

/// Writes another time into the stamp that begins at `stamp`.
#[inline]
pub(crate) fn set_time(stamp: &mut [u8], time: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let slots = stamp.iter_mut().skip(MARK.len()).take(TIME_DIGITS);
    for (slot, place) in slots.zip((0..TIME_DIGITS).rev()) {
        *slot = DIGITS[((time >> (4 * place)) & 0xF) as usize];
    }
}

#[inline]
fn unhex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_in_any_envelope() {
        let finder = StampFinder::new();
        for time in [0, 1, 1_234_567_890_123, u64::MAX] {
            let stamp = Stamp { time, sender: 4711 };
            let mut text = text(
                128,
                Stamp {
                    time: 7,
                    sender: 4711,
                },
            )
            .into_bytes();
            assert_eq!(text.len(), 128);
            set_time(&mut text, time);
            for (head, tail) in [("", ""), (r#"{"data":"#, "}"), ("^", "^~")] {
                let message = [head.as_bytes(), &text, tail.as_bytes()].concat();
                assert_eq!(finder.find(&message), Some(stamp), "{head}");
            }
        }
    }

    #[test]
    fn what_is_no_stamp_is_not_found() {
        let finder = StampFinder::new();
        for message in [
            "",
            "^~",
            "^~0123",
            r#"{"type":"ack","ackId":1,"success":true}"#,
            "^~000000000000000g00000000",
        ] {
            assert_eq!(finder.find(message.as_bytes()), None, "{message}");
        }
    }

    #[test]
    fn the_smallest_text_is_the_stamp_alone() {
        assert_eq!(text(0, Stamp { time: 1, sender: 2 }).len(), SIZE);
    }
}
