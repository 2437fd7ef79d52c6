//! TLS clients: rustls with blocking sockets, and a relay that puts TLS below tests that know
//! nothing of it.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::raw::dial_stalled;
use super::{JSON, Raw, Request, Response, Server};

/// A connection with TLS.
pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts one certificate.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trust in the certificate, or the authority, in a PEM file.
    pub(crate) fn file(path: &Path) -> Self {
        Self::only(&std::fs::read(path).unwrap())
    }

    /// Trust in the certificate, or the authority, in a PEM text.
    pub(crate) fn only(pem: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem).unwrap())
            .unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }

    /// Shakes hands, or says why that failed.
    pub(crate) fn shake_hands(&self, mut stream: TcpStream) -> std::io::Result<Secure> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(session, stream))
    }

    pub(crate) fn connect(&self, server: &Server) -> Secure {
        self.shake_hands(server.dial()).unwrap()
    }

    /// A client of the json subprotocol that was greeted.
    pub(crate) fn json(&self, server: &Server, token: &str) -> Raw<Secure> {
        let mut client = Raw::upgrade(server, self.connect(server), "chat", token, Some(JSON));
        assert!(client.text().contains("connected"));
        client
    }

    /// A client of the json subprotocol for which the system holds little that it does not read.
    pub(crate) fn stalled(&self, server: &Server, token: &str) -> Raw<Secure> {
        let stream = self.shake_hands(dial_stalled(server)).unwrap();
        Raw::upgrade(server, stream, "chat", token, Some(JSON))
    }

    pub(crate) fn send(&self, server: &Server, request: &Request) -> Response {
        request.send(&mut self.connect(server), &server.authority())
    }
}

/// Takes plain connections and carries them to a server with TLS.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Relay {
    pub(crate) fn start(server: SocketAddr, authority: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let connector = TlsConnector::from(Trust::file(authority).0);
        runtime.spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let connector = connector.clone();
                tokio::spawn(async move {
                    let stream = tokio::net::TcpStream::connect(server).await?;
                    stream.set_nodelay(true)?;
                    plain.set_nodelay(true)?;
                    let name = ServerName::try_from("localhost").unwrap();
                    let mut tls = connector.connect(name, stream).await?;
                    tokio::io::copy_bidirectional(&mut plain, &mut tls).await
                });
            }
        });
        Self {
            address,
            runtime: Some(runtime),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
