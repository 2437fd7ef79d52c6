//! One client of the server: WebSocket, and one of the predefined subprotocols.
//!
//! A state machine over [`Socket`]: dial, upgrade, `connected`, `joinGroup` if it is to be a
//! member, then count deliveries (protocol notes: client protocol). A reliable client also counts
//! their numbers, acknowledges them when it is told to, and can continue on a new socket.

use std::io;

use hubwire_proto::ws::Opcode;
use hubwire_proto::ws::client::{ServerFrame, read_frame};

use crate::failure::{Cause, Stage};
use crate::frames::{self, MAX_PAYLOAD};
use crate::http;
use crate::ledger::Ledger;
use crate::publication::Publication;
use crate::sequence::{Place, Sequence};
use crate::socket::Socket;
use crate::stamp::Stamp;
use crate::subprotocol::{Notice, Subprotocol};

/// The key of every handshake and its answer: the pair that RFC 6455 §1.3 shows.
pub(crate) const HANDSHAKE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const HANDSHAKE_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// How much of an unexpected message an error shows.
const SHOWN_MESSAGE: usize = 300;
const NORMAL_CLOSURE: u16 = 1000;
/// The close code after which a session is gone for good.
pub(crate) const POLICY_VIOLATION: u16 = 1008;

/// What a client is for, decided before it dials.
#[derive(Debug)]
pub(crate) struct ClientPlan {
    pub(crate) subprotocol: Subprotocol,
    /// The whole upgrade request, token included.
    pub(crate) upgrade: Vec<u8>,
    /// The group to join, if any.
    pub(crate) joins: Option<String>,
    /// What it publishes, if anything.
    pub(crate) publishes: Option<Box<Publication>>,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) stage: Stage,
    index: usize,
    plan: ClientPlan,
    dialed: u64,
    /// The time in the last delivery's stamp.
    last: u64,
    /// A fragmented delivery whose end is still to come.
    fragmented: Option<Delivery>,
    sequence: Sequence,
    /// Of a reliable client, once it is connected.
    identity: Option<Box<Identity>>,
    /// While it recovers: the number up to which messages are owed.
    owed: Option<u64>,
    /// What `disconnected` said; the close that follows has a code besides.
    farewell: Option<String>,
}

/// What the server knows a connection by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) connection_id: String,
    pub(crate) reconnection_token: String,
}

#[derive(Debug, Clone, Copy)]
struct Delivery {
    stamp: Stamp,
    /// 0 without a reliable subprotocol.
    sequence_id: u64,
}

impl Client {
    /// A client whose socket has just begun to connect.
    pub(crate) fn new(index: usize, socket: Socket, plan: ClientPlan, now: u64) -> Self {
        Self {
            socket,
            stage: Stage::Dialing,
            index,
            plan,
            dialed: now,
            last: 0,
            fragmented: None,
            sequence: Sequence::default(),
            identity: None,
            owed: None,
            farewell: None,
        }
    }

    /// Continues on a socket that has just begun to connect, with a request to recover the
    /// connection. It is ready again once the message with the number `owed` has arrived.
    pub(crate) fn recover(&mut self, socket: Socket, request: Vec<u8>, owed: u64, now: u64) {
        self.socket = socket;
        self.stage = Stage::Dialing;
        self.plan.upgrade = request;
        self.dialed = now;
        self.fragmented = None;
        self.owed = Some(owed);
        self.farewell = None;
    }

    /// What the server knows the connection by; only of a reliable client that was connected.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    /// The highest number that arrived; 0 for none.
    pub(crate) fn received(&self) -> u64 {
        self.sequence.received()
    }

    pub(crate) fn is_reliable(&self) -> bool {
        self.plan.subprotocol.is_reliable()
    }

    /// Appends one publish to what is to be sent, stamped with `time`.
    #[inline]
    pub(crate) fn publish(&mut self, time: u64) {
        if let Some(publication) = &mut self.plan.publishes {
            publication.append(time, self.socket.outgoing());
        }
    }

