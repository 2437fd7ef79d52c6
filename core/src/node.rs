//! What the shards of a node share, and the front door's way to all of them.
//!
//! Everything here may be called from any thread. No connection's state is here.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use hashbrown::{HashMap, HashSet};

use crate::Millis;
use crate::ask::Asks;
use crate::command::{Command, Target};
use crate::id::{ConnectionId, NodeId, ShardId, ShardSet, Slot};
use crate::inbox::{AtShutdown, Inbox, Mail, Permit, ShardsToWake, WaiterBit, Wake};
use crate::interest::{Interest, Kind};
use crate::memory::NodeMemory;
use crate::metrics::{ShardMetrics, ShardNumbers};
use crate::settings::{HubTable, Limits};
use crate::snapshot::{Snapshot, SnapshotWriter};

/// The front door's bit among the waiters of an inbox.
const FRONT_DOOR: WaiterBit = WaiterBit(1 << 63);

/// One node: a set of shards and what they share.
pub struct Node {
    id: NodeId,
    limits: Limits,
    hubs: RwLock<Arc<HubTable>>,
    /// Counts the tables, so that a shard need not lock to see that there is a new one.
    hubs_version: AtomicU64,
    memory: Arc<NodeMemory>,
    interest: Interest,
    inboxes: Box<[Arc<Inbox>]>,
    metrics: Box<[ShardMetrics]>,
    seats: Box<[Mutex<FreeSlots>]>,
    seated: Box<[AtomicUsize]>,
    connections: AtomicUsize,
    /// Where restored connections are that could not have the place that their id names.
    relocated: OnceLock<HashMap<ConnectionId, Place>>,
    asks: Asks,
    saved: Mutex<SnapshotWriter>,
    /// Shards that have taken leave.
    packed_up: AtomicUsize,
    rest: Box<[Rest]>,
    /// For each shard, the most bytes that one of its connections held when it last looked.
    largest_holders: Box<[AtomicUsize]>,
    draining: AtomicBool,
    /// No command from outside is taken any more: shards may have packed up.
    ending: AtomicBool,
    front_door: OnceLock<Arc<dyn Wake>>,
    /// When the node started, in milliseconds since 1970.
    started_at: AtomicI64,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id)
            .field("shards", &self.inboxes.len())
            .finish_non_exhaustive()
    }
}

/// Not every shard that is concerned has room. Nothing was sent;
/// [`Node::set_front_door_waker`]'s waker is woken when it is worth trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node has no room for the command now")]
pub struct NoRoom;

/// The node has as many connections as `limits.connections` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node accepts no more connections")]
pub struct NodeFull;

impl Node {
    /// A node with `shards` shards, between one and [`crate::id::MAX_SHARDS`].
    #[must_use]
    pub fn new(id: NodeId, shards: usize, limits: Limits, hubs: HubTable) -> Arc<Self> {
        let shards = shards.clamp(1, crate::id::MAX_SHARDS);
        Arc::new(Self {
            id,
            memory: NodeMemory::new(limits.node_queued_bytes),
            interest: Interest::default(),
            inboxes: (0..shards)
                .map(|_| Arc::new(Inbox::new(limits.inbox_commands)))
                .collect(),
            metrics: (0..shards).map(|_| ShardMetrics::default()).collect(),
            seats: (0..shards).map(|_| Mutex::default()).collect(),
            seated: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            connections: AtomicUsize::new(0),
            relocated: OnceLock::new(),
            asks: Asks::new(limits.pending_asks),
            saved: Mutex::default(),
            packed_up: AtomicUsize::new(0),
            rest: (0..shards).map(|_| Rest::default()).collect(),
            largest_holders: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            draining: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            front_door: OnceLock::new(),
            started_at: AtomicI64::new(0),
            limits,
            hubs: RwLock::new(Arc::new(hubs)),
            hubs_version: AtomicU64::new(0),
        })
    }

    /// The node's bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Says when the node started, in milliseconds since 1970: clients are told the times of
    /// group states. To be called before the first tick of a shard.
    pub fn set_start(&self, unix_milliseconds: i64) {
        self.started_at.store(unix_milliseconds, Ordering::Relaxed);
    }

