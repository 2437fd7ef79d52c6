//! The access key: the secret that application servers and this server share.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// An access key. The bytes of its text, exactly as configured, are the HMAC key: what looks like
/// base64 is not decoded.
///
/// Its memory is wiped when it is dropped, and it never shows in logs.
pub struct AccessKey {
    text: Zeroizing<String>,
    /// Both halves of the key already absorbed, so that each use starts from here.
    mac: Hmac<Sha256>,
}

/// An access key needs at least one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The access key is empty.")]
pub struct EmptyKey;

impl AccessKey {
    /// Takes a key as it is spelled in a connection string.
    ///
    /// # Errors
    ///
    /// [`EmptyKey`].
    pub fn new(text: impl Into<String>) -> Result<Self, EmptyKey> {
        let text = Zeroizing::new(text.into());
        if text.is_empty() {
            return Err(EmptyKey);
        }
        // HMAC takes keys of any length.
        let mac = Hmac::new_from_slice(text.as_bytes()).map_err(|_| EmptyKey)?;
        Ok(Self { text, mac })
    }

    /// The secret itself. For connection strings and key derivation only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The key that follows from this one for a purpose of its own, which `label` names: whoever
    /// has it learns nothing about this key or about those of other labels.
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        let text = Zeroizing::new(STANDARD.encode(self.sign(label.as_bytes())));
        // A key shorter than a block is filled up with zeros (RFC 2104 §2).
        let mut block = Zeroizing::new([0; 64]);
        block[..text.len()].copy_from_slice(text.as_bytes());
        let mac = Hmac::new((&*block).into());
        Self { text, mac }
    }

    /// The HMAC SHA-256 of `message` under this key (RFC 2104).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        self.mac
            .clone()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .into()
    }

    /// Whether `signature` is that of `message`. Takes the same time whatever it holds.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.mac
            .clone()
            .chain_update(message)
            .verify_slice(signature)
            .is_ok()
    }
}

impl Clone for AccessKey {
    fn clone(&self) -> Self {
        Self {
            text: self.text.clone(),
            mac: self.mac.clone(),
        }
    }
}

/// Compares in constant time for keys of the same length.
impl PartialEq for AccessKey {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.text.as_bytes(), other.text.as_bytes()).into()
    }
}

impl Eq for AccessKey {}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(redacted)")
    }
}

impl fmt::Display for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}
