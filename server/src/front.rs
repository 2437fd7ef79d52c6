//! The front door: the one listener for client connections, REST and health.
//!
//! It speaks HTTP and nothing else: an upgraded socket is handed to a shard at once. REST itself
//! is in `rest`, what the admin listener shows in [`crate::admin`].

mod auth;
mod gate;
mod hosts;
mod recovery;
mod upgrade;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hubwire_core::node::Node;
use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::route::Route;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{AuthConfig, Config, ConfigError};
use crate::dispatch::Dispatch;
use crate::keys::KeyStore;
use crate::listener::{self, Answer, Bounds, ListenerCounters, Reply, Service, reply};
use crate::metrics::Counters;
use crate::rest::{self, Rest, RestSettings};
use crate::sessions_file::Restored;
use crate::shards::{Clock, Doorway};
use crate::tls::Acceptor;

pub(crate) use auth::{Unauthorized, Verifier};
use gate::Gate;
pub(crate) use hosts::Hosts;

/// How long an HTTP connection may rest between a response and the next request: longer than the
/// pools of the vendor's libraries rest, so that they close first.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// How long open exchanges have when the listener ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What the front door is told at start.
#[derive(Debug, Clone)]
pub struct FrontSettings {
    endpoints: Vec<Endpoint>,
    keys: Arc<KeyStore>,
    tls: Option<Arc<Acceptor>>,
    auth: AuthConfig,
    token_skew: Duration,
    bounds: Bounds,
    rest: RestSettings,
}

impl FrontSettings {
    /// The settings of a node with `keys` that listens on `port`, with TLS if there is `tls`, and
    /// may have `http_connections` open at once, upgraded ones not counted.
    ///
    /// # Errors
    ///
    /// If the configuration has no endpoint and `port` is 0.
    pub fn new(
        config: &Config,
        keys: Arc<KeyStore>,
        tls: Option<Arc<Acceptor>>,
        port: u16,
        http_connections: usize,
    ) -> Result<Self, ConfigError> {
        let limits = &config.limits;
        let rest = RestSettings {
            body_bytes: limits.rest_body_bytes,
            ask_timeout: limits.ask_timeout,
            list_page: limits.list_page,
            requests_per_second: limits.rest_rps,
            filter_cache_bytes: limits.filter_cache_bytes,
            accept_previews: config.rest.accept_preview_versions,
            encoded_slash: config.rest.encoded_slash,
            allow_token_generation: config.rest.allow_token_generation,
        };
        Ok(Self {
            endpoints: config.endpoints(port)?,
            keys,
            tls,
            auth: config.auth,
            token_skew: limits.token_skew,
            bounds: Bounds {
                header_bytes: limits.header_bytes,
                head_timeout: limits.handshake_timeout,
                idle_timeout: IDLE_TIMEOUT,
                exchange_timeout: rest.longest_exchange(),
                connections: http_connections,
                drain_timeout: DRAIN_TIMEOUT,
            },
            rest,
        })
    }
}

/// The front door of a node. Clones are the same door.
#[derive(Clone)]
pub struct FrontDoor {
    inner: Arc<Inner>,
}

struct Inner {
    node: Arc<Node>,
    doorways: Vec<Arc<Doorway>>,
    verifier: Arc<Verifier>,
    dispatch: Arc<Dispatch>,
    gate: Gate,
    bounds: Bounds,
    rest: Rest,
    tls: Option<Arc<Acceptor>>,
    counters: Arc<Counters>,
    listener: Arc<ListenerCounters>,
}

impl fmt::Debug for FrontDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontDoor")
            .field("node", &self.inner.node)
            .finish_non_exhaustive()
    }
}

impl FrontDoor {
    /// The front door of `node`, whose shards take connections through `doorways`, in their order,
    /// and count time by `clock`.
    #[must_use]
    pub fn new(
        node: Arc<Node>,
        doorways: Vec<Arc<Doorway>>,
        clock: Clock,
        settings: FrontSettings,
    ) -> Self {
        let FrontSettings {
            endpoints,
            keys,
            tls,
            auth,
            token_skew,
            bounds,
            rest,
        } = settings;
        let counters = Arc::new(Counters::default());
        let verifier = Arc::new(Verifier::new(
            keys,
            endpoints,
            auth,
            tls.is_some(),
            token_skew,
        ));
        let dispatch = Arc::new(Dispatch::new(
            Arc::clone(&node),
            rest.ask_timeout,
            Arc::clone(&counters),
        ));
        let rest = Rest::new(
            Arc::clone(&dispatch),
            clock,
            Arc::clone(&verifier),
            rest,
            Arc::clone(&counters),
        );
        let listener = Arc::default();
        let inner = Inner {
            node,
            doorways,
            verifier,
            dispatch,
            gate: Gate::default(),
            bounds,
            rest,
            tls,
            counters,
            listener,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Serves connections of `listener` until `ending` turns true, and then those exchanges that
    /// are open, within a bound.
    pub async fn serve(self, listener: TcpListener, ending: watch::Receiver<bool>) {
        let counters = Arc::clone(&self.inner.listener);
        let bounds = self.inner.bounds.clone();
        let tls = self.inner.tls.clone();
        listener::serve(self.inner, listener, tls, bounds, counters, ending).await;
    }

    /// Lets nobody in any more: health turns bad, and clients and REST get 503.
    pub(crate) fn close(&self) {
        self.inner.gate.close();
    }

    /// Whether the door was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.gate.is_closed()
    }

    /// Resolves once no request is under way and no socket on its way to a shard.
    pub(crate) async fn emptied(&self) {
        self.inner.gate.emptied().await;
    }

    /// The node behind the door.
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.inner.node
    }

    /// The keys that it believes.
    pub(crate) fn keys(&self) -> &KeyStore {
        self.inner.verifier.key_store()
    }

    /// What the door counts.
    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// What makes its TLS sessions, if it speaks TLS.
    pub(crate) fn tls(&self) -> Option<&Arc<Acceptor>> {
        self.inner.tls.as_ref()
    }

    /// Notes what became of the sessions that an earlier process had saved.
    pub(crate) fn count_restored(&self, restored: Restored) {
        self.inner.counters.restored(restored);
    }

    /// What its listener counts.
    pub(crate) fn listener_counters(&self) -> &ListenerCounters {
        &self.inner.listener
    }
}

impl Service for Inner {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        // Kept apart from the request, which REST takes over with its body.
        let uri = request.uri().clone();
        match Route::of(uri.path(), self.verifier.endpoints()) {
            Route::Health if *request.method() == Method::GET => self.health().into(),
            Route::Health if *request.method() == Method::HEAD => self.health().into(),
            Route::Health => rest::method_not_allowed("GET, HEAD").into(),
            Route::Client { .. } if *request.method() != Method::GET => {
                rest::method_not_allowed("GET").into()
            }
            Route::Client { hub } => self.connect(&request, hub, peer),
            Route::Hub { hub, segments } => match self.gate.enter() {
                Some(_pass) => self.rest.answer(request, hub, &segments, peer).await.into(),
                None => rest::shutting_down().into(),
            },
            Route::Unknown => rest::not_found().into(),
        }
    }
}

impl Inner {
    fn health(&self) -> Reply {
        reply::empty(if self.gate.is_closed() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        })
    }
}
