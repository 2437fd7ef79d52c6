//! The usual tokio candidate, made as thin as tokio allows: a current-thread
//! local runtime, a task for each connection, and a task that flushes.
//!
//! Tasks run in the order they were woken, so the flushing task, woken by the
//! first outbox that fills, runs behind all connections of the same batch of
//! events. Sockets are read through the runtime's waker slot (`poll_read`), not
//! through `readable()`: that saves a list node in each task, and the call
//! that would only report an empty socket after a short read.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener as StdListener;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

use crate::shard::{Shard, Socket};

/// Tasks run between two looks at epoll; the default of 61 would cut a batch of
/// 1,024 events into 17 ticks.
const EVENT_INTERVAL: u32 = 1024;

pub(crate) fn serve(listener: StdListener) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .event_interval(EVENT_INTERVAL)
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let driver = Rc::new(RefCell::new(Driver {
            shard: Shard::new(),
            flusher: None,
            outcome: None,
        }));
        let listener = TcpListener::from_std(listener)?;
        spawn_local(accept(listener, Rc::clone(&driver)));
        let flusher = poll_fn(move |cx| driver.borrow_mut().poll_flush(cx));
        spawn_local(flusher).await.map_err(io::Error::other)?
    })
}

struct Driver {
    shard: Shard<OwnedWriteHalf>,
    /// Present while the flushing task sleeps.
    flusher: Option<Waker>,
    /// Set once the server is to end.
    outcome: Option<io::Result<()>>,
}

async fn accept(listener: TcpListener, driver: Rc<RefCell<Driver>>) {
    loop {
        let accepted = listener.accept().await.and_then(|(socket, _)| {
            socket.set_nodelay(true)?;
            Ok(socket)
        });
        match accepted {
            Ok(socket) => {
                let (mut read, write) = socket.into_split();
                let key = driver.borrow_mut().shard.insert(write);
                let driver = Rc::clone(&driver);
                spawn_local(poll_fn(move |cx| {
                    driver.borrow_mut().poll_connection(cx, key, &mut read)
                }));
            }
            Err(error) => return driver.borrow_mut().end(Err(error)),
        }
    }
}

impl Driver {
    /// Reads a connection until its socket is empty; ready when it is closed.
    fn poll_connection(
        &mut self,
        cx: &mut Context<'_>,
        key: usize,
        read: &mut OwnedReadHalf,
    ) -> Poll<()> {
        loop {
            let mut buffer = ReadBuf::new(self.shard.scratch());
            let outcome = ready!(Pin::new(&mut *read).poll_read(cx, &mut buffer));
            let length = buffer.filled().len();
            let full = buffer.remaining() == 0;
            if outcome.is_err() || length == 0 {
                self.shard.remove(key);
                return Poll::Ready(());
            }
            if let Err(error) = self.shard.received(key, length) {
                self.end(Err(error));
                return Poll::Ready(());
            }
            if self.shard.is_quitting() {
                self.end(Ok(()));
            } else if self.shard.is_dirty() {
                self.wake_flusher();
            }
            if full {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn poll_flush(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if let Some(outcome) = self.outcome.take() {
            return Poll::Ready(outcome);
        }
        if let Err(error) = self.shard.flush() {
            return Poll::Ready(Err(error));
        }
        self.flusher = Some(cx.waker().clone());
        Poll::Pending
    }

    fn end(&mut self, outcome: io::Result<()>) {
        self.outcome = Some(outcome);
        self.wake_flusher();
    }

    fn wake_flusher(&mut self) {
        if let Some(flusher) = self.flusher.take() {
            flusher.wake();
        }
    }
}

impl Socket for OwnedWriteHalf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
}