    /// A moment of this node in milliseconds since 1970.
    pub(crate) fn unix_milliseconds(&self, now: Millis) -> i64 {
        let elapsed = i64::try_from(now.0).unwrap_or(i64::MAX);
        self.started_at
            .load(Ordering::Relaxed)
            .saturating_add(elapsed)
    }

    /// The settings of all hubs, as they are now.
    #[must_use]
    pub fn hubs(&self) -> Arc<HubTable> {
        Arc::clone(&self.hubs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the settings of all hubs; no connection is touched. Upgrades take the new ones at
    /// once, shards at their next tick, for old connections as for new ones: see [`HubSettings`]
    /// for what that means to each setting.
    ///
    /// [`HubSettings`]: crate::settings::HubSettings
    pub fn replace_hubs(&self, hubs: HubTable) {
        let mut current = self.hubs.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(hubs);
        drop(current);
        // A shard looks before it uses any setting, so none needs to be woken.
        self.hubs_version.fetch_add(1, Ordering::Release);
    }

    /// Grows with every [`replace_hubs`](Self::replace_hubs).
    pub(crate) fn hubs_version(&self) -> u64 {
        self.hubs_version.load(Ordering::Acquire)
    }

    /// The node's account of queued bytes.
    #[must_use]
    pub fn memory(&self) -> &Arc<NodeMemory> {
        &self.memory
    }

    /// Which shard has whom.
    #[must_use]
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// The open questions of the front door.
    #[must_use]
    pub fn asks(&self) -> &Asks {
        &self.asks
    }

    /// All shards.
    #[must_use]
    pub fn shards(&self) -> ShardSet {
        ShardSet::first(self.inboxes.len())
    }

    /// The inbox of `shard`, which must be one of this node's.
    #[must_use]
    pub fn inbox(&self, shard: ShardId) -> &Arc<Inbox> {
        &self.inboxes[shard.index()]
    }

    /// Where `shard` publishes its numbers.
    #[must_use]
    pub fn metrics(&self, shard: ShardId) -> &ShardMetrics {
        &self.metrics[shard.index()]
    }

    /// The numbers of all shards together.
    #[must_use]
    pub fn numbers(&self) -> ShardNumbers {
        let mut sum = ShardNumbers::default();
        for shard in &self.metrics {
            sum.add(&shard.read());
        }
        sum
    }

    /// Connections that have a seat, those being handed over included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Names who is woken when a command that met [`NoRoom`] may be tried again.
    pub fn set_front_door_waker(&self, waker: Arc<dyn Wake>) {
        let _ = self.front_door.set(waker);
    }

    /// Reserves a place for a connection on the shard with the fewest, before the connection
    /// exists. `random` must not be guessable.
    ///
    /// # Errors
    /// [`NodeFull`] at the limit.
    pub fn reserve_seat(self: &Arc<Self>, random: [u8; 16]) -> Result<Seat, NodeFull> {
        let limit = self.limits.connections;
        let one_more = |count: usize| (count < limit).then_some(count + 1);
        self.connections
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more)
            .map_err(|_| NodeFull)?;
        let fewest = (0u8..)
            .zip(&self.seated)
            .min_by_key(|(_, count)| count.load(Ordering::Relaxed));
        let shard = ShardId(fewest.map_or(0, |(shard, _)| shard));
        self.seated[shard.index()].fetch_add(1, Ordering::Relaxed);
        let slot = self.seats(shard).take();
        Ok(Seat {
            connection: ConnectionId::new(random, self.id, shard, slot),
            node: Arc::clone(self),
        })
    }

    /// Reserves places for connections of an earlier life of this node, before it accepts any: the
    /// place that the id names, where this node has it, or another one. Connections of other
    /// nodes, those that come twice and those beyond the limit get none.
    ///
    /// Connections that are made later see the places as taken. To be called once, before
    /// [`reserve_seat`](Self::reserve_seat).
    #[must_use]
    pub fn reserve_seats_again(
        self: &Arc<Self>,
        connections: impl IntoIterator<Item = ConnectionId>,
    ) -> Vec<Seat> {
        let mut taken: Vec<HashSet<u32>> = self.seats.iter().map(|_| HashSet::new()).collect();
        let (mut seen, mut seats, mut others) = (HashSet::new(), Vec::new(), Vec::new());
        let most = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        let acceptable = connections
            .into_iter()
            .filter(|id| id.node() == self.id && seen.insert(*id));
        for id in acceptable.take(self.limits.connections) {
            let (shard, slot) = (id.shard(), id.slot());
            let slots = taken.get_mut(shard.index());
            let is_free = slot.0 < most && slots.is_some_and(|slots| slots.insert(slot.0));
            if is_free {
                seats.push((id, Place { shard, slot }));
            } else {
                others.push(id);
            }
        }
        for (seats, taken) in self.seats.iter().zip(&taken) {
            let mut seats = seats.lock().unwrap_or_else(PoisonError::into_inner);
            seats.next = taken.iter().max().map_or(0, |last| last + 1);
            seats.free = (0..seats.next)
                .filter(|slot| !taken.contains(slot))
                .map(Slot)
                .collect();
        }
        let mut relocated = HashMap::new();
        let shards = u8::try_from(self.inboxes.len()).unwrap_or(u8::MAX);
        for id in others {
            let shard = ShardId(id.shard().0 % shards);
            let slot = self.seats(shard).take();
            relocated.insert(id, Place { shard, slot });
            seats.push((id, Place { shard, slot }));
        }
        let _ = self.relocated.set(relocated);
        self.connections.fetch_add(seats.len(), Ordering::AcqRel);
        let seat = |(connection, place): (ConnectionId, Place)| {
            self.seated[place.shard.index()].fetch_add(1, Ordering::Relaxed);
            Seat {
                connection,
                node: Arc::clone(self),
            }
        };
        seats.into_iter().map(seat).collect()
    }

    /// Where a connection is, if it is one of this node's and still there.
    #[must_use]
    pub fn place_of(&self, connection: &ConnectionId) -> Option<Place> {
        let place = self.place_named_by(connection);
        let is_here = connection.node() == self.id && place.shard.index() < self.inboxes.len();
        is_here.then_some(place)
    }

    /// The place that an id names, or the other one that the connection had to be given.
    fn place_named_by(&self, connection: &ConnectionId) -> Place {
        let relocated = self.relocated.get();
        let other = relocated.and_then(|relocated| relocated.get(connection));
        other.copied().unwrap_or_else(|| Place {
            shard: connection.shard(),
            slot: connection.slot(),
        })
    }

    /// The shards that a command for `target` of `hub` concerns.
    #[must_use]
    pub fn route(&self, hub: &str, target: &Target) -> ShardSet {
        if let Target::Connection(id) = target {
            let place = self.place_of(id);
            return place.map_or(ShardSet::EMPTY, |place| ShardSet::only(place.shard));
        }
        // With one shard there is nothing to choose, so it keeps no interest.
        if self.inboxes.len() == 1 {
            return self.shards();
        }
        match target {
            Target::All => self.interest.of(Kind::Hub, hub, ""),
            Target::Group(group) => self.interest.of(Kind::Group, hub, group),
            Target::User(user) => self.interest.of(Kind::User, hub, user),
            Target::Connection(_) => ShardSet::EMPTY,
        }
    }

    /// Sends `command` to every shard in `to`, or to none.
    ///
    /// # Errors
    /// [`NoRoom`]; see there. After [`shut_down`](Self::shut_down) there is none any more: what a
    /// session that is saved would miss must not be accepted.
    pub fn try_send(&self, command: &Command, to: ShardSet) -> Result<(), NoRoom> {
        if self.ending.load(Ordering::Acquire) {
            return Err(NoRoom);
        }
        let permits = self.reserve_in_all(to, FRONT_DOOR).ok_or(NoRoom)?;
        for (shard, permit) in permits {
            self.inbox(shard)
                .send(permit, Mail::Command(command.clone()));
        }
        Ok(())
    }

    /// Reserves room for one mail in the inbox of every shard in `shards`, or in none.
    pub(crate) fn reserve_in_all(
        &self,
        shards: ShardSet,
        waiter: WaiterBit,
    ) -> Option<Vec<(ShardId, Permit)>> {
        let mut permits = Vec::with_capacity(shards.len());
        for shard in shards.iter() {
            match self.inbox(shard).reserve_or_wait(waiter) {
                Some(permit) => permits.push((shard, permit)),
                None => {
                    for (shard, permit) in permits {
                        self.wake(self.inbox(shard).give_back(permit));
                    }
                    return None;
                }
            }
        }
        Some(permits)
    }

    /// Wakes the waiters that an inbox named.
    pub(crate) fn wake(&self, waiters: ShardsToWake) {
        if waiters.0 == 0 {
            return;
        }
        for shard in ShardSet::from_bits(waiters.0 & !FRONT_DOOR.0).iter() {
            self.inbox(shard).wake();
        }
        if waiters.0 & FRONT_DOOR.0 != 0
            && let Some(waker) = self.front_door.get()
        {
            waker.wake();
        }
    }

    /// Wakes every shard but `shard`.
    pub(crate) fn wake_others(&self, shard: ShardId) {
        for other in self.shards().without(shard).iter() {
            self.inbox(other).wake();
        }
    }

    /// Whether the node is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Tells every shard to close the connections that cannot be continued later, to read nothing
    /// more from the others and to finish what is under way. Health turns bad and no seat should
    /// be asked for any more.
    pub fn quiesce(&self) {
        self.draining.store(true, Ordering::Release);
        for inbox in &self.inboxes {
            inbox.send_beside(Mail::Quiesce);
        }
    }

    /// Whether everything has come to rest after [`quiesce`](Self::quiesce): no session waits, no
    /// message is on its way from shard to shard.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        // A shard may take mail between the two looks at it, and then sees to its counter first.
        let looks = || -> Vec<u64> { self.rest.iter().map(Rest::look).collect() };
        let before = looks();
        let inboxes_empty = self.inboxes.iter().all(|inbox| inbox.is_empty());
        inboxes_empty && before.iter().all(|look| look.is_multiple_of(2)) && before == looks()
    }

