//! A shard: the connections that one thread owns, and the tick that moves everything.
//!
//! A tick takes new connections, goes on with cut walks, drains the inbox, reads transports,
//! fires timers, hands work to other shards and flushes, each within a budget, so that no large
//! message, group, list or filter starves the rest. Waiting for readiness and time is its caller's
//! business: the caller reports them with [`Shard::ready`] and the `now` of [`Shard::tick`].

mod apply;
mod connection;
mod delivery;
mod farewell;
mod group_state;
mod input;
mod lifecycle;
mod member;
mod membership;
mod output;
mod publish;
mod recovery;
mod request;
mod shutdown;
mod stream;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use hubwire_proto::role::Permissions;

use crate::Millis;
use crate::handler::Upstream;
use crate::hub::{Hub, HubIndex};
use crate::id::{ConnectionId, ShardId, Slot};
use crate::inbox::{Inbox, Mail, Permit};
use crate::metrics::ShardNumbers;
use crate::node::{Node, Seat};
use crate::outbox::OutboxPool;
use crate::replay::ReplayPool;
use crate::session::{Protocol, Session};
use crate::settings::TickBudget;
use crate::slab::Slab;
use crate::transport::Transport;
use crate::wheel::{Timer, Wheel};

pub use recovery::NOT_RECOVERED;
pub use shutdown::SHUTTING_DOWN;

use connection::{Connection, Link};
use farewell::Farewells;

/// Bytes that one read may bring.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Bytes of small frames that are joined into one write.
const CORK_BYTES: usize = 64 * 1024;
/// How often sessions that wait for memory are tried again, in milliseconds.
const MEMORY_RETRY_MS: u64 = 10;

/// A connection on its way from the front door to its shard.
#[derive(Debug)]
pub struct Attachment<T> {
    /// Its place, reserved before.
    pub seat: Seat,
    /// The upgraded transport.
    pub transport: T,
    /// Bytes that the front door already read behind the upgrade request.
    pub unread: Vec<u8>,
    /// The lower-case hub name.
    pub hub: Arc<str>,
    /// The user, if there is one.
    pub user: Option<Arc<str>>,
    /// The protocol that was agreed on.
    pub protocol: Protocol,
    /// What the connection may do.
    pub permissions: Permissions,
    /// Groups to join at once, no permission needed. At most `groups_per_connection` count.
    pub groups: Vec<Arc<str>>,
    /// By what the client may come back, if the protocol is reliable. Not kept.
    pub reconnection_token: Option<Box<str>>,
}

/// A new transport for a session that outlived its last one, on its way to the shard of that
/// session. The client has proved that it may have it.
#[derive(Debug)]
pub struct Recovery<T> {
    /// Whose session.
    pub connection: ConnectionId,
    /// The lower-case hub name that the client gave.
    pub hub: Arc<str>,
    /// The upgraded transport.
    pub transport: T,
    /// Bytes that the front door already read behind the upgrade request.
    pub unread: Vec<u8>,
    /// By what the client may come back the next time. Not kept.
    pub reconnection_token: Box<str>,
}

/// Somebody at the door of a shard.
#[derive(Debug)]
enum Arrival<T> {
    New(Box<Attachment<T>>),
    Returning(Box<Recovery<T>>),
}

/// The front door's end of a shard: where connections are put. As many new ones wait as have
/// seats, and as many returning ones besides.
#[derive(Debug)]
pub struct Doorway<T> {
    waiting: Mutex<VecDeque<Arrival<T>>>,
    capacity: usize,
    inbox: Arc<Inbox>,
}

/// Too many clients want to come back at once. The transport was closed; a client tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many clients come back at once")]
pub struct DoorwayFull;

impl<T> Doorway<T> {
    /// Hands a connection over to the shard that its seat names.
    pub fn hand_over(&self, attachment: Attachment<T>) {
        self.lock().push_back(Arrival::New(Box::new(attachment)));
        self.inbox.wake();
    }

