//! A connection's bytes while HTTP is spoken on it, with or without TLS, and the way out of it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use crate::shards::Socket;
use crate::tls::{Acceptor, CHUNK, Received, Scratch, Session, SessionError};

/// The first byte of a TLS connection: its content type is "handshake" (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// Bytes that are read from a client that has been told goodbye.
const LINGER_BYTES: usize = 64 * 1024;

/// An accepted connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// A connection with TLS, its handshake done.
pub(crate) struct TlsStream {
    stream: TcpStream,
    session: Session,
    /// Decrypted and not yet read, from `read` on.
    decrypted: Vec<u8>,
    read: usize,
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("plain HTTP")]
    PlainHttp,
    #[error("not TLS")]
    NotTls,
    #[error("the client went away")]
    Ended,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Stream {
    /// The socket for a shard, and what was decrypted and not yet read.
    ///
    /// # Errors
    ///
    /// If the socket cannot leave the runtime.
    pub(crate) fn into_socket(self) -> io::Result<(Socket, Vec<u8>)> {
        match self {
            Self::Plain(stream) => Ok((Socket::plain(stream.into_std()?)?, Vec::new())),
            Self::Tls(tls) => {
                let TlsStream {
                    stream,
                    session,
                    mut decrypted,
                    read,
                } = *tls;
                decrypted.drain(..read);
                decrypted.shrink_to_fit();
                Ok((Socket::tls(stream.into_std()?, session)?, decrypted))
            }
        }
    }
}

impl TlsStream {
    /// Shakes hands on `stream`. A client that speaks plain HTTP is told what to do instead; one
    /// that breaks the protocol, why, as far as TLS has words for it.
    ///
    /// Nothing is shared with other handshakes but the threads, and those only while there is
    /// something to compute: whoever stops half-way takes up a connection of the listener, as a
    /// silent client without TLS does.
    pub(super) async fn accept(
        acceptor: &Acceptor,
        stream: TcpStream,
    ) -> Result<Self, HandshakeError> {
        let mut first = [0];
        match stream.peek(&mut first).await? {
            0 => return Err(HandshakeError::Ended),
            _ if first == [HANDSHAKE] => {}
            _ if first[0].is_ascii_uppercase() => return Err(refuse_plain_http(stream).await),
            _ => return Err(HandshakeError::NotTls),
        }
        let mut tls = Self {
            stream,
            session: acceptor.session().map_err(SessionError::from)?,
            decrypted: Vec::new(),
            read: 0,
        };
        while tls.session.is_handshaking() {
            let received = std::future::poll_fn(|context| tls.poll_receive(context)).await;
            if let Err(error) = received {
                // The reason is an alert; whoever is gone need not hear it.
                let _ = tls.session.write_owed(|bytes| tls.stream.try_write(bytes));
                return Err(error.into());
            }
            if received.is_ok_and(|received| received == Received::Ended) {
                return Err(HandshakeError::Ended);
            }
            tls.flush().await?;
        }
        Ok(tls)
    }

    /// Reads once and keeps what it brought.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Received, SessionError>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let received = with_scratch(|scratch, plaintext| {
                let received = self
                    .session
                    .read(scratch, plaintext, |buffer| self.stream.try_read(buffer))?;
                if let Received::Bytes { count, .. } = received {
                    self.decrypted.drain(..self.read);
                    self.read = 0;
                    self.decrypted.extend_from_slice(&plaintext[..count]);
                }
                Ok::<_, SessionError>(received)
            })?;
            if received != Received::WouldBlock {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn poll_write_owed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self
            .session
            .write_owed(|bytes| self.stream.try_write(bytes))?
        {
            ready!(self.stream.poll_write_ready(context))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read == this.decrypted.len() {
            let received = match ready!(this.poll_receive(context)) {
                Ok(received) => received,
                Err(error) => {
                    let _ = this.poll_write_owed(context);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            };
            // Whether there is room for an answer of TLS itself is no concern of the reader's.
            let _ = this.poll_write_owed(context);
            if received == Received::Ended {
                return Poll::Ready(Ok(()));
            }
        }
        let count = buffer.remaining().min(this.decrypted.len() - this.read);
        buffer.put_slice(&this.decrypted[this.read..this.read + count]);
        this.read += count;
        if this.read == this.decrypted.len() {
            this.decrypted = Vec::new();
            this.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_write_owed(context))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = this.session.owe(bytes).map_err(io::Error::other)?;
        // What the socket does not take is owed until the next write or flush.
        match this.poll_write_owed(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_write_owed(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.session.say_goodbye();
        ready!(this.poll_write_owed(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                let bytes = first.map_or(&[][..], |slice| slice);
                Pin::new(&mut **stream).poll_write(context, bytes)
            }
        }
    }

    /// With TLS each write is a record of its own, so it is better to join them before.
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}

/// Writes the last bytes to a client and reads on for a little: a socket that is dropped with
/// unread input resets the connection, and they might never arrive.
///
/// # Errors
///
/// If the connection breaks before.
pub(crate) async fn say_last(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 1024];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match stream.read(&mut scratch).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

async fn refuse_plain_http(stream: TcpStream) -> HandshakeError {
    let text = "TLS is spoken here: the address begins with https:// or wss://.\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    match say_last(stream, answer.as_bytes()).await {
        Ok(()) => HandshakeError::PlainHttp,
        Err(error) => error.into(),
    }
}

/// Lends the buffers of this thread.
fn with_scratch<T>(use_them: impl FnOnce(&mut Scratch, &mut [u8]) -> T) -> T {
    thread_local! {
        static BUFFERS: RefCell<(Scratch, Vec<u8>)> = RefCell::default();
    }
    BUFFERS.with_borrow_mut(|(scratch, plaintext)| {
        plaintext.resize(CHUNK, 0);
        use_them(scratch, plaintext)
    })
}
