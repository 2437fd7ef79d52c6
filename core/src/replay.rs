//! What a reliable connection was sent, or would have been, and has not acknowledged: numbered, in
//! order, within bounds (protocol notes: the unacknowledged queue).
//!
//! It belongs to the session, so it outlives sockets. What waits to be written to one is the
//! outbox's business.

use std::collections::VecDeque;

use crate::Millis;
use crate::publication::Frame;

/// Spare queues that are kept: as many as one tick fills by default.
const POOLED_QUEUES: usize = 16_384;
/// Entries that a spare queue keeps room for.
const POOLED_ENTRIES: usize = 64;

/// Bounds of one queue.
#[derive(Debug, Clone, Copy)]
pub struct ReplayLimits {
    /// `limits.replay_messages`.
    pub messages: usize,
    /// `limits.replay_bytes`.
    pub bytes: usize,
}

/// The queue has no room for another message. The session is over: whatever it missed now would be
/// a gap that nobody told it of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the unacknowledged queue is full")]
pub struct ReplayFull;

#[derive(Debug)]
struct Unacknowledged {
    sequence_id: u64,
    frame: Frame,
}

/// Spare queues of a shard.
#[derive(Debug, Default)]
pub struct ReplayPool(Vec<VecDeque<Unacknowledged>>);

/// The numbered messages of one connection.
#[derive(Debug, Default)]
pub struct Replay {
    queue: VecDeque<Unacknowledged>,
    bytes: usize,
    /// The highest sequence id given so far; the first is 1.
    last: u64,
    /// Until when the session waits for a transport, while it has none.
    waits_until: Option<Millis>,
}

impl Replay {
    /// Bytes that one message costs besides its frame, which it may share.
    pub const ENTRY_BYTES: usize = size_of::<Unacknowledged>();

    /// A queue that goes on after `last`, with what was not acknowledged of it.
    pub(crate) fn restored(last: u64, messages: impl IntoIterator<Item = (u64, Frame)>) -> Self {
        let mut replay = Self {
            last,
            ..Self::default()
        };
        for (sequence_id, frame) in messages {
            replay.bytes += frame.bytes().len();
            replay
                .queue
                .push_back(Unacknowledged { sequence_id, frame });
        }
        replay
    }

    /// Messages in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether everything is acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of the messages in the queue, whether others share them or not.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The highest sequence id given so far.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Gives `frame` the next sequence id and keeps it until that is acknowledged.
    ///
    /// # Errors
    ///
    /// [`ReplayFull`]; then nothing is kept.
    pub fn push(
        &mut self,
        frame: &Frame,
        limits: ReplayLimits,
        pool: &mut ReplayPool,
    ) -> Result<u64, ReplayFull> {
        let bytes = self.bytes + frame.bytes().len();
        if self.queue.len() >= limits.messages || bytes > limits.bytes {
            return Err(ReplayFull);
        }
        if self.queue.capacity() == 0
            && let Some(spare) = pool.0.pop()
        {
            self.queue = spare;
        }
        self.bytes = bytes;
        self.last += 1;
        self.queue.push_back(Unacknowledged {
            sequence_id: self.last,
            frame: frame.clone(),
        });
        Ok(self.last)
    }

    /// Forgets everything up to `sequence_id`; returns how many messages went. An id that was never
    /// given acknowledges nothing (protocol notes: `sequenceAck`).
    pub fn acknowledge(&mut self, sequence_id: u64, pool: &mut ReplayPool) -> usize {
        if sequence_id > self.last {
            return 0;
        }
        let arrived = |entry: &mut Unacknowledged| entry.sequence_id <= sequence_id;
        let mut count = 0;
        while let Some(entry) = self.queue.pop_front_if(arrived) {
            self.bytes -= entry.frame.bytes().len();
            count += 1;
        }
        if self.queue.is_empty() {
            pool.take_back(std::mem::take(&mut self.queue));
        }
        count
    }

    /// Drops the messages that have expired at `now`; returns how many. Their numbers are skipped.
    pub fn drop_expired(&mut self, now: Millis) -> usize {
        let before = self.queue.len();
        let bytes = &mut self.bytes;
        self.queue.retain(|entry| {
            let is_expired = entry.frame.expires_at().is_some_and(|at| at <= now);
            if is_expired {
                *bytes -= entry.frame.bytes().len();
            }
            !is_expired
        });
        before - self.queue.len()
    }

