//! HTTP/1.1 listeners: the accept loop, and the life of one connection with its deadlines.
//!
//! What is answered is the business of a [`Service`]: the front door's or the admin listener's.

mod connection;
pub(crate) mod reply;
mod stream;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

pub(crate) use hubwire_proto::query::Query;
pub(crate) use reply::Reply;
pub(crate) use stream::{Stream, say_last};

use crate::tls::Acceptor;

/// How long accepting rests after the system refused a connection, for want of descriptors or
/// memory as a rule: some connection has to end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers requests. A panic in it costs its own request a 500 and nothing else.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one request of a connection from `peer`.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Answer> + Send;
}

/// What becomes of a request.
pub(crate) struct Answer {
    /// The response.
    pub(crate) reply: Reply,
    /// Who takes the socket over after the response, which is a 101 then.
    pub(crate) upgrade: Option<Upgrade>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            upgrade: None,
        }
    }
}

/// Takes over a socket that no longer speaks HTTP, and bytes that were already read from it.
pub(crate) type Upgrade =
    Box<dyn FnOnce(Stream, Vec<u8>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The bounds of a listener.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Bytes of a request head; over it 431.
    pub(crate) header_bytes: usize,
    /// Time from accepting to the first complete request head.
    pub(crate) head_timeout: Duration,
    /// Time from a response to the next complete request head.
    pub(crate) idle_timeout: Duration,
    /// Time from a request head to its response, its body included.
    pub(crate) exchange_timeout: Duration,
    /// Connections at once; the rest wait in the system's backlog.
    pub(crate) connections: usize,
    /// Time that open exchanges have when the listener ends.
    pub(crate) drain_timeout: Duration,
}

/// What a listener counts.
#[derive(Debug, Default)]
pub(crate) struct ListenerCounters {
    /// Connections accepted.
    pub(crate) accepted: AtomicU64,
    /// Failed attempts to accept one.
    pub(crate) accept_failures: AtomicU64,
    /// Connections closed because no request head, or no handshake before it, came in time.
    pub(crate) head_timeouts: AtomicU64,
    /// Connections closed because they did not speak HTTP, or broke.
    pub(crate) broken: AtomicU64,
    /// HTTP connections now, those of upgraded sockets not included.
    pub(crate) open: AtomicU64,
}

/// Accepts connections, with TLS if there is an acceptor for it, until `ending` turns true, then
/// waits for the open ones within [`Bounds::drain_timeout`].
pub(crate) async fn serve<S: Service>(
    service: Arc<S>,
    listener: TcpListener,
    tls: Option<Arc<Acceptor>>,
    bounds: Bounds,
    counters: Arc<ListenerCounters>,
    mut ending: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(bounds.connections));
    let bounds = Arc::new(bounds);
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = ended(&mut ending) => break,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                failing = false;
                counters.accepted.fetch_add(1, Ordering::Relaxed);
                let guest = connection::Guest {
                    peer,
                    service: Arc::clone(&service),
                    tls: tls.clone(),
                    bounds: Arc::clone(&bounds),
                    counters: Arc::clone(&counters),
                    ending: ending.clone(),
                };
                tokio::spawn(async move {
                    guest.run(stream).await;
                    drop(permit);
                });
            }
            Err(error) => {
                counters.accept_failures.fetch_add(1, Ordering::Relaxed);
                if is_of_one_connection(&error) {
                    continue;
                }
                if !failing {
                    failing = true;
                    tracing::warn!(%error, "no connection can be accepted; trying again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(bounds.drain_timeout, room.acquire_many(all)).await;
}

/// Resolves once `ending` is true, or nobody is left to say so.
pub(crate) async fn ended(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|ended| *ended).await;
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<Accepted> {
    let permit = Arc::clone(room)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are written whole, so waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    Ok((stream, peer, permit))
}

/// Whether only the connection that was to be accepted is affected.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    struct Fragile;

    impl Service for Fragile {
        async fn answer(&self, request: Request<Incoming>, _peer: SocketAddr) -> Answer {
            assert_ne!(request.uri().path(), "/panic", "as the test wants it");
            reply::empty(StatusCode::OK).into()
        }
    }

    struct Served {
        address: SocketAddr,
        counters: Arc<ListenerCounters>,
        ending: watch::Sender<bool>,
        serving: tokio::task::JoinHandle<()>,
    }

    async fn served(connections: usize) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counters = Arc::<ListenerCounters>::default();
        let bounds = Bounds {
            header_bytes: 8192,
            head_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            exchange_timeout: Duration::from_secs(60),
            connections,
            drain_timeout: Duration::from_secs(60),
        };
        let (ending, ended) = watch::channel(false);
        let service = Arc::new(Fragile);
        let serving = tokio::spawn(serve(
            service,
            listener,
            None,
            bounds,
            Arc::clone(&counters),
            ended,
        ));
        Served {
            address,
            counters,
            ending,
            serving,
        }
    }

    async fn ask(stream: &mut TcpStream, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\n") {
            response.push(stream.read_u8().await.unwrap());
        }
        let response = String::from_utf8(response).unwrap();
        response.split(' ').nth(1).unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request_only() {
        let served = served(10).await;
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        assert_eq!(ask(&mut stream, "/panic").await, "500");
        assert_eq!(ask(&mut stream, "/").await, "200");
    }

    #[tokio::test]
    async fn connections_over_the_bound_wait_for_their_turn() {
        let served = served(1).await;
        let mut first = TcpStream::connect(served.address).await.unwrap();
        assert_eq!(ask(&mut first, "/").await, "200");
        let mut second = TcpStream::connect(served.address).await.unwrap();
        second
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(ask(&mut first, "/").await, "200");
        assert_eq!(served.counters.accepted.load(Ordering::Relaxed), 1);
        drop(first);
        assert_eq!(second.read_u8().await.unwrap(), b'H');
    }

    #[tokio::test]
    async fn an_ending_listener_closes_idle_connections_and_returns() {
        let served = served(10).await;
        let mut used = TcpStream::connect(served.address).await.unwrap();
        assert_eq!(ask(&mut used, "/").await, "200");
        served.ending.send(true).unwrap();
        assert_eq!(
            used.read_u8().await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        served.serving.await.unwrap();
        assert!(TcpStream::connect(served.address).await.is_err());
        assert_eq!(served.counters.open.load(Ordering::Relaxed), 0);
    }
}
