//! Groups of two: a fixed rate, then a closed loop in which each member answers each message.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::PairsArgs;
use crate::clock::nanos;
use crate::driver::{Driver, Plan, TURN};
use crate::load::{await_deliveries, open_loop, schedule, settle};
use crate::report::Traffic;
use crate::session::{Session, group};

const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    groups: usize,
    connections: usize,
    size_bytes: usize,
    ack: bool,
    /// Publishes in flight per member in the closed loop.
    window: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_rate: Option<Traffic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_loop: Option<Traffic>,
}

pub(crate) fn run(args: &PairsArgs, session: &mut Session) -> anyhow::Result<Figures> {
    let connections = args
        .groups
        .checked_mul(2)
        .context("--groups is too large")?;
    // The first members of all groups, then the second ones: the two of a pair do not send back
    // to back.
    let members: Vec<usize> = (0..connections).collect();
    let plans = members
        .iter()
        .map(|nth| {
            let group = group(nth % args.groups);
            let (size, ack) = (args.payload.size, args.payload.ack);
            let plan = session.publisher(*nth, Some(group.clone()), &group, size, ack)?;
            Ok(Plan::Client(plan))
        })
        .collect::<anyhow::Result<_>>()?;
    eprintln!("opening {connections} members of {} groups", args.groups);
    session.driver.open(plans).context("members")?;
    Ok(Figures {
        groups: args.groups,
        connections,
        size_bytes: args.payload.size,
        ack: args.payload.ack,
        window: args.window,
        fixed_rate: fixed_rate(args, session, &members).context("fixed rate")?,
        closed_loop: closed_loop(args, session, &members).context("closed loop")?,
    })
}

fn fixed_rate(
    args: &PairsArgs,
    session: &mut Session,
    members: &[usize],
) -> anyhow::Result<Option<Traffic>> {
    let rate = args.rate * members.len() as f64;
    let Some((interval, count)) = schedule(rate, args.timing.duration) else {
        return Ok(None);
    };
    eprintln!("fixed rate: {count} publishes, one each {interval:?}");
    let driver = &mut session.driver;
    if let Some((interval, count)) = schedule(rate, args.timing.warm_up) {
        let owed = driver.ledger.counters.deliveries + count;
        open_loop(driver, members, interval, count)?;
        await_deliveries(driver, owed)?;
    }
    settle(driver, PAUSE)?;
    let owed = driver.ledger.counters.deliveries + count;
    let measurement = session.start_measuring()?;
    open_loop(&mut session.driver, members, interval, count)?;
    await_deliveries(&mut session.driver, owed)?;
    let measured = session.finish(measurement)?;
    let lost = count.saturating_sub(measured.counters.deliveries);
    let traffic = Traffic::new(&measured, session).at_rate(rate).lost(lost);
    settle(&mut session.driver, PAUSE)?;
    Ok(Some(traffic))
}

fn closed_loop(
    args: &PairsArgs,
    session: &mut Session,
    members: &[usize],
) -> anyhow::Result<Option<Traffic>> {
    if args.window == 0 {
        return Ok(None);
    }
    eprintln!("closed loop for {:?}", args.timing.duration);
    let driver = &mut session.driver;
    let mut owed = driver.ledger.counters.deliveries;
    driver.ledger.receivers = Some(Vec::with_capacity(members.len()));
    for member in members {
        driver.publish(*member, driver.now(), args.window.into())?;
        owed += u64::from(args.window);
    }
    owed += answer(driver, args.timing.warm_up)?;
    let measurement = session.start_measuring()?;
    owed += answer(&mut session.driver, args.timing.duration)?;
    let measured = session.finish(measurement)?;
    let traffic = Traffic::new(&measured, session);
    session.driver.ledger.receivers = None;
    await_deliveries(&mut session.driver, owed)?;
    let lost = owed.saturating_sub(session.driver.ledger.counters.deliveries);
    Ok(Some(traffic.lost(lost)))
}

/// For `duration`, publishes one message from a member for each that it receives; returns how
/// many.
fn answer(driver: &mut Driver, duration: Duration) -> anyhow::Result<u64> {
    let end = driver.now() + nanos(duration);
    let mut answers = 0;
    let mut receivers = Vec::new();
    while driver.now() < end {
        driver.turn(TURN)?;
        if let Some(fresh) = &mut driver.ledger.receivers {
            std::mem::swap(fresh, &mut receivers);
        }
        for (member, count) in receivers.drain(..) {
            driver.publish(member, driver.now(), count)?;
            answers += count;
        }
    }
    Ok(answers)
}
