//! The threads that run shards: readiness, time and sockets for `hubwire-core`'s ticks.
//!
//! What a shard does with its connections is in `hubwire_core::shard`; nothing here touches a
//! connection's state.

mod clock;
mod socket;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use hubwire_core::handler::Builtin;
use hubwire_core::id::{ShardId, Slot};
use hubwire_core::inbox::Wake;
use hubwire_core::node::{Node, Seat};
use hubwire_core::settings::TickBudget;
use hubwire_core::shard::{NextTick, Readiness, Shard, TransportKey};
use hubwire_core::snapshot::{RestoredMessages, SessionRecord};
use mio::{Events, Poll, Token, Waker};

use crate::sessions_file::Returning;

pub use clock::Clock;
pub use socket::{Shared, Socket};

/// The way in for new connections of one shard.
pub type Doorway = hubwire_core::shard::Doorway<Socket>;

/// Readiness reports taken from the system at once.
const EVENTS: usize = 1024;

/// No connection has this token: its slot would be beyond the last.
const WAKE: Token = Token(usize::MAX);

/// The running shards of a node.
#[derive(Debug)]
pub struct Shards {
    /// The ways in, by shard.
    pub doorways: Vec<Arc<Doorway>>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    /// Starts a thread for each shard of `node`, and gives `returning` sessions to the shards of
    /// their seats. They can be found when this returns.
    ///
    /// # Errors
    ///
    /// If the system refuses a poller or a thread.
    pub(crate) fn start(
        node: &Arc<Node>,
        clock: Clock,
        returning: Returning,
    ) -> anyhow::Result<Self> {
        let mut shards = Self {
            doorways: Vec::new(),
            threads: Vec::new(),
        };
        let mut by_shard: Vec<Vec<_>> = node.shards().iter().map(|_| Vec::new()).collect();
        for (seat, record) in returning.sessions {
            let shard = seat.shard().index();
            by_shard[shard].push((seat, record));
        }
        let (ready, all_ready) = mpsc::channel();
        for (id, saved) in node.shards().iter().zip(by_shard) {
            let poll = Poll::new().context("cannot create a poller")?;
            let waker = Waker::new(poll.registry(), WAKE).context("cannot create a waker")?;
            node.inbox(id).set_waker(Arc::new(InboxWaker(waker)));
            let doorway = Shard::<Socket>::doorway(node, id);
            shards.doorways.push(Arc::clone(&doorway));
            let start = Start {
                poll,
                node: Arc::clone(node),
                id,
                doorway,
                clock,
                saved,
                messages: returning.messages.clone(),
                ready: ready.clone(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("shard-{}", id.0))
                .spawn(move || run_to_the_end(start))
                .context("cannot start a shard's thread")?;
            shards.threads.push(thread);
        }
        drop(ready);
        // Ends when every shard has dropped its end, which none does before it is ready.
        while all_ready.recv().is_ok() {}
        Ok(shards)
    }

    /// Whether every shard has closed its last connection after [`Node::shut_down`].
    #[must_use]
    pub fn have_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

struct InboxWaker(Waker);

impl Wake for InboxWaker {
    fn wake(&self) {
        // It fails only if the poller is gone, and then nobody is left to wake.
        let _ = self.0.wake();
    }
}

/// What a shard's thread begins with.
struct Start {
    poll: Poll,
    node: Arc<Node>,
    id: ShardId,
    doorway: Arc<Doorway>,
    clock: Clock,
    saved: Vec<(Seat, SessionRecord)>,
    messages: RestoredMessages,
    /// Dropped when the saved sessions can be found.
    ready: mpsc::Sender<()>,
}

/// Runs a shard. A node that lost one would look healthy and leave its clients hanging, so then
/// the process ends and whoever supervises it starts another.
fn run_to_the_end(start: Start) {
    let id = start.id;
    let shard = || run(start);
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(shard)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => tracing::error!(shard = id.0, %error, "a shard failed"),
        Err(_) => tracing::error!(shard = id.0, "a shard panicked"),
    }
    std::process::exit(1);
}

fn run(start: Start) -> io::Result<()> {
    let Start {
        mut poll,
        node,
        id,
        doorway,
        clock,
        saved,
        messages,
        ready,
    } = start;
    let shared = Shared::new(poll.registry().try_clone()?);
    let upstream = Box::new(Builtin);
    let mut shard = Shard::new(id, node, shared, upstream, doorway, TickBudget::default());
    for (seat, record) in saved {
        // Those whose time ended meanwhile are dropped with their seats.
        shard.restore(seat, record, &messages);
    }
    drop((messages, ready));
    let mut events = Events::with_capacity(EVENTS);
    let mut next = NextTick::Now;
    while !shard.has_ended() {
        let timeout = match next {
            NextTick::Now => Some(Duration::ZERO),
            NextTick::At(due) => Some(Duration::from_millis(due.since(clock.now()))),
            NextTick::WhenWoken => None,
        };
        match poll.poll(&mut events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        for event in events.iter().filter(|event| event.token() != WAKE) {
            let readiness = Readiness {
                readable: event.is_readable(),
                writable: event.is_writable(),
                hung_up: event.is_read_closed() || event.is_error(),
            };
            shard.ready(key_of(event.token()), readiness);
        }
        next = shard.tick(clock.now());
    }
    Ok(())
}

fn token_of(key: TransportKey) -> Token {
    Token((key.birth as usize) << 32 | key.slot.index())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of the token are cut apart"
)]
fn key_of(token: Token) -> TransportKey {
    TransportKey {
        slot: Slot(token.0 as u32),
        birth: (token.0 >> 32) as u32,
    }
}

// A token holds a slot and a birth.
const _: () = assert!(usize::BITS >= 64, "shards need a 64-bit platform");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_its_key() {
        for key in [
            TransportKey {
                slot: Slot(0),
                birth: 1,
            },
            TransportKey {
                slot: Slot(u32::MAX - 1),
                birth: u32::MAX,
            },
        ] {
            assert_eq!(key_of(token_of(key)), key);
            assert_ne!(token_of(key), WAKE);
        }
    }
}
