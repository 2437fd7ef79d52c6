//! What all connections of a run count together.

use crate::clock::Clock;
use crate::histogram::Histogram;
use crate::stamp::{Stamp, StampFinder};

/// Totals since the start of the run; a phase is the difference of two readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Messages that reached a connection other than their sender's.
    pub(crate) deliveries: u64,
    /// Messages that came back to their sender.
    pub(crate) echoes: u64,
    /// Deliveries older than the one before them on the same connection.
    pub(crate) out_of_order: u64,
    /// Positive acknowledgements of publishes.
    pub(crate) acks: u64,
    /// Messages whose number was not above the last, and that were dropped for that.
    pub(crate) duplicates: u64,
    /// Deliveries before which a number was left out.
    pub(crate) sequence_gaps: u64,
    /// Sequence acknowledgements that were sent.
    pub(crate) sequence_acks: u64,
    /// Recoveries that the server took.
    pub(crate) recoveries: u64,
    /// Reads that brought at least one delivery.
    pub(crate) reads: u64,
    /// Bytes that arrived on WebSocket connections.
    pub(crate) bytes: u64,
    /// Pong frames.
    pub(crate) pongs: u64,
    /// REST requests that succeeded.
    pub(crate) responses: u64,
    /// REST connections that the server closed and that were opened again.
    pub(crate) reconnects: u64,
}

impl Counters {
    /// What was added after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            deliveries: self.deliveries - earlier.deliveries,
            echoes: self.echoes - earlier.echoes,
            out_of_order: self.out_of_order - earlier.out_of_order,
            acks: self.acks - earlier.acks,
            duplicates: self.duplicates - earlier.duplicates,
            sequence_gaps: self.sequence_gaps - earlier.sequence_gaps,
            sequence_acks: self.sequence_acks - earlier.sequence_acks,
            recoveries: self.recoveries - earlier.recoveries,
            reads: self.reads - earlier.reads,
            bytes: self.bytes - earlier.bytes,
            pongs: self.pongs - earlier.pongs,
            responses: self.responses - earlier.responses,
            reconnects: self.reconnects - earlier.reconnects,
        }
    }
}

/// Counters, distributions and the time of the read being worked on.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) clock: Clock,
    pub(crate) finder: StampFinder,
    pub(crate) counters: Counters,
    /// From a message's stamp to the read that brought it.
    pub(crate) latency: Histogram,
    /// From dialling to ready: a member of its group, or caught up after a recovery.
    pub(crate) setup: Histogram,
    /// From dialling to `connected`, of recoveries.
    pub(crate) recovery: Histogram,
    /// From sending a REST request to its response.
    pub(crate) response: Histogram,
    /// Connections that received, with how many messages, while somebody asks for it.
    pub(crate) receivers: Option<Vec<(usize, u64)>>,
    /// When the read being worked on happened.
    pub(crate) now: u64,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::start(),
            finder: StampFinder::new(),
            counters: Counters::default(),
            latency: Histogram::new(),
            setup: Histogram::new(),
            recovery: Histogram::new(),
            response: Histogram::new(),
            receivers: None,
            now: 0,
        }
    }

    /// Counts one delivery by its stamp.
    #[inline]
    pub(crate) fn delivery(&mut self, stamp: Stamp) {
        self.counters.deliveries += 1;
        self.latency.record(self.now.saturating_sub(stamp.time));
    }

    /// Empties the distributions, as a new phase begins.
    pub(crate) fn clear_distributions(&mut self) {
        self.latency.clear();
        self.setup.clear();
        self.recovery.clear();
        self.response.clear();
    }
}
