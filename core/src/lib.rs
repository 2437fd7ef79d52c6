//! The engine of Hubwire: everything that happens between two sockets.
//!
//! A *shard* ([`shard::Shard`]) owns connections outright and is a single-threaded program. Work
//! reaches it as a [`command::Command`] through its [`inbox::Inbox`]; what all shards of a node
//! share is the [`node::Node`]. Nothing here opens a socket, speaks HTTP, reads a clock or draws a
//! random number: time comes in as [`Millis`], bytes through the [`transport::Transport`] trait.
//! So a whole node runs in one thread under a virtual clock, which is what the simulator does.
//!
//! Read in this order: [`command`] (the nouns), [`session`] (one connection's rules),
//! [`shard`] (the tick).
#![forbid(unsafe_code)]

pub mod ack_memory;
pub mod ask;
pub mod command;
pub mod group_state;
pub mod handler;
pub mod hub;
pub mod id;
pub mod inbox;
pub mod interest;
pub mod member_list;
pub mod memory;
pub mod metrics;
pub mod node;
pub mod outbox;
pub mod publication;
pub mod replay;
pub mod response;
pub mod session;
pub mod settings;
pub mod shard;
pub mod slab;
pub mod snapshot;
pub mod stream;
pub mod transport;
pub mod wheel;

/// A moment, in milliseconds since the node started. The caller of every entry point supplies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The moment `milliseconds` later.
    #[must_use]
    pub fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
