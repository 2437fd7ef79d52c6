//! A client's TCP socket as a shard's transport.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use hubwire_core::shard::TransportKey;
use hubwire_core::transport::{Read, Transport, Written};
use mio::{Interest, Registry};

/// A plain TCP connection to a client.
#[derive(Debug)]
pub struct Socket(mio::net::TcpStream);

impl Socket {
    /// Takes over an upgraded connection.
    ///
    /// # Errors
    ///
    /// If the socket cannot be made non-blocking.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(mio::net::TcpStream::from_std(stream)))
    }
}

impl Transport for Socket {
    type Registry = Registry;

    fn register(&mut self, registry: &Registry, key: TransportKey) -> bool {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match registry.register(&mut self.0, super::token_of(key), interest) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be watched and is dropped");
                false
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Read {
        loop {
            return match self.0.read(buffer) {
                Ok(0) => Read::Ended,
                Ok(count) => Read::Bytes(count),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => Read::WouldBlock,
                    _ => Read::Failed,
                },
            };
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> Written {
        loop {
            let result = match slices {
                [single] => self.0.write(single),
                several => self.0.write_vectored(several),
            };
            return match result {
                Ok(0) => Written::Failed,
                Ok(count) => Written::Bytes(count),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => Written::WouldBlock,
                    _ => Written::Failed,
                },
            };
        }
    }

    fn finish(&mut self) {
        // A connection that is already gone needs no farewell.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
