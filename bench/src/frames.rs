//! WebSocket framing from the client's side: reading a server's frames, writing our own.
//!
//! Pure: bytes in, values out. What a frame means is decided in [`crate::client`].

use thiserror::Error;

/// The largest frame that is read. A server's own limit on messages is far below it.
const MAX_PAYLOAD: u64 = 16 << 20;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// One frame of a server (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The last fragment of its message.
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes of the input that the frame takes, header included.
    pub(crate) size: usize,
}

/// Why bytes are no frame that a server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    #[error("a server must not mask its frames")]
    Masked,
    #[error("a frame of {0} bytes is beyond the bound of {MAX_PAYLOAD}")]
    TooLong(u64),
    #[error("a reserved bit is set, though no extension was negotiated")]
    ReservedBit,
}

/// The frame at the start of `bytes`, or `None` while part of it is missing.
#[inline]
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(FrameError::ReservedBit);
    }
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let (header, length) = match second & 0x7F {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        length => (2, u64::from(length)),
    };
    if length > MAX_PAYLOAD {
        return Err(FrameError::TooLong(length));
    }
    let length = usize::try_from(length).map_err(|_| FrameError::TooLong(length))?;
    let size = header + length;
    Ok(bytes.get(header..size).map(|payload| Frame {
        fin: first & 0x80 != 0,
        opcode: first & 0x0F,
        payload,
        size,
    }))
}

/// Appends a whole client frame.
///
/// The masking key is zero. RFC 6455 §5.3 asks for an unpredictable key to protect intermediaries
/// from a page's script, which does not exist here; the server unmasks all the same, and the
/// generator need not mask what it sends.
pub(crate) fn write(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's frame: a client's without the mask.
    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(opcode, payload, &mut bytes);
        let key = bytes.len() - payload.len() - 4;
        bytes.drain(key..key + 4);
        bytes[1] &= 0x7F;
        bytes
    }

    #[test]
    fn a_frame_is_read_only_when_it_is_whole() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; length];
            let bytes = server_frame(TEXT, &payload);
            let expect = Frame {
                fin: true,
                opcode: TEXT,
                payload: &payload,
                size: bytes.len(),
            };
            assert_eq!(read(&bytes), Ok(Some(expect)), "{length}");
            for cut in (0..bytes.len()).step_by(1 + length / 50) {
                assert_eq!(read(&bytes[..cut]), Ok(None), "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        fn check(bytes: &[u8], expect: FrameError) {
            assert_eq!(read(bytes), Err(expect), "{bytes:x?}");
        }
        check(&[0x81, 0x85], FrameError::Masked);
        check(&[0xC1, 0x05], FrameError::ReservedBit);
        check(
            &[0x82, 127, 0, 0, 0, 0, 1, 0, 0, 1],
            FrameError::TooLong(MAX_PAYLOAD + 1),
        );
        check(
            &[0x82, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0],
            FrameError::TooLong(0xFF << 56),
        );
    }
}
