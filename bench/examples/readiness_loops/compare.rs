//! Runs every candidate under every load and prints the table.
//!
//! User-space instructions come from callgrind, as the difference of two runs
//! with different amounts of work: start, connections and exit cancel out. CPU
//! time comes from a run without callgrind, as the growth of `utime` and
//! `stime` in `/proc/PID/stat`. Memory is the growth of the resident set in
//! `/proc/PID/smaps_rollup`; what the kernel keeps for a socket is not in it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::Loop;
use crate::load::Load;

const IDLE_CONNECTIONS: u32 = 9_000;
const MEMBERS: u32 = 1_000;
const ECHOING: u32 = 500;

/// Warm-up, and the whole of the shorter callgrind run.
const BASE_ROUNDS: u32 = 10;
/// What the longer callgrind run adds.
const COUNTED_ROUNDS: u32 = 100;
/// Enough for a second or more of CPU time.
const TIMED_ROUNDS: u32 = 1_000;

/// `/proc/PID/stat` counts in ticks of 1/100 s on every Linux.
const MICROSECONDS_PER_TICK: f64 = 10_000.0;

#[derive(Clone, Copy)]
enum Scenario {
    FanOut { batch: u16 },
    EchoSingly,
    EchoBurst,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario::FanOut { batch: 1 },
    Scenario::FanOut { batch: 16 },
    Scenario::EchoSingly,
    Scenario::EchoBurst,
];

pub(crate) fn compare(runs: u32) -> io::Result<()> {
    let names: Vec<&str> = Loop::ALL.into_iter().map(Loop::name).collect();
    write_line(&["load", "measure", &names.join(" | ")])?;
    write_line(&["---"; 2 + Loop::ALL.len()])?;

    let idle = sample(runs, idle_bytes)?;
    let name = format!("{IDLE_CONNECTIONS} idle connections");
    write_row(&name, "bytes each", 0, &idle, |bytes| *bytes)?;
    for scenario in SCENARIOS {
        let name = scenario.name();
        let counts = sample(runs, |candidate| instructions(candidate, scenario))?;
        write_row(&name, "instructions", 0, &counts, |count| *count)?;
        let times = sample(runs, |candidate| cpu_microseconds(candidate, scenario))?;
        write_row(&name, "CPU µs, user", 2, &times, |cpu| cpu.user)?;
        write_row(&name, "CPU µs, system", 2, &times, |cpu| cpu.system)?;
    }
    Ok(())
}

/// Measures every candidate `runs` times, by turns, so that what else happens
/// on the machine meets all of them. One inner vector for each candidate.
fn sample<T>(runs: u32, mut measure: impl FnMut(Loop) -> io::Result<T>) -> io::Result<Vec<Vec<T>>> {
    let mut samples: Vec<Vec<T>> = Loop::ALL.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        for (candidate, samples) in Loop::ALL.into_iter().zip(&mut samples) {
            samples.push(measure(candidate)?);
        }
    }
    Ok(samples)
}

/// Each cell is the median and the range.
fn write_row<T>(
    load: &str,
    measure: &str,
    decimals: usize,
    samples: &[Vec<T>],
    value: impl Fn(&T) -> f64,
) -> io::Result<()> {
    let cells: Vec<String> = samples
        .iter()
        .map(|samples| {
            let mut values: Vec<f64> = samples.iter().map(&value).collect();
            values.sort_by(f64::total_cmp);
            let [median, least, most] = [values.len() / 2, 0, values.len() - 1].map(|i| values[i]);
            format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
        })
        .collect();
    write_line(&[load, measure, &cells.join(" | ")])
}

fn write_line(cells: &[&str]) -> io::Result<()> {
    writeln!(io::stdout(), "| {} |", cells.join(" | "))
}

fn idle_bytes(candidate: Loop) -> io::Result<f64> {
    let server = Server::start(candidate, false)?;
    let mut load = Load::new();
    load.connect(server.address, 1)?;
    let before = server.resident_kib()?;
    load.connect(server.address, IDLE_CONNECTIONS as usize)?;
    let after = server.resident_kib()?;
    load.quit()?;
    server.finish()?;
    Ok((after - before) * 1024.0 / f64::from(IDLE_CONNECTIONS))
}

