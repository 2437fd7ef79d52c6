//! A certificate with its private key, checked before anybody sees it.

use std::sync::Arc;

use hubwire_proto::token::UnixSeconds;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use thiserror::Error;

use super::validity;

/// A certificate chain and the private key of its first certificate.
#[derive(Debug, Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    expires_at: Option<UnixSeconds>,
}

/// Why a certificate and a key make no identity. Each text follows the name of a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// The certificate file has no certificate.
    #[error("holds no certificate in PEM form")]
    NoCertificate,
    /// A section of the certificate file cannot be read.
    #[error("is not PEM: {0}")]
    CertificatePem(String),
    /// The certificate is not one.
    #[error("holds a certificate that cannot be used: {0}")]
    Certificate(String),
    /// The key file has no key.
    #[error("holds no unencrypted private key in PEM form")]
    NoKey,
    /// A section of the key file cannot be read.
    #[error("is not PEM: {0}")]
    KeyPem(String),
    /// The key is not one, or of a kind that is not known.
    #[error("holds a private key that cannot be used: {0}")]
    Key(String),
    /// The key is another certificate's.
    #[error("does not hold the key of the certificate")]
    Mismatch,
}

impl IdentityError {
    /// Whether the key is to blame rather than the certificate.
    #[must_use]
    pub fn is_of_key(&self) -> bool {
        match self {
            Self::NoCertificate | Self::CertificatePem(_) | Self::Certificate(_) => false,
            Self::NoKey | Self::KeyPem(_) | Self::Key(_) | Self::Mismatch => true,
        }
    }
}

impl Identity {
    /// Takes the certificates in `certificate`, the server's own first, and the first private key
    /// in `key`; both texts are PEM (RFC 7468).
    ///
    /// # Errors
    ///
    /// If either cannot be read, or they do not belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| IdentityError::CertificatePem(error.to_string()))?;
        let Some(own) = chain.first() else {
            return Err(IdentityError::NoCertificate);
        };
        let expires_at = validity::not_after(own);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => IdentityError::NoKey,
            error => IdentityError::KeyPem(error.to_string()),
        })?;
        let provider = aws_lc_rs::default_provider();
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| IdentityError::Key(error.to_string()))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(IdentityError::Mismatch),
            Err(error) => return Err(IdentityError::Certificate(error.to_string())),
        }
        Ok(Self {
            key: Arc::new(key),
            expires_at,
        })
    }

    /// When the certificate expires, if it says so in a way that is understood.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixSeconds> {
        self.expires_at
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_is_taken_or_says_what_is_wrong() {
        let ((certificate, key), (_, other_key)) = (pair(), pair());
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let foreign = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let check = |certificate: &str, key: &str, expected: &str| {
            let error = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).err();
            let text = error.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(
                text.starts_with(expected) && (text.is_empty() == expected.is_empty()),
                "{text}"
            );
            error.is_some_and(|error| error.is_of_key())
        };
        assert!(!check(&certificate, &key, ""));
        let both = format!("{key}{certificate}");
        assert!(!check(&both, &both, ""));
        assert!(!check("", &key, "holds no certificate"));
        assert!(!check(&key, &key, "holds no certificate"));
        assert!(!check(broken, &key, "is not PEM"));
        assert!(!check(foreign, &key, "holds a certificate that cannot be"));
        assert!(check(&certificate, "", "holds no unencrypted private key"));
        assert!(check(
            &certificate,
            &certificate,
            "holds no unencrypted private key"
        ));
        assert!(check(&certificate, &other_key, "does not hold the key"));
    }
}
