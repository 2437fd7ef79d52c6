//! The bounded way into a shard.
//!
//! Room is reserved before anything is sent, so that a sender can reserve in several inboxes and
//! send to all of them or to none. A sender that finds no room leaves its mark and is woken when
//! there is some again; it never waits inside the inbox.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::command::Command;
use crate::handler::CallAnswer;

/// Something for a shard to do.
#[derive(Debug)]
pub enum Mail {
    /// A command from the front door, another shard, or another node.
    Command(Command),
    /// A command from another shard that takes no room, because its kind is bounded elsewhere.
    Beside(Box<Command>),
    /// An event handler's answer to a parked session.
    Answer(Box<CallAnswer>),
    /// Read nothing more and finish what is under way: the node is going away.
    Quiesce,
    /// Close every connection.
    ShutDown(AtShutdown),
}

/// What becomes of the reliable sessions when a node goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtShutdown {
    /// They are saved; their clients are told to come back.
    SaveSessions,
    /// They end; their clients are told to start afresh.
    EndSessions,
}

/// Wakes whoever serves or waits for an inbox.
pub trait Wake: Send + Sync {
    /// Makes the sleeper look again. May be called from any thread and more often than needed.
    fn wake(&self);
}

/// Room for one mail in one inbox. It must be spent or given back; see [`Inbox::give_back`].
#[derive(Debug)]
#[must_use = "room that is neither spent nor given back is lost"]
pub struct Permit(());

/// Who waits for room in an inbox, as a bit in a word: shards by their number.
#[derive(Debug, Clone, Copy)]
pub struct WaiterBit(pub u64);