/// User-space instructions of one operation.
fn instructions(candidate: Loop, scenario: Scenario) -> io::Result<f64> {
    let count = |rounds| -> io::Result<f64> {
        let server = Server::start(candidate, true)?;
        let mut load = Load::new();
        load.connect(server.address, scenario.connections())?;
        scenario.run(&mut load, rounds)?;
        load.quit()?;
        instructions_reported(&server.finish()?)
    };
    let difference = count(BASE_ROUNDS + COUNTED_ROUNDS)? - count(BASE_ROUNDS)?;
    Ok(difference / scenario.operations(COUNTED_ROUNDS))
}

/// CPU time of one operation.
fn cpu_microseconds(candidate: Loop, scenario: Scenario) -> io::Result<Cpu> {
    let server = Server::start(candidate, false)?;
    let mut load = Load::new();
    load.connect(server.address, scenario.connections())?;
    scenario.run(&mut load, BASE_ROUNDS)?;
    let before = server.cpu()?;
    scenario.run(&mut load, TIMED_ROUNDS)?;
    let after = server.cpu()?;
    load.quit()?;
    server.finish()?;
    let operations = scenario.operations(TIMED_ROUNDS);
    Ok(Cpu {
        user: (after.user - before.user) / operations,
        system: (after.system - before.system) / operations,
    })
}

/// In microseconds.
struct Cpu {
    user: f64,
    system: f64,
}

impl Scenario {
    fn name(self) -> String {
        match self {
            Self::FanOut { batch: 1 } => format!("delivery to {MEMBERS}, a write each"),
            Self::FanOut { batch } => format!("delivery to {MEMBERS}, {batch} to a write"),
            Self::EchoSingly => "echo, one per wake-up".to_owned(),
            Self::EchoBurst => format!("echo, {ECHOING} at once"),
        }
    }

    fn connections(self) -> usize {
        let connections = match self {
            Self::FanOut { .. } => 1 + MEMBERS,
            Self::EchoSingly | Self::EchoBurst => ECHOING,
        };
        connections as usize
    }

    fn run(self, load: &mut Load, rounds: u32) -> io::Result<()> {
        match self {
            Self::FanOut { batch } => load.fan_out(rounds, batch.into()),
            Self::EchoSingly => load.echo_singly(rounds),
            Self::EchoBurst => load.echo_burst(rounds),
        }
    }

    /// Deliveries or echoes in `rounds`.
    fn operations(self, rounds: u32) -> f64 {
        let per_round = match self {
            Self::FanOut { batch } => f64::from(MEMBERS) * f64::from(batch),
            Self::EchoSingly | Self::EchoBurst => f64::from(ECHOING),
        };
        per_round * f64::from(rounds)
    }
}

/// A candidate in a process of its own.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(candidate: Loop, counted: bool) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = if counted {
            let mut command = Command::new("valgrind");
            command
                .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                .arg(program)
                .stderr(Stdio::piped());
            command
        } else {
            Command::new(program)
        };
        let mut child = command
            .args(["serve", candidate.name()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { child, address })
    }

    fn resident_kib(&self) -> io::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        text.lines()
            .find_map(|line| line.strip_prefix("Rss:")?.strip_suffix("kB"))
            .and_then(|value| value.trim().parse().ok())
            .ok_or_else(|| io::Error::other("no resident size in smaps_rollup"))
    }

    fn cpu(&self) -> io::Result<Cpu> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in the second field may hold spaces; count from its end,
        // where field 3 follows (proc_pid_stat(5)).
        let mut fields = text
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .filter_map(|field| field.parse::<f64>().ok());
        match (fields.next(), fields.next()) {
            (Some(user), Some(system)) => Ok(Cpu {
                user: user * MICROSECONDS_PER_TICK,
                system: system * MICROSECONDS_PER_TICK,
            }),
            _ => Err(io::Error::other("no CPU times in stat")),
        }
    }

    /// Waits for the end of a server that was told to quit; what it wrote to a
    /// piped standard error.
    fn finish(mut self) -> io::Result<String> {
        let mut report = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut report)?;
        }
        if self.child.wait()?.success() {
            Ok(report)
        } else {
            Err(io::Error::other(format!("the server failed: {report}")))
        }
    }
}

impl Drop for Server {
    /// After a failed run the server was not told to quit.
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The total in callgrind's closing report: `==PID== Collected : 12345`.
fn instructions_reported(report: &str) -> io::Result<f64> {
    report
        .lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("no count from callgrind: {report}")))
}
