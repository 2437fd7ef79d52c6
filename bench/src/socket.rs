//! One non-blocking TCP connection: bytes waiting to leave, bytes of an unfinished message.
//!
//! Knows no protocol. Reads go into a scratch buffer that all connections share; only what is
//! left of an unfinished message is copied out of it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};

use mio::net::TcpStream;

/// Room for at least this much is offered to every read.
const LEAST_READ: usize = 64 << 10;
/// The scratch buffer to begin with.
pub(crate) const SCRATCH: usize = 512 << 10;

/// A connection and its two buffers.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    unsent: Vec<u8>,
    /// How much of `unsent` has left already.
    sent: usize,
    unfinished: Vec<u8>,
}

/// What one read brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// The scratch buffer holds this much of the stream, unfinished bytes of earlier reads first.
    pub(crate) available: usize,
    /// How much of it is new.
    pub(crate) fresh: usize,
    /// The read filled its room, so there may be more.
    pub(crate) more: bool,
}

impl Socket {
    /// Begins to connect; from the address `source` if given (Linux; elsewhere it is ignored,
    /// for there a loopback interface has only one).
    pub(crate) fn connect(to: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<Self> {
        let stream = match source {
            #[cfg(target_os = "linux")]
            Some(source) => connect_from(source, to)?,
            _ => TcpStream::connect(to)?,
        };
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            unsent: Vec::new(),
            sent: 0,
            unfinished: Vec::new(),
        })
    }

    /// What a poller watches.
    pub(crate) fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Whether the connection stands, once it was reported writable.
    ///
    /// # Errors
    /// Why it could not be made.
    pub(crate) fn connected(&self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends the connection in both directions, as far as it stands.
    pub(crate) fn cut(&mut self) {
        // A socket that is not connected has nothing to end.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Where to append what is to be sent by the next [`Socket::flush`].
    pub(crate) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    /// Sends as much as the kernel takes now; the rest leaves when the socket is writable again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads once into `scratch`. `None` when nothing is there; an arrival with no fresh bytes is
    /// the end of the stream. Whoever takes an arrival gives back the unfinished rest by
    /// [`Socket::keep`].
    pub(crate) fn read(&mut self, scratch: &mut Vec<u8>) -> io::Result<Option<Arrival>> {
        let held = self.unfinished.len();
        if scratch.len() < held + LEAST_READ {
            scratch.resize(held + SCRATCH, 0);
        }
        let fresh = loop {
            match self.stream.read(&mut scratch[held..]) {
                Ok(fresh) => break fresh,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        scratch[..held].copy_from_slice(&self.unfinished);
        self.unfinished.clear();
        Ok(Some(Arrival {
            available: held + fresh,
            fresh,
            more: held + fresh == scratch.len(),
        }))
    }

    /// Keeps the start of an unfinished message until its rest arrives.
    pub(crate) fn keep(&mut self, unfinished: &[u8]) {
        self.unfinished.extend_from_slice(unfinished);
    }
}

#[cfg(target_os = "linux")]
fn connect_from(source: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddr::from((source, 0)))?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream: std::net::TcpStream = socket.into();
    Ok(TcpStream::from_std(stream))
}