/// A bounded queue of [`Mail`] with one consumer.
pub struct Inbox {
    queue: Mutex<VecDeque<Mail>>,
    room: AtomicUsize,
    capacity: usize,
    /// Set by the first sender after the consumer last looked; spares a wake for each mail.
    signalled: AtomicBool,
    waiters: AtomicU64,
    waker: OnceLock<Arc<dyn Wake>>,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("capacity", &self.capacity)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl Inbox {
    /// An empty inbox for `capacity` mails.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            queue: Mutex::default(),
            room: AtomicUsize::new(capacity),
            capacity,
            signalled: AtomicBool::new(false),
            waiters: AtomicU64::new(0),
            waker: OnceLock::new(),
        }
    }

    /// Names who is woken when mail arrives. The first call counts.
    pub fn set_waker(&self, waker: Arc<dyn Wake>) {
        let _ = self.waker.set(waker);
    }

    /// Reserves room for one mail.
    pub fn try_reserve(&self) -> Option<Permit> {
        let take = |room: usize| room.checked_sub(1);
        self.room
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, take)
            .ok()
            .map(|_| Permit(()))
    }

    /// Like [`try_reserve`](Self::try_reserve), but a failure leaves `waiter` to be woken when
    /// there is room.
    pub fn reserve_or_wait(&self, waiter: WaiterBit) -> Option<Permit> {
        if let Some(permit) = self.try_reserve() {
            return Some(permit);
        }
        self.waiters.fetch_or(waiter.0, Ordering::SeqCst);
        // Room may have come between the two lines above, with nobody to wake.
        self.try_reserve()
    }

    /// Gives reserved room back unused. The caller wakes the waiters that this returns.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a permit is used up by being given away"
    )]
    pub fn give_back(&self, permit: Permit) -> ShardsToWake {
        let Permit(()) = permit;
        self.free(1)
    }

    /// Sends one mail into reserved room and wakes the consumer.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a permit is used up by being given away"
    )]
    pub fn send(&self, permit: Permit, mail: Mail) {
        let Permit(()) = permit;
        self.lock().push_back(mail);
        self.signal();
    }

    /// Sends one mail that takes no room, because its kind is bounded elsewhere: a session waits
    /// for one answer at most, a shard gathers few snapshots at once, and a node ends once.
    pub(crate) fn send_beside(&self, mail: Mail) {
        self.lock().push_back(mail);
        self.signal();
    }

    /// Sends `mails`, each into room that was reserved for it, and wakes the consumer once.
    pub fn send_batch(&self, mails: &mut Vec<(Permit, Mail)>) {
        if mails.is_empty() {
            return;
        }
        let mut queue = self.lock();
        queue.extend(mails.drain(..).map(|(Permit(()), mail)| mail));
        drop(queue);
        self.signal();
    }

    /// Takes up to `most` mails, oldest first, into `taken`. Their room stays reserved until
    /// [`processed`](Self::processed).
    pub fn take(&self, most: usize, taken: &mut VecDeque<Mail>) {
        self.signalled.store(false, Ordering::SeqCst);
        let mut queue = self.lock();
        let count = most.min(queue.len());
        taken.extend(queue.drain(..count));
        if queue.is_empty() && queue.capacity() > 1024 {
            queue.shrink_to(64);
        }
    }

    /// Whether mail is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Frees the room of `count` mails that took room and that the consumer has dealt with. The caller wakes the
    /// waiters that this returns.
    pub fn processed(&self, count: usize) -> ShardsToWake {
        if count == 0 {
            ShardsToWake(0)
        } else {
            self.free(count)
        }
    }

    /// Room that is taken or reserved, for the gauge.
    #[must_use]
    pub fn used(&self) -> usize {
        self.capacity
            .saturating_sub(self.room.load(Ordering::Relaxed))
    }

    /// Wakes the consumer.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    fn signal(&self) {
        if !self.signalled.swap(true, Ordering::SeqCst) {
            self.wake();
        }
    }

    fn free(&self, count: usize) -> ShardsToWake {
        self.room.fetch_add(count, Ordering::SeqCst);
        ShardsToWake(self.waiters.swap(0, Ordering::SeqCst))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Mail>> {
        // A panicking sender leaves a queue that is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waiters of an inbox that now has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a waiter that is not woken sleeps for ever"]
pub struct ShardsToWake(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn room_is_bounded_and_freed_only_when_mail_was_processed() {
        let inbox = Inbox::new(2);
        let first = inbox.try_reserve().unwrap();
        let second = inbox.try_reserve().unwrap();
        assert!(inbox.try_reserve().is_none());
        inbox.send(first, Mail::ShutDown(AtShutdown::EndSessions));
        let mut taken = VecDeque::new();
        inbox.take(10, &mut taken);
        assert_eq!(taken.len(), 1);
        assert!(inbox.try_reserve().is_none(), "taken is not yet processed");
        let _ = inbox.processed(1);
        let third = inbox.try_reserve().unwrap();
        let _ = inbox.give_back(second);
        let _ = inbox.give_back(third);
        assert_eq!(inbox.used(), 0);
    }

    #[test]
    fn a_waiter_is_named_once_room_comes() {
        let inbox = Inbox::new(1);
        let permit = inbox.try_reserve().unwrap();
        assert!(inbox.reserve_or_wait(WaiterBit(0b100)).is_none());
        assert!(inbox.reserve_or_wait(WaiterBit(0b1)).is_none());
        assert_eq!(inbox.give_back(permit), ShardsToWake(0b101));
        assert!(inbox.reserve_or_wait(WaiterBit(0b1)).is_some());
    }

    #[test]
    fn many_mails_wake_the_consumer_once_until_it_looks() {
        let inbox = Inbox::new(10);
        let wakes = Arc::new(Count::default());
        inbox.set_waker(Arc::clone(&wakes) as Arc<dyn Wake>);
        for _ in 0..3 {
            let permit = inbox.try_reserve().unwrap();
            inbox.send(permit, Mail::ShutDown(AtShutdown::EndSessions));
        }
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let mut taken = VecDeque::new();
        inbox.take(10, &mut taken);
        let permit = inbox.try_reserve().unwrap();
        inbox.send(permit, Mail::ShutDown(AtShutdown::EndSessions));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
    }
}
