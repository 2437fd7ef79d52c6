//! TLS: the certificate that is shown, and connections as bytes in, bytes out.
//!
//! Sockets are read and written elsewhere, by the listener until the upgrade and by a shard after
//! it. Both drive the same `Session`, so that handing a connection over is a move.

mod development;
mod identity;
mod session;
mod validity;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use hubwire_proto::token::UnixSeconds;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

pub(crate) use development::{DevelopmentFiles, prepare};
pub use identity::{Identity, IdentityError};
pub(crate) use session::{CHUNK, Received, Scratch, Session, SessionError};
pub(crate) use validity::Validity;

/// The only protocol inside TLS: WebSocket upgrades and REST both speak it (RFC 7301).
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// Tickets that a new TLS 1.3 client gets, so that it comes back without a full handshake. A
/// client that opens several connections at once needs no more: its tickets are not used up, as
/// nothing is remembered here. An idle client costs the same with and without (3.4 KB, measured by
/// the memory test of the node).
const TICKETS: usize = 1;

/// Makes TLS sessions, all with the certificate of the moment.
pub struct Acceptor {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    pub(crate) counters: Arc<Counters>,
}

/// What happened to TLS connections.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Handshakes that were completed.
    pub(crate) handshakes: AtomicU64,
    /// Connections that ended before their handshake did.
    pub(crate) handshake_failures: AtomicU64,
    /// Connections ended later, by a record that broke the protocol.
    pub(crate) broken: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Acceptor {
    /// An acceptor that shows `identity`. TLS 1.2 and 1.3.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn new(identity: Identity) -> anyhow::Result<Arc<Self>> {
        let current = Arc::new(Current(ArcSwap::from_pointee(identity)));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&current);
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&TLS13, &TLS12])
                .context("cannot set up TLS")?
                .with_no_client_auth()
                .with_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
        // What a client needs to come back is in its ticket, none of it here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new().context("cannot set up TLS tickets")?;
        config.send_tls13_tickets = TICKETS;
        Ok(Arc::new(Self {
            config: Arc::new(config),
            current,
            counters: Arc::default(),
        }))
    }

    /// Shows `identity` from now on, and says whether it has another certificate. Connections and
    /// handshakes under way keep what they have.
    pub fn replace(&self, identity: Identity) -> bool {
        let chain = identity.certified_key();
        let before = self.current.0.swap(Arc::new(identity));
        before.certified_key().cert != chain.cert
    }

    /// When the certificate expires, if it says so in a way that is understood.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixSeconds> {
        self.current.0.load().expires_at()
    }

    pub(crate) fn session(&self) -> Result<Session, rustls::Error> {
        Session::new(Arc::clone(&self.config), Arc::clone(&self.counters))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("identity", &self.current.0.load())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Current(ArcSwap<Identity>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified_key())
    }
}