    /// Hands a transport over to the shard that has the session.
    ///
    /// # Errors
    ///
    /// [`DoorwayFull`].
    pub fn recover(&self, recovery: Recovery<T>) -> Result<(), DoorwayFull> {
        let mut waiting = self.lock();
        if waiting.len() >= self.capacity {
            return Err(DoorwayFull);
        }
        waiting.push_back(Arrival::Returning(Box::new(recovery)));
        drop(waiting);
        self.inbox.wake();
        Ok(())
    }

    fn take(&self) -> Option<Arrival<T>> {
        self.lock().pop_front()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arrival<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names a transport in readiness reports: its slot, and which of that slot's it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportKey {
    /// The slot.
    pub slot: Slot,
    /// The transport's number on its shard.
    pub birth: u32,
}

/// Names a session on its shard, whichever transport it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKey {
    /// The slot.
    pub slot: Slot,
    /// The session's number on its shard.
    pub birth: u32,
}

/// What a transport is ready for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer will send no more, or the transport broke.
    pub hung_up: bool,
}

/// When a shard wants its next tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextTick {
    /// At once: a budget cut work short.
    Now,
    /// At this time, or when something becomes ready or the inbox's waker is woken.
    At(Millis),
    /// When something becomes ready or the inbox's waker is woken.
    WhenWoken,
}

/// A shard. See the module's documentation.
pub struct Shard<T: Transport> {
    id: ShardId,
    node: Arc<Node>,
    budget: TickBudget,
    transports: T::Shared,
    upstream: Box<dyn Upstream>,
    doorway: Arc<Doorway<T>>,

    connections: Slab<Connection<T>>,
    /// Counts sessions and transports, so that a late timer or readiness report for an earlier one
    /// in the same slot is recognised.
    births: u32,
    hubs: Vec<Option<Hub>>,
    hub_index: HashMap<Arc<str>, HubIndex>,
    free_hubs: Vec<HubIndex>,
    wheel: Wheel,
    pool: OutboxPool,
    replays: ReplayPool,

    /// Links with something to read.
    readable: VecDeque<TransportKey>,
    /// Links with something to write.
    dirty: VecDeque<TransportKey>,
    /// Sessions that wait for room, for their hub's turn or for memory.
    retrying: VecDeque<SessionKey>,
    /// Sessions that missed a message because their unacknowledged queue is full; they end.
    overflowed: Vec<SessionKey>,
    /// What ended sessions still owe to groups.
    farewells: Farewells,
    /// Hubs with a walk or a backlog, each once.
    busy_hubs: VecDeque<HubIndex>,
    /// Snapshots of group states that are being gathered for subscribers of this shard.
    gatherings: usize,
    /// One of them ended after the sessions that wait were last tried again.
    gathering_ended: bool,
    /// The number of the latest one.
    last_gathering: u64,
    /// Work for other shards, sent at the end of the tick.
    hand_off: Vec<Vec<(Permit, Mail)>>,
    /// Mail taken from the inbox and not dealt with.
    mail: VecDeque<Mail>,

    /// Whether there are other shards that need to know whom this one has.
    keeps_interest: bool,
    /// Which of the node's hub tables the hubs have their settings from.
    hubs_version: u64,
    /// Members that may still be visited in this tick.
    members_left: usize,
    scratch: Box<[u8]>,
    cork: Box<[u8]>,
    /// Where messages are built before they are framed.
    envelope: Vec<u8>,
    due: Vec<Timer>,
    numbers: ShardNumbers,
    now: Millis,
    /// Bytes of unacknowledged queues, besides their frames, charged to the node's memory.
    charged_replay: usize,
    /// No input is read any more, so that everything comes to rest before the end.
    quiescing: bool,
    shutting_down: bool,
    memory_retry_at: Option<Millis>,
    /// When connections may be ended for memory again.
    next_relief: Millis,
}

