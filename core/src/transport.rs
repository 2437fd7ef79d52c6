//! The seam between a shard and whatever carries its bytes.
//!
//! The server implements it for sockets, the simulator for queues in memory. No verb ever blocks;
//! readiness is reported to the shard from outside.

use std::io::IoSlice;

use crate::shard::TransportKey;

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Bytes for the shard.
    Bytes {
        /// How many; 0 if what came is not whole yet, such as part of an encrypted record.
        count: usize,
        /// Whether more may be waiting; otherwise readiness will be reported.
        more: bool,
    },
    /// Nothing now; readiness will be reported.
    WouldBlock,
    /// The peer will send no more.
    Ended,
    /// The transport is broken.
    Failed,
}

/// What one write achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// This many bytes were taken, and nothing is owed.
    Bytes(usize),
    /// This many bytes were taken, perhaps none, and no more can be written now; readiness will
    /// be reported.
    Blocked(usize),
    /// The transport is broken.
    Failed,
}

/// A byte stream to one client. Dropping it closes it.
///
/// What a transport takes need not have left it: encrypted bytes that a socket refuses are kept
/// and *owed*. A shard counts them among what waits for the client, and writes, if need be
/// nothing, until they are gone.
pub trait Transport {
    /// What all transports of a shard share: what reports readiness, and buffers.
    type Shared;

    /// Asks for readiness reports under `key` from now on. Returns whether that worked.
    fn register(&mut self, shared: &mut Self::Shared, key: TransportKey) -> bool;

    /// Reads what is there into `buffer`.
    fn read(&mut self, shared: &mut Self::Shared, buffer: &mut [u8]) -> Read;

    /// Writes what is owed, then as much of `slices`, in order, as fits.
    fn write(&mut self, shared: &mut Self::Shared, slices: &[IoSlice<'_>]) -> Written;

    /// Says that nothing more will be written, so that the last frames arrive before the end.
    fn finish(&mut self);

    /// Bytes that were taken by writes, or are answers of the transport itself, and have not left.
    fn owed_bytes(&self) -> usize {
        0
    }

    /// Bytes that were read and are not whole yet.
    fn unfinished_bytes(&self) -> usize {
        0
    }
}
