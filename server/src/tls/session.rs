//! One TLS connection without its socket.
//!
//! Ciphertext is read into a buffer that the caller lends, and decrypted there. What stays between
//! two calls is owned only while there is some: the part of a record that has not come whole, and
//! the ciphertext that the socket did not take. So an idle connection holds keys and nothing else.

use std::io::{self, IoSlice};
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{Error, ServerConfig};
use thiserror::Error;

use super::Counters;

/// Bytes of ciphertext that one call takes or gives, and so the most that is kept of a record or
/// handshake message that does not end.
pub(crate) const CHUNK: usize = 64 * 1024;
/// Plaintext of a record at most (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// More than a record adds to its plaintext, in either version.
const RECORD_OVERHEAD: usize = 64;
/// Room for a message of the protocol itself in front of a record.
const MESSAGE_ROOM: usize = 512;
/// Most plaintext that is encrypted in one call.
const PLAINTEXT: usize = 4 * RECORD;

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Bytes { count: usize, more: bool },
    WouldBlock,
    Ended,
}

/// What ends a connection before its time.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] Error),
}

/// Buffers that the sessions of a thread share. They are there from the first use on.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    incoming: Vec<u8>,
    plaintext: Vec<u8>,
    outgoing: Vec<u8>,
}

/// See the module's documentation.
pub(crate) struct Session {
    connection: UnbufferedServerConnection,
    counters: Arc<Counters>,
    /// What was read of a record or handshake message that is not whole.
    unfinished: Vec<u8>,
    /// Ciphertext to be written before anything else.
    owed: Vec<u8>,
    /// The peer said that it sends no more.
    ended: bool,
    /// Nothing can be encrypted any more: we said so, or the connection is broken.
    closed: bool,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>, counters: Arc<Counters>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            counters,
            unfinished: Vec::new(),
            owed: Vec::new(),
            ended: false,
            closed: false,
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(crate) fn owed_bytes(&self) -> usize {
        self.owed.len()
    }

    pub(crate) fn unfinished_bytes(&self) -> usize {
        self.unfinished.len()
    }

    /// Reads once with `read` and decrypts what is whole into `plaintext`. Answers of the protocol
    /// itself, such as those of a handshake, are owed afterwards; an alert also after an error.
    pub(crate) fn read(
        &mut self,
        scratch: &mut Scratch,
        plaintext: &mut [u8],
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<Received, SessionError> {
        if self.ended {
            return Ok(Received::Ended);
        }
        let incoming = grown(&mut scratch.incoming, CHUNK);
        // Decrypted, it is never longer.
        let room = incoming.len().min(plaintext.len());
        let kept = self.unfinished.len();
        if kept >= room {
            self.break_off();
            return Err(Error::General("a handshake message is too long".to_owned()).into());
        }
        let count = loop {
            match read(&mut incoming[kept..room]) {
                Ok(0) => return Ok(Received::Ended),
                Ok(count) => break count,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Ok(Received::WouldBlock),
                    _ => return Err(error.into()),
                },
            }
        };
        incoming[..kept].copy_from_slice(&self.unfinished);
        let input = &mut incoming[..kept + count];
        let decrypted = self.decrypt(input, plaintext);
        let (taken, produced) = decrypted.inspect_err(|_| self.break_off())?;
        keep(&mut self.unfinished, input.get(taken..).unwrap_or_default());
        Ok(Received::Bytes {
            count: produced,
            more: kept + count == room || self.ended,
        })
    }

