//! A message whose bytes arrive in pieces, and UTF-8 checked as they do.

use super::error::DecodeError;
use super::frame::MessageKind;

/// The part of a message that has arrived.
#[derive(Debug)]
pub(super) enum Assembly {
    Text(PartialText),
    Binary(Vec<u8>),
}

/// A message that has arrived completely.
#[derive(Debug)]
pub(super) enum Assembled {
    Text(String),
    Binary(Vec<u8>),
}

impl Assembly {
    pub(super) fn new(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text(PartialText::default()),
            MessageKind::Binary => Self::Binary(Vec::new()),
        }
    }

    /// Bytes of payload so far.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(partial) => partial.text.len() + partial.tail_len,
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Bytes of heap held.
    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Text(partial) => partial.text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Appends bytes. `still_to_come` is how much of the message follows them, where the sender
    /// has said so: the buffer then never grows past the whole message.
    ///
    /// # Errors
    /// [`DecodeError::InvalidUtf8`] at the first byte that no UTF-8 text can have there.
    pub(super) fn append(
        &mut self,
        bytes: &[u8],
        still_to_come: Option<usize>,
    ) -> Result<(), DecodeError> {
        let more = bytes.len();
        let total = still_to_come.map(|rest| self.len() + more + rest);
        match self {
            Self::Text(partial) => {
                let (len, capacity) = (partial.text.len(), partial.text.capacity());
                let needed = len + partial.tail_len + more;
                if needed > capacity {
                    partial
                        .text
                        .reserve_exact(grown(capacity, needed, total) - len);
                }
                partial.append(bytes)
            }
            Self::Binary(buffer) => {
                let (len, capacity) = (buffer.len(), buffer.capacity());
                if len + more > capacity {
                    buffer.reserve_exact(grown(capacity, len + more, total) - len);
                }
                buffer.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The message, all of whose bytes are there.
    ///
    /// # Errors
    /// [`DecodeError::InvalidUtf8`] if a text ends inside a character.
    pub(super) fn finish(self) -> Result<Assembled, DecodeError> {
        match self {
            Self::Text(partial) if partial.tail_len > 0 => Err(DecodeError::InvalidUtf8),
            Self::Text(partial) => Ok(Assembled::Text(partial.text)),
            Self::Binary(bytes) => Ok(Assembled::Binary(bytes)),
        }
    }
}

impl Assembled {
    /// Bytes of heap held.
    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }
}

/// The start of a text: whole characters, then the bytes of one that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct PartialText {
    text: String,
    tail: [u8; 4],
    tail_len: usize,
}

impl PartialText {
    fn append(&mut self, mut bytes: &[u8]) -> Result<(), DecodeError> {
        while self.tail_len > 0 {
            let Some((&next, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            self.tail[self.tail_len] = next;
            self.tail_len += 1;
            match str::from_utf8(&self.tail[..self.tail_len]) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.tail_len = 0;
                }
                // Without a length, the only thing wrong is that the character is incomplete. A
                // fourth byte always decides, so the tail never overflows.
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(DecodeError::InvalidUtf8),
            }
        }
        match simdutf8::compat::from_utf8(bytes) {
            Ok(text) => self.text.push_str(text),
            Err(error) if error.error_len().is_some() => return Err(DecodeError::InvalidUtf8),
            Err(error) => {
                let (whole, tail) = bytes.split_at(error.valid_up_to());
                let whole = str::from_utf8(whole).map_err(|_| DecodeError::InvalidUtf8)?;
                self.text.push_str(whole);
                self.tail[..tail.len()].copy_from_slice(tail);
                self.tail_len = tail.len();
            }
        }
        Ok(())
    }
}

/// The new capacity of a full buffer: twice the old one, so that appending stays linear and memory
/// follows what was received, but no more than the `total` that will ever be needed.
fn grown(capacity: usize, needed: usize, total: Option<usize>) -> usize {
    let doubled = needed.max(capacity.saturating_mul(2));
    total.map_or(doubled, |total| doubled.min(total))
}
