//! One publisher, many subscribers in one group: a closed loop to saturation, then a fixed rate.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::FanoutArgs;
use crate::driver::Plan;
use crate::load::{ClosedLoop, await_deliveries, open_loop, schedule, settle};
use crate::report::Traffic;
use crate::session::{Session, group};

/// The load at the fixed rate unless another is given.
const DELIVERIES_PER_SECOND: f64 = 50_000.0;
/// From this many subscribers on, fewer publishes in flight fill the server.
const LARGE: usize = 5_000;
const WINDOW: u32 = 64;
const WINDOW_OF_LARGE: u32 = 16;
const PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    connections: usize,
    size_bytes: usize,
    ack: bool,
    /// Publishes in flight in the closed loop.
    window: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_loop: Option<Traffic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_rate: Option<Traffic>,
}

pub(crate) fn run(args: &FanoutArgs, session: &mut Session) -> anyhow::Result<Figures> {
    let subscribers = session.members(args.connections, args.connections);
    eprintln!("opening {} subscribers", args.connections);
    session.driver.open(subscribers).context("subscribers")?;
    let publisher = session.driver.next_index();
    let plan = session.publisher(0, None, &group(0), args.payload.size, args.payload.ack)?;
    session
        .driver
        .open(vec![Plan::Client(plan)])
        .context("publisher")?;

    let window = args.window.unwrap_or(if args.connections < LARGE {
        WINDOW
    } else {
        WINDOW_OF_LARGE
    });
    let rate = args
        .rate
        .unwrap_or(DELIVERIES_PER_SECOND / args.connections as f64);
    Ok(Figures {
        connections: args.connections,
        size_bytes: args.payload.size,
        ack: args.payload.ack,
        window,
        closed_loop: closed_loop(args, session, publisher, window).context("closed loop")?,
        fixed_rate: fixed_rate(args, session, publisher, rate).context("fixed rate")?,
    })
}

fn closed_loop(
    args: &FanoutArgs,
    session: &mut Session,
    publisher: usize,
    window: u32,
) -> anyhow::Result<Option<Traffic>> {
    if window == 0 {
        return Ok(None);
    }
    eprintln!(
        "closed loop: {window} publishes in flight for {:?}",
        args.timing.duration
    );
    let fan_out = args.connections as u64;
    let mut load = ClosedLoop::new(&session.driver, publisher, fan_out, window.into());
    load.run(&mut session.driver, args.timing.warm_up)?;
    let measurement = session.start_measuring()?;
    load.run(&mut session.driver, args.timing.duration)?;
    let measured = session.finish(measurement)?;
    let traffic = Traffic::new(&measured, session);
    load.drain(&mut session.driver)?;
    settle(&mut session.driver, PAUSE)?;
    Ok(Some(traffic.lost(load.lost)))
}

fn fixed_rate(
    args: &FanoutArgs,
    session: &mut Session,
    publisher: usize,
    rate: f64,
) -> anyhow::Result<Option<Traffic>> {
    let Some((interval, count)) = schedule(rate, args.timing.duration) else {
        return Ok(None);
    };
    eprintln!("fixed rate: {count} publishes, one each {interval:?}");
    let driver = &mut session.driver;
    let fan_out = args.connections as u64;
    if let Some((interval, count)) = schedule(rate, args.timing.warm_up / 2) {
        let owed = driver.ledger.counters.deliveries + count * fan_out;
        open_loop(driver, &[publisher], interval, count)?;
        await_deliveries(driver, owed)?;
    }
    settle(driver, PAUSE)?;
    let owed = driver.ledger.counters.deliveries + count * fan_out;
    let measurement = session.start_measuring()?;
    open_loop(&mut session.driver, &[publisher], interval, count)?;
    await_deliveries(&mut session.driver, owed)?;
    let measured = session.finish(measurement)?;
    let lost = (count * fan_out).saturating_sub(measured.counters.deliveries);
    Ok(Some(
        Traffic::new(&measured, session).at_rate(rate).lost(lost),
    ))
}
