//! What waits to be written to one transport: shared frames and private replies, in order.
//!
//! An empty outbox owns no memory; queues and buffers come from the shard's pool and go back, so
//! that a delivery allocates nothing once the pool is warm.

use std::collections::VecDeque;
use std::io::IoSlice;

use hubwire_proto::numbering::Head;

use crate::Millis;
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
    /// The same with a number, whose head is made when it is written.
    Numbered {
        frame: Frame,
        sequence_id: u64,
        /// Bytes with the head, so that it need not be made to be measured.
        len: usize,
    },
    /// Frames for this connection alone; neighbours are joined.
    Private { bytes: Vec<u8>, messages: usize },
}

impl Chunk {
    fn len(&self) -> usize {
        match self {
            Self::Shared(frame) => frame.bytes().len(),
            Self::Numbered { len, .. } => *len,
            Self::Private { bytes, .. } => bytes.len(),
        }
    }

    /// Its bytes behind the head, which only numbered chunks have.
    fn body(&self) -> &[u8] {
        match self {
            Self::Shared(frame) => frame.bytes(),
            Self::Numbered { frame, .. } => frame.tail(),
            Self::Private { bytes, .. } => bytes,
        }
    }

    fn head(&self) -> Option<Head> {
        match self {
            Self::Numbered {
                frame, sequence_id, ..
            } => Some(frame.head(*sequence_id)),
            Self::Shared(_) | Self::Private { .. } => None,
        }
    }

    fn messages(&self) -> usize {
        match self {
            Self::Shared(_) | Self::Numbered { .. } => 1,
            Self::Private { messages, .. } => *messages,
        }
    }

    fn expires_at(&self) -> Option<Millis> {
        match self {
            Self::Shared(frame) | Self::Numbered { frame, .. } => frame.expires_at(),
            Self::Private { .. } => None,
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
    /// No message expires before.
    next_expiry: Option<Millis>,
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
        self.push_chunk(Chunk::Shared(frame.clone()), pool);
    }

    /// Queues frames that are shared with other connections, with a number in front.
    pub fn push_numbered(&mut self, frame: &Frame, sequence_id: u64, pool: &mut OutboxPool) {
        let len = frame.head(sequence_id).bytes().len() + frame.tail().len();
        let chunk = Chunk::Numbered {
            frame: frame.clone(),
            sequence_id,
            len,
        };
        self.push_chunk(chunk, pool);
    }

    fn push_chunk(&mut self, chunk: Chunk, pool: &mut OutboxPool) {
        let queue = self
            .queue
            .get_or_insert_with(|| pool.queues.pop().unwrap_or_default());
        queue.bytes += chunk.len();
        queue.messages += 1;
        if let Some(expiry) = chunk.expires_at() {
            queue.expect_expiry(expiry);
        }
        queue.chunks.push_back(chunk);
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
        let mut copy = |bytes: &[u8]| {
            cork[filled..filled + bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
        };
        let mut written = queue.front_written;
        for chunk in &queue.chunks {
            if let Some(head) = chunk.head() {
                copy(after(head.bytes(), &mut written));
            }
            copy(after(chunk.body(), &mut written));
        }
        Some(filled)
    }

    /// The only chunk, if there is just one and it is in one piece: it needs no copying.
    #[must_use]
    pub fn single(&self) -> Option<&[u8]> {
        let queue = self.queue.as_ref()?;
        match queue.chunks.front() {
            None | Some(Chunk::Numbered { .. }) => None,
            Some(chunk) => (queue.chunks.len() == 1).then(|| &chunk.body()[queue.front_written..]),
        }
    }

    /// Points `slices` at what waits, in order, as far as `slices` and `heads`, where the heads of
    /// numbered messages are put, have room; returns how many slices were filled.
    pub fn gather<'a>(&'a self, heads: &'a mut [Head], slices: &mut [IoSlice<'a>]) -> usize {
        let Some(queue) = &self.queue else { return 0 };
        let made = queue.chunks.iter().filter_map(Chunk::head);
        for (head, made) in heads.iter_mut().zip(made) {
            *head = made;
        }
        let (mut heads, mut slices) = (heads.iter(), slices.iter_mut());
        let (mut filled, mut written) = (0, queue.front_written);
        for chunk in &queue.chunks {
            if matches!(chunk, Chunk::Numbered { .. }) {
                let (Some(head), Some(slice)) = (heads.next(), slices.next()) else {
                    break;
                };
                *slice = IoSlice::new(after(head.bytes(), &mut written));
                filled += 1;
            }
            let Some(slice) = slices.next() else { break };
            *slice = IoSlice::new(after(chunk.body(), &mut written));
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
            let left = front.len() - queue.front_written;
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
            queue.bytes -= chunk.len();
            queue.forget(chunk, pool);
        }
        let freed = private_before - queue.private_bytes;
        if queue.chunks.is_empty() {
            self.give_back(pool);
        }
        freed
    }

