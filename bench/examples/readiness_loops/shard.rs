//! What every candidate shares: connections in a slab, one read buffer, and
//! outboxes flushed once per tick. Nothing here knows how readiness arrives.
//!
//! The load is in lockstep with the server and sends whole frames, so a frame
//! cut in two or a full socket buffer cannot occur; either ends the run with an
//! error rather than being handled.

use std::io;
use std::rc::Rc;

use slab::Slab;

/// Every message, in both directions: its first byte says what to do with it,
/// the next eight are a sequence number, the rest is payload.
pub(crate) type Frame = [u8; FRAME];
/// Length of a frame in bytes.
pub(crate) const FRAME: usize = 128;

/// First byte of a frame to be sent back to its sender.
pub(crate) const ECHO: u8 = b'E';
/// First byte of a frame to be sent to everyone but its sender.
pub(crate) const PUBLISH: u8 = b'P';
/// First byte of the frame that ends the server.
pub(crate) const QUIT: u8 = b'Q';

const SCRATCH: usize = 64 * 1024;

/// The writing half of a connection as its loop sees it. Reading is left to the
/// loops: it is where they differ.
pub(crate) trait Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// All state of one thread.
pub(crate) struct Shard<S> {
    connections: Slab<Connection<S>>,
    /// Connections with something in their outbox.
    dirty: Vec<usize>,
    /// Where every connection reads.
    scratch: Box<[u8]>,
    /// Where the frames of one outbox are gathered for a single write.
    cork: Vec<u8>,
    quit: bool,
}

/// With mio's 4-byte socket, 56 bytes: close to what a shard keeps of a
/// connection beside its session.
struct Connection<S> {
    socket: S,
    outbox: Vec<Rc<Frame>>,
    received: u64,
    delivered: u64,
}

impl<S: Socket> Shard<S> {
    pub(crate) fn new() -> Self {
        Self {
            connections: Slab::new(),
            dirty: Vec::new(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            cork: Vec::with_capacity(SCRATCH),
            quit: false,
        }
    }

    /// The key that [`insert`](Self::insert) will return next.
    pub(crate) fn next_key(&self) -> usize {
        self.connections.vacant_key()
    }

    pub(crate) fn insert(&mut self, socket: S) -> usize {
        self.connections.insert(Connection {
            socket,
            outbox: Vec::new(),
            received: 0,
            delivered: 0,
        })
    }

    pub(crate) fn remove(&mut self, key: usize) -> Option<S> {
        self.connections
            .try_remove(key)
            .map(|connection| connection.socket)
    }

    /// A connection's socket, and the buffer to read it into before calling
    /// [`received`](Self::received).
    pub(crate) fn socket_and_scratch(&mut self, key: usize) -> Option<(&mut S, &mut [u8])> {
        let connection = self.connections.get_mut(key)?;
        Some((&mut connection.socket, &mut self.scratch))
    }

    /// The buffer alone, for a loop that keeps the reading halves itself.
    pub(crate) fn scratch(&mut self) -> &mut [u8] {
        &mut self.scratch
    }

    /// Acts on the first `length` bytes of the scratch buffer.
    ///
    /// # Errors
    ///
    /// When they are not whole frames of a known kind.
    pub(crate) fn received(&mut self, key: usize, length: usize) -> io::Result<()> {
        let (frames, rest) = self.scratch[..length].as_chunks::<FRAME>();
        if !rest.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a cut frame"));
        }
        for frame in frames {
            if let Some(sender) = self.connections.get_mut(key) {
                sender.received += 1;
            }
            let shared = Rc::new(*frame);
            match frame[0] {
                ECHO => {
                    if let Some(sender) = self.connections.get_mut(key) {
                        sender.deliver(key, &shared, &mut self.dirty);
                    }
                }
                PUBLISH => {
                    for (member, connection) in &mut self.connections {
                        if member != key {
                            connection.deliver(member, &shared, &mut self.dirty);
                        }
                    }
                }
                QUIT => self.quit = true,
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "unknown frame")),
            }
        }
        Ok(())
    }

    /// Whether [`flush`](Self::flush) has something to do.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether a connection asked the server to end.
    pub(crate) fn is_quitting(&self) -> bool {
        self.quit
    }

    /// Ends a tick: writes each dirty outbox with one call.
    ///
    /// # Errors
    ///
    /// When a socket fails or does not take all of it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        for key in self.dirty.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            self.cork.clear();
            for frame in connection.outbox.drain(..) {
                self.cork.extend_from_slice(&*frame);
                connection.delivered += 1;
            }
            if connection.socket.write(&self.cork)? < self.cork.len() {
                return Err(io::Error::new(io::ErrorKind::WriteZero, "a short write"));
            }
        }
        Ok(())
    }
}

impl<S> Connection<S> {
    fn deliver(&mut self, key: usize, frame: &Rc<Frame>, dirty: &mut Vec<usize>) {
        if self.outbox.is_empty() {
            dirty.push(key);
        }
        self.outbox.push(Rc::clone(frame));
    }
}
