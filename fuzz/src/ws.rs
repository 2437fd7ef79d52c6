//! Frames of a client.

use crate::{agreement, trace};

/// However the stream is cut, the events are the same, the decoder holds no more than it
/// received, and tungstenite understands the same.
///
/// The first byte chooses the limit on messages, the second how the rest is cut.
pub fn ws_decode(input: &[u8]) {
    let [limit, cut, stream @ ..] = input else {
        return;
    };
    let limit = usize::from(*limit) * 8;
    let cut = usize::from(*cut);
    let whole = trace::ours(stream, &[], limit);
    assert_eq!(trace::ours(stream, &[cut], limit), whole);
    assert_eq!(trace::ours(stream, &[1], limit), whole);
    agreement::check_agreement(stream, limit);
}
