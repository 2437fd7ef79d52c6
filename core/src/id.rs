//! Who is who on a node: shards, slots and connection ids.
//!
//! A generated connection id names the node, shard and slot of its birth, so that finding a
//! connection is arithmetic; its random part makes it unguessable and proves that the slot still
//! holds the same connection.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Most shards that one node can have: sets of shards are the bits of one word, and one bit of it
/// is the front door's.
pub const MAX_SHARDS: usize = 63;

/// A node of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub u16);

/// A shard of a node, below [`MAX_SHARDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

impl ShardId {
    /// The shard's place in a list of all shards.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of shards of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardSet(u64);

impl ShardSet {
    /// No shard.
    pub const EMPTY: Self = Self(0);

    /// The first `count` shards.
    #[must_use]
    pub fn first(count: usize) -> Self {
        Self((1 << count.min(MAX_SHARDS)) - 1)
    }

    /// Only `shard`.
    #[must_use]
    pub fn only(shard: ShardId) -> Self {
        Self::EMPTY.with(shard)
    }

    /// The set with `shard` in it.
    #[must_use]
    pub fn with(self, shard: ShardId) -> Self {
        Self(self.0 | Self::bit(shard))
    }

    /// The set with `shard` not in it.
    #[must_use]
    pub fn without(self, shard: ShardId) -> Self {
        Self(self.0 & !Self::bit(shard))
    }

    /// Whether `shard` is in the set.
    #[must_use]
    pub fn contains(self, shard: ShardId) -> bool {
        self.0 & Self::bit(shard) != 0
    }

    /// Whether no shard is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many shards are in the set.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The shards, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let next = u8::try_from(bits.trailing_zeros())
                .ok()
                .filter(|_| bits != 0)?;
            bits &= bits - 1;
            Some(ShardId(next))
        })
    }

    /// The set as one word, bit `n` for shard `n`.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The set that [`bits`](Self::bits) gave.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    fn bit(shard: ShardId) -> u64 {
        debug_assert!(shard.index() < MAX_SHARDS);
        1 << (shard.0 % 64)
    }
}

/// A connection's place in its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// The slot's place in a list of all slots.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The id of a connection: 16 random bytes, then node, shard, a zero byte and slot.
///
/// On the wire it is 32 characters of URL-safe base64 (protocol notes: connection ids).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId([u8; Self::BYTES]);

impl ConnectionId {
    const BYTES: usize = 24;
    /// Characters of the textual form.
    pub const TEXT_LENGTH: usize = 32;

    /// The id of a connection born at `slot` of `shard`; `random` must not be guessable.
    #[must_use]
    pub fn new(random: [u8; 16], node: NodeId, shard: ShardId, slot: Slot) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&random);
        bytes[16..18].copy_from_slice(&node.0.to_be_bytes());
        bytes[18] = shard.0;
        bytes[20..].copy_from_slice(&slot.0.to_be_bytes());
        Self(bytes)
    }

    /// The id that `text` spells, or `None` if no server of ours can have given it out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (read == Self::BYTES && bytes[19] == 0).then_some(Self(bytes))
    }

    /// The node of birth.
    #[must_use]
    pub fn node(&self) -> NodeId {
        NodeId(u16::from_be_bytes([self.0[16], self.0[17]]))
    }

    /// The shard of birth.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        ShardId(self.0[18])
    }

    /// The slot of birth.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot(u32::from_be_bytes([
            self.0[20], self.0[21], self.0[22], self.0[23],
        ]))
    }

    /// The id as clients and REST callers see it.
    #[must_use]
    pub fn text(&self) -> ConnectionIdText {
        let mut text = [0; Self::TEXT_LENGTH];
        // 24 bytes are exactly 32 characters, so the buffer always fits.
        let written = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        debug_assert!(matches!(written, Ok(Self::TEXT_LENGTH)));
        ConnectionIdText(text)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A connection id spelled out, without an allocation. Lists are ordered by this spelling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionIdText([u8; ConnectionId::TEXT_LENGTH]);

impl ConnectionIdText {
    /// The characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for ConnectionIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_id_names_its_birthplace_and_survives_the_wire() {
        let id = ConnectionId::new([7; 16], NodeId(513), ShardId(63), Slot(70_000));
        let text = id.text();
        assert_eq!(text.as_str().len(), ConnectionId::TEXT_LENGTH);
        let back = ConnectionId::parse(text.as_str()).unwrap();
        assert_eq!(back, id);
        assert_eq!(
            (back.node(), back.shard(), back.slot()),
            (NodeId(513), ShardId(63), Slot(70_000))
        );
    }

    #[test]
    fn foreign_texts_are_no_connection_ids() {
        for text in [
            "",
            "abc",
            "0123456789abcdef0123456789abcdef+",
            &"A".repeat(31),
            &"A".repeat(33),
            "é",
        ] {
            assert_eq!(ConnectionId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_shard_set_lists_its_members_in_order() {
        let set = ShardSet::only(ShardId(62))
            .with(ShardId(0))
            .with(ShardId(5))
            .without(ShardId(5));
        assert_eq!(set.iter().collect::<Vec<_>>(), [ShardId(0), ShardId(62)]);
        assert_eq!(ShardSet::first(64).len(), MAX_SHARDS);
        assert_eq!(ShardSet::first(3).bits(), 0b111);
        assert_eq!(ShardSet::EMPTY.iter().count(), 0);
    }
}