    /// Sends a WebSocket ping.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        frames::write(Opcode::Ping, b"", self.socket.outgoing());
        self.socket.flush()
    }

    /// Acknowledges what has arrived since the last time, if anything has; returns whether.
    pub(crate) fn acknowledge(&mut self) -> io::Result<bool> {
        if !matches!(self.stage, Stage::CatchingUp | Stage::Ready) {
            return Ok(false);
        }
        let Some(sequence_id) = self.sequence.acknowledge() else {
            return Ok(false);
        };
        let message = self.plan.subprotocol.sequence_ack(sequence_id);
        let opcode = self.plan.subprotocol.opcode();
        frames::write(opcode, &message, self.socket.outgoing());
        self.socket.flush()?;
        Ok(true)
    }

    /// Says goodbye with the code that ends a reliable client's session too.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        let code = NORMAL_CLOSURE.to_be_bytes();
        frames::write(Opcode::Close, &code, self.socket.outgoing());
        self.socket.flush()
    }

    /// The socket can take bytes, or its connect has ended.
    pub(crate) fn on_writable(&mut self) -> Result<(), Cause> {
        if self.stage == Stage::Dialing {
            if !self.socket.connected()? {
                return Ok(());
            }
            let request = std::mem::take(&mut self.plan.upgrade);
            self.socket.outgoing().extend_from_slice(&request);
            self.stage = Stage::Upgrading;
        }
        Ok(self.socket.flush()?)
    }

    /// The socket has bytes, or its end (`read_closed`).
    pub(crate) fn on_readable(
        &mut self,
        read_closed: bool,
        scratch: &mut Vec<u8>,
        ledger: &mut Ledger,
    ) -> Result<(), Cause> {
        if self.stage == Stage::Dialing {
            return Ok(());
        }
        while let Some(arrival) = self.socket.read(scratch)? {
            if arrival.fresh == 0 {
                return Err(self
                    .farewell
                    .take()
                    .map_or(Cause::Ended, Cause::Disconnected));
            }
            ledger.now = ledger.clock.now();
            ledger.counters.bytes += arrival.fresh as u64;
            let before = ledger.counters.deliveries;
            let bytes = &scratch[..arrival.available];
            let used = self.consume(bytes, ledger)?;
            self.socket.keep(&bytes[used..]);
            let brought = ledger.counters.deliveries - before;
            if brought > 0 {
                ledger.counters.reads += 1;
                if let Some(receivers) = &mut ledger.receivers {
                    receivers.push((self.index, brought));
                }
            }
            if !self.socket.outgoing().is_empty() {
                self.socket.flush()?;
            }
            // Edge-triggered: a read that did not fill its room has emptied the socket, and what
            // comes later is a new edge. Not so on Windows, where only `WouldBlock` re-arms.
            if cfg!(unix) && !arrival.more && !read_closed {
                break;
            }
        }
        Ok(())
    }

    /// Works on what has arrived; returns how many bytes are done with.
    fn consume(&mut self, bytes: &[u8], ledger: &mut Ledger) -> Result<usize, Cause> {
        let mut used = 0;
        if self.stage == Stage::Upgrading {
            let Some(head) = http::read(bytes)? else {
                return Ok(0);
            };
            if head.status != 101 {
                return Err(head.refusal(&bytes[head.size..]));
            }
            if head.accept != Some(HANDSHAKE_ACCEPT) {
                return Err(Cause::Accept);
            }
            let wanted = self.plan.subprotocol.name();
            if head.subprotocol != Some(wanted) {
                return Err(Cause::Subprotocol(wanted));
            }
            used = head.size;
            self.stage = Stage::Greeting;
        }
        while let Some(frame) = read_frame(&bytes[used..], MAX_PAYLOAD)? {
            used += frame.size;
            self.on_frame(frame, ledger)?;
        }
        Ok(used)
    }

    #[inline]
    fn on_frame(&mut self, frame: ServerFrame<'_>, ledger: &mut Ledger) -> Result<(), Cause> {
        match frame.opcode {
            Opcode::Text | Opcode::Binary => match ledger.finder.find(frame.payload) {
                Some(stamp) => {
                    let delivery = self.delivery(stamp, frame.payload)?;
                    if frame.fin {
                        self.on_delivery(delivery, ledger);
                    } else {
                        self.fragmented = Some(delivery);
                    }
                }
                None => self.on_notice(frame.payload, ledger)?,
            },
            Opcode::Continuation if frame.fin => {
                if let Some(delivery) = self.fragmented.take() {
                    self.on_delivery(delivery, ledger);
                }
            }
            Opcode::Continuation => {}
            Opcode::Ping => frames::write(Opcode::Pong, frame.payload, self.socket.outgoing()),
            Opcode::Pong => ledger.counters.pongs += 1,
            Opcode::Close => return Err(self.close_cause(frame.payload)),
        }
        Ok(())
    }

    #[inline]
    fn delivery(&self, stamp: Stamp, message: &[u8]) -> Result<Delivery, Cause> {
        let subprotocol = self.plan.subprotocol;
        let sequence_id = if subprotocol.is_reliable() {
            subprotocol
                .sequence_id(message)
                .ok_or_else(|| Cause::Unnumbered(shown(message)))?
        } else {
            0
        };
        Ok(Delivery { stamp, sequence_id })
    }

    #[inline]
    fn on_delivery(&mut self, delivery: Delivery, ledger: &mut Ledger) {
        if self.is_reliable() && !self.is_new(delivery.sequence_id, ledger) {
            return;
        }
        let stamp = delivery.stamp;
        if u64::from(stamp.sender) == self.index as u64 {
            ledger.counters.echoes += 1;
            return;
        }
        if stamp.time < self.last {
            ledger.counters.out_of_order += 1;
        }
        self.last = stamp.time;
        ledger.delivery(stamp);
    }

    /// Counts the number of a message; whether it is above all before it. What is not, a client
    /// drops.
    #[inline]
    fn is_new(&mut self, sequence_id: u64, ledger: &mut Ledger) -> bool {
        match self.sequence.receive(sequence_id) {
            Place::Next => {}
            Place::Later => ledger.counters.sequence_gaps += 1,
            Place::Repeated => {
                ledger.counters.duplicates += 1;
                return false;
            }
        }
        if self.stage == Stage::CatchingUp {
            self.catch_up(ledger);
        }
        true
    }

    fn on_notice(&mut self, message: &[u8], ledger: &mut Ledger) -> Result<(), Cause> {
        let notice = self.plan.subprotocol.notice(message);
        match (notice, self.stage) {
            (Some(Notice::Ack(Ok(()))), Stage::Ready) => ledger.counters.acks += 1,
            (Some(Notice::Ack(Ok(()))), Stage::Joining) => self.ready(ledger),
            (Some(Notice::Ack(Err(reason))), _) => return Err(Cause::Refused(reason)),
            (
                Some(Notice::Connected {
                    connection_id,
                    reconnection_token,
                }),
                Stage::Greeting,
            ) => {
                let identity = Identity {
                    connection_id: connection_id.into_owned(),
                    reconnection_token: reconnection_token.into_owned(),
                };
                self.on_connected(identity, ledger)?;
            }
            (Some(Notice::Disconnected(reason)), _) => self.farewell = Some(reason.into_owned()),
            _ => return Err(Cause::Unexpected(shown(message))),
        }
        Ok(())
    }

    fn on_connected(&mut self, identity: Identity, ledger: &mut Ledger) -> Result<(), Cause> {
        if let Some(before) = &self.identity
            && before.connection_id != identity.connection_id
        {
            return Err(Cause::OtherConnection(identity.connection_id));
        }
        if self.is_reliable() {
            self.identity = Some(Box::new(identity));
        }
        if self.owed.is_some() {
            ledger.counters.recoveries += 1;
            let taken = ledger.now.saturating_sub(self.dialed);
            ledger.recovery.record(taken);
            self.catch_up(ledger);
            return Ok(());
        }
        match &self.plan.joins {
            Some(group) => {
                let join = self.plan.subprotocol.join_group(group);
                let opcode = self.plan.subprotocol.opcode();
                frames::write(opcode, &join, self.socket.outgoing());
                self.stage = Stage::Joining;
            }
            None => self.ready(ledger),
        }
        Ok(())
    }

    /// Recovered: ready if nothing is owed any more.
    fn catch_up(&mut self, ledger: &mut Ledger) {
        if self.owed.is_some_and(|owed| owed > self.received()) {
            self.stage = Stage::CatchingUp;
        } else {
            self.owed = None;
            self.ready(ledger);
        }
    }

    fn ready(&mut self, ledger: &mut Ledger) {
        self.stage = Stage::Ready;
        ledger.setup.record(ledger.now.saturating_sub(self.dialed));
    }

    /// A close frame as a cause (RFC 6455 §5.5.1); without a body it stands for 1005 (§7.4.1).
    fn close_cause(&mut self, payload: &[u8]) -> Cause {
        let (code, reason) = match payload.split_first_chunk::<2>() {
            Some((code, reason)) => (u16::from_be_bytes(*code), reason),
            None => (1005, &[][..]),
        };
        let reason = String::from_utf8_lossy(reason).into_owned();
        let farewell = self.farewell.take();
        let unacknowledged = self.sequence.unacknowledged();
        if code == POLICY_VIOLATION && unacknowledged > 0 && self.stage >= Stage::CatchingUp {
            return Cause::CutOff {
                reason,
                farewell,
                unacknowledged,
            };
        }
        Cause::CloseFrame {
            code,
            reason,
            farewell,
        }
    }
}

fn shown(message: &[u8]) -> String {
    let shown = &message[..message.len().min(SHOWN_MESSAGE)];
    String::from_utf8_lossy(shown).into_owned()
}

#[cfg(test)]
mod tests;
