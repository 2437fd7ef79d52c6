//! Reliable clients that are cut at once, miss messages, and recover: what it costs until all are
//! back and have caught up. With `--restart` the server is another one by then.
//!
//! Each client tries as the official ones do: at once, then again at intervals, until it is
//! refused by a close with 1008 or its time is over (protocol notes: recovery).

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::cli::RecoverArgs;
use crate::client::POLICY_VIOLATION;
use crate::clock::nanos;
use crate::driver::{Driver, Plan, TURN};
use crate::failure::{Cause, Stage};
use crate::histogram::Quantiles;
use crate::load::{await_deliveries, settle};
use crate::measure::{GeneratorFigures, ServerFigures, ratio, rounded};
use crate::report::Reliable;
use crate::session::{Session, group};

const PAUSE: Duration = Duration::from_millis(300);
/// The bound on waiting for acknowledgements of publishes.
const PUBLISHING: Duration = Duration::from_secs(30);
/// The bound on waiting for a restart to begin.
const RESTART: Duration = Duration::from_secs(600);

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    connections: usize,
    /// Messages that were published to each while it was away.
    missed: u64,
    size_bytes: usize,
    restart: bool,
    /// Clients that are back and have received all that they missed.
    recovered: usize,
    /// Clients whose recovery was refused: the upgrade succeeded, and a close with 1008 followed.
    refused: usize,
    /// Clients that did not get there in time.
    gave_up: usize,
    /// Attempts that came to nothing and were made again.
    retries: u64,
    /// What the first of those attempts met.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure: Option<String>,
    /// From the first attempt (with a restart: from the loss of the last connection) until the
    /// first client was back.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_until_first_back: Option<f64>,
    /// From the same until all that recovered had caught up.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_until_caught_up: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recoveries_per_second: Option<f64>,
    /// User and system time of the server for losing a client and queueing what it missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms_per_cut: Option<f64>,
    /// User and system time of the server for a recovery and what was missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms_per_recovery: Option<f64>,
    /// Messages that arrived late but arrived.
    deliveries: u64,
    /// Messages missing at clients that recovered.
    lost: u64,
    #[serde(flatten)]
    reliable: Reliable,
    /// All that arrived, upgrade and `connected` too, for each recovery.
    bytes_per_recovery: Option<f64>,
    /// From dialling to `connected`.
    recovery_ms: Option<Quantiles>,
    /// From dialling to the last message that was missed.
    catch_up_ms: Option<Quantiles>,
    /// Resident memory of the server while all were connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_mib_connected: Option<f64>,
    /// Its memory before is that with all of them away.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generator: Option<GeneratorFigures>,
}

pub(crate) fn run(args: &RecoverArgs, session: &mut Session) -> anyhow::Result<Figures> {
    ensure!(
        session.subprotocol.is_reliable(),
        "clients of {} cannot recover: use --subprotocol json.reliable or protobuf.reliable",
        session.subprotocol.name()
    );
    eprintln!("opening {} connections", args.connections);
    let members = session.members(args.connections, args.connections);
    session.driver.open(members).context("members")?;
    let publisher = session.driver.next_index();
    let plan = session.publisher(0, None, &group(0), args.size, true)?;
    let publisher_plan = vec![Plan::Client(plan)];
    session.driver.open(publisher_plan).context("publisher")?;

    publish(session, publisher, 1).context("the first message")?;
    let expected = session.driver.ledger.counters.deliveries + args.connections as u64;
    await_deliveries(&mut session.driver, expected)?;
    session.driver.acknowledge_all()?;
    settle(&mut session.driver, PAUSE)?;
    let rss = session.server.as_ref().map(|s| s.rss_mib()).transpose()?;

    eprintln!("cutting them; {} messages are published", args.missed);
    let owed: Vec<u64> = (0..args.connections)
        .map(|index| session.driver.received(index) + args.missed)
        .collect();
    session.driver.tolerate_closes();
    let cutting = session.start_measuring()?;
    (0..args.connections).for_each(|index| session.driver.cut(index));
    settle(&mut session.driver, PAUSE)?;
    publish(session, publisher, args.missed).context("the messages that are missed")?;
    settle(&mut session.driver, PAUSE)?;
    let cut = session.finish(cutting)?;
    if args.restart {
        await_restart(&mut session.driver, publisher)?;
    }

    eprintln!("they come back");
    let started = session.driver.now();
    let measurement = session.start_measuring()?;
    let herd = Herd::new(args, owed, started).recover(session)?;
    let measured = session.finish(measurement)?;
    let counters = &measured.counters;
    let seconds = |at: u64| at.saturating_sub(started) as f64 / 1e9;
    let until_caught_up = herd.last_ready.map(seconds);
    let recovered = herd.recovered as u64;
    Ok(Figures {
        connections: args.connections,
        missed: args.missed,
        size_bytes: args.size,
        restart: args.restart,
        recovered: herd.recovered,
        refused: herd.refused,
        gave_up: args.connections - herd.recovered - herd.refused,
        retries: herd.retries,
        seconds_until_first_back: herd.first_back.map(seconds).map(rounded),
        seconds_until_caught_up: until_caught_up.map(rounded),
        recoveries_per_second: until_caught_up.map(|seconds| (recovered as f64 / seconds).round()),
        cpu_ms_per_cut: cut.server_cpu_per(args.connections as u64, 1e3),
        cpu_ms_per_recovery: measured.server_cpu_per(counters.recoveries, 1e3),
        deliveries: counters.deliveries,
        lost: (recovered * args.missed).saturating_sub(counters.deliveries),
        reliable: Reliable::new(counters),
        bytes_per_recovery: ratio(counters.bytes as f64, counters.recoveries),
        recovery_ms: session.driver.ledger.recovery.quantiles(),
        catch_up_ms: session.driver.ledger.setup.quantiles(),
        first_failure: herd.first_failure,
        rss_mib_connected: rss.map(rounded),
        server: measured.server,
        generator: measured.generator,
    })
}

