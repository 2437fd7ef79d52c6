//! The admin listener: metrics and health, without tokens, on an address of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::front::FrontDoor;
use crate::listener::{self, Answer, Bounds, Reply, Service, reply};
use crate::metrics;

/// Scrapers are few and fast.
const BOUNDS: Bounds = Bounds {
    header_bytes: 16 * 1024,
    head_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(120),
    exchange_timeout: Duration::from_secs(10),
    connections: 64,
    drain_timeout: Duration::from_secs(1),
};

/// Serves connections of `listener` until `ending` turns true.
pub async fn serve(front: FrontDoor, listener: TcpListener, ending: watch::Receiver<bool>) {
    listener::serve(
        Arc::new(Admin { front }),
        listener,
        None,
        BOUNDS,
        Arc::default(),
        ending,
    )
    .await;
}

struct Admin {
    front: FrontDoor,
}

impl Service for Admin {
    async fn answer(&self, request: Request<Incoming>, _peer: SocketAddr) -> Answer {
        let reply = match request.uri().path() {
            "/metrics" | "/healthz" if !is_read(request.method()) => {
                let mut reply = reply::empty(StatusCode::METHOD_NOT_ALLOWED);
                reply
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                reply
            }
            "/metrics" => self.metrics(),
            "/healthz" => self.health(),
            _ => reply::with_body(
                StatusCode::NOT_FOUND,
                reply::TEXT,
                "There is nothing here.\n",
            ),
        };
        reply.into()
    }
}

impl Admin {
    fn metrics(&self) -> Reply {
        let (node, counters) = (self.front.node(), self.front.counters());
        let tls = self.front.tls().map(AsRef::as_ref);
        let page = metrics::render(node, counters, self.front.listener_counters(), tls);
        reply::with_body(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            page,
        )
    }

    fn health(&self) -> Reply {
        if self.front.is_closed() {
            reply::with_body(
                StatusCode::SERVICE_UNAVAILABLE,
                reply::TEXT,
                "shutting down\n",
            )
        } else {
            reply::with_body(StatusCode::OK, reply::TEXT, "ok\n")
        }
    }
}

fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}
