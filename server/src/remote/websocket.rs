//! A client's WebSocket: messages in, frames out.
//!
//! Reading and writing do not wait for each other, so that two sides which both send much cannot
//! block one another. What the messages mean is decided by the caller.

use std::io;

use hubwire_proto::ws::client::{Messages, encode_masked, read_frame};
use hubwire_proto::ws::{CloseFrame, DecodeError, Event, Opcode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// The most bytes of a message. A server's own limit is far below it.
const MAX_MESSAGE: usize = 16 << 20;
/// Frames that wait for the network.
const QUEUE: usize = 64;
const READ_BUFFER: usize = 64 << 10;

type Socket = TokioIo<Upgraded>;

/// An open WebSocket.
pub(crate) struct WebSocket {
    reader: ReadHalf<Socket>,
    /// Bytes that have arrived; those before `used` are done with.
    buffer: Vec<u8>,
    used: usize,
    messages: Messages,
    outgoing: mpsc::Sender<Vec<u8>>,
    writer: JoinHandle<io::Result<()>>,
}

/// What has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Text(String),
    Binary(Vec<u8>),
    /// A ping, which is answered already, or a pong.
    Sign,
    /// The close frame: its code and reason, if it has any.
    Close(Option<(u16, String)>),
}

/// Why a WebSocket is over.
#[derive(Debug, Error)]
pub(crate) enum WebSocketError {
    #[error("the connection ended without a close frame")]
    Ended,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the server broke the WebSocket protocol: {0}")]
    Protocol(#[from] DecodeError),
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

impl WebSocket {
    pub(super) fn new(socket: Socket) -> Self {
        let (reader, writer) = tokio::io::split(socket);
        let (outgoing, frames) = mpsc::channel(QUEUE);
        Self {
            reader,
            buffer: Vec::new(),
            used: 0,
            messages: Messages::default(),
            outgoing,
            writer: tokio::spawn(write(writer, frames)),
        }
    }

    /// Where frames made by [`frame`] are sent to.
    pub(crate) fn outgoing(&self) -> mpsc::Sender<Vec<u8>> {
        self.outgoing.clone()
    }

    /// The next thing that arrives. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// If nothing more can arrive.
    pub(crate) async fn next(&mut self) -> Result<Incoming, WebSocketError> {
        loop {
            if let Some(incoming) = self.take()? {
                return Ok(incoming);
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            self.buffer.reserve(READ_BUFFER);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Err(WebSocketError::Ended);
            }
        }
    }

    /// Writes what is queued, then ends the connection; no longer than `until` if the server does
    /// not read.
    pub(crate) async fn finish(self, until: Instant) {
        drop(self.outgoing);
        let _ = timeout_at(until, self.writer).await;
    }

    /// What the bytes at hand complete.
    fn take(&mut self) -> Result<Option<Incoming>, WebSocketError> {
        while let Some(next) = read_frame(&self.buffer[self.used..], MAX_MESSAGE)? {
            self.used += next.size;
            let incoming = match self.messages.accept(next, MAX_MESSAGE)? {
                None => continue,
                Some(Event::Text(text)) => Incoming::Text(text.to_owned()),
                Some(Event::Binary(bytes)) => Incoming::Binary(bytes.to_vec()),
                Some(Event::Pong(_)) => Incoming::Sign,
                Some(Event::Ping(payload)) => {
                    // While the queue is full, what is in it shows that we live.
                    let _ = self.outgoing.try_send(frame(Opcode::Pong, payload)?);
                    Incoming::Sign
                }
                Some(Event::Close(close)) => Incoming::Close(close.map(owned)),
            };
            return Ok(Some(incoming));
        }
        Ok(None)
    }
}

/// A frame with a mask of its own (RFC 6455 §5.3).
///
/// # Errors
///
/// If the system gives no random bytes.
pub(crate) fn frame(opcode: Opcode, payload: &[u8]) -> Result<Vec<u8>, WebSocketError> {
    let mut mask = [0; 4];
    getrandom::fill(&mut mask)?;
    let mut bytes = Vec::with_capacity(payload.len() + 14);
    encode_masked(opcode, payload, mask, &mut bytes);
    Ok(bytes)
}

fn owned(close: CloseFrame<'_>) -> (u16, String) {
    (close.code.get(), close.reason.to_owned())
}

/// Writes frames until their sender is gone, then says so to the peer.
async fn write(
    mut socket: WriteHalf<Socket>,
    mut frames: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(frame) = frames.recv().await {
        socket.write_all(&frame).await?;
        socket.flush().await?;
    }
    socket.shutdown().await
}
