//! Publishing through the REST API: several keep-alive connections, each with one request in
//! flight, to a group with one subscriber.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::cli::{RestArgs, TokenUse};
use crate::clock::nanos;
use crate::driver::{Driver, Plan, TURN};
use crate::histogram::Quantiles;
use crate::load::await_deliveries;
use crate::measure::{GeneratorFigures, ServerFigures, rounded};
use crate::rest::RestPlan;
use crate::session::{Session, group};

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    connections: usize,
    size_bytes: usize,
    /// `fresh`: a token for each request, signed while the clock runs; `repeated`: one for each
    /// connection.
    token: &'static str,
    seconds: f64,
    /// Requests that succeeded.
    requests: u64,
    requests_per_second: f64,
    /// User and system time of the server for one request and its delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms_per_request: Option<f64>,
    /// Messages that reached the subscriber while measured.
    deliveries: u64,
    /// Requests of the whole run that succeeded and whose message never came.
    lost: u64,
    /// Connections that the server closed and that were opened again.
    reconnects: u64,
    /// From sending a request to its response.
    response_ms: Option<Quantiles>,
    /// From sending a request to the subscriber's read.
    latency_ms: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generator: Option<GeneratorFigures>,
}

pub(crate) fn run(args: &RestArgs, session: &mut Session) -> anyhow::Result<Figures> {
    let subscriber = session.client(0, Some(group(0)));
    session
        .driver
        .open(vec![Plan::Client(subscriber)])
        .context("subscriber")?;
    eprintln!("opening {} HTTP connections", args.connections);
    let plans = plans(args, session)?;
    session.driver.open(plans).context("HTTP connections")?;

    eprintln!("publishing for {:?}", args.timing.duration);
    publish(&mut session.driver, args.timing.warm_up)?;
    let measurement = session.start_measuring()?;
    publish(&mut session.driver, args.timing.duration)?;
    let measured = session.finish(measurement)?;
    let counters = measured.counters;
    let response_ms = session.driver.ledger.response.quantiles();
    let latency_ms = session.driver.ledger.latency.quantiles();
    ensure!(
        counters.responses > 0,
        "no request was answered in {:?}",
        args.timing.duration
    );
    let accepted = session.driver.ledger.counters.responses;
    await_deliveries(&mut session.driver, accepted)?;
    let delivered = session.driver.ledger.counters.deliveries;
    Ok(Figures {
        connections: args.connections,
        size_bytes: args.size,
        token: match args.token {
            TokenUse::Fresh => "fresh",
            TokenUse::Repeated => "repeated",
        },
        seconds: rounded(measured.seconds),
        requests: counters.responses,
        requests_per_second: measured.per_second(counters.responses),
        cpu_ms_per_request: measured.server_cpu_per(counters.responses, 1e3),
        deliveries: counters.deliveries,
        lost: accepted.saturating_sub(delivered),
        reconnects: counters.reconnects,
        response_ms,
        latency_ms,
        server: measured.server,
        generator: measured.generator,
    })
}

fn plans(args: &RestArgs, session: &Session) -> anyhow::Result<Vec<Plan>> {
    let first = session.driver.next_index();
    let group = group(0);
    (0..args.connections)
        .map(|nth| {
            let target = &session.target;
            let tokens = target.rest_tokens(&group, args.token, nth, args.connections);
            let sender = u32::try_from(first + nth)?;
            let plan = RestPlan::new(target, &group, sender, args.size, tokens);
            Ok(Plan::Rest(Box::new(plan)))
        })
        .collect()
}

/// For `duration`, sends a request from each connection as soon as its last was answered.
fn publish(driver: &mut Driver, duration: Duration) -> anyhow::Result<()> {
    let end = driver.now() + nanos(duration);
    while driver.now() < end {
        driver.publish_by_rest()?;
        driver.turn(TURN)?;
    }
    Ok(())
}