    /// Tells every shard to close its connections. [`connections`](Self::connections) falls to
    /// zero; then [`take_saved`](Self::take_saved) has the sessions that are to be saved.
    pub fn shut_down(&self, at_end: AtShutdown) {
        self.draining.store(true, Ordering::Release);
        self.ending.store(true, Ordering::Release);
        for inbox in &self.inboxes {
            inbox.send_beside(Mail::ShutDown(at_end));
        }
    }

    /// Whether every shard has begun to close its connections after
    /// [`shut_down`](Self::shut_down), and has saved what it is to save.
    #[must_use]
    pub fn has_packed_up(&self) -> bool {
        self.packed_up.load(Ordering::Acquire) >= self.inboxes.len()
    }

    pub(crate) fn note_packed_up(&self) {
        self.packed_up.fetch_add(1, Ordering::Release);
    }

    /// The reliable sessions of the shards that have [packed up](Self::has_packed_up) after
    /// [`shut_down`](Self::shut_down) with [`AtShutdown::SaveSessions`].
    #[must_use]
    pub fn take_saved(&self) -> Snapshot {
        std::mem::take(&mut *self.saved()).finish()
    }

    pub(crate) fn saved(&self) -> std::sync::MutexGuard<'_, SnapshotWriter> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how much the largest holder of `shard` holds; returns the same of all shards.
    pub(crate) fn compare_largest_holder(&self, shard: ShardId, bytes: usize) -> usize {
        self.largest_holders[shard.index()].store(bytes, Ordering::Relaxed);
        let all = self.largest_holders.iter();
        let most = all.map(|holder| holder.load(Ordering::Relaxed)).max();
        most.unwrap_or(bytes)
    }

