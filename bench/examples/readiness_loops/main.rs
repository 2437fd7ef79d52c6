//! Which readiness loop should drive a shard: mio, or tokio's current-thread
//! runtime? This program is the evidence for the choice.
//!
//! Each candidate is a thin single-threaded server around the same [`shard`]:
//! the same connection record, the same shared read buffer, the same outboxes
//! flushed once per tick. Only the way a readiness event reaches the shard
//! differs. `compare` starts each server in a process of its own, alone and
//! under callgrind, puts the same load on it and prints a Markdown table.
//!
//! ```text
//! cargo build --release -p hubwire-bench --example readiness_loops
//! target/release/examples/readiness_loops compare 3
//! ```
//!
//! `compare` runs on Linux, needs `valgrind`, and the limit of open files must
//! exceed 9,100.

mod compare;
mod load;
mod mio_loop;
mod shard;
mod tokio_one_task;
mod tokio_tasks;

use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "usage: readiness_loops compare [RUNS]
       readiness_loops serve mio|tokio-tasks|tokio-one-task";

/// A candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loop {
    /// Edge-triggered epoll through mio, slab keys as tokens.
    Mio,
    /// tokio, one local task for each connection and one that flushes.
    TokioTasks,
    /// tokio, one task that polls whichever connections were woken.
    TokioOneTask,
}

impl Loop {
    const ALL: [Self; 3] = [Self::Mio, Self::TokioTasks, Self::TokioOneTask];

    fn name(self) -> &'static str {
        match self {
            Self::Mio => "mio",
            Self::TokioTasks => "tokio-tasks",
            Self::TokioOneTask => "tokio-one-task",
        }
    }

    /// Serves the connections of `listener` until one of them asks to quit.
    fn serve(self, listener: TcpListener) -> io::Result<()> {
        match self {
            Self::Mio => mio_loop::serve(listener),
            Self::TokioTasks => tokio_tasks::serve(listener),
            Self::TokioOneTask => tokio_one_task::serve(listener),
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("readiness_loops: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", name] => {
            let candidate = Loop::ALL
                .into_iter()
                .find(|candidate| candidate.name() == *name)
                .ok_or_else(usage)?;
            let listener = TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            writeln!(io::stdout(), "{}", listener.local_addr()?)?;
            candidate.serve(listener)
        }
        ["compare"] => compare::compare(3),
        ["compare", runs] => compare::compare(
            runs.parse()
                .ok()
                .filter(|runs| *runs > 0)
                .ok_or_else(usage)?,
        ),
        _ => Err(usage()),
    }
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, USAGE)
}
