//! A load generator for Web PubSub servers: five scenarios, one line of JSON.
//!
//! One thread and one readiness loop ([`driver`]) hold all connections. In steady state it
//! allocates nothing per message, copies no whole frame, and counts a delivery by parsing frames
//! and reading the stamp in them ([`stamp`]). Progress goes to standard error; standard output
//! gets exactly one line ([`report`]). Exit codes: 0 measured, 1 failed, 2 called wrongly.

mod cli;
mod client;
mod clock;
mod driver;
mod failure;
mod frames;
mod histogram;
mod http;
mod ledger;
mod load;
mod measure;
mod poller;
mod process;
mod publication;
mod report;
mod rest;
mod scenario;
mod session;
mod socket;
mod stamp;
mod target;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::report::Report;
use crate::session::Session;

const FAILED: u8 = 1;
const CALLED_WRONGLY: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut session = match Session::new(&cli.common) {
        Ok(session) => session,
        Err(error) => return fail(&error, CALLED_WRONGLY),
    };
    match run(&cli, &mut session) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, FAILED),
    }
}

fn run(cli: &Cli, session: &mut Session) -> anyhow::Result<()> {
    let (scenario, figures) = scenario::run(&cli.scenario, session)?;
    let report = Report {
        scenario,
        endpoint: session.target.endpoint(),
        hub: session.target.hub().to_owned(),
        figures,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(code)
}
