//! One connection of a listener: HTTP by hyper, deadlines and hand-over by us.
//!
//! hyper can only time request heads, and with one bound for the first and all later ones. So a
//! single deadline is kept here, moved by every request and response.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::stream::{Stream, TlsStream};
use super::{Answer, Bounds, ListenerCounters, Reply, Service, Upgrade, ended, reply};
use crate::tls::{self, Acceptor};

/// How long a connection may rest while many others are open.
const CROWDED_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// hyper refuses a smaller buffer.
const LEAST_HEADER_BYTES: usize = 8192;

/// A connection and what it needs.
pub(super) struct Guest<S> {
    pub(super) peer: SocketAddr,
    pub(super) service: Arc<S>,
    pub(super) tls: Option<Arc<Acceptor>>,
    pub(super) bounds: Arc<Bounds>,
    pub(super) counters: Arc<ListenerCounters>,
    pub(super) ending: watch::Receiver<bool>,
}

/// How HTTP ended on a connection.
enum End {
    Closed(hyper::Result<()>),
    TimedOut,
}

impl<S: Service> Guest<S> {
    /// Serves the connection until it ends or is handed over.
    pub(super) async fn run(self, stream: TcpStream) {
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        let deadline = Instant::now() + self.bounds.head_timeout;
        let exchange = Arc::new(Mutex::new(Exchange::new(deadline)));
        let end = match self.secure(stream, deadline).await {
            Some(stream) => self.serve(stream, &exchange).await,
            None => End::Closed(Ok(())),
        };
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        let upgrade = lock(&exchange).upgrade.take();
        match end {
            End::Closed(Ok(())) => {
                drop(exchange);
                drop(self);
                if let Some((socket, then)) = upgrade {
                    hand_over(socket, then).await;
                }
            }
            End::Closed(Err(error)) => {
                self.counters.broken.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(peer = %self.peer, %error, "an HTTP connection broke");
            }
            End::TimedOut => {
                if lock(&exchange).waits_for_head {
                    self.counters.head_timeouts.fetch_add(1, Ordering::Relaxed);
                }
                tracing::debug!(peer = %self.peer, "an HTTP connection timed out");
            }
        }
    }

    /// Shakes hands if that is the custom here. `None` if it came to nothing.
    async fn secure(&self, stream: TcpStream, deadline: Instant) -> Option<Stream> {
        let Some(acceptor) = &self.tls else {
            return Some(Stream::Plain(stream));
        };
        let mut ending = self.ending.clone();
        let handshake = TlsStream::accept(acceptor, stream);
        let result = tokio::select! {
            result = tokio::time::timeout_at(deadline, handshake) => result,
            () = ended(&mut ending) => return None,
        };
        let failures = &acceptor.counters.handshake_failures;
        match result {
            Ok(Ok(stream)) => {
                tls::Counters::count(&acceptor.counters.handshakes);
                return Some(Stream::Tls(Box::new(stream)));
            }
            Ok(Err(error)) => {
                tls::Counters::count(failures);
                tracing::debug!(peer = %self.peer, %error, "a TLS handshake failed");
            }
            Err(_) => {
                tls::Counters::count(failures);
                self.counters.head_timeouts.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(peer = %self.peer, "a TLS handshake timed out");
            }
        }
        None
    }

    async fn serve(&self, stream: Stream, exchange: &Arc<Mutex<Exchange>>) -> End {
        let service = service_fn(|request| self.answer(request, Arc::clone(exchange)));
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(self.bounds.header_bytes.max(LEAST_HEADER_BYTES))
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let mut alarm = pin!(tokio::time::sleep_until(lock(exchange).deadline));
        let mut ending = self.ending.clone();
        let mut draining = false;
        loop {
            let served = poll_fn(|context| {
                // The deadline moves only while the connection is polled.
                if let Poll::Ready(result) = connection.as_mut().poll(context) {
                    return Poll::Ready(End::Closed(result));
                }
                set(alarm.as_mut(), lock(exchange).deadline);
                alarm.as_mut().poll(context).map(|()| End::TimedOut)
            });
            tokio::select! {
                end = served => return end,
                () = ended(&mut ending), if !draining => {
                    draining = true;
                    lock(exchange).end_by(Instant::now() + self.bounds.drain_timeout);
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// How long the connection may rest now. With more than half of the places taken, whoever has
    /// nothing to ask gives way soon.
    fn idle_timeout(&self) -> Duration {
        let open = self.counters.open.load(Ordering::Relaxed);
        if usize::try_from(open).is_ok_and(|open| open <= self.bounds.connections / 2) {
            self.bounds.idle_timeout
        } else {
            self.bounds.idle_timeout.min(CROWDED_IDLE_TIMEOUT)
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        exchange: Arc<Mutex<Exchange>>,
    ) -> Result<Reply, Infallible> {
        lock(&exchange).begin(self.bounds.exchange_timeout);
        let socket = hyper::upgrade::on(&mut request);
        let Some(answer) = caught(self.service.answer(request, self.peer)).await else {
            lock(&exchange).finish(self.idle_timeout());
            return Ok(reply::empty(StatusCode::INTERNAL_SERVER_ERROR));
        };
        let Answer { reply, upgrade } = answer;
        let mut exchange = lock(&exchange);
        exchange.finish(self.idle_timeout());
        exchange.upgrade = upgrade.map(|then| (socket, then));
        Ok(reply)
    }
}

/// Where a connection stands between its requests and responses.
struct Exchange {
    deadline: Instant,
    /// No later deadline counts: the listener is ending.
    last: Option<Instant>,
    waits_for_head: bool,
    upgrade: Option<(OnUpgrade, Upgrade)>,
}

impl Exchange {
    fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            last: None,
            waits_for_head: true,
            upgrade: None,
        }
    }

    fn begin(&mut self, within: Duration) {
        self.waits_for_head = false;
        self.set_deadline(within);
    }

    fn finish(&mut self, idle: Duration) {
        self.set_deadline(idle);
    }

    fn end_by(&mut self, last: Instant) {
        self.last = Some(last);
        self.deadline = self.deadline.min(last);
    }

    fn set_deadline(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        self.deadline = self.last.map_or(deadline, |last| deadline.min(last));
    }
}

async fn hand_over(socket: OnUpgrade, then: Upgrade) {
    let Ok(upgraded) = socket.await else { return };
    // Nothing else is served, so this is what it is.
    let Ok(parts) = upgraded.downcast::<TokioIo<Stream>>() else {
        return;
    };
    let unread = if parts.read_buf.is_empty() {
        Vec::new()
    } else {
        parts.read_buf.to_vec()
    };
    then(parts.io.into_inner(), unread).await;
}

/// The output of `future`, or `None` if it panicked; the panic hook has reported it then.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
        catch_unwind(poll).map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}

fn set(alarm: Pin<&mut Sleep>, deadline: Instant) {
    if alarm.deadline() != deadline {
        alarm.reset(deadline);
    }
}

fn lock(exchange: &Mutex<Exchange>) -> MutexGuard<'_, Exchange> {
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}
