//! WebSocket framing from the client's side: a server's frames whole and checked, and our own.
//!
//! Pure: bytes in, values out. What a frame means is decided in [`crate::client`].

use hubwire_proto::ws::Opcode;
use hubwire_proto::ws::client::{encode_masked, parse_server_frame_header};
use thiserror::Error;

/// The largest frame that is read. A server's own limit on messages is far below it.
const MAX_PAYLOAD: u64 = 16 << 20;

/// One frame of a server (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The last fragment of its message.
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
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
    #[error("the opcode {0:#x} is reserved")]
    Opcode(u8),
}

/// The frame at the start of `bytes`, or `None` while part of it is missing.
#[inline]
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    if let [first, second, ..] = bytes {
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBit);
        }
        if second & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
    }
    let Some(header) = parse_server_frame_header(bytes) else {
        return Ok(None);
    };
    let opcode = Opcode::from_bits(header.opcode).ok_or(FrameError::Opcode(header.opcode))?;
    let too_long = FrameError::TooLong(header.payload_len);
    if header.payload_len > MAX_PAYLOAD {
        return Err(too_long);
    }
    let size = header.header_len + usize::try_from(header.payload_len).map_err(|_| too_long)?;
    Ok(bytes.get(header.header_len..size).map(|payload| Frame {
        fin: header.fin,
        opcode,
        payload,
        size,
    }))
}

/// Appends a whole client frame.
///
/// The masking key is zero. RFC 6455 §5.3 asks for an unpredictable key to protect intermediaries
/// from a page's script, which does not exist here; the server unmasks all the same, and a
/// prepared frame can be patched in place.
pub(crate) fn write(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    encode_masked(opcode, payload, [0; 4], out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's frame: a client's without the mask.
    fn server_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
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
            let bytes = server_frame(Opcode::Text, &payload);
            let expect = Frame {
                fin: true,
                opcode: Opcode::Text,
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
        check(&[0x83, 0x00], FrameError::Opcode(3));
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
