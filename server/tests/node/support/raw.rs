//! A WebSocket client without manners: it sends any bytes and reads only when told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::{JSON, JSON_RELIABLE, PATIENCE, Request, Server};

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;
/// This frame is the last of its message.
pub(crate) const FIN: u8 = 0x80;

/// Receive buffer of a client that will not read, so that the system holds little for it.
const SMALL_BUFFER: usize = 4096;

/// A socket after its upgrade.
pub(crate) struct Raw<S = TcpStream>(pub(crate) S);

/// A frame as it came: the opcode, and the payload.
pub(crate) type Frame = (u8, Vec<u8>);

impl Raw {
    /// A client of the json subprotocol in `hub`, with a signed token.
    pub(crate) fn json(server: &Server, hub: &str, token: &str) -> Self {
        Self::upgrade(server, server.dial(), hub, token, Some(JSON))
    }

    /// A client of the reliable json subprotocol.
    pub(crate) fn json_reliable(server: &Server, hub: &str, token: &str) -> Self {
        Self::upgrade(server, server.dial(), hub, token, Some(JSON_RELIABLE))
    }

    /// A simple client.
    pub(crate) fn simple(server: &Server, hub: &str, token: &str) -> Self {
        Self::upgrade(server, server.dial(), hub, token, None)
    }

    /// A client of the json subprotocol for which the system holds little that it does not read.
    pub(crate) fn stalled(server: &Server, hub: &str, token: &str) -> Self {
        Self::upgrade(server, dial_stalled(server), hub, token, Some(JSON))
    }

    /// A second handle of the same socket.
    pub(crate) fn try_clone(&self) -> Self {
        Self(self.0.try_clone().unwrap())
    }

    /// Says that nothing more will be sent.
    pub(crate) fn half_close(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends with a reset, as a peer that crashed.
    pub(crate) fn reset(self) {
        SockRef::from(&self.0)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

impl<S: Read + Write> Raw<S> {
    /// Upgrades a connection.
    pub(crate) fn upgrade(
        server: &Server,
        mut stream: S,
        hub: &str,
        token: &str,
        subprotocol: Option<&str>,
    ) -> Self {
        let mut request = Request::upgrade(&format!("/client/hubs/{hub}?access_token={token}"));
        if let Some(subprotocol) = subprotocol {
            request = request.header("Sec-WebSocket-Protocol", subprotocol);
        }
        let response = request.send(&mut stream, &server.authority());
        assert_eq!(response.status, 101);
        Self(stream)
    }

    /// Sends bytes as they are. The server may have had enough of them before their end.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// The next frame, or nothing at the end of the stream.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let (first, payload) = self.any_frame()?;
        Some((first & 0xF, payload))
    }

    /// The next frame with its whole first byte.
    fn any_frame(&mut self) -> Option<Frame> {
        let mut head = [0; 2];
        self.fill(&mut head)?;
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.fill(&mut length)?;
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.fill(&mut length)?;
                usize::try_from(u64::from_be_bytes(length)).unwrap()
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        Some((head[0], payload))
    }

    /// The next message, which must be a text.
    pub(crate) fn text(&mut self) -> String {
        let mut text = Vec::new();
        let mut expected = TEXT;
        loop {
            match self.any_frame() {
                Some((first, payload)) if first & 0xF == expected => {
                    text.extend(payload);
                    if first & FIN != 0 {
                        return String::from_utf8(text).unwrap();
                    }
                }
                other => panic!("{other:?}"),
            }
            expected = 0;
        }
    }

    /// The code of the close frame that comes next, after which nothing may follow.
    pub(crate) fn closed(&mut self) -> u16 {
        let code = match self.frame() {
            Some((CLOSE, payload)) => u16::from_be_bytes([payload[0], payload[1]]),
            other => panic!("{other:?}"),
        };
        assert_eq!(self.frame(), None);
        code
    }

    /// Fills `buffer`, unless the stream ends before; a reset is an end too.
    fn fill(&mut self, buffer: &mut [u8]) -> Option<()> {
        match self.0.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(error) => match error.kind() {
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => None,
                _ => panic!("{error}"),
            },
        }
    }
}

/// A connection for which the system holds little that is not read.
pub(crate) fn dial_stalled(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // The window is agreed when connecting.
    socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// A masked frame of a client. `first` is the first byte: FIN, reserved bits and opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x5A, 0x01, 0xC3, 0xFF];
    let mut bytes = frame_head(first, payload.len() as u64);
    bytes.extend_from_slice(&MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The head of a masked frame without its mask.
pub(crate) fn frame_head(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => bytes.push(0x80 | short),
        (_, Ok(medium)) => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes
}
