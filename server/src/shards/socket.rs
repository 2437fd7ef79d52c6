//! A client's socket as a shard's transport: a closed set of kinds, each with the same two verbs.

mod tls;

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use hubwire_core::shard::TransportKey;
use hubwire_core::transport::{Read, Transport, Written};
use mio::{Interest, Registry};

use crate::tls::{Scratch, Session};
use tls::TlsSocket;

/// A TCP connection to a client, upgraded.
#[derive(Debug)]
pub struct Socket(Kind);

#[derive(Debug)]
enum Kind {
    Plain(mio::net::TcpStream),
    Tls(Box<TlsSocket>),
}

/// What the sockets of a shard share.
#[derive(Debug)]
pub struct Shared {
    registry: Registry,
    scratch: Scratch,
}

impl Shared {
    /// With readiness reported to `registry`.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            scratch: Scratch::default(),
        }
    }
}

impl Socket {
    /// Takes over a connection without TLS.
    ///
    /// # Errors
    ///
    /// If the socket cannot be made non-blocking.
    pub fn plain(stream: TcpStream) -> io::Result<Self> {
        to_mio(stream).map(|stream| Self(Kind::Plain(stream)))
    }

    /// Takes over a connection with TLS, whose handshake is done.
    ///
    /// # Errors
    ///
    /// If the socket cannot be made non-blocking.
    pub(crate) fn tls(stream: TcpStream, session: Session) -> io::Result<Self> {
        let stream = to_mio(stream)?;
        Ok(Self(Kind::Tls(Box::new(TlsSocket::new(stream, session)))))
    }
}

fn to_mio(stream: TcpStream) -> io::Result<mio::net::TcpStream> {
    stream.set_nonblocking(true)?;
    Ok(mio::net::TcpStream::from_std(stream))
}

impl Transport for Socket {
    type Shared = Shared;

    fn register(&mut self, shared: &mut Shared, key: TransportKey) -> bool {
        let stream = match &mut self.0 {
            Kind::Plain(stream) => stream,
            Kind::Tls(socket) => socket.stream(),
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        match shared
            .registry
            .register(stream, super::token_of(key), interest)
        {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be watched and is dropped");
                false
            }
        }
    }

    fn read(&mut self, shared: &mut Shared, buffer: &mut [u8]) -> Read {
        match &mut self.0 {
            Kind::Plain(stream) => read_plain(stream, buffer),
            Kind::Tls(socket) => socket.read(&mut shared.scratch, buffer),
        }
    }

    fn write(&mut self, shared: &mut Shared, slices: &[IoSlice<'_>]) -> Written {
        match &mut self.0 {
            Kind::Plain(stream) => write_plain(stream, slices),
            Kind::Tls(socket) => socket.write(&mut shared.scratch, slices),
        }
    }

    fn finish(&mut self) {
        match &mut self.0 {
            Kind::Plain(stream) => {
                // A connection that is already gone needs no farewell.
                let _ = stream.shutdown(Shutdown::Write);
            }
            Kind::Tls(socket) => socket.finish(),
        }
    }

    fn owed_bytes(&self) -> usize {
        match &self.0 {
            Kind::Plain(_) => 0,
            Kind::Tls(socket) => socket.owed_bytes(),
        }
    }

    fn unfinished_bytes(&self) -> usize {
        match &self.0 {
            Kind::Plain(_) => 0,
            Kind::Tls(socket) => socket.unfinished_bytes(),
        }
    }
}

fn read_plain(stream: &mut mio::net::TcpStream, buffer: &mut [u8]) -> Read {
    loop {
        return match stream.read(buffer) {
            Ok(0) => Read::Ended,
            // A stream that gave less than was asked for is empty.
            Ok(count) => Read::Bytes {
                count,
                more: count == buffer.len(),
            },
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::WouldBlock => Read::WouldBlock,
                _ => Read::Failed,
            },
        };
    }
}

fn write_plain(stream: &mut mio::net::TcpStream, slices: &[IoSlice<'_>]) -> Written {
    loop {
        let result = match slices {
            [single] => stream.write(single),
            several => stream.write_vectored(several),
        };
        return match result {
            Ok(0) => Written::Failed,
            Ok(count) => Written::Bytes(count),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::WouldBlock => Written::Blocked(0),
                _ => Written::Failed,
            },
        };
    }
}