    /// Everything that is not acknowledged, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Frame)> {
        self.queue
            .iter()
            .map(|entry| (entry.sequence_id, &entry.frame))
    }

    /// Until when the session waits for a transport; `None` while it has one.
    #[must_use]
    pub fn waits_until(&self) -> Option<Millis> {
        self.waits_until
    }

    /// Says until when the session waits for a transport, or that it has one.
    pub fn wait_until(&mut self, until: Option<Millis>) {
        self.waits_until = until;
    }

    /// Forgets everything; returns how many messages went.
    pub fn clear(&mut self, pool: &mut ReplayPool) -> usize {
        let mut queue = std::mem::take(&mut self.queue);
        let count = queue.len();
        queue.clear();
        self.bytes = 0;
        pool.take_back(queue);
        count
    }
}

impl ReplayPool {
    fn take_back(&mut self, mut queue: VecDeque<Unacknowledged>) {
        if self.0.len() < POOLED_QUEUES && queue.capacity() > 0 {
            queue.shrink_to(POOLED_ENTRIES);
            self.0.push(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hubwire_proto::ws::MessageKind;
    use proptest::prelude::*;

    use super::*;
    use crate::memory::NodeMemory;

    const LIMITS: ReplayLimits = ReplayLimits {
        messages: 20,
        bytes: 400,
    };

    #[derive(Debug, Clone)]
    enum Act {
        Push {
            bytes: usize,
            expires_at: Option<Millis>,
        },
        Acknowledge(u64),
        DropExpired(Millis),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let time = || (0u64..10).prop_map(Millis);
        let act = prop_oneof![
            4 => (1usize..60, prop::option::of(time()))
                .prop_map(|(bytes, expires_at)| Act::Push { bytes, expires_at }),
            1 => prop_oneof![0u64..60, Just(u64::MAX)].prop_map(Act::Acknowledge),
            1 => time().prop_map(Act::DropExpired),
        ];
        prop::collection::vec(act, 0..80)
    }

    fn frame(bytes: usize, expires_at: Option<Millis>, memory: &Arc<NodeMemory>) -> Frame {
        Frame::new(
            MessageKind::Text,
            &vec![b'x'; bytes],
            None,
            expires_at,
            memory,
        )
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_list(acts in acts()) {
            let memory = NodeMemory::new(u64::MAX);
            let mut pool = ReplayPool::default();
            let mut replay = Replay::default();
            let (mut model, mut last) = (Vec::<(u64, usize, Option<Millis>)>::new(), 0);
            for act in acts {
                match act {
                    Act::Push { bytes, expires_at } => {
                        let frame = frame(bytes, expires_at, &memory);
                        let bytes = frame.bytes().len();
                        let fits = model.len() < LIMITS.messages
                            && model.iter().map(|entry| entry.1).sum::<usize>() + bytes <= LIMITS.bytes;
                        let pushed = replay.push(&frame, LIMITS, &mut pool);
                        prop_assert_eq!(pushed.is_ok(), fits);
                        if fits {
                            last += 1;
                            prop_assert_eq!(pushed, Ok(last));
                            model.push((last, bytes, expires_at));
                        }
                    }
                    Act::Acknowledge(id) => {
                        let before = model.len();
                        if id <= last {
                            model.retain(|entry| entry.0 > id);
                        }
                        prop_assert_eq!(replay.acknowledge(id, &mut pool), before - model.len());
                    }
                    Act::DropExpired(now) => {
                        let before = model.len();
                        model.retain(|entry| entry.2.is_none_or(|at| at > now));
                        prop_assert_eq!(replay.drop_expired(now), before - model.len());
                    }
                }
                let kept: Vec<_> = replay.iter().map(|(id, frame)| (id, frame.bytes().len())).collect();
                let expect: Vec<_> = model.iter().map(|entry| (entry.0, entry.1)).collect();
                prop_assert_eq!(&kept, &expect);
                prop_assert_eq!(replay.bytes(), expect.iter().map(|entry| entry.1).sum::<usize>());
                prop_assert_eq!(replay.last(), last);
            }
            replay.clear(&mut pool);
            prop_assert_eq!(memory.queued(), 0);
        }
    }

    #[test]
    fn an_empty_queue_owns_nothing_and_the_pool_serves_the_next() {
        let memory = NodeMemory::new(u64::MAX);
        let (mut pool, mut replay) = (ReplayPool::default(), Replay::default());
        let frame = frame(5, None, &memory);
        assert_eq!(replay.push(&frame, LIMITS, &mut pool), Ok(1));
        assert_eq!(replay.acknowledge(1, &mut pool), 1);
        assert_eq!((replay.queue.capacity(), pool.0.len()), (0, 1));
        assert_eq!(replay.push(&frame, LIMITS, &mut pool), Ok(2));
        assert!(pool.0.is_empty());
    }
}
