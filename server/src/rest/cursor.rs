//! Continuation tokens: where the next page of a list begins, sealed against change and against
//! use for another list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hubwire_core::id::{ConnectionId, ConnectionIdText};
use hubwire_proto::token::AccessKey;
use sha2::{Digest as _, Sha256};

/// Keeps this key apart from everything else that the access key does.
const CONTEXT: &[u8] = b"hubwire continuation token 1";

/// The longest token that is looked at.
const MAX_LEN: usize = 2048;

/// Seals and opens continuation tokens.
pub(super) struct CursorKey(Hmac<Sha256>);

impl CursorKey {
    /// The key that follows from an access key.
    pub(super) fn derive(access_key: &AccessKey) -> Self {
        let digest = Sha256::new()
            .chain_update(CONTEXT)
            .chain_update(access_key.expose());
        // A key shorter than a block is filled up with zeros (RFC 2104 §2).
        let mut block = [0; 64];
        block[..32].copy_from_slice(&digest.finalize());
        Self(Hmac::new(&block.into()))
    }

    /// The token of a page that ended with `last`.
    pub(super) fn seal(&self, hub: &str, group: &str, last: ConnectionIdText) -> String {
        let mut token = last.as_str().as_bytes().to_vec();
        let tag = self.over(hub, group, &token).finalize().into_bytes();
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
        self.over(hub, group, last).verify_slice(tag).ok()?;
        Some(ConnectionId::parse(str::from_utf8(last).ok()?)?.text())
    }

    /// A hub has no zero byte and an id has one length, so no two lists feed the same bytes.
    fn over(&self, hub: &str, group: &str, last: &[u8]) -> Hmac<Sha256> {
        let mac = self.0.clone().chain_update(hub).chain_update([0]);
        mac.chain_update(group).chain_update([0]).chain_update(last)
    }
}

#[cfg(test)]
mod tests {
    use hubwire_core::id::{NodeId, ShardId, Slot};

    use super::*;

    #[test]
    fn a_token_opens_for_its_own_list_only() {
        let key = |text: &str| CursorKey::derive(&AccessKey::new(text).unwrap());
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
