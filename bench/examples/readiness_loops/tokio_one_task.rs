//! The other tokio candidate: no task per connection. Each connection has a
//! waker that puts its key on a ready list, and one task polls the keys listed.
//! It is mio's loop rebuilt on top of tokio's reactor.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::TcpListener as StdListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::coop::unconstrained;

use crate::shard::{Shard, Socket};

const LISTENER: usize = usize::MAX;

pub(crate) fn serve(listener: StdListener) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let ready = Arc::new(ReadyList::default());
        let mut driver = Driver {
            shard: Shard::new(),
            listener: TcpListener::from_std(listener)?,
            listener_waker: ready.waker(LISTENER),
            keys: Vec::new(),
            ready,
        };
        // The first poll of each source hands its waker to the reactor.
        driver.ready.push(LISTENER);
        // tokio would send the task to the back of its queue every 128 reads.
        unconstrained(poll_fn(move |cx| driver.poll_tick(cx))).await
    })
}

struct Driver {
    shard: Shard<WokenSocket>,
    listener: TcpListener,
    listener_waker: Waker,
    /// What this tick polls; swapped with the ready list's vector.
    keys: Vec<usize>,
    ready: Arc<ReadyList>,
}

struct WokenSocket {
    stream: TcpStream,
    waker: Waker,
}

impl Driver {
    /// One tick: polls the woken connections, then flushes.
    fn poll_tick(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.ready.take(&mut self.keys, cx.waker());
        let mut accepting = false;
        let mut keys = mem::take(&mut self.keys);
        for key in keys.drain(..) {
            if key == LISTENER {
                accepting = true;
            } else if let Poll::Ready(outcome) = self.poll_connection(key) {
                self.shard.remove(key);
                outcome?;
            }
        }
        self.keys = keys;
        self.shard.flush()?;
        if accepting {
            self.accept()?;
        }
        if self.shard.is_quitting() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Reads a connection until its socket is empty; ready when it is closed.
    fn poll_connection(&mut self, key: usize) -> Poll<io::Result<()>> {
        loop {
            let Some((socket, scratch)) = self.shard.socket_and_scratch(key) else {
                return Poll::Pending;
            };
            let mut cx = Context::from_waker(&socket.waker);
            let mut buffer = ReadBuf::new(scratch);
            let outcome = ready!(Pin::new(&mut socket.stream).poll_read(&mut cx, &mut buffer));
            let length = buffer.filled().len();
            let full = buffer.remaining() == 0;
            if outcome.is_err() || length == 0 {
                return Poll::Ready(Ok(()));
            }
            self.shard.received(key, length)?;
            if full {
                self.ready.push(key);
                return Poll::Pending;
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let mut cx = Context::from_waker(&self.listener_waker);
        while let Poll::Ready(accepted) = self.listener.poll_accept(&mut cx) {
            let (stream, _) = accepted?;
            stream.set_nodelay(true)?;
            let waker = self.ready.waker(self.shard.next_key());
            let key = self.shard.insert(WokenSocket { stream, waker });
            self.ready.push(key);
        }
        Ok(())
    }
}

/// Keys of woken connections. tokio demands wakers that may cross threads, so
/// there is a lock, though it is never contended here.
#[derive(Default)]
struct ReadyList {
    state: Mutex<ReadyState>,
}

#[derive(Default)]
struct ReadyState {
    keys: Vec<usize>,
    /// Present while the task sleeps.
    task: Option<Waker>,
}

impl ReadyList {
    fn waker(self: &Arc<Self>, key: usize) -> Waker {
        let list = Arc::clone(self);
        Waker::from(Arc::new(ConnectionWaker { key, list }))
    }

    fn push(&self, key: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.keys.push(key);
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Swaps the list with `keys` and remembers whom to wake for the next key.
    fn take(&self, keys: &mut Vec<usize>, task: &Waker) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut state.keys, keys);
        state.task = Some(task.clone());
    }
}

struct ConnectionWaker {
    key: usize,
    list: Arc<ReadyList>,
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.list.push(self.key);
    }
}

impl Socket for WokenSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }
}
