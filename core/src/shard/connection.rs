//! A connection of a shard: its seat, its session while it has rights, its link while it has a
//! transport. It has at least one of the two.

use hubwire_proto::ws::{CloseCode, DecodeError, Decoder};

use crate::Millis;
use crate::hub::{HubIndex, Membership};
use crate::node::Seat;
use crate::outbox::Outbox;
use crate::publication::Encoding;
use crate::replay::Replay;
use crate::session::Session;

/// What is left of a connection between its first and its last byte.
#[derive(Debug)]
pub(super) struct Connection<T> {
    pub(super) seat: Seat,
    /// Tells the session from earlier ones in the same slot; see [`SessionKey`].
    ///
    /// [`SessionKey`]: super::SessionKey
    pub(super) birth: u32,
    pub(super) hub: HubIndex,
    /// Until the connection ends for the engine: it is a member of nothing afterwards.
    pub(super) session: Option<Session>,
    pub(super) encoding: Encoding,
    pub(super) all_index: u32,
    pub(super) user_index: u32,
    /// By ascending group.
    pub(super) memberships: Vec<Membership>,
    /// What was not acknowledged; only of the reliable protocols, whose session outlives the link.
    pub(super) replay: Option<Box<Replay>>,
    /// Bytes of unfinished or held input, and of streams, charged to the node's memory.
    pub(super) charged_input: usize,
    /// Whether the session is among those to try again, or waits for its turn in its hub.
    pub(super) is_retrying: bool,
    /// `None` while a reliable session waits for its client to come back.
    pub(super) link: Option<Link<T>>,
}

/// What dies with the transport: unfinished input, unwritten output.
#[derive(Debug)]
pub(super) struct Link<T> {
    /// Tells the transport from earlier ones in the same slot; see [`TransportKey`].
    ///
    /// [`TransportKey`]: super::TransportKey
    pub(super) birth: u32,
    /// Whether what the session was sent may be sent again.
    pub(super) is_reliable: bool,
    pub(super) transport: T,
    pub(super) decoder: Decoder,
    pub(super) outbox: Outbox,
    pub(super) heard_at: Millis,
    /// Keep-alive pings since the client was last heard.
    pub(super) unanswered_pings: u8,
    /// Bytes that the transport owes, charged to the node's memory.
    pub(super) charged_owed: usize,
    pub(super) phase: Phase,
    /// How the connection ends once what the client sent before is answered.
    pub(super) ending: Option<Ending>,
    pub(super) flags: Flags,
}

/// What the client did that ends its connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// It broke the protocol; its bytes cannot be read any further.
    Broken(DecodeError),
    /// It sent a close frame.
    Closed(Option<CloseCode>),
    /// It will send no more.
    HungUp,
}

/// How far the closing handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Both sides talk.
    Open,
    /// Our close frame is queued or written; the client's answer is awaited, data is ignored.
    AwaitingClose,
    /// Everything ends once the outbox is written: the client has closed.
    Finishing,
    /// Our close frame is queued or written; whatever the client still sends is read and thrown
    /// away, so that the frame reaches it.
    Draining,
}

/// In which of the shard's work lists a link is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    /// In the list of links to write to.
    pub(super) dirty: bool,
    /// The transport took nothing more; it will report when it does.
    pub(super) blocked: bool,
    /// In the list of links to read from.
    pub(super) readable: bool,
    /// Reading stopped because the parked session holds enough.
    pub(super) paused: bool,
    /// The peer was reported to have hung up; what it sent before may be unread.
    pub(super) hung_up: bool,
    /// A timer runs for the messages that may expire.
    pub(super) expiry_watched: bool,
}

impl<T> Link<T> {
    /// A transport that was just taken over.
    pub(super) fn new(birth: u32, is_reliable: bool, transport: T, now: Millis) -> Self {
        Self {
            birth,
            is_reliable,
            transport,
            decoder: Decoder::default(),
            outbox: Outbox::default(),
            heard_at: now,
            unanswered_pings: 0,
            charged_owed: 0,
            phase: Phase::Open,
            ending: None,
            flags: Flags::default(),
        }
    }
}
