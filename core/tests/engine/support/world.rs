//! A node whose threads, clock, network and event handlers are the test's. A shard is ticked only
//! when it asked for it, was woken, or has news from a transport: a lost wake-up stays lost.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hubwire_core::Millis;
use hubwire_core::handler::{Destination, EventHandler, EventPattern, Upstream, UpstreamCall};
use hubwire_core::id::{NodeId, ShardId};
use hubwire_core::inbox::{AtShutdown, Wake};
use hubwire_core::node::Node;
use hubwire_core::session::Protocol;
use hubwire_core::settings::{HubSettings, HubTable, Limits, TickBudget};
use hubwire_core::shard::{Attachment, Doorway, NextTick, Recovery, Shard};
use hubwire_core::snapshot::{RestoredMessages, SessionRecord, Snapshot};
use hubwire_proto::role::Permissions;
use hubwire_proto::subprotocol::Subprotocol;

use super::client::Client;
use super::pipe::{Pipe, ServerEnd};

/// With what a reliable client may come back after it connected, and after it came back.
pub(crate) const TOKEN: &str = "token";
pub(crate) const NEXT_TOKEN: &str = "next-token";

/// Ticks without an end in sight after which a world counts as spinning.
const MOST_ROUNDS: usize = 200_000;

/// A waker that remembers.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }

    fn is_up(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Keeps calls until the test answers them.
struct Keep(Rc<RefCell<Vec<UpstreamCall>>>);

impl Upstream for Keep {
    fn call(&mut self, call: UpstreamCall) {
        self.0.borrow_mut().push(call);
    }
}

struct Thread {
    shard: Shard<ServerEnd>,
    doorway: Arc<Doorway<ServerEnd>>,
    woken: Arc<Flag>,
    next: NextTick,
    pipes: Vec<Rc<RefCell<Pipe>>>,
}

/// How a client connects.
#[derive(Debug, Clone)]
pub(crate) struct Joining<'a> {
    pub(crate) hub: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) protocol: Protocol,
    pub(crate) roles: &'a [&'a str],
    pub(crate) groups: &'a [&'a str],
    pub(crate) unread: Vec<u8>,
    /// Bytes that the client's side of the wire holds.
    pub(crate) room: usize,
    /// Most bytes that one write takes.
    pub(crate) write_most: usize,
    /// Most bytes that the server's transport owes.
    pub(crate) owes_most: usize,
}

impl Default for Joining<'_> {
    fn default() -> Self {
        Self {
            hub: "chat",
            user: None,
            protocol: Protocol::PubSub(Subprotocol::Json),
            roles: &["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"],
            groups: &[],
            unread: Vec::new(),
            room: usize::MAX,
            write_most: usize::MAX,
            owes_most: 0,
        }
    }
}

/// Hubs with a handler for every event or without one.
pub(crate) fn hubs(have_handler: bool, keep_alive_interval_ms: u64) -> HubTable {
    let handler = EventHandler {
        user_events: EventPattern::All,
        destination: Destination::Echo,
    };
    let hub = HubSettings {
        event_handlers: have_handler.then_some(handler).into_iter().collect(),
        keep_alive_interval_ms,
        ..HubSettings::default()
    };
    HubTable::new(hub, [])
}

/// A node and everything around it.
pub(crate) struct World {
    pub(crate) node: Arc<Node>,
    pub(crate) now: Millis,
    pub(crate) front_door: Arc<Flag>,
    pub(crate) calls: Rc<RefCell<Vec<UpstreamCall>>>,
    threads: Vec<Thread>,
    /// Connections made so far, over the lives of the node.
    pub(crate) births: u128,
}

impl World {
    pub(crate) fn new(shards: usize, limits: Limits, budget: &TickBudget) -> Self {
        Self::restarted(shards, limits, budget, Snapshot::default(), 0)
    }