    /// Where `shard` says whether it is at rest.
    pub(crate) fn rest(&self, shard: ShardId) -> &Rest {
        &self.rest[shard.index()]
    }

    fn seats(&self, shard: ShardId) -> std::sync::MutexGuard<'_, FreeSlots> {
        self.seats[shard.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a shard is at rest, counted with every change: even while it is. Busy at first.
#[derive(Debug)]
pub(crate) struct Rest(AtomicU64);

impl Default for Rest {
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}

impl Rest {
    /// Called by the shard alone: before it takes mail, and when it is at rest.
    pub(crate) fn set(&self, is_at_rest: bool) {
        let changes = self.look();
        if changes.is_multiple_of(2) != is_at_rest {
            self.0.store(changes + 1, Ordering::SeqCst);
        }
    }

    fn look(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Where a connection is on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The shard.
    pub shard: ShardId,
    /// Its slot there.
    pub slot: Slot,
}

/// A connection's place on a shard, given back on drop.
pub struct Seat {
    connection: ConnectionId,
    node: Arc<Node>,
}

impl Seat {
    /// The id of the connection that sits or will sit here.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The shard.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.place().shard
    }

    /// The slot on that shard.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.place().slot
    }

    fn place(&self) -> Place {
        self.node.place_named_by(&self.connection)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seat").field(&self.connection).finish()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Place { shard, slot } = self.place();
        self.node.seats(shard).give_back(slot);
        self.node.seated[shard.index()].fetch_sub(1, Ordering::Relaxed);
        self.node.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug, Default)]
struct FreeSlots {
    free: Vec<Slot>,
    next: u32,
}

impl FreeSlots {
    fn take(&mut self) -> Slot {
        self.free.pop().unwrap_or_else(|| {
            let slot = Slot(self.next);
            self.next += 1;
            slot
        })
    }

