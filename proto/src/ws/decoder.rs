//! From the bytes of a client to events: masks, fragments, control frames, limits, UTF-8.
//!
//! Frames that are whole in the caller's buffer are unmasked there and lent out of it. Only what a
//! read cut off, and messages in fragments, are copied into the decoder.

use std::ops::Range;

use super::assembly::{Assembled, Assembly};
use super::close::CloseFrame;
use super::error::DecodeError;
use super::frame::{
    ControlKind, FrameKind, Header, HeaderRules, MAX_HEADER, MessageKind, apply_mask,
};

/// The receiving side of one connection, with whatever of a frame or message is incomplete.
///
/// Between messages it owns no heap. See [`step`](Self::step).
#[derive(Debug, Default)]
pub struct Decoder {
    held: Option<Box<Held>>,
    state: State,
}

/// What a client may make the server hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderLimits {
    /// The most bytes of payload in one message, all its fragments together.
    pub max_message_bytes: usize,
}

/// What [`Decoder::step`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Bytes taken from the front of the input; all of it when there is no event.
    pub consumed: usize,
    /// What those bytes completed.
    pub event: Option<Event<'a>>,
}

/// Something that a client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// To be answered with a pong of the same payload, at most 125 bytes (RFC 6455 §5.5.2).
    Ping(&'a [u8]),
    /// Needs no answer (RFC 6455 §5.5.3).
    Pong(&'a [u8]),
    /// The client closes: the last event. `None` if it gave no code.
    Close(Option<CloseFrame<'a>>),
}

impl Decoder {
    /// Takes bytes from the front of `input` until an event is complete or `input` is used up.
    ///
    /// Call it again with what is left, `&mut input[consumed..]`, until there is no event; then
    /// all of `input` is consumed and an incomplete frame has been copied into the decoder. The
    /// consumed part of `input` is overwritten: payloads are unmasked in place. What an event
    /// lends lives in `input` or in the decoder; in the latter case the next `step` or
    /// [`release`](Self::release) gives the memory back.
    ///
    /// How the stream is cut into inputs changes neither the events nor the error. After a close
    /// event, bytes are consumed and ignored (RFC 6455 §5.5.1). The `limits` may differ from one
    /// call to the next; they are applied where the header of a frame is read, so that a message
    /// too large is refused before its bytes are kept.
    ///
    /// # Errors
    /// The client broke the protocol. The decoder is spent: every further call fails the same.
    pub fn step<'a>(
        &'a mut self,
        input: &'a mut [u8],
        limits: &DecoderLimits,
    ) -> Result<Step<'a>, DecodeError> {
        self.release();
        match self.state {
            State::Open => {}
            State::Closed => {
                return Ok(Step {
                    consumed: input.len(),
                    event: None,
                });
            }
            State::Failed(error) => return Err(error),
        }
        let (consumed, ready) = match self.advance(input, *limits) {
            Ok(Some(progress)) => progress,
            Ok(None) => {
                return Ok(Step {
                    consumed: input.len(),
                    event: None,
                });
            }
            Err(error) => {
                self.state = State::Failed(error);
                self.held = None;
                return Err(error);
            }
        };
        let event = match ready {
            Ready::Message(kind, payload) => message_event(kind, &input[payload]),
            Ready::Control(kind, payload) => control_event(kind, &input[payload]),
            Ready::HeldMessage(message) => Ok(
                match self.held.get_or_insert_default().lent.insert(message) {
                    Assembled::Text(text) => Event::Text(text),
                    Assembled::Binary(bytes) => Event::Binary(bytes),
                },
            ),
            Ready::HeldControl(kind) => {
                control_event(kind, &self.held.get_or_insert_default().control)
            }
        };
        match event {
            Ok(Event::Close(_)) => self.state = State::Closed,
            Ok(_) => {}
            Err(error) => self.state = State::Failed(error),
        }
        event.map(|event| Step {
            consumed,
            event: Some(event),
        })
    }

    /// Gives back the memory that the last event lent out. [`step`](Self::step) does the same when
    /// it starts; call this after the last one, so that a connection that falls idle owns nothing.
    pub fn release(&mut self) {
        let Some(held) = &mut self.held else {
            return;
        };
        held.lent = None;
        if !held.in_control_frame() {
            held.control = Vec::new();
        }
        if self.state != State::Open || held.is_empty() {
            self.held = None;
        }
    }

    /// Bytes of heap held for an incomplete frame or message, and for an event not yet released.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.held.as_deref().map_or(0, Held::heap_bytes)
    }

    /// Reads frames up to the first that completes an event, and how many bytes that took; `None`
    /// when the input ends before.
    fn advance(
        &mut self,
        input: &mut [u8],
        limits: DecoderLimits,
    ) -> Result<Option<(usize, Ready)>, DecodeError> {
        let mut at = 0;
        while at < input.len() {
            let resumed = self.held.as_mut().and_then(|held| held.frame.take());
            let mut frame = match resumed {
                Some(frame) => frame,
                None => match self.read_header(&input[at..], limits)? {
                    Some((used, frame)) => {
                        at += used;
                        frame
                    }
                    None => return Ok(None),
                },
            };
            let start = at;
            at += frame.remaining.min(input.len() - start);
            let payload = &mut input[start..at];
            apply_mask(payload, frame.mask);
            frame.pass(payload.len());
            if let Some(ready) = self.accept(frame, payload, start..at)? {
                return Ok(Some((at, ready)));
            }
        }
        Ok(None)
    }

    /// Reads a header that may have begun in an earlier input. Gives the frame and how many bytes
    /// of `input` its header took; `None`, with all of them kept, while it is incomplete.
    fn read_header(
        &mut self,
        input: &[u8],
        limits: DecoderLimits,
    ) -> Result<Option<(usize, Frame)>, DecodeError> {
        let message = self.held.as_ref().and_then(|held| held.message.as_ref());
        let rules = HeaderRules {
            in_message: message.is_some(),
            message_len: message.map_or(0, Assembly::len),
            limit: limits.max_message_bytes,
        };
        let kept = self.held.as_ref().map_or(0, |held| held.header_len);
        if kept == 0
            && let Some(header) = Header::parse(input, rules)?
        {
            return Ok(Some((header.len, Frame::from(header))));
        }
        let held = self.held.get_or_insert_default();
        let end = MAX_HEADER.min(kept + input.len());
        held.header[kept..end].copy_from_slice(&input[..end - kept]);
        match Header::parse(&held.header[..end], rules)? {
            Some(header) => {
                held.header_len = 0;
                Ok(Some((header.len - kept, Frame::from(header))))
            }
            None => {
                held.header_len = end;
                Ok(None)
            }
        }
    }

    /// Takes unmasked bytes of a frame, which stand at `range` of the input: the event that they
    /// complete, or they are kept.
    fn accept(
        &mut self,
        mut frame: Frame,
        payload: &[u8],
        range: Range<usize>,
    ) -> Result<Option<Ready>, DecodeError> {
        let whole = frame.remaining == 0;
        match frame.kind {
            FrameKind::Control(kind) => {
                let begun = self
                    .held
                    .as_ref()
                    .is_some_and(|held| !held.control.is_empty());
                if whole && !begun {
                    return Ok(Some(Ready::Control(kind, range)));
                }
                let held = self.held.get_or_insert_default();
                held.control.extend_from_slice(payload);
                if whole {
                    return Ok(Some(Ready::HeldControl(kind)));
                }
                held.frame = Some(frame);
                Ok(None)
            }
            FrameKind::Start(kind) if whole && frame.fin => Ok(Some(Ready::Message(kind, range))),
            FrameKind::Start(kind) => {
                frame.kind = FrameKind::Continuation;
                self.assemble(Assembly::new(kind), frame, payload)
            }
            FrameKind::Continuation => {
                let message = self.held.as_mut().and_then(|held| held.message.take());
                let message = message.ok_or(DecodeError::UnexpectedContinuation)?;
                self.assemble(message, frame, payload)
            }
        }
    }

    /// Appends bytes of `frame` to its message, which is then complete or kept.
    fn assemble(
        &mut self,
        mut message: Assembly,
        frame: Frame,
        payload: &[u8],
    ) -> Result<Option<Ready>, DecodeError> {
        message.append(payload, frame.fin.then_some(frame.remaining))?;
        let whole = frame.remaining == 0;
        if whole && frame.fin {
            return message
                .finish()
                .map(|message| Some(Ready::HeldMessage(message)));
        }
        let held = self.held.get_or_insert_default();
        held.message = Some(message);
        held.frame = (!whole).then_some(frame);
        Ok(None)
    }
}