    /// A node that takes the sessions of an earlier one over, `elapsed_ms` after its end.
    pub(crate) fn restarted(
        shards: usize,
        limits: Limits,
        budget: &TickBudget,
        snapshot: Snapshot,
        elapsed_ms: u64,
    ) -> Self {
        let node = Node::new(NodeId(7), shards, limits, hubs(true, 20_000));
        let memory = node.memory();
        let messages =
            RestoredMessages::new(snapshot.messages, elapsed_ms, Millis::default(), memory);
        let ids = snapshot.sessions.iter().map(|record| record.connection);
        let mut seats = node.reserve_seats_again(ids);
        let mut records = snapshot.sessions;
        let front_door = Arc::new(Flag::default());
        node.set_front_door_waker(Arc::clone(&front_door) as Arc<dyn Wake>);
        let calls = Rc::default();
        let threads = node
            .shards()
            .iter()
            .map(|id| {
                let woken = Arc::new(Flag::default());
                node.inbox(id)
                    .set_waker(Arc::clone(&woken) as Arc<dyn Wake>);
                let doorway = Shard::doorway(&node, id);
                let upstream = Box::new(Keep(Rc::clone(&calls)));
                let mut shard = Shard::new(
                    id,
                    Arc::clone(&node),
                    (),
                    upstream,
                    Arc::clone(&doorway),
                    budget.clone(),
                );
                for seat in seats.extract_if(.., |seat| seat.shard() == id) {
                    let of_seat = |record: &SessionRecord| record.connection == seat.connection();
                    let place = records.iter().position(of_seat).unwrap();
                    shard.restore(seat, records.swap_remove(place), &messages);
                }
                Thread {
                    shard,
                    doorway,
                    woken,
                    next: NextTick::Now,
                    pipes: Vec::new(),
                }
            })
            .collect();
        Self {
            node,
            now: Millis(0),
            front_door,
            calls,
            threads,
            births: 0,
        }
    }

    pub(crate) fn shards(&self) -> usize {
        self.threads.len()
    }

    /// Ends the node; what it saved, to be taken over by [`World::restarted`].
    pub(crate) fn stop(mut self) -> Snapshot {
        self.node.quiesce();
        self.run();
        assert!(self.node.is_quiet(), "the node does not come to rest");
        self.node.shut_down(AtShutdown::SaveSessions);
        self.run();
        let saved = self.node.take_saved();
        drop(self);
        saved
    }

    /// Brings a client back to its session with a new transport.
    pub(crate) fn recover(&mut self, client: &Client, joining: &Joining<'_>) -> Client {
        let pipe = Pipe::new(joining.room, joining.write_most, joining.owes_most);
        let pipe = Rc::new(RefCell::new(pipe));
        let place = self.node.place_of(&client.id).unwrap();
        let thread = &mut self.threads[place.shard.index()];
        thread.pipes.retain(|pipe| !pipe.borrow().server_gone);
        thread.pipes.push(Rc::clone(&pipe));
        let recovery = Recovery {
            connection: client.id,
            hub: joining.hub.into(),
            transport: ServerEnd(Rc::clone(&pipe)),
            unread: joining.unread.clone(),
            reconnection_token: NEXT_TOKEN.into(),
        };
        thread.doorway.recover(recovery).unwrap();
        Client::new(client.id, pipe)
    }

    /// Hands a connection over to the shard with the fewest.
    pub(crate) fn connect(&mut self, joining: &Joining<'_>) -> Client {
        self.births += 1;
        // Spread over the alphabet, so that ids do not sort by birth.
        let random = self
            .births
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_be_bytes();
        let seat = self.node.reserve_seat(random).unwrap();
        let id = seat.connection();
        let pipe = Pipe::new(joining.room, joining.write_most, joining.owes_most);
        let pipe = Rc::new(RefCell::new(pipe));
        let (permissions, ignored) = Permissions::from_roles(joining.roles.iter().copied());
        assert!(ignored.is_empty());
        let thread = &mut self.threads[id.shard().index()];
        thread.pipes.retain(|pipe| !pipe.borrow().server_gone);
        thread.pipes.push(Rc::clone(&pipe));
        thread.doorway.hand_over(Attachment {
            seat,
            transport: ServerEnd(Rc::clone(&pipe)),
            unread: joining.unread.clone(),
            hub: joining.hub.into(),
            user: joining.user.map(Into::into),
            protocol: joining.protocol.clone(),
            permissions,
            groups: joining.groups.iter().map(|group| (*group).into()).collect(),
            reconnection_token: joining.protocol.is_reliable().then(|| TOKEN.into()),
        });
        Client::new(id, pipe)
    }