    /// A time before which no message expires; `None` if none does at all.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Millis> {
        self.queue.as_ref()?.next_expiry
    }

    /// Whether a message may have expired at `now`.
    #[must_use]
    pub fn has_expired(&self, now: Millis) -> bool {
        self.next_expiry().is_some_and(|expiry| expiry <= now)
    }

    /// Drops the messages that have expired at `now` and were not begun. Returns how many.
    pub fn drop_expired(&mut self, now: Millis, pool: &mut OutboxPool) -> usize {
        let Some(queue) = &mut self.queue else {
            return 0;
        };
        let before = queue.messages;
        queue.drop_expired(now);
        let dropped = before - queue.messages;
        if queue.chunks.is_empty() {
            self.give_back(pool);
        }
        dropped
    }

    fn give_back(&mut self, pool: &mut OutboxPool) {
        if let Some(mut queue) = self.queue.take() {
            debug_assert_eq!(
                (queue.bytes, queue.private_bytes, queue.messages),
                (0, 0, 0)
            );
            queue.front_written = 0;
            queue.next_expiry = None;
            pool.take_back_queue(queue);
        }
    }
}

impl Queue {
    fn expect_expiry(&mut self, expiry: Millis) {
        self.next_expiry = Some(self.next_expiry.map_or(expiry, |next| next.min(expiry)));
    }

    /// Only shared chunks expire, so no private bytes go.
    fn drop_expired(&mut self, now: Millis) {
        self.next_expiry = None;
        let mut chunks = std::mem::take(&mut self.chunks);
        let mut is_begun = self.front_written > 0;
        chunks.retain(|chunk| {
            let is_kept = std::mem::take(&mut is_begun);
            match chunk.expires_at().filter(|_| !is_kept) {
                Some(expiry) if expiry <= now => {
                    self.bytes -= chunk.len();
                    self.messages -= chunk.messages();
                    return false;
                }
                Some(expiry) => self.expect_expiry(expiry),
                None => {}
            }
            true
        });
        self.chunks = chunks;
    }

    fn forget(&mut self, chunk: Chunk, pool: &mut OutboxPool) {
        self.messages -= chunk.messages();
        if let Chunk::Private { bytes, .. } = chunk {
            self.private_bytes -= bytes.len();
            pool.take_back(bytes);
        }
    }
}

