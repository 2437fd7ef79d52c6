//! A client's socket with TLS: the session does the work, the socket carries its ciphertext.

use std::fmt;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::Shutdown;

use hubwire_core::transport::{Read, Written};
use mio::net::TcpStream;

use crate::tls::{Received, Scratch, Session, SessionError};

pub(super) struct TlsSocket {
    stream: TcpStream,
    session: Session,
}

impl fmt::Debug for TlsSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSocket")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl TlsSocket {
    pub(super) fn new(stream: TcpStream, session: Session) -> Self {
        Self { stream, session }
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub(super) fn read(&mut self, scratch: &mut Scratch, buffer: &mut [u8]) -> Read {
        let stream = &mut self.stream;
        match self
            .session
            .read(scratch, buffer, |buffer| stream.read(buffer))
        {
            Ok(Received::Bytes { count, more }) => Read::Bytes { count, more },
            Ok(Received::WouldBlock) => Read::WouldBlock,
            Ok(Received::Ended) => Read::Ended,
            Err(error) => failed(&error, Read::Failed),
        }
    }

    pub(super) fn write(&mut self, scratch: &mut Scratch, slices: &[IoSlice<'_>]) -> Written {
        let stream = &mut self.stream;
        match self
            .session
            .write(scratch, slices, |bytes| stream.write(bytes))
        {
            Ok((taken, false)) => Written::Bytes(taken),
            Ok((taken, true)) => Written::Blocked(taken),
            Err(error) => failed(&error, Written::Failed),
        }
    }

    pub(super) fn finish(&mut self) {
        self.say_goodbye();
        // A connection that is already gone needs no farewell.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    pub(super) fn owed_bytes(&self) -> usize {
        self.session.owed_bytes()
    }

    pub(super) fn unfinished_bytes(&self) -> usize {
        self.session.unfinished_bytes()
    }

    /// Tells the client that this is the end and not an attack, if the socket has room for it. A
    /// client that has not taken what was owed before is not told.
    fn say_goodbye(&mut self) {
        let stream = &mut self.stream;
        let mut write = |bytes: &[u8]| stream.write(bytes);
        if matches!(self.session.write_owed(&mut write), Ok(false)) {
            self.session.say_goodbye();
            let _ = self.session.write_owed(write);
        }
    }
}

impl Drop for TlsSocket {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

fn failed<T>(error: &SessionError, outcome: T) -> T {
    if let SessionError::Tls(error) = error {
        tracing::debug!(%error, "a TLS connection broke");
    }
    outcome
}
