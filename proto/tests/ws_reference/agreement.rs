//! What a byte stream means to tungstenite, and whether our decoder agrees.
//!
//! Shared by the property tests and the fuzz target.

use std::io::{self, Read, Write};

use hubwire_proto::ws::DecodeError;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::trace::{End, Seen, Trace, ours};

/// Decodes `stream` with tungstenite in the server's role; a failure is told by its close code.
pub(crate) fn theirs(stream: &[u8], limit: usize) -> Trace<u16> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(limit))
        // It applies this one to control frames too.
        .max_frame_size(Some(limit.max(125)));
    let mut socket = WebSocket::from_raw_socket(Memory(stream), Role::Server, Some(config));
    let mut seen = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(Message::Text(text)) => seen.push(Seen::Text(text.as_str().to_owned())),
            Ok(Message::Binary(bytes)) => seen.push(Seen::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => seen.push(Seen::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => seen.push(Seen::Pong(bytes.to_vec())),
            Ok(Message::Close(frame)) => {
                seen.push(Seen::Close(frame.map(|frame| {
                    (frame.code.into(), frame.reason.as_str().to_owned())
                })));
                break End::Closed;
            }
            Ok(Message::Frame(_)) => unreachable!("reading gives no raw frames"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                break End::Waiting;
            }
            Err(Error::Protocol(_)) => break End::Failed(1002),
            Err(Error::Utf8(_)) => break End::Failed(1007),
            Err(Error::Capacity(_)) => break End::Failed(1009),
            Err(error) => unreachable!("memory does not fail: {error}"),
        }
    };
    Trace { seen, end }
}

/// Panics unless both decoders make the same of `stream`, but for these differences:
///
/// - We refuse at the first byte that decides, tungstenite when the frame is complete. So the
///   stream is continued with zeros until it would be; as a header, zeros are refused by both.
/// - We refuse lengths that are not in their shortest form; tungstenite takes them. In a control
///   frame, the longer forms are refused as such.
/// - In a frame that breaks several rules, they may find another one first.
/// - tungstenite turns a close code that must not be sent into a close with 1002 and its own words.
/// - tungstenite does not know 1014 (Bad Gateway), which is registered.
pub(crate) fn check_agreement(stream: &[u8], limit: usize) {
    let mut stream = stream.to_vec();
    stream.resize(stream.len() + limit.max(125) + 16, 0);
    let ours = ours(&stream, &[], limit);
    let theirs = theirs(&stream, limit);

    if let End::Failed(DecodeError::NonMinimalLength | DecodeError::ControlTooLong) = ours.end {
        assert!(theirs.seen.starts_with(&ours.seen), "{ours:?}\n{theirs:?}");
        return;
    }
    let replaced = Seen::Close(Some((1002, "Protocol violation".to_owned())));
    if let End::Failed(DecodeError::InvalidCloseCode(_)) = ours.end {
        let (last, before) = match theirs.seen.split_last() {
            Some((last, before)) if theirs.end == End::Closed => (last, before),
            _ => (&replaced, theirs.seen.as_slice()),
        };
        assert_eq!((ours.seen.as_slice(), &replaced), (before, last));
        assert_ne!(theirs.end, End::Waiting);
        return;
    }
    if let Some((Seen::Close(Some((1014, _))), before)) = ours.seen.split_last() {
        assert_eq!(Some((&replaced, before)), theirs.seen.split_last());
        return;
    }
    assert_eq!(ours.seen, theirs.seen);
    match (ours.end, theirs.end) {
        (End::Failed(ours), End::Failed(theirs)) => {
            let same = ours.close_code().get() == theirs;
            assert!(
                same || (ours.close_code().get(), theirs) == (1002, 1009),
                "{ours:?} {theirs}"
            );
        }
        ends => assert!(matches!(ends, (End::Closed, End::Closed)), "{ends:?}"),
    }
}

/// A socket that gives these bytes and takes everything.
struct Memory<'a>(&'a [u8]);

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(buffer)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
