//! The mio candidate: one epoll instance, edge-triggered, slab keys as tokens.

use std::io::{self, Read, Write};
use std::mem;
use std::net::TcpListener as StdListener;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::shard::{Shard, Socket};

const LISTENER: Token = Token(usize::MAX);
const EVENTS: usize = 1024;

pub(crate) fn serve(listener: StdListener) -> io::Result<()> {
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;

    let mut shard = Shard::new();
    // Read this tick, and left for the next because the buffer was filled: those
    // get no second edge for the bytes that remain, so the poll must not wait.
    let mut ready: Vec<Ready> = Vec::with_capacity(EVENTS);
    let mut unfinished: Vec<Ready> = Vec::new();
    while !shard.is_quitting() {
        let timeout = (!unfinished.is_empty()).then_some(Duration::ZERO);
        match poll.poll(&mut events, timeout) {
            // By a signal, also one that only stopped and continued the process.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        mem::swap(&mut ready, &mut unfinished);

        let mut accepting = false;
        for event in &events {
            let hung_up = event.is_read_closed();
            match event.token() {
                LISTENER => accepting = true,
                Token(key) if event.is_readable() || hung_up => ready.push(Ready { key, hung_up }),
                // The write edge of a fresh socket; the load never fills one.
                Token(_) => {}
            }
        }
        for ready in ready.drain(..) {
            match read(&mut shard, &ready)? {
                Progress::Drained => {}
                Progress::Unfinished => unfinished.push(ready),
                Progress::Closed => {
                    if let Some(mut socket) = shard.remove(ready.key) {
                        poll.registry().deregister(&mut socket)?;
                    }
                }
            }
        }
        shard.flush()?;
        // Last, so that no event of this tick can name a reused key.
        if accepting {
            accept(&listener, &poll, &mut shard)?;
        }
    }
    Ok(())
}

struct Ready {
    key: usize,
    /// The peer's end of stream came with this edge: no other edge will.
    hung_up: bool,
}

enum Progress {
    Drained,
    Unfinished,
    Closed,
}

fn read(shard: &mut Shard<TcpStream>, ready: &Ready) -> io::Result<Progress> {
    // Twice in the list when a new edge met an unfinished read, and closed since.
    let Some((socket, scratch)) = shard.socket_and_scratch(ready.key) else {
        return Ok(Progress::Drained);
    };
    let capacity = scratch.len();
    match socket.read(scratch) {
        Ok(0) => Ok(Progress::Closed),
        Ok(length) => {
            shard.received(ready.key, length)?;
            // A short read of a stream means an empty socket buffer (epoll(7)),
            // so the call that would only say so is saved. tokio does the same.
            Ok(if length == capacity || ready.hung_up {
                Progress::Unfinished
            } else {
                Progress::Drained
            })
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Progress::Drained),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Progress::Unfinished),
        Err(_) => Ok(Progress::Closed),
    }
}

fn accept(listener: &TcpListener, poll: &Poll, shard: &mut Shard<TcpStream>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((mut socket, _)) => {
                socket.set_nodelay(true)?;
                poll.registry().register(
                    &mut socket,
                    Token(shard.next_key()),
                    Interest::READABLE | Interest::WRITABLE,
                )?;
                shard.insert(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl Socket for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }
}
