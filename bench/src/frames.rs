//! What this generator adds to the framing of [`hubwire_proto::ws::client`]: its bounds, its mask.

use hubwire_proto::ws::Opcode;
use hubwire_proto::ws::client::encode_masked;

/// The largest frame that is read, in bytes of payload. A server's own limit on messages is far
/// below it.
pub(crate) const MAX_PAYLOAD: usize = 16 << 20;

/// Appends a whole client frame.
///
/// The masking key is zero. RFC 6455 §5.3 asks for an unpredictable key to protect intermediaries
/// from a page's script, which does not exist here; the server unmasks all the same, and a
/// prepared frame can be patched in place.
pub(crate) fn write(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    encode_masked(opcode, payload, [0; 4], out);
}
