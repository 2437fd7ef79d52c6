//! Connections to a server: name, TCP, TLS.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hubwire_proto::connection_string::Endpoint;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::regular_file;

/// How long a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// The most bytes of a file with authorities; a whole system has about 250 KB of them.
const MAX_AUTHORITIES: u64 = 16 << 20;

/// A connection, with or without TLS.
pub(super) type Stream = Box<dyn Duplex>;

/// What goes both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens connections to one server.
pub(crate) struct Dialer {
    endpoint: Endpoint,
    /// `None` for http.
    tls: Option<TlsConnector>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("cannot read {}: {problem}", .path.display())]
    Authority { path: PathBuf, problem: String },
    #[error("no certificate to trust: the system has none; name a file of them by --ca")]
    NoAuthority,
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{authority}: no address is known: {error}")]
    Resolve { authority: String, error: io::Error },
    #[error("cannot connect to {authority} ({tried}): {error}")]
    Refused {
        authority: String,
        tried: String,
        error: io::Error,
    },
    #[error("TLS with {authority} failed: {error}{}", hint(.error))]
    Handshake { authority: String, error: io::Error },
    #[error("{authority} did not answer within {} s", CONNECT.as_secs())]
    Silent { authority: String },
}

impl Dialer {
    /// For `endpoint`. With https its certificate must come from an authority that the system
    /// trusts or that is in one of the files `authorities`, which are PEM.
    ///
    /// # Errors
    ///
    /// If a file cannot be used, or there is nothing to trust.
    pub(crate) fn new(endpoint: Endpoint, authorities: &[PathBuf]) -> Result<Self, ConnectError> {
        let tls = match endpoint.is_secure() {
            true => Some(connector(authorities)?),
            false => None,
        };
        Ok(Self { endpoint, tls })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<Stream, ConnectError> {
        timeout(CONNECT, self.attempt()).await.unwrap_or_else(|_| {
            Err(ConnectError::Silent {
                authority: self.authority(),
            })
        })
    }

    async fn attempt(&self) -> Result<Stream, ConnectError> {
        let stream = self.dial().await?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let failed = |error| ConnectError::Handshake {
            authority: self.authority(),
            error,
        };
        let name = ServerName::try_from(self.endpoint.host().to_owned())
            .map_err(|error| failed(io::Error::other(error)))?;
        let stream = tls.connect(name, stream).await.map_err(failed)?;
        Ok(Box::new(stream))
    }

    /// Tries every address of the host in turn.
    async fn dial(&self) -> Result<TcpStream, ConnectError> {
        let unknown = |error| ConnectError::Resolve {
            authority: self.authority(),
            error,
        };
        let addresses: Vec<_> = lookup_host((self.endpoint.host(), self.endpoint.port()))
            .await
            .map_err(unknown)?
            .collect();
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in &addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // What is sent is small and waited for.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        if addresses.is_empty() {
            return Err(unknown(last));
        }
        let tried: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        Err(ConnectError::Refused {
            authority: self.authority(),
            tried: tried.join(", "),
            error: last,
        })
    }

    fn authority(&self) -> String {
        self.endpoint.authority().to_owned()
    }
}

fn connector(authorities: &[PathBuf]) -> Result<TlsConnector, ConnectError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for path in authorities {
        add(path, &mut roots).map_err(|problem| ConnectError::Authority {
            path: path.clone(),
            problem,
        })?;
    }
    if roots.is_empty() {
        return Err(ConnectError::NoAuthority);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add(path: &Path, roots: &mut RootCertStore) -> Result<(), String> {
    let pem = regular_file::read(path, MAX_AUTHORITIES).map_err(|error| error.to_string())?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        count += 1;
    }
    match count {
        0 => Err("it holds no certificate in PEM form".to_owned()),
        _ => Ok(()),
    }
}

/// What to try after a failed handshake.
fn hint(error: &io::Error) -> &'static str {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
        )) => "; --ca FILE names an authority to trust",
        Some(rustls::Error::InvalidMessage(_)) => "; does it speak TLS there?",
        _ => "",
    }
}
