//! The seam between a shard and whatever carries its bytes.
//!
//! The server implements it for sockets, the simulator for queues in memory. Both verbs never
//! block; readiness is reported to the shard from outside.

use std::io::IoSlice;

use crate::shard::TransportKey;

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// This many bytes; more may be waiting unless fewer than asked for came.
    Bytes(usize),
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
    /// This many bytes were taken.
    Bytes(usize),
    /// Nothing was taken; readiness will be reported.
    WouldBlock,
    /// The transport is broken.
    Failed,
}

/// A byte stream to one client. Dropping it closes it.
pub trait Transport {
    /// What reports readiness, one for all transports of a shard.
    type Registry;

    /// Asks for readiness reports under `key` from now on. Returns whether that worked.
    fn register(&mut self, registry: &Self::Registry, key: TransportKey) -> bool;

    /// Reads what is there into `buffer`.
    fn read(&mut self, buffer: &mut [u8]) -> Read;

    /// Writes as much of `slices`, in order, as fits.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> Written;

    /// Says that nothing more will be written, so that the last frames arrive before the end.
    fn finish(&mut self);
}
