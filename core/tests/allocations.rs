//! What deliveries and idle connections cost in heap memory, counted by the allocator itself.

#![expect(
    unsafe_code,
    reason = "implementing GlobalAlloc is unsafe by its nature; every call is passed on unchanged"
)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use hubwire_core::Millis;
use hubwire_core::command::{Action, Command, Selection, Target};
use hubwire_core::handler::Builtin;
use hubwire_core::id::{NodeId, ShardId};
use hubwire_core::node::Node;
use hubwire_core::publication::{Origin, Publication};
use hubwire_core::session::Protocol;
use hubwire_core::settings::{HubTable, Limits, TickBudget};
use hubwire_core::shard::{Attachment, NextTick, Readiness, Shard, TransportKey};
use hubwire_core::transport::{Read, Transport, Written};
use hubwire_proto::message::DataType;
use hubwire_proto::role::Permissions;
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::Opcode;
use hubwire_proto::ws::client::encode_masked;

/// Allocations since the start; a reallocation is one more.
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
/// Bytes in use.
static BYTES: AtomicIsize = AtomicIsize::new(0);

struct Counting;

fn grew(by: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(by.cast_signed(), Ordering::Relaxed);
}

fn shrank(by: usize) {
    BYTES.fetch_sub(by.cast_signed(), Ordering::Relaxed);
}

