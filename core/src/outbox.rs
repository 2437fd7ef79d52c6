//! What waits to be written to one transport: shared frames and private replies, in order.
//!
//! An empty outbox owns no memory; queues and buffers come from the shard's pool and go back, so
//! that a delivery allocates nothing once the pool is warm.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::publication::Frame;

/// Spare queues that are kept: as many as one tick fills by default, so that a message to a large
/// group allocates nothing for its members.
const POOLED_QUEUES: usize = 16_384;
const POOLED_BUFFERS: usize = 1024;
const POOLED_BUFFER_BYTES: usize = 4096;

#[derive(Debug)]
enum Chunk {
    /// Frames that other connections may be getting too.
    Shared(Frame),
    /// Frames for this connection alone; neighbours are joined.
    Private { bytes: Vec<u8>, messages: usize },
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(frame) => frame.bytes(),
            Self::Private { bytes, .. } => bytes,
        }
    }

    fn messages(&self) -> usize {
        match self {
            Self::Shared(_) => 1,
            Self::Private { messages, .. } => *messages,
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    /// Bytes of the front chunk that are already written.
    front_written: usize,
    bytes: usize,
    private_bytes: usize,
    messages: usize,
}

/// Spare queues and buffers of a shard.
#[derive(Debug, Default)]
pub struct OutboxPool {
    #[expect(clippy::vec_box, reason = "the boxes move in and out of connections")]
    queues: Vec<Box<Queue>>,
    buffers: Vec<Vec<u8>>,
}

impl OutboxPool {
    fn take_back(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < POOLED_BUFFERS && buffer.capacity() <= POOLED_BUFFER_BYTES {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    fn take_back_queue(&mut self, mut queue: Box<Queue>) {
        if self.queues.len() < POOLED_QUEUES {
            queue.chunks.shrink_to(64);
            self.queues.push(queue);
        }
    }
}

/// The frames that one connection has not been written yet.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Option<Box<Queue>>,
}

impl Outbox {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Bytes that wait and that no other connection shares.
    #[must_use]
    pub fn private_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.private_bytes)
    }

    /// Messages that wait; private neighbours count until the last of them is written.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.messages)
    }

    /// Queues frames that are shared with other connections.
    pub fn push(&mut self, frame: &Frame, pool: &mut OutboxPool) {
        let queue = self.queue_mut(pool);
        queue.bytes += frame.bytes().len();
        queue.messages += 1;
        queue.chunks.push_back(Chunk::Shared(frame.clone()));
    }

    /// Queues one private message that `encode` appends to the buffer it is given. Returns the
    /// bytes added.
    pub fn push_private(
        &mut self,
        pool: &mut OutboxPool,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let queue = match &mut self.queue {
            Some(queue) => queue,
            empty => empty.insert(pool.queues.pop().unwrap_or_default()),
        };
        // A chunk that is being written must not grow: its bytes and messages count until the
        // last of them is written, which for a busy client might be never.
        let begun = queue.chunks.len() == 1 && queue.front_written > 0;
        if begun || !matches!(queue.chunks.back(), Some(Chunk::Private { .. })) {
            let bytes = pool.buffers.pop().unwrap_or_default();
            queue
                .chunks
                .push_back(Chunk::Private { bytes, messages: 0 });
        }
        let Some(Chunk::Private { bytes, messages }) = queue.chunks.back_mut() else {
            return 0;
        };
        let before = bytes.len();
        encode(bytes);
        let added = bytes.len() - before;
        *messages += 1;
        queue.bytes += added;
        queue.private_bytes += added;
        queue.messages += 1;
        added
    }

    /// Copies what waits into `cork`, if it fits as a whole. Returns the bytes copied.
    pub fn copy_into(&self, cork: &mut [u8]) -> Option<usize> {
        let queue = self.queue.as_ref()?;
        if queue.bytes > cork.len() {
            return None;
        }
        let mut filled = 0;
        for bytes in queue.unwritten() {
            cork[filled..filled + bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
        }
        Some(filled)
    }

    /// The only chunk, if there is just one: it needs no copying.
    #[must_use]
    pub fn single(&self) -> Option<&[u8]> {
        let queue = self.queue.as_ref()?;
        if queue.chunks.len() == 1 {
            queue.unwritten().next()
        } else {
            None
        }
    }

    /// Points `slices` at what waits, in order; returns how many were filled.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let Some(queue) = &self.queue else { return 0 };
        let mut filled = 0;
        for (slice, bytes) in slices.iter_mut().zip(queue.unwritten()) {
            *slice = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Removes the first `written` bytes. Returns how many of them were private.
    pub fn consume(&mut self, mut written: usize, pool: &mut OutboxPool) -> usize {
        let Some(queue) = &mut self.queue else {
            return 0;
        };
        written = written.min(queue.bytes);
        queue.bytes -= written;
        let private_before = queue.private_bytes;
        while let Some(front) = queue.chunks.front() {
            let left = front.bytes().len() - queue.front_written;
            if written < left {
                queue.front_written += written;
                break;
            }
            written -= left;
            queue.front_written = 0;
            if let Some(chunk) = queue.chunks.pop_front() {
                queue.forget(chunk, pool);
            }
        }
        let freed = private_before - queue.private_bytes;
        if queue.chunks.is_empty() {
            self.give_back(pool);
        }
        freed
    }

    /// Drops everything that was not begun, so that a last frame can follow. Returns how many
    /// private bytes went.
    pub fn drop_unbegun(&mut self, pool: &mut OutboxPool) -> usize {
        let Some(queue) = &mut self.queue else {
            return 0;
        };
        let private_before = queue.private_bytes;
        let keep = usize::from(queue.front_written > 0);
        while queue.chunks.len() > keep {
            let Some(chunk) = queue.chunks.pop_back() else {
                break;
            };
            queue.bytes -= chunk.bytes().len();
            queue.forget(chunk, pool);
        }
        let freed = private_before - queue.private_bytes;
        if queue.chunks.is_empty() {
            self.give_back(pool);
        }
        freed
    }

    fn queue_mut(&mut self, pool: &mut OutboxPool) -> &mut Queue {
        self.queue
            .get_or_insert_with(|| pool.queues.pop().unwrap_or_default())
    }

    fn give_back(&mut self, pool: &mut OutboxPool) {
        if let Some(mut queue) = self.queue.take() {
            debug_assert_eq!(
                (queue.bytes, queue.private_bytes, queue.messages),
                (0, 0, 0)
            );
            queue.front_written = 0;
            pool.take_back_queue(queue);
        }
    }
}

impl Queue {
    fn forget(&mut self, chunk: Chunk, pool: &mut OutboxPool) {
        self.messages -= chunk.messages();
        if let Chunk::Private { bytes, .. } = chunk {
            self.private_bytes -= bytes.len();
            pool.take_back(bytes);
        }
    }

    fn unwritten(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.front_written;
        self.chunks.iter().map(move |chunk| {
            let bytes = &chunk.bytes()[skip..];
            skip = 0;
            bytes
        })
    }
}

#[cfg(test)]
mod tests {
    use hubwire_proto::message::DataType;
    use proptest::prelude::*;

    use super::*;
    use crate::memory::NodeMemory;
    use crate::publication::{Encoding, Origin, Publication};

    #[derive(Debug, Clone)]
    enum Act {
        Shared(usize),
        Private(usize),
        Consume(usize),
        DropUnbegun,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            (1usize..300).prop_map(Act::Shared),
            (1usize..300).prop_map(Act::Private),
            (0usize..2000).prop_map(Act::Consume),
            Just(Act::DropUnbegun),
        ];
        prop::collection::vec(act, 0..60)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(acts in acts()) {
            let memory = NodeMemory::new(u64::MAX);
            let mut pool = OutboxPool::default();
            let mut outbox = Outbox::default();
            let mut expected: VecDeque<u8> = VecDeque::new();
            let mut fill = 0u8;
            for act in acts {
                fill = fill.wrapping_add(1);
                match act {
                    Act::Shared(len) => {
                        let publication = Publication::new(Origin::Server, DataType::Binary, vec![fill; len].into(), &memory);
                        let frame = publication.frame(Encoding::Simple);
                        expected.extend(frame.bytes());
                        outbox.push(frame, &mut pool);
                    }
                    Act::Private(len) => {
                        let added = outbox.push_private(&mut pool, |buffer| buffer.extend(std::iter::repeat_n(fill, len)));
                        prop_assert_eq!(added, len);
                        expected.extend(std::iter::repeat_n(fill, len));
                    }
                    Act::Consume(most) => {
                        let written = most.min(expected.len());
                        expected.drain(..written);
                        outbox.consume(written, &mut pool);
                    }
                    Act::DropUnbegun => {
                        outbox.drop_unbegun(&mut pool);
                        expected.truncate(outbox.bytes());
                    }
                }
                prop_assert_eq!(outbox.bytes(), expected.len());
                prop_assert_eq!(outbox.is_empty(), expected.is_empty());
                prop_assert_eq!(outbox.messages() == 0, expected.is_empty());
                let mut slices = [IoSlice::new(&[]); 64];
                let filled = outbox.gather(&mut slices);
                let gathered: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
                prop_assert!(gathered.iter().eq(expected.iter()));
                let mut cork = vec![0; 20_000];
                if !expected.is_empty() {
                    prop_assert_eq!(outbox.copy_into(&mut cork), Some(expected.len()));
                    prop_assert!(cork[..expected.len()].iter().eq(expected.iter()));
                }
            }
        }
    }

    #[test]
    fn an_empty_outbox_owns_nothing_and_the_pool_serves_the_next() {
        let mut pool = OutboxPool::default();
        let mut outbox = Outbox::default();
        outbox.push_private(&mut pool, |buffer| buffer.extend_from_slice(b"reply"));
        assert_eq!(outbox.consume(5, &mut pool), 5);
        assert!(outbox.queue.is_none());
        assert_eq!((pool.queues.len(), pool.buffers.len()), (1, 1));
    }
}
