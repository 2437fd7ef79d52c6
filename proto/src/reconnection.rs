//! Reconnection tokens: proof that a client held a connection before (protocol notes: recovery).
//!
//! A token is URL-safe base64 of
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | version of this format |
//! | 1 | the connection's subprotocol |
//! | 8 | when it was issued, big-endian |
//! | 32 | HMAC-SHA-256 of all that, the hub and the connection id |
//!
//! Hub and connection id are not inside: a token is only ever shown together with both. Whether
//! the connection still exists is its shard's knowledge.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::subprotocol::Subprotocol;
use crate::token::{AccessKey, UnixSeconds};

const VERSION: u8 = 1;
/// Bytes of the signature.
const TAG_LEN: usize = 32;
/// Bytes before the signature.
const HEAD_LEN: usize = 10;
/// A multiple of three, so no character of the text has bits to spare.
const TOKEN_LEN: usize = HEAD_LEN + TAG_LEN;
/// Characters of a token.
const TEXT_LEN: usize = TOKEN_LEN / 3 * 4;

/// Why a reconnection token is refused. The client learns only that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconnectionTokenError {
    /// Not a text that we could have issued.
    #[error("The reconnection token is malformed.")]
    Format,
    /// Changed, or issued with another key, in another hub or for another connection.
    #[error("The reconnection token is not for this connection.")]
    Signature,
    /// Too old.
    #[error("The reconnection token has expired.")]
    Expired,
}

/// Makes the token for a connection. `hub` is the [key](crate::name::HubName::key) of its hub.
#[must_use]
pub fn issue(
    key: &AccessKey,
    connection_id: &str,
    hub: &str,
    subprotocol: Subprotocol,
    issued_at: UnixSeconds,
) -> String {
    let mut token = [0; TOKEN_LEN];
    let (head, tag) = token.split_at_mut(HEAD_LEN);
    head[0] = VERSION;
    head[1] = code(subprotocol);
    head[2..].copy_from_slice(&issued_at.0.to_be_bytes());
    tag.copy_from_slice(&key.sign(&signed(head, hub, connection_id)));
    URL_SAFE_NO_PAD.encode(token)
}

/// Checks that `text` was issued for this connection not longer than `lifetime` ago, and gives the
/// connection's subprotocol. A token from the future is good: our own clock was set back.
///
/// # Errors
///
/// [`ReconnectionTokenError`].
pub fn verify(
    key: &AccessKey,
    text: &str,
    connection_id: &str,
    hub: &str,
    now: UnixSeconds,
    lifetime: Duration,
) -> Result<Subprotocol, ReconnectionTokenError> {
    if text.len() != TEXT_LEN {
        return Err(ReconnectionTokenError::Format);
    }
    let token = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| ReconnectionTokenError::Format)?;
    let Some((head @ [VERSION, code, issued_at @ ..], tag)) = token.split_first_chunk::<HEAD_LEN>()
    else {
        return Err(ReconnectionTokenError::Format);
    };
    if !key.has_signed(&signed(head, hub, connection_id), tag) {
        return Err(ReconnectionTokenError::Signature);
    }
    let subprotocol = subprotocol(*code).ok_or(ReconnectionTokenError::Format)?;
    let issued_at = UnixSeconds(i64::from_be_bytes(*issued_at));
    if now > issued_at.plus(lifetime) {
        return Err(ReconnectionTokenError::Expired);
    }
    Ok(subprotocol)
}

/// What the signature is made of. The hub's length comes first, so that no byte of it can be taken
/// for one of the id.
fn signed(head: &[u8], hub: &str, connection_id: &str) -> Vec<u8> {
    let hub_len = (hub.len() as u64).to_be_bytes();
    [head, &hub_len, hub.as_bytes(), connection_id.as_bytes()].concat()
}

const fn code(subprotocol: Subprotocol) -> u8 {
    match subprotocol {
        Subprotocol::Json => 1,
        Subprotocol::JsonReliable => 2,
        Subprotocol::Protobuf => 3,
        Subprotocol::ProtobufReliable => 4,
    }
}

fn subprotocol(wanted: u8) -> Option<Subprotocol> {
    Subprotocol::ALL
        .into_iter()
        .find(|subprotocol| code(*subprotocol) == wanted)
}
