//! Continuation tokens: where the next page of a list begins, sealed against change and against
//! use for another list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubwire_core::id::{ConnectionId, ConnectionIdText};
use hubwire_proto::token::AccessKey;

/// The longest token that is looked at.
const MAX_LEN: usize = 2048;

/// Seals and opens continuation tokens, with a key that is for nothing else.
pub(super) struct CursorKey(AccessKey);

impl CursorKey {
    pub(super) fn new(key: AccessKey) -> Self {
        Self(key)
    }

    /// The token of a page that ended with `last`.
    pub(super) fn seal(&self, hub: &str, group: &str, last: ConnectionIdText) -> String {
        let mut token = last.as_str().as_bytes().to_vec();
        let tag = self.0.sign(&sealed(hub, group, &token));
        token.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Where the next page begins; `None` if this server did not give the token out for this list.
    pub(super) fn open(&self, hub: &str, group: &str, token: &str) -> Option<ConnectionIdText> {
        if token.len() > MAX_LEN {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (last, tag) = token.split_at_checked(ConnectionId::TEXT_LENGTH)?;
        if !self.0.has_signed(&sealed(hub, group, last), tag) {
            return None;
        }
        Some(ConnectionId::parse(str::from_utf8(last).ok()?)?.text())
    }
}

/// What a tag is for. A hub has no zero byte and an id has one length, so no two lists share it.
fn sealed(hub: &str, group: &str, last: &[u8]) -> Vec<u8> {
    [hub.as_bytes(), b"\0", group.as_bytes(), b"\0", last].concat()
}

#[cfg(test)]
mod tests {
    use hubwire_core::id::{NodeId, ShardId, Slot};

    use super::*;

    #[test]
    fn a_token_opens_for_its_own_list_only() {
        let key = |text: &str| CursorKey::new(AccessKey::new(text).unwrap());
        let last = ConnectionId::new([7; 16], NodeId(0), ShardId(1), Slot(2)).text();
        let token = key("k").seal("chat", "room", last);
        assert_eq!(key("k").open("chat", "room", &token), Some(last));
        assert_eq!(key("k").open("chat", "room2", &token), None);
        assert_eq!(key("k").open("chat2", "room", &token), None);
        assert_eq!(key("other").open("chat", "room", &token), None);
        let mut altered = token.clone().into_bytes();
        altered[3] ^= 1;
        let altered = String::from_utf8(altered).unwrap();
        for wrong in ["", "a", "AAAA", &altered, &token[1..], &"A".repeat(4096)] {
            assert_eq!(key("k").open("chat", "room", wrong), None, "{wrong}");
        }
    }
}