/// What of a piece is left when so much of it and those behind it is written.
fn after<'a>(piece: &'a [u8], written: &mut usize) -> &'a [u8] {
    let skipped = piece.len().min(*written);
    *written -= skipped;
    &piece[skipped..]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hubwire_proto::numbering::Numbering;
    use hubwire_proto::ws::MessageKind;
    use proptest::prelude::*;

    use super::*;
    use crate::memory::NodeMemory;

    #[derive(Debug, Clone)]
    enum Act {
        Shared {
            bytes: usize,
            expires_at: Option<Millis>,
        },
        Numbered {
            bytes: usize,
            sequence_id: u64,
            expires_at: Option<Millis>,
        },
        Private(usize),
        Consume(usize),
        DropUnbegun,
        DropExpired(Millis),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let time = || (0u64..10).prop_map(Millis);
        let act = prop_oneof![
            (1usize..300, prop::option::of(time()))
                .prop_map(|(bytes, expires_at)| Act::Shared { bytes, expires_at }),
            (1usize..300, any::<u64>(), prop::option::of(time())).prop_map(
                |(bytes, sequence_id, expires_at)| Act::Numbered {
                    bytes,
                    sequence_id,
                    expires_at
                }
            ),
            (1usize..300).prop_map(Act::Private),
            (0usize..2000).prop_map(Act::Consume),
            Just(Act::DropUnbegun),
            time().prop_map(Act::DropExpired),
        ];
        prop::collection::vec(act, 0..60)
    }

    /// What is left of a message, as the model knows it.
    struct Piece {
        left: Vec<u8>,
        is_begun: bool,
        expires_at: Option<Millis>,
    }

    #[derive(Default)]
    struct Model(VecDeque<Piece>);

    impl Model {
        fn push(&mut self, bytes: Vec<u8>, expires_at: Option<Millis>) {
            self.0.push_back(Piece {
                left: bytes,
                is_begun: false,
                expires_at,
            });
        }

        fn consume(&mut self, mut written: usize) {
            while let Some(front) = self.0.front_mut().filter(|_| written > 0) {
                let taken = written.min(front.left.len());
                front.left.drain(..taken);
                front.is_begun = true;
                written -= taken;
                if front.left.is_empty() {
                    self.0.pop_front();
                }
            }
        }

        /// Drops the last ones until `bytes` are left.
        fn truncate(&mut self, bytes: usize) {
            while self.len() > bytes {
                self.0.pop_back();
            }
        }

        /// Returns how many there were.
        fn drop_expired(&mut self, now: Millis) -> usize {
            let before = self.0.len();
            self.0
                .retain(|piece| piece.is_begun || piece.expires_at.is_none_or(|at| at > now));
            before - self.0.len()
        }

        fn len(&self) -> usize {
            self.0.iter().map(|piece| piece.left.len()).sum()
        }

        fn bytes(&self) -> Vec<u8> {
            self.0.iter().flat_map(|piece| piece.left.clone()).collect()
        }
    }

    /// The frame of a message of `bytes` bytes, all alike.
    fn frame(
        bytes: usize,
        fill: u8,
        expires_at: Option<Millis>,
        memory: &Arc<NodeMemory>,
    ) -> Frame {
        let (kind, numbering) = (MessageKind::Text, Some(Numbering::Json));
        Frame::new(kind, &vec![fill; bytes], numbering, expires_at, memory)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order_or_expires_whole(acts in acts()) {
            let memory = NodeMemory::new(u64::MAX);
            let mut pool = OutboxPool::default();
            let mut outbox = Outbox::default();
            let mut model = Model::default();
            let mut fill = 0u8;
            for act in acts {
                fill = fill.wrapping_add(1);
                match act {
                    Act::Shared { bytes, expires_at } => {
                        let frame = frame(bytes, fill, expires_at, &memory);
                        model.push(frame.bytes().to_vec(), expires_at);
                        outbox.push(&frame, &mut pool);
                    }
                    Act::Numbered { bytes, sequence_id, expires_at } => {
                        let frame = frame(bytes + 1, fill, expires_at, &memory);
                        let head = frame.head(sequence_id);
                        model.push([head.bytes(), frame.tail()].concat(), expires_at);
                        outbox.push_numbered(&frame, sequence_id, &mut pool);
                    }
                    Act::Private(bytes) => {
                        let added = outbox.push_private(&mut pool, |buffer| buffer.extend(std::iter::repeat_n(fill, bytes)));
                        prop_assert_eq!(added, bytes);
                        model.push(vec![fill; bytes], None);
                    }
                    Act::Consume(most) => {
                        let written = most.min(model.len());
                        model.consume(written);
                        outbox.consume(written, &mut pool);
                    }
                    Act::DropUnbegun => {
                        outbox.drop_unbegun(&mut pool);
                        model.truncate(outbox.bytes());
                    }
                    Act::DropExpired(now) => {
                        prop_assert_eq!(outbox.drop_expired(now, &mut pool), model.drop_expired(now));
                        prop_assert!(outbox.next_expiry().is_none_or(|at| at > now));
                    }
                }
                let expected = model.bytes();
                prop_assert_eq!(outbox.bytes(), expected.len());
                prop_assert_eq!(outbox.is_empty(), expected.is_empty());
                prop_assert_eq!(outbox.messages() == 0, expected.is_empty());
                let earliest = model.0.iter().filter(|piece| !piece.is_begun).filter_map(|piece| piece.expires_at).min();
                prop_assert!(earliest.is_none_or(|at| outbox.next_expiry().is_some_and(|next| next <= at)));
                let (mut heads, mut slices) = ([Head::default(); 64], [IoSlice::new(&[]); 128]);
                let filled = outbox.gather(&mut heads, &mut slices);
                let gathered: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
                prop_assert_eq!(&gathered, &expected);
                let mut cork = vec![0; 20_000];
                if !expected.is_empty() {
                    prop_assert_eq!(outbox.copy_into(&mut cork), Some(expected.len()));
                    prop_assert_eq!(&cork[..expected.len()], expected);
                }
            }
            outbox.consume(outbox.bytes(), &mut pool);
            prop_assert_eq!(memory.queued(), 0);
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
