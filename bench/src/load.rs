//! The two ways to load a server: a closed loop that keeps a number of messages in flight, and an
//! open loop that sends each message when it is due, whatever became of those before.

use std::time::Duration;

use crate::clock::nanos;
use crate::driver::{Driver, TURN};

/// Without a delivery for this long, what is outstanding is lost.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The longest wait while nothing is sent: acknowledgements have their times even then.
const LONG_TURN: Duration = Duration::from_millis(10);
/// The bound on waiting for outstanding deliveries that keep trickling in.
const MAX_DRAIN: Duration = Duration::from_secs(30);

/// A closed loop of one publisher: at most `window` publishes whose deliveries are not all in.
#[derive(Debug)]
pub(crate) struct ClosedLoop {
    publisher: usize,
    /// Deliveries that each publish makes.
    fan_out: u64,
    window: u64,
    /// Deliveries that are owed in total, by the ledger's count.
    owed: u64,
    pub(crate) published: u64,
    pub(crate) lost: u64,
}

impl ClosedLoop {
    pub(crate) fn new(driver: &Driver, publisher: usize, fan_out: u64, window: u64) -> Self {
        Self {
            publisher,
            fan_out,
            window,
            owed: driver.ledger.counters.deliveries,
            published: 0,
            lost: 0,
        }
    }

    /// Keeps the window full for `duration`. It is still full afterwards, so that a measurement
    /// can follow a warm-up without a gap.
    pub(crate) fn run(&mut self, driver: &mut Driver, duration: Duration) -> anyhow::Result<()> {
        let end = driver.now() + nanos(duration);
        let mut progress = Progress::watch(driver);
        while driver.now() < end {
            let outstanding = self.outstanding(driver);
            let room = (self.window * self.fan_out).saturating_sub(outstanding) / self.fan_out;
            if room > 0 {
                driver.publish(self.publisher, driver.now(), room)?;
                self.published += room;
                self.owed += room * self.fan_out;
            }
            driver.turn(TURN)?;
            if progress.stalled(driver) {
                self.write_off(driver);
                progress = Progress::watch(driver);
            }
        }
        Ok(())
    }

    /// Waits for the deliveries outstanding; those that do not come are lost.
    pub(crate) fn drain(&mut self, driver: &mut Driver) -> anyhow::Result<()> {
        await_deliveries(driver, self.owed)?;
        self.write_off(driver);
        Ok(())
    }

    fn outstanding(&self, driver: &Driver) -> u64 {
        self.owed.saturating_sub(driver.ledger.counters.deliveries)
    }

    fn write_off(&mut self, driver: &Driver) {
        let outstanding = self.outstanding(driver);
        self.lost += outstanding;
        self.owed -= outstanding;
    }
}

/// Publishes `count` messages from `publishers` in turn, one each `interval`, each stamped with
/// the time it was due: what a late message waited in this process counts as latency too.
pub(crate) fn open_loop(
    driver: &mut Driver,
    publishers: &[usize],
    interval: Duration,
    count: u64,
) -> anyhow::Result<()> {
    let start = driver.now() + nanos(TURN);
    let due = |nth: u64| start + nanos(interval) * nth;
    let mut turns = publishers.iter().copied().cycle();
    let mut nth = 0;
    loop {
        let now = driver.now();
        while nth < count && due(nth) <= now {
            if let Some(publisher) = turns.next() {
                driver.publish(publisher, due(nth), 1)?;
            }
            nth += 1;
        }
        // The last message has its interval too, so that the phase lasts as its rate says.
        if nth == count && due(count) <= now {
            return Ok(());
        }
        let wait = Duration::from_nanos(due(nth).saturating_sub(now));
        driver.turn(wait.min(TURN))?;
    }
}

/// The interval between two messages at a rate, and how many of them come nearest to a time, one
/// at least; `None` for no rate or no time.
pub(crate) fn schedule(per_second: f64, duration: Duration) -> Option<(Duration, u64)> {
    if per_second <= 0.0 {
        return None;
    }
    let interval = Duration::try_from_secs_f64(per_second.recip())
        .ok()?
        .max(Duration::from_nanos(1));
    let count = (nanos(duration) + nanos(interval) / 2) / nanos(interval);
    (!duration.is_zero()).then_some((interval, count.max(1)))
}

/// Waits until the ledger counts `total` deliveries, as long as some keep coming.
pub(crate) fn await_deliveries(driver: &mut Driver, total: u64) -> anyhow::Result<()> {
    let end = driver.now() + nanos(MAX_DRAIN);
    let mut progress = Progress::watch(driver);
    while driver.ledger.counters.deliveries < total
        && driver.now() < end
        && !progress.stalled(driver)
    {
        driver.turn(TURN)?;
    }
    Ok(())
}

/// Works on whatever comes for `duration`.
pub(crate) fn settle(driver: &mut Driver, duration: Duration) -> anyhow::Result<()> {
    let end = driver.now() + nanos(duration);
    loop {
        let left = end.saturating_sub(driver.now());
        if left == 0 {
            return Ok(());
        }
        driver.turn(Duration::from_nanos(left).min(LONG_TURN))?;
    }
}

/// Whether deliveries keep coming.
#[derive(Debug)]
struct Progress {
    deliveries: u64,
    since: u64,
}

impl Progress {
    fn watch(driver: &Driver) -> Self {
        Self {
            deliveries: driver.ledger.counters.deliveries,
            since: driver.now(),
        }
    }

    fn stalled(&mut self, driver: &Driver) -> bool {
        if driver.ledger.counters.deliveries != self.deliveries {
            *self = Self::watch(driver);
        }
        driver.now() - self.since > nanos(PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_becomes_an_interval_and_a_count() {
        fn check(per_second: f64, seconds: f64, expect: Option<(u64, u64)>) {
            let got = schedule(per_second, Duration::from_secs_f64(seconds));
            assert_eq!(
                got.map(|(interval, count)| (nanos(interval), count)),
                expect
            );
        }
        check(50.0, 2.0, Some((20_000_000, 100)));
        check(10_000.0, 2.0, Some((100_000, 20_000)));
        check(120.0, 0.3, Some((8_333_333, 36)));
        check(0.1, 1.0, Some((10_000_000_000, 1)));
        check(1e9, 0.001, Some((1, 1_000_000)));
        check(0.0, 2.0, None);
        check(50.0, 0.0, None);
    }
}