/// Publishes and waits for the acknowledgements.
fn publish(session: &mut Session, publisher: usize, count: u64) -> anyhow::Result<()> {
    let driver = &mut session.driver;
    let expected = driver.ledger.counters.acks + count;
    let end = driver.now() + nanos(PUBLISHING);
    driver.publish(publisher, driver.now(), count)?;
    while driver.ledger.counters.acks < expected {
        let is_open = driver.stage(publisher) == Stage::Ready;
        ensure!(is_open, "the publisher's connection ended");
        ensure!(driver.now() < end, "no acknowledgement in {PUBLISHING:?}");
        driver.turn(TURN)?;
    }
    Ok(())
}

/// Waits until the server has closed the one connection that is left.
fn await_restart(driver: &mut Driver, publisher: usize) -> anyhow::Result<()> {
    eprintln!("restart the server now");
    let end = driver.now() + nanos(RESTART);
    while driver.stage(publisher) != Stage::Closed {
        ensure!(driver.now() < end, "no restart in {RESTART:?}");
        driver.turn(TURN)?;
    }
    Ok(())
}

/// Clients on their way back.
#[derive(Debug)]
struct Herd {
    /// For each client, the number of the last message that it missed.
    owed: Vec<u64>,
    retry: u64,
    ends: u64,
    /// Clients that wait for their next attempt, with its time; the earliest first.
    waiting: VecDeque<(u64, usize)>,
    in_progress: Vec<usize>,
    recovered: usize,
    refused: usize,
    retries: u64,
    first_failure: Option<String>,
    first_back: Option<u64>,
    last_ready: Option<u64>,
}

impl Herd {
    fn new(args: &RecoverArgs, owed: Vec<u64>, started: u64) -> Self {
        Self {
            waiting: (0..owed.len()).map(|index| (started, index)).collect(),
            owed,
            retry: nanos(args.retry),
            ends: started + nanos(args.give_up),
            in_progress: Vec::new(),
            recovered: 0,
            refused: 0,
            retries: 0,
            first_failure: None,
            first_back: None,
            last_ready: None,
        }
    }

    /// Brings back as many as can be.
    fn recover(mut self, session: &mut Session) -> anyhow::Result<Self> {
        let before = session.driver.ledger.counters.recoveries;
        drop(session.driver.take_ended());
        loop {
            self.dial(session)?;
            session.driver.turn(TURN)?;
            let now = session.driver.now();
            for ended in session.driver.take_ended() {
                if self.in_progress.contains(&ended.index) {
                    self.failed(ended.index, &ended.cause, now);
                }
            }
            if session.driver.ledger.counters.recoveries > before {
                self.first_back.get_or_insert(now);
            }
            self.in_progress
                .retain(|index| match session.driver.stage(*index) {
                    Stage::Ready => {
                        self.recovered += 1;
                        self.last_ready = Some(now);
                        false
                    }
                    stage => stage != Stage::Closed,
                });
            if now >= self.ends || self.in_progress.is_empty() && self.waiting.is_empty() {
                return Ok(self);
            }
        }
    }

    /// Dials for those whose time has come, as far as handshakes may be in progress.
    fn dial(&mut self, session: &mut Session) -> anyhow::Result<()> {
        let now = session.driver.now();
        while self.in_progress.len() < session.driver.parallel()
            && let Some((_, index)) = self.waiting.pop_front_if(|(due, _)| *due <= now)
        {
            let identity = session.driver.identity(index);
            let identity = identity.context("the server gave no connection id")?;
            let target = &session.target;
            let request = target.recovery_request(index, session.subprotocol, identity);
            match session.driver.recover(index, request, self.owed[index]) {
                Ok(()) => self.in_progress.push(index),
                Err(failure) => self.failed(index, &failure.cause, now),
            }
        }
        Ok(())
    }

    fn failed(&mut self, index: usize, cause: &Cause, now: u64) {
        if is_refusal(cause) {
            self.refused += 1;
            return;
        }
        self.first_failure.get_or_insert_with(|| cause.to_string());
        self.retries += 1;
        self.waiting.push_back((now + self.retry, index));
    }
}

/// The answer after which no client tries again.
fn is_refusal(cause: &Cause) -> bool {
    match cause {
        Cause::CloseFrame { code, .. } => *code == POLICY_VIOLATION,
        Cause::CutOff { .. } => true,
        _ => false,
    }
}