    /// Whether shard `index` has a reason to be ticked now.
    pub(crate) fn is_runnable(&self, index: usize) -> bool {
        let thread = &self.threads[index];
        let due = match thread.next {
            NextTick::Now => true,
            NextTick::At(at) => at <= self.now,
            NextTick::WhenWoken => false,
        };
        due || thread.woken.is_up() || thread.pipes.iter().any(|pipe| pipe.borrow().has_news())
    }

    /// Ticks shard `index` after telling it the news of the transports that `tell` picks.
    pub(crate) fn tick(&mut self, index: usize, mut tell: impl FnMut() -> bool) {
        let thread = &mut self.threads[index];
        thread.woken.take();
        for pipe in &thread.pipes {
            let mut pipe = pipe.borrow_mut();
            if pipe.has_news() && tell() {
                let readiness = pipe.take_news();
                let key = pipe.key.unwrap();
                drop(pipe);
                thread.shard.ready(key, readiness);
            }
        }
        thread.next = thread.shard.tick(self.now);
        for pipe in &thread.pipes {
            let mut pipe = pipe.borrow_mut();
            if pipe.server_gone {
                pipe.gone_at.get_or_insert(self.now);
            }
        }
    }

    /// Lets everything that was sent arrive.
    pub(crate) fn arrive_all(&self) {
        for pipe in self.threads.iter().flat_map(|thread| &thread.pipes) {
            pipe.borrow_mut().arrive(usize::MAX);
        }
    }

    /// Runs every shard until none has a reason to go on.
    pub(crate) fn run(&mut self) {
        for _ in 0..MOST_ROUNDS {
            self.arrive_all();
            let Some(index) = (0..self.shards()).find(|index| self.is_runnable(*index)) else {
                return;
            };
            self.tick(index, || true);
        }
        panic!("the shards never come to rest");
    }

    /// Lets `milliseconds` pass, with every timer in between.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        let end = self.now.plus(milliseconds);
        self.run();
        while let Some(at) = self.next_timer().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.run();
        }
        self.now = end;
        self.run();
    }

    /// The earliest time at which a shard wants to be ticked.
    pub(crate) fn next_timer(&self) -> Option<Millis> {
        let timers = self.threads.iter().map(|thread| match thread.next {
            NextTick::At(at) => Some(at),
            NextTick::Now | NextTick::WhenWoken => None,
        });
        timers.flatten().min()
    }

    /// Checks that nothing is left of anybody.
    pub(crate) fn assert_empty(&self) {
        let node = &self.node;
        assert_eq!(node.connections(), 0, "connections with a seat");
        assert_eq!(node.memory().queued(), 0, "queued bytes");
        assert!(
            node.interest().is_empty(),
            "interest: {:?}",
            node.interest()
        );
        assert!(node.asks().is_empty(), "open questions");
        for shard in node.shards().iter() {
            assert_eq!(
                node.inbox(shard).used(),
                0,
                "mail or reserved room in {shard:?}"
            );
            assert_eq!(self.shard_connections(shard), 0, "connections of {shard:?}");
        }
        let numbers = node.numbers();
        assert_eq!(
            (
                numbers.connections,
                numbers.parked_connections,
                numbers.groups
            ),
            (0, 0, 0),
            "gauges of connections, parked sessions and groups"
        );
        assert_eq!(
            (
                numbers.detached_sessions,
                numbers.unacknowledged_messages,
                numbers.streams
            ),
            (0, 0, 0),
            "gauges of detached sessions, unacknowledged messages and streams"
        );
        assert_eq!(numbers.connections_opened, numbers.connections_closed);
    }

    pub(crate) fn shard_connections(&self, shard: ShardId) -> usize {
        self.threads[shard.index()].shard.connections()
    }
}