    /// Takes whole records from `input`. Returns how many bytes of it are done with, and how many
    /// bytes of `plaintext` were filled.
    fn decrypt(&mut self, input: &mut [u8], plaintext: &mut [u8]) -> Result<(usize, usize), Error> {
        let (mut taken, mut produced) = (0, 0);
        loop {
            let rest = input.get_mut(taken..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(rest);
            let mut discarded = discard;
            let mut idle = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        let to = plaintext
                            .get_mut(produced..produced + record.payload.len())
                            .ok_or_else(|| Error::General("no room to decrypt".to_owned()))?;
                        to.copy_from_slice(record.payload);
                        produced += record.payload.len();
                        discarded += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(message)) => encode(message, &mut self.owed)?,
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(
                    ConnectionState::BlockedHandshake
                    | ConnectionState::WriteTraffic(_)
                    | ConnectionState::Closed,
                ) => idle = true,
                Ok(_) => return Err(Error::General("a state that was not asked for".to_owned())),
                Err(error) => {
                    self.take_alert(input.get_mut(taken + discard..).unwrap_or_default());
                    return Err(error);
                }
            }
            taken += discarded;
            if idle {
                // What follows the peer's farewell is nobody's (RFC 8446 §6.1).
                let taken = if self.ended { input.len() } else { taken };
                return Ok((taken, produced));
            }
        }
    }

    /// Takes over what the library wants to say about an error. It is asked only while it has
    /// something, so that it does not look at the broken input again.
    fn take_alert(&mut self, input: &mut [u8]) {
        let mut taken = 0;
        while self.connection.wants_write() {
            let rest = input.get_mut(taken..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(rest);
            match state {
                Ok(ConnectionState::EncodeTlsData(message)) => {
                    if encode(message, &mut self.owed).is_err() {
                        return;
                    }
                }
                _ => return,
            }
            taken += discard;
        }
    }

    fn break_off(&mut self) {
        self.closed = true;
        self.unfinished = Vec::new();
        if !self.is_handshaking() {
            Counters::count(&self.counters.broken);
        }
    }

    /// Writes with `write` what is owed, then encrypts and writes as much of `slices`, in order, as
    /// fits one call. Returns how many bytes of them were taken, and whether the socket is full.
    pub(crate) fn write(
        &mut self,
        scratch: &mut Scratch,
        slices: &[IoSlice<'_>],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> Result<(usize, bool), SessionError> {
        if self.write_owed(&mut write)? {
            return Ok((0, true));
        }
        let plaintext: &[u8] = match slices {
            [] => return Ok((0, false)),
            [single] => single.get(..PLAINTEXT).unwrap_or(single),
            several => {
                let joined = grown(&mut scratch.plaintext, PLAINTEXT);
                let mut filled = 0;
                for slice in several {
                    let count = slice.len().min(joined.len() - filled);
                    joined[filled..filled + count].copy_from_slice(&slice[..count]);
                    filled += count;
                }
                &joined[..filled]
            }
        };
        if plaintext.is_empty() {
            return Ok((0, false));
        }
        let outgoing = grown(&mut scratch.outgoing, sealed_bytes(PLAINTEXT));
        let sealed = self.encrypt(plaintext, outgoing)?;
        let mut rest = &outgoing[..sealed];
        let full = write_all(&mut rest, &mut write)?;
        keep(&mut self.owed, rest);
        Ok((plaintext.len(), full))
    }

    /// Encrypts `plaintext`, at most one record, and owes it.
    pub(crate) fn owe(&mut self, plaintext: &[u8]) -> Result<usize, Error> {
        let plaintext = plaintext.get(..RECORD).unwrap_or(plaintext);
        let mut sealed = vec![0; sealed_bytes(plaintext.len())];
        let count = self.encrypt(plaintext, &mut sealed)?;
        self.owed.extend_from_slice(&sealed[..count]);
        Ok(plaintext.len())
    }

    /// Writes what is owed. Returns whether the socket is full before the end of it.
    pub(crate) fn write_owed(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        if self.owed.is_empty() {
            return Ok(false);
        }
        let mut rest = self.owed.as_slice();
        let full = write_all(&mut rest, &mut write)?;
        let left = rest.len();
        if left == 0 {
            self.owed = Vec::new();
        } else {
            self.owed.drain(..self.owed.len() - left);
        }
        Ok(full)
    }

    /// Owes the farewell, once (RFC 8446 §6.1). Nothing can be encrypted after it.
    pub(crate) fn say_goodbye(&mut self) {
        if self.closed || self.is_handshaking() {
            return;
        }
        self.closed = true;
        let mut sealed = [0; MESSAGE_ROOM];
        let status = self.connection.process_tls_records(&mut self.unfinished);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state
            && let Ok(count) = traffic.queue_close_notify(&mut sealed)
        {
            self.owed.extend_from_slice(&sealed[..count]);
        }
    }

    fn encrypt(&mut self, plaintext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let failed = |problem: &str| Error::General(problem.to_owned());
        if self.closed {
            return Err(failed("written after the end"));
        }
        let mut message = Vec::new();
        loop {
            // The library wants to see what it has not taken yet, also when asked to write.
            let status = self.connection.process_tls_records(&mut self.unfinished);
            match status.state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let (head, body) = out
                        .split_at_mut_checked(message.len())
                        .ok_or_else(|| failed("no room for a message"))?;
                    head.copy_from_slice(&message);
                    let count = traffic
                        .encrypt(plaintext, body)
                        .map_err(|error| failed(&error.to_string()))?;
                    return Ok(message.len() + count);
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut message)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.ended = true,
                _ => return Err(failed("nothing can be written")),
            }
        }
    }
}

/// Appends a message of the protocol to `out`.
fn encode(
    mut message: EncodeTlsData<'_, ServerConnectionData>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let start = out.len();
    if let Err(EncodeError::InsufficientSize(error)) = message.encode(&mut []) {
        out.resize(start + error.required_size, 0);
        message
            .encode(&mut out[start..])
            .map_err(|error| Error::General(error.to_string()))?;
    }
    Ok(())
}

/// Writes until `rest` is empty or the socket is full; the latter is returned.
fn write_all(
    rest: &mut &[u8],
    write: &mut impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<bool> {
    while !rest.is_empty() {
        match write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *rest = rest.get(count..).unwrap_or_default(),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(true),
                _ => return Err(error),
            },
        }
    }
    Ok(false)
}

/// Replaces what is kept; an empty buffer owns no memory.
fn keep(kept: &mut Vec<u8>, rest: &[u8]) {
    if rest.is_empty() {
        if kept.capacity() > 0 {
            *kept = Vec::new();
        }
    } else {
        kept.clear();
        kept.reserve_exact(rest.len());
        kept.extend_from_slice(rest);
    }
}

fn grown(buffer: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    if buffer.is_empty() {
        *buffer = vec![0; bytes];
    }
    buffer
}

/// More than `plaintext` bytes need once encrypted.
fn sealed_bytes(plaintext: usize) -> usize {
    plaintext + (plaintext / RECORD + 1) * RECORD_OVERHEAD + MESSAGE_ROOM
}
