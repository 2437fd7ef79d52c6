//! What the shards of a node share, and the front door's way to all of them.
//!
//! Everything here may be called from any thread. No connection's state is here.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::ask::Asks;
use crate::command::{Command, Target};
use crate::id::{ConnectionId, NodeId, ShardId, ShardSet, Slot};
use crate::inbox::{Inbox, Mail, Permit, ShardsToWake, WaiterBit, Wake};
use crate::interest::{Interest, Kind};
use crate::memory::NodeMemory;
use crate::metrics::{ShardMetrics, ShardNumbers};
use crate::settings::{HubTable, Limits};

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
    asks: Asks,
    draining: AtomicBool,
    front_door: OnceLock<Arc<dyn Wake>>,
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
            asks: Asks::new(limits.pending_asks),
            draining: AtomicBool::new(false),
            front_door: OnceLock::new(),
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

    /// The shards that a command for `target` of `hub` concerns.
    #[must_use]
    pub fn route(&self, hub: &str, target: &Target) -> ShardSet {
        if let Target::Connection(id) = target {
            let here = id.node() == self.id && id.shard().index() < self.inboxes.len();
            return if here {
                ShardSet::only(id.shard())
            } else {
                ShardSet::EMPTY
            };
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
    /// [`NoRoom`]; see there.
    pub fn try_send(&self, command: &Command, to: ShardSet) -> Result<(), NoRoom> {
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

    /// Tells every shard to close its connections. Health turns bad and no seat should be asked
    /// for any more; [`connections`](Self::connections) falls to zero.
    pub fn shut_down(&self) {
        self.draining.store(true, Ordering::Release);
        for inbox in &self.inboxes {
            inbox.send_beside(Mail::ShutDown);
        }
    }

    fn seats(&self, shard: ShardId) -> std::sync::MutexGuard<'_, FreeSlots> {
        self.seats[shard.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
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
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seat").field(&self.connection).finish()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let shard = self.connection.shard();
        self.node.seats(shard).give_back(self.connection.slot());
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
    fn a_command_reaches_all_its_shards_or_none() {
        let limits = Limits {
            inbox_commands: 1,
            ..Limits::default()
        };
        let node = Node::new(NodeId(0), 2, limits, HubTable::default());
        let command = Command {
            hub: "chat".into(),
            target: Target::All,
            selection: crate::command::Selection::default(),
            action: crate::command::Action::Leave {
                groups: None,
                reply: None,
            },
        };
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
