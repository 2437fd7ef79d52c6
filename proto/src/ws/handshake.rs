//! The server's half of the opening handshake (RFC 6455 §4.2), on header values alone.
//!
//! Parsing HTTP, choosing among the offered subprotocols and writing the answer belong to the
//! caller. Extensions are declined by leaving them out of the answer.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::{Digest as _, Sha1};

/// The value of `Sec-WebSocket-Version` that the server speaks, and names in a 426.
pub const VERSION: &str = "13";

/// How many offered subprotocols are looked at; what a client lists after them is ignored.
pub const MAX_OFFERED_SUBPROTOCOLS: usize = 32;

/// Appended to the key before hashing, so that only a WebSocket server answers (RFC 6455 §1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of the nonce in `Sec-WebSocket-Key`, and of its base64 form.
const KEY_LEN: usize = 16;
const ENCODED_KEY_LEN: usize = 24;

/// Bits left over in the last character are not looked at: the key is only hashed, and there are
/// clients that draw its characters instead of its bytes.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The parts of a request that decide whether it is a WebSocket upgrade.
#[derive(Debug, Clone, Copy)]
pub struct UpgradeRequest<'a, H> {
    /// The method, as sent.
    pub method: &'a str,
    /// Major and minor version of HTTP.
    pub http_version: (u8, u8),
    /// Name and value of every header line, in any order.
    pub headers: H,
}

/// Why a request cannot be upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The request does not ask for WebSocket, and says so by this.
    #[error("this is not a WebSocket upgrade: {0}")]
    NotAnUpgrade(&'static str),
    /// Another version of the protocol; the answer names [`VERSION`] (RFC 6455 §4.4).
    #[error("Sec-WebSocket-Version must be 13")]
    UnsupportedVersion,
    /// `Sec-WebSocket-Key` is missing, repeated or malformed.
    #[error("Sec-WebSocket-Key must be given once, as 16 bytes in base64")]
    BadKey,
}

impl UpgradeError {
    /// The HTTP status to answer with. With 426 goes `Sec-WebSocket-Version: 13`.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotAnUpgrade(_) | Self::BadKey => 400,
            Self::UnsupportedVersion => 426,
        }
    }
}

/// Checks a request by RFC 6455 §4.2.1 and gives the value of its `Sec-WebSocket-Key`, from which
/// [`accept_key`] makes the answer.
///
/// # Errors
/// The first rule that the request breaks; whether it is an upgrade at all comes first.
pub fn check_upgrade<'a, H>(request: UpgradeRequest<'a, H>) -> Result<&'a str, UpgradeError>
where
    H: IntoIterator<Item = (&'a str, &'a [u8])>,
{
    if request.method != "GET" {
        return Err(UpgradeError::NotAnUpgrade("the method is not GET"));
    }
    // From HTTP/2 on, there is no Upgrade header.
    if !matches!(request.http_version, (1, 1..)) {
        return Err(UpgradeError::NotAnUpgrade("the HTTP version is not 1.1"));
    }
    let mut connection = false;
    let mut upgrade = false;
    let mut version = Occurrence::Absent;
    let mut key = Occurrence::Absent;
    for (name, value) in request.headers {
        if name.eq_ignore_ascii_case("Connection") {
            connection |= has_element(value, "Upgrade");
        } else if name.eq_ignore_ascii_case("Upgrade") {
            upgrade |= has_element(value, "websocket");
        } else if name.eq_ignore_ascii_case("Sec-WebSocket-Version") {
            version = version.and(value);
        } else if name.eq_ignore_ascii_case("Sec-WebSocket-Key") {
            key = key.and(value);
        }
    }
    if !connection {
        return Err(UpgradeError::NotAnUpgrade(
            "Connection does not list Upgrade",
        ));
    }
    if !upgrade {
        return Err(UpgradeError::NotAnUpgrade(
            "Upgrade does not list websocket",
        ));
    }
    if version != Occurrence::Once(VERSION.as_bytes()) {
        return Err(UpgradeError::UnsupportedVersion);
    }
    match key {
        Occurrence::Once(value) => valid_key(value).ok_or(UpgradeError::BadKey),
        Occurrence::Absent | Occurrence::Repeated => Err(UpgradeError::BadKey),
    }
}

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
#[must_use]
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new()
        .chain_update(key.as_bytes())
        .chain_update(ACCEPT_GUID)
        .finalize();
    STANDARD.encode(digest)
}

/// The subprotocols that a client offers, in its order of preference, from the values of all its
/// `Sec-WebSocket-Protocol` lines. What is not a token by RFC 9110 §5.6.2 is left out.
pub fn offered_subprotocols<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<&'a str> {
    lines
        .into_iter()
        .flat_map(elements)
        .filter_map(token)
        .take(MAX_OFFERED_SUBPROTOCOLS)
        .collect()
}

/// A header that must be given exactly once.
#[derive(Debug, PartialEq, Eq)]
enum Occurrence<'a> {
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Occurrence<'a> {
    fn and(self, value: &'a [u8]) -> Self {
        match self {
            Self::Absent => Self::Once(value.trim_ascii()),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        }
    }
}

fn valid_key(value: &[u8]) -> Option<&str> {
    if value.len() != ENCODED_KEY_LEN {
        return None;
    }
    // The decoder may ask for room for its padded estimate, two bytes more than the key.
    let mut decoded = [0; KEY_LEN + 2];
    match KEY_BASE64.decode_slice(value, &mut decoded) {
        Ok(KEY_LEN) => str::from_utf8(value).ok(),
        _ => None,
    }
}

/// The elements of a comma-separated list (RFC 9110 §5.6.1), some of which may be empty.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn has_element(value: &[u8], wanted: &str) -> bool {
    elements(value).any(|element| element.eq_ignore_ascii_case(wanted.as_bytes()))
}

fn token(element: &[u8]) -> Option<&str> {
    let is_token = !element.is_empty() && element.iter().all(|&byte| is_token_byte(byte));
    if is_token {
        str::from_utf8(element).ok()
    } else {
        None
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
