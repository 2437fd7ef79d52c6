//! The result: one line of JSON. Names carry their units; a figure that needs the server's process
//! is absent without `--server-pid`, and a ratio is absent when nothing was counted.

use serde::Serialize;

use crate::histogram::Quantiles;
use crate::ledger::Counters;
use crate::measure::{GeneratorFigures, Measured, ServerFigures, ratio};
use crate::scenario::Figures;
use crate::session::Session;

/// The line.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    pub(crate) endpoint: String,
    pub(crate) hub: String,
    /// What the clients spoke.
    pub(crate) subprotocol: &'static str,
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

/// A phase of `fanout` or `pairs`.
#[derive(Debug, Serialize)]
pub(crate) struct Traffic {
    /// How long the phase was measured. At a fixed rate this includes waiting for the last
    /// deliveries.
    seconds: f64,
    /// At a fixed rate: publishes per second, all publishers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    publishes_per_second: Option<f64>,
    /// Messages that reached a member other than their sender.
    deliveries: u64,
    deliveries_per_second: f64,
    /// Deliveries that were owed and never came, up to the end of the phase that follows the
    /// measurement.
    lost: u64,
    /// Deliveries with an older stamp than the one before them from the same sender.
    out_of_order: u64,
    /// Messages that came back to their sender in spite of `noEcho`.
    echoes: u64,
    /// Acknowledgements of publishes.
    acks: u64,
    /// Only of reliable clients.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    reliable: Option<Reliable>,
    /// The main figure: user and system time of the server for a million deliveries.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_seconds_per_million_deliveries: Option<f64>,
    /// Mean number of deliveries in a read that brought any: how many the server joined.
    deliveries_per_read: Option<f64>,
    /// All that arrived, acknowledgements too, for each delivery.
    bytes_per_delivery: Option<f64>,
    /// From the time a publish was due (fixed rate) or made (closed loop) to the read that
    /// brought the delivery.
    latency_ms: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generator: Option<GeneratorFigures>,
}

/// What only reliable clients have.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Reliable {
    /// Messages that came again and were dropped; they are no deliveries.
    duplicates: u64,
    /// Deliveries before which a number was left out.
    sequence_gaps: u64,
    /// Sequence acknowledgements that were sent.
    sequence_acks: u64,
}

impl Reliable {
    pub(crate) fn new(counters: &Counters) -> Self {
        Self {
            duplicates: counters.duplicates,
            sequence_gaps: counters.sequence_gaps,
            sequence_acks: counters.sequence_acks,
        }
    }
}

impl Traffic {
    /// The figures of a phase that is over; the session's distributions must still be those of it.
    pub(crate) fn new(measured: &Measured, session: &Session) -> Self {
        let counters = &measured.counters;
        let deliveries = counters.deliveries;
        Self {
            seconds: crate::measure::rounded(measured.seconds),
            publishes_per_second: None,
            deliveries,
            deliveries_per_second: measured.per_second(deliveries),
            lost: 0,
            out_of_order: counters.out_of_order,
            echoes: counters.echoes,
            acks: counters.acks,
            reliable: session
                .subprotocol
                .is_reliable()
                .then(|| Reliable::new(counters)),
            cpu_seconds_per_million_deliveries: measured.server_cpu_per(deliveries, 1e6),
            deliveries_per_read: ratio(deliveries as f64, counters.reads),
            bytes_per_delivery: ratio(counters.bytes as f64, deliveries),
            latency_ms: session.driver.ledger.latency.quantiles(),
            server: measured.server,
            generator: measured.generator,
        }
    }

    pub(crate) fn lost(self, lost: u64) -> Self {
        Self { lost, ..self }
    }

    pub(crate) fn at_rate(self, publishes_per_second: f64) -> Self {
        Self {
            publishes_per_second: Some(publishes_per_second),
            ..self
        }
    }
}
