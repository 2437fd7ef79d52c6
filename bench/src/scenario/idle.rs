//! Connections that do nothing: what they cost in memory and CPU, and whether they stay.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::IdleArgs;
use crate::clock::nanos;
use crate::driver::TURN;
use crate::load::settle;
use crate::measure::{GeneratorFigures, ServerFigures, ratio, rounded};
use crate::session::Session;

/// The bound on waiting for the pongs at the end.
const PONGS: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    connections: usize,
    /// Members of each group.
    members: usize,
    /// How long opening took.
    open_seconds: f64,
    /// How long the connections were watched.
    seconds: f64,
    /// Resident memory of the server before the first connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_mib_before: Option<f64>,
    /// Resident memory of the server with all connections, after settling.
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_mib_after: Option<f64>,
    /// Their difference for each connection; the kernel's socket memory is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_kib_per_connection: Option<f64>,
    /// The server's CPU time while watched: 100 is one full core.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_cpu_percent: Option<f64>,
    /// Connections that answered a WebSocket ping at the end.
    alive: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generator: Option<GeneratorFigures>,
}

pub(crate) fn run(args: &IdleArgs, session: &mut Session) -> anyhow::Result<Figures> {
    let members = if args.one_group {
        args.connections
    } else {
        args.members
    };
    let rss = |session: &Session| session.server.as_ref().map(|s| s.rss_mib()).transpose();
    let plans = session.members(args.connections, members);
    let rss_mib_before = rss(session)?;
    eprintln!("opening {} connections", args.connections);
    let taken = session.driver.open(plans).context("connections")?;
    session.driver.tolerate_closes();

    eprintln!("watching them for {:?}", args.settle + args.duration);
    settle(&mut session.driver, args.settle)?;
    let rss_mib_after = rss(session)?;
    let measurement = session.start_measuring()?;
    settle(&mut session.driver, args.duration)?;
    let measured = session.finish(measurement)?;

    let kib = rss_mib_before
        .zip(rss_mib_after)
        .and_then(|(before, after)| ratio((after - before) * 1024.0, args.connections as u64));
    let cpu_percent = measured
        .server
        .filter(|_| measured.seconds > 0.0)
        .map(|server| rounded(server.cpu_seconds / measured.seconds * 100.0));
    Ok(Figures {
        connections: args.connections,
        members,
        open_seconds: rounded(taken.as_secs_f64()),
        seconds: rounded(measured.seconds),
        rss_mib_before: rss_mib_before.map(rounded),
        rss_mib_after: rss_mib_after.map(rounded),
        rss_kib_per_connection: kib,
        idle_cpu_percent: cpu_percent,
        alive: count_alive(session)?,
        server: measured.server,
        generator: measured.generator,
    })
}

/// Pings all connections that are left and counts the pongs.
fn count_alive(session: &mut Session) -> anyhow::Result<u64> {
    let driver = &mut session.driver;
    let before = driver.ledger.counters.pongs;
    let end = driver.now() + nanos(PONGS);
    let pinged = driver.ping_all()?;
    loop {
        let alive = driver.ledger.counters.pongs - before;
        if alive >= pinged || driver.now() >= end {
            return Ok(alive);
        }
        driver.turn(TURN)?;
    }
}
