//! A slab whose slots are handed out elsewhere (by the [`crate::node::Node`], before the
//! connection exists) and whose memory grows in chunks, so that growth never copies.

use crate::id::Slot;

const CHUNK: usize = 256;

/// Values by [`Slot`].
#[derive(Debug)]
pub struct Slab<V> {
    chunks: Vec<Box<[Option<V>]>>,
    len: usize,
}

impl<V> Default for Slab<V> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<V> Slab<V> {
    /// How many slots are taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no slot is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value at `slot`.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&V> {
        self.chunks
            .get(slot.index() / CHUNK)?
            .get(slot.index() % CHUNK)?
            .as_ref()
    }

    /// The value at `slot`, to change.
    #[must_use]
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut V> {
        self.chunks
            .get_mut(slot.index() / CHUNK)?
            .get_mut(slot.index() % CHUNK)?
            .as_mut()
    }

    /// Puts `value` at `slot` and returns what was there.
    pub fn insert(&mut self, slot: Slot, value: V) -> Option<V> {
        let chunk = slot.index() / CHUNK;
        while self.chunks.len() <= chunk {
            self.chunks
                .push(std::iter::repeat_with(|| None).take(CHUNK).collect());
        }
        let before = self.chunks[chunk][slot.index() % CHUNK].replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Empties `slot` and returns what was there.
    pub fn remove(&mut self, slot: Slot) -> Option<V> {
        let removed = self
            .chunks
            .get_mut(slot.index() / CHUNK)?
            .get_mut(slot.index() % CHUNK)?
            .take();
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// All taken slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &V)> {
        let values = self.chunks.iter().flat_map(|chunk| chunk.iter());
        (0u32..)
            .zip(values)
            .filter_map(|(index, value)| Some((Slot(index), value.as_ref()?)))
    }
}