// SAFETY: every method hands its arguments to `System` unchanged and returns what `System`
// returned, so this allocator keeps exactly the promises that `System` keeps. The counters are
// atomics in statics: touching them neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrank(layout.size());
        // SAFETY: as above; the pointer came from `System`, as all of ours do.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        shrank(layout.size());
        grew(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A transport as small as a descriptor, whose peer takes everything and says no more than what it
/// has received.
#[derive(Debug)]
struct Descriptor(#[expect(dead_code, reason = "stands for the number of a socket")] i32);

/// What all peers have in common.
#[derive(Debug, Default, Clone)]
struct Peers {
    keys: Rc<RefCell<Vec<TransportKey>>>,
    /// A frame that says how far messages have been received.
    acknowledgement: Rc<RefCell<Vec<u8>>>,
}

impl Transport for Descriptor {
    type Shared = Peers;

    fn register(&mut self, peers: &mut Self::Shared, key: TransportKey) -> bool {
        peers.keys.borrow_mut().push(key);
        true
    }

    fn read(&mut self, peers: &mut Self::Shared, buffer: &mut [u8]) -> Read {
        let frame = peers.acknowledgement.borrow();
        buffer[..frame.len()].copy_from_slice(&frame);
        Read::Bytes {
            count: frame.len(),
            more: false,
        }
    }

    fn write(&mut self, _: &mut Self::Shared, slices: &[IoSlice<'_>]) -> Written {
        Written::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }

    fn finish(&mut self) {}
}

/// One shard with `members` idle connections in one group.
struct Room {
    node: Arc<Node>,
    shard: Shard<Descriptor>,
    peers: Peers,
    published: u64,
}

impl Room {
    /// The protocols take turns.
    fn new(members: u128, protocols: &[Protocol]) -> Self {
        let node = Node::new(NodeId(0), 1, Limits::default(), HubTable::default());
        let doorway = Shard::doorway(&node, ShardId(0));
        let upstream = Box::new(Builtin);
        let peers = Peers::default();
        let shard = Shard::new(
            ShardId(0),
            Arc::clone(&node),
            peers.clone(),
            upstream,
            Arc::clone(&doorway),
            TickBudget::default(),
        );
        let mut room = Self {
            node,
            shard,
            peers,
            published: 0,
        };
        let (hub, group): (Arc<str>, Arc<str>) = ("chat".into(), "room".into());
        for (member, protocol) in (0..members).zip(protocols.iter().cycle()) {
            doorway.hand_over(Attachment {
                seat: room.node.reserve_seat(member.to_be_bytes()).unwrap(),
                transport: Descriptor(0),
                unread: Vec::new(),
                hub: Arc::clone(&hub),
                user: None,
                protocol: protocol.clone(),
                permissions: Permissions::default(),
                groups: vec![Arc::clone(&group)],
                reconnection_token: None,
            });
            room.run();
        }
        assert_eq!(room.shard.connections() as u128, members);
        room
    }

    fn run(&mut self) {
        while self.shard.tick(Millis(0)) == NextTick::Now {}
    }

    /// Lets every peer acknowledge everything.
    fn acknowledge(&mut self) {
        let text = format!(
            r#"{{"type":"sequenceAck","sequenceId":{}}}"#,
            self.published
        );
        let mut frame = self.peers.acknowledgement.borrow_mut();
        frame.clear();
        encode_masked(Opcode::Text, text.as_bytes(), [1; 4], &mut frame);
        drop(frame);
        let readable = Readiness {
            readable: true,
            ..Readiness::default()
        };
        for key in self.peers.keys.borrow().iter() {
            self.shard.ready(*key, readable);
        }
        self.run();
        assert_eq!(self.node.numbers().unacknowledged_messages, 0);
    }

    /// Publishes to the group; returns how many allocations that took, up to the last byte.
    fn publish(&mut self) -> usize {
        self.published += 1;
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let group: Arc<str> = "room".into();
        let origin = Origin::Group {
            group: Arc::clone(&group),
            from_user: None,
        };
        let publication = Publication::new(
            origin,
            DataType::Text,
            b"hello".as_slice().into(),
            self.node.memory(),
        );
        let command = Command {
            hub: "chat".into(),
            target: Target::Group(group),
            selection: Selection::default(),
            action: Action::Deliver { publication },
        };
        self.node.try_send(&command, self.node.shards()).unwrap();
        drop(command);
        self.run();
        ALLOCATIONS.load(Ordering::Relaxed) - before
    }
}

/// One test, because the counters are the whole process's.
#[test]
fn deliveries_allocate_nothing_and_idle_connections_are_small() {
    let simple = || Protocol::Simple(SimpleMode::SendEvent);
    for protocols in [
        vec![Protocol::PubSub(Subprotocol::Json)],
        vec![Protocol::PubSub(Subprotocol::Protobuf)],
        vec![Protocol::PubSub(Subprotocol::JsonReliable)],
        vec![
            Protocol::PubSub(Subprotocol::Json),
            Protocol::PubSub(Subprotocol::JsonReliable),
            Protocol::PubSub(Subprotocol::Protobuf),
            simple(),
        ],
    ] {
        let mut counts = Vec::new();
        for members in [10, 1000, 5000] {
            let mut room = Room::new(members, &protocols);
            let is_reliable = protocols.iter().all(Protocol::is_reliable);
            for _ in 0..3 {
                room.publish();
                if is_reliable {
                    room.acknowledge();
                }
            }
            let delivered = room.node.numbers().messages_delivered;
            let allocations = room.publish();
            assert_eq!(
                u128::from(room.node.numbers().messages_delivered - delivered),
                members
            );
            println!("{protocols:?}, {members} members: {allocations} allocations per publication");
            counts.push(allocations);
        }
        assert!(
            counts.iter().all(|count| *count == counts[0]),
            "a delivery allocates: {counts:?}"
        );
        assert!(
            counts[0] <= 16,
            "a publication allocates {} times",
            counts[0]
        );
    }

    for (subprotocol, most) in [(Subprotocol::Json, 430), (Subprotocol::JsonReliable, 520)] {
        let protocols = [Protocol::PubSub(subprotocol)];
        let empty = Room::new(1, &protocols);
        let before = BYTES.load(Ordering::Relaxed);
        let room = Room::new(10_001, &protocols);
        let bytes = (BYTES.load(Ordering::Relaxed) - before) / 10_000;
        println!(
            "{bytes} bytes of heap per idle connection, a whole shard's share of 10,000 included"
        );
        drop((empty, room));
        assert!(bytes < most, "{bytes} bytes per idle connection");
    }
}
