//! One measured phase: what was delivered, in what time, at whose cost.

use serde::Serialize;

use crate::driver::Driver;
use crate::ledger::Counters;
use crate::process::{CpuTime, ProcessError, ServerProcess, own_cpu_seconds};

/// Readings at the start of a phase.
#[derive(Debug)]
pub(crate) struct Measurement {
    time: u64,
    counters: Counters,
    server: Option<ServerReading>,
    own_cpu: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct ServerReading {
    cpu: CpuTime,
    rss_mib: f64,
}

/// A phase that is over.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) counters: Counters,
    pub(crate) server: Option<ServerFigures>,
    pub(crate) generator: Option<GeneratorFigures>,
}

/// The server's part in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct ServerFigures {
    pub(crate) cpu_seconds: f64,
    pub(crate) user_seconds: f64,
    pub(crate) system_seconds: f64,
    /// CPU seconds per second: 1 is one full core.
    pub(crate) cores: f64,
    pub(crate) rss_mib_before: f64,
    pub(crate) rss_mib_after: f64,
}

/// This generator's part in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct GeneratorFigures {
    pub(crate) cpu_seconds: f64,
    /// CPU seconds per second. One thread has at most 1; near it, the server may not have been the
    /// limit.
    pub(crate) cores: f64,
}

impl Measurement {
    /// Begins a phase: reads everything and empties the distributions.
    pub(crate) fn start(
        driver: &mut Driver,
        server: Option<&ServerProcess>,
    ) -> Result<Self, ProcessError> {
        driver.ledger.clear_distributions();
        let server = server.map(ServerReading::take).transpose()?;
        Ok(Self {
            server,
            own_cpu: own_cpu_seconds(),
            counters: driver.ledger.counters,
            time: driver.now(),
        })
    }

    /// Ends the phase.
    pub(crate) fn finish(
        self,
        driver: &Driver,
        server: Option<&ServerProcess>,
    ) -> Result<Measured, ProcessError> {
        let seconds = (driver.now() - self.time) as f64 / 1e9;
        let own_cpu = own_cpu_seconds();
        let after = server.map(ServerReading::take).transpose()?;
        Ok(Measured {
            seconds,
            counters: driver.ledger.counters.since(&self.counters),
            server: self.server.zip(after).map(|(before, after)| {
                let user = after.cpu.user - before.cpu.user;
                let system = after.cpu.system - before.cpu.system;
                ServerFigures {
                    cpu_seconds: rounded(user + system),
                    user_seconds: rounded(user),
                    system_seconds: rounded(system),
                    cores: rounded((user + system) / seconds),
                    rss_mib_before: rounded(before.rss_mib),
                    rss_mib_after: rounded(after.rss_mib),
                }
            }),
            generator: self
                .own_cpu
                .zip(own_cpu)
                .map(|(before, after)| GeneratorFigures {
                    cpu_seconds: rounded(after - before),
                    cores: rounded((after - before) / seconds),
                }),
        })
    }
}

impl Measured {
    /// `count` per second of the phase.
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        (count as f64 / self.seconds).round()
    }

    /// The server's CPU seconds for each of `count`, times `scale`; `None` without a server or a
    /// count.
    pub(crate) fn server_cpu_per(&self, count: u64, scale: f64) -> Option<f64> {
        let server = self.server?;
        ratio(server.cpu_seconds * scale, count)
    }
}

impl ServerReading {
    fn take(server: &ServerProcess) -> Result<Self, ProcessError> {
        Ok(Self {
            cpu: server.cpu_time()?,
            rss_mib: server.rss_mib()?,
        })
    }
}

/// `sum` divided among `count`, rounded; `None` for no count.
pub(crate) fn ratio(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| rounded(sum / count as f64))
}

/// To four decimals.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