    fn give_back(&mut self, slot: Slot) {
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command for everybody.
    fn command() -> Command {
        Command {
            hub: "chat".into(),
            target: Target::All,
            selection: crate::command::Selection::default(),
            action: crate::command::Action::Leave {
                groups: None,
                reply: None,
            },
        }
    }

    #[test]
    fn seats_spread_over_shards_are_bounded_and_come_back() {
        let limits = Limits {
            connections: 4,
            ..Limits::default()
        };
        let node = Node::new(NodeId(0), 2, limits, HubTable::default());
        let seats: Vec<_> = (0..4)
            .map(|byte| node.reserve_seat([byte; 16]).unwrap())
            .collect();
        let shards: Vec<_> = seats
            .iter()
            .map(|seat| seat.connection().shard().0)
            .collect();
        assert_eq!(shards, [0, 1, 0, 1]);
        assert_eq!(node.reserve_seat([9; 16]).unwrap_err(), NodeFull);
        drop(seats);
        assert_eq!(node.connections(), 0);
        let again: Vec<_> = (0..4)
            .map(|byte| node.reserve_seat([byte; 16]).unwrap())
            .collect();
        let slots = again.iter().map(|seat| seat.connection().slot().0);
        assert_eq!(
            slots.max(),
            Some(1),
            "two slots on each shard are enough again"
        );
    }

    #[test]
    fn a_node_that_shuts_down_takes_no_command_any_more() {
        let node = Node::new(NodeId(0), 2, Limits::default(), HubTable::default());
        let command = command();
        node.quiesce();
        assert_eq!(node.try_send(&command, node.shards()), Ok(()));
        node.shut_down(AtShutdown::SaveSessions);
        assert_eq!(node.try_send(&command, node.shards()), Err(NoRoom));
    }

    #[test]
    fn a_command_reaches_all_its_shards_or_none() {
        let limits = Limits {
            inbox_commands: 1,
            ..Limits::default()
        };
        let node = Node::new(NodeId(0), 2, limits, HubTable::default());
        let command = command();
        let blocker = node.inbox(ShardId(1)).try_reserve().unwrap();
        assert_eq!(node.try_send(&command, node.shards()), Err(NoRoom));
        assert_eq!(
            node.inbox(ShardId(0)).used(),
            0,
            "what was reserved is given back"
        );
        let _ = node.inbox(ShardId(1)).give_back(blocker);
        assert_eq!(node.try_send(&command, node.shards()), Ok(()));
    }
}