/// Whether there is anything more to read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The client sent a close frame.
    Closed,
    Failed(DecodeError),
}

/// An event, before anything is borrowed for it.
enum Ready {
    /// A message in one frame, whose payload is this part of the input.
    Message(MessageKind, Range<usize>),
    /// A control frame, whose payload is this part of the input.
    Control(ControlKind, Range<usize>),
    /// A message put together in the decoder.
    HeldMessage(Assembled),
    /// A control frame whose payload is `Held::control`.
    HeldControl(ControlKind),
}

/// What has arrived of something incomplete. Its size follows what was received, never what a
/// header declares.
#[derive(Debug, Default)]
struct Held {
    /// The start of a header.
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// The frame whose payload is incomplete; some of the payload is in `message` or `control`.
    frame: Option<Frame>,
    /// The message in progress.
    message: Option<Assembly>,
    /// The payload of a control frame, while that is in progress and while the event lends it.
    control: Vec<u8>,
    /// The message that the last event lends.
    lent: Option<Assembled>,
}

impl Held {
    fn in_control_frame(&self) -> bool {
        self.frame
            .as_ref()
            .is_some_and(|frame| matches!(frame.kind, FrameKind::Control(_)))
    }

    fn is_empty(&self) -> bool {
        self.header_len == 0
            && self.frame.is_none()
            && self.message.is_none()
            && self.control.is_empty()
            && self.lent.is_none()
    }

    fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.message.as_ref().map_or(0, Assembly::capacity)
            + self.control.capacity()
            + self.lent.as_ref().map_or(0, Assembled::capacity)
    }
}

/// A frame whose header has been read.
#[derive(Debug)]
struct Frame {
    fin: bool,
    kind: FrameKind,
    /// Aligned to the next byte of payload.
    mask: [u8; 4],
    /// Bytes of payload still to come.
    remaining: usize,
}

impl Frame {
    /// Counts `received` bytes of payload as read.
    fn pass(&mut self, received: usize) {
        self.remaining -= received;
        self.mask.rotate_left(received % 4);
    }
}

impl From<Header> for Frame {
    fn from(header: Header) -> Self {
        Self {
            fin: header.fin,
            kind: header.kind,
            mask: header.mask,
            remaining: header.payload_len,
        }
    }
}

fn message_event(kind: MessageKind, payload: &[u8]) -> Result<Event<'_>, DecodeError> {
    match kind {
        MessageKind::Text => simdutf8::basic::from_utf8(payload)
            .map(Event::Text)
            .map_err(|_| DecodeError::InvalidUtf8),
        MessageKind::Binary => Ok(Event::Binary(payload)),
    }
}

fn control_event(kind: ControlKind, payload: &[u8]) -> Result<Event<'_>, DecodeError> {
    match kind {
        ControlKind::Close => CloseFrame::parse(payload).map(Event::Close),
        ControlKind::Ping => Ok(Event::Ping(payload)),
        ControlKind::Pong => Ok(Event::Pong(payload)),
    }
}
