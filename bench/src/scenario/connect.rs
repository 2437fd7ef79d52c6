//! Opening connections as fast as they come. Their tokens are signed before the clock starts.

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::ConnectArgs;
use crate::histogram::Quantiles;
use crate::measure::{GeneratorFigures, ServerFigures, rounded};
use crate::session::Session;

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    connections: usize,
    /// Members of each group that is joined.
    members: usize,
    seconds: f64,
    connections_per_second: f64,
    /// User and system time of the server for one connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms_per_connection: Option<f64>,
    /// From dialling to the acknowledgement of `joinGroup`.
    setup_ms: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generator: Option<GeneratorFigures>,
}

pub(crate) fn run(args: &ConnectArgs, session: &mut Session) -> anyhow::Result<Figures> {
    eprintln!("signing {} tokens", args.connections);
    let plans = session.members(args.connections, args.members);
    eprintln!("opening {} connections", args.connections);
    let measurement = session.start_measuring()?;
    let taken = session.driver.open(plans).context("connections")?;
    let measured = session.finish(measurement)?;
    let connections = args.connections as u64;
    Ok(Figures {
        connections: args.connections,
        members: args.members,
        seconds: rounded(taken.as_secs_f64()),
        connections_per_second: (args.connections as f64 / taken.as_secs_f64()).round(),
        cpu_ms_per_connection: measured.server_cpu_per(connections, 1e3),
        setup_ms: session.driver.ledger.setup.quantiles(),
        server: measured.server,
        generator: measured.generator,
    })
}