impl<T: Transport> fmt::Debug for Shard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("id", &self.id)
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Shard<T> {
    /// The shard `id` of `node`, without connections. `transports` is what its transports
    /// share.
    #[must_use]
    pub fn new(
        id: ShardId,
        node: Arc<Node>,
        transports: T::Shared,
        upstream: Box<dyn Upstream>,
        doorway: Arc<Doorway<T>>,
        budget: TickBudget,
    ) -> Self {
        let shards = node.shards().len();
        Self {
            id,
            node,
            budget,
            transports,
            upstream,
            doorway,
            connections: Slab::default(),
            births: 0,
            hubs: Vec::new(),
            hub_index: HashMap::new(),
            free_hubs: Vec::new(),
            wheel: Wheel::default(),
            pool: OutboxPool::default(),
            replays: ReplayPool::default(),
            readable: VecDeque::new(),
            dirty: VecDeque::new(),
            retrying: VecDeque::new(),
            overflowed: Vec::new(),
            farewells: Farewells::default(),
            busy_hubs: VecDeque::new(),
            gatherings: 0,
            gathering_ended: false,
            last_gathering: 0,
            hand_off: (0..shards).map(|_| Vec::new()).collect(),
            mail: VecDeque::new(),
            keeps_interest: shards > 1,
            hubs_version: 0,
            members_left: 0,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            cork: vec![0; CORK_BYTES].into_boxed_slice(),
            envelope: Vec::new(),
            due: Vec::new(),
            numbers: ShardNumbers::default(),
            now: Millis::default(),
            charged_replay: 0,
            quiescing: false,
            shutting_down: false,
            memory_retry_at: None,
            next_relief: Millis::default(),
        }
    }

    /// The way in for the connections of shard `id` of `node`.
    #[must_use]
    pub fn doorway(node: &Node, id: ShardId) -> Arc<Doorway<T>> {
        Arc::new(Doorway {
            waiting: Mutex::default(),
            capacity: node.limits().connections,
            inbox: Arc::clone(node.inbox(id)),
        })
    }

    /// Connections of this shard, those whose closing handshake is under way included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether the shard was shut down and its last connection is gone: it needs no more ticks.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shutting_down && self.connections.is_empty() && self.doorway.is_empty()
    }

    /// Reports that a transport is ready. A report for a connection that has gone is ignored.
    pub fn ready(&mut self, key: TransportKey, readiness: Readiness) {
        let link = self
            .connections
            .get_mut(key.slot)
            .and_then(|found| found.link.as_mut());
        let Some(link) = link.filter(|link| link.birth == key.birth) else {
            return;
        };
        let flags = &mut link.flags;
        flags.hung_up |= readiness.hung_up;
        if readiness.writable && flags.blocked {
            flags.blocked = false;
            if !flags.dirty {
                flags.dirty = true;
                self.dirty.push_back(key);
            }
        }
        if (readiness.readable || readiness.hung_up) && !flags.readable {
            flags.readable = true;
            self.readable.push_back(key);
        }
    }

    /// Does a bounded amount of all the work there is.
    pub fn tick(&mut self, now: Millis) -> NextTick {
        self.now = now;
        self.members_left = self.budget.members;
        self.node.rest(self.id).set(false);
        self.refresh_settings();
        self.take_attachments();
        // Before new work, which could use up the budget in every tick, and which one part is for.
        self.continue_walks(1);
        self.drain_inbox();
        self.settle_farewells();
        self.retry_sessions();
        self.read_transports();
        self.fire_timers();
        // With what the others left: the more is delivered before the flush, the more it joins.
        self.continue_walks(0);
        self.end_overflowed();
        self.hand_off();
        self.flush();
        self.relieve_memory();
        self.recharge_replay();
        self.publish_numbers();
        self.report_quiet();
        self.next_tick()
    }

    fn next_tick(&self) -> NextTick {
        let unfinished = (!self.readable.is_empty() && self.reads_input())
            || !self.dirty.is_empty()
            || !self.busy_hubs.is_empty()
            || !self.mail.is_empty()
            || !self.node.inbox(self.id).is_empty()
            || !self.doorway.is_empty()
            || self.memory_has_come()
            || (self.gathering_ended && !self.retrying.is_empty())
            || self.farewells.want_tick();
        if unfinished {
            return NextTick::Now;
        }
        match (self.wheel.next_due(), self.memory_retry_at) {
            (Some(timer), Some(retry)) => NextTick::At(timer.min(retry)),
            (Some(at), None) | (None, Some(at)) => NextTick::At(at),
            (None, None) => NextTick::WhenWoken,
        }
    }

    /// Whether sessions wait for memory that the flush has just freed.
    fn memory_has_come(&self) -> bool {
        self.memory_retry_at.is_some() && !self.retrying.is_empty() && !self.node.memory().is_full()
    }

    /// Gives every hub its settings from the node's new table, if there is one.
    fn refresh_settings(&mut self) {
        let version = self.node.hubs_version();
        if version == self.hubs_version {
            return;
        }
        self.hubs_version = version;
        let table = self.node.hubs();
        for hub in self.hubs.iter_mut().flatten() {
            hub.settings = Arc::clone(table.of(&hub.name));
        }
    }

    fn drain_inbox(&mut self) {
        // While a busy hub's backlog is long, the inbox is where its commands wait, so that the
        // bound of the inbox holds for them too.
        if self.backlog_is_full() {
            return;
        }
        let inbox = Arc::clone(self.node.inbox(self.id));
        let mut mail = std::mem::take(&mut self.mail);
        let room = self.budget.commands.saturating_sub(mail.len());
        inbox.take(room, &mut mail);
        let mut processed = 0;
        while let Some(next) = mail.pop_front() {
            match next {
                Mail::Command(command) => {
                    processed += 1;
                    self.numbers.commands += 1;
                    self.receive_command(command);
                }
                Mail::Beside(command) => self.receive_command(*command),
                Mail::Answer(answer) => self.receive_answer(*answer),
                Mail::Quiesce => self.quiesce(),
                Mail::ShutDown(farewell) => self.shut_down(farewell),
            }
            if self.backlog_is_full() {
                break;
            }
        }
        self.mail = mail;
        let freed = inbox.processed(processed);
        self.node.wake(freed);
    }

    fn backlog_is_full(&self) -> bool {
        let waiting = |index: &HubIndex| self.hub(*index).map_or(0, |hub| hub.backlog.len());
        !self.busy_hubs.is_empty()
            && self.busy_hubs.iter().map(waiting).sum::<usize>()
                >= self.node.limits().inbox_commands
    }

    fn hand_off(&mut self) {
        for (shard, mails) in (0u8..).zip(&mut self.hand_off) {
            if !mails.is_empty() {
                self.node.inbox(ShardId(shard)).send_batch(mails);
            }
        }
    }

    fn publish_numbers(&mut self) {
        self.numbers.connections = self.connections.len() as u64;
        self.node.metrics(self.id).publish(&self.numbers);
    }

    fn hub(&self, index: HubIndex) -> Option<&Hub> {
        self.hubs.get(index.0 as usize)?.as_ref()
    }

    fn hub_mut(&mut self, index: HubIndex) -> Option<&mut Hub> {
        self.hubs.get_mut(index.0 as usize)?.as_mut()
    }

    /// The slot of a connection that has not ended.
    fn find(&self, id: &ConnectionId) -> Option<Slot> {
        let slot = self.node.place_of(id)?.slot;
        let connection = self.connections.get(slot)?;
        (connection.seat.connection() == *id && connection.session.is_some()).then_some(slot)
    }

    fn link(&self, slot: Slot) -> Option<&Link<T>> {
        self.connections.get(slot)?.link.as_ref()
    }

    fn link_mut(&mut self, slot: Slot) -> Option<&mut Link<T>> {
        self.connections.get_mut(slot)?.link.as_mut()
    }

    fn session(&self, slot: Slot) -> Option<&Session> {
        self.connections.get(slot)?.session.as_ref()
    }

    fn session_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        self.connections.get_mut(slot)?.session.as_mut()
    }

    /// The slot of a transport, if it is still there.
    fn still(&self, key: TransportKey) -> Option<Slot> {
        (self.link(key.slot)?.birth == key.birth).then_some(key.slot)
    }

    /// The slot of a session, if it is still that one's.
    fn still_there(&self, key: SessionKey) -> Option<Slot> {
        (self.connections.get(key.slot)?.birth == key.birth).then_some(key.slot)
    }

    fn session_key(&self, slot: Slot) -> Option<SessionKey> {
        Some(SessionKey {
            slot,
            birth: self.connections.get(slot)?.birth,
        })
    }

    fn next_birth(&mut self) -> u32 {
        self.births = self.births.wrapping_add(1);
        self.births
    }
}
