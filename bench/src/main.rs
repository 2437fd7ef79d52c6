//! A load generator for Web PubSub servers: six scenarios, one line of JSON.
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
mod json;
mod ledger;
mod load;
mod measure;
mod poller;
mod process;
mod protobuf;
mod publication;
mod report;
mod rest;
mod scenario;
mod sequence;
mod session;
mod socket;
mod stamp;
mod subprotocol;
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
    let mut session = match Session::new(&cli.common, cli.subprotocol()) {
        Ok(session) => session,
        Err(error) => return fail(&error, CALLED_WRONGLY),
    };
    let outcome = run(&cli, &mut session);
    match session.driver.end_sessions() {
        Ok(0) => {}
        Ok(left) => eprintln!("{left} sessions did not end: the server may keep them for a while"),
        Err(error) => eprintln!("ending the sessions: {error:#}"),
    }
    match outcome {
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
        subprotocol: session.subprotocol.name(),
        figures,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(code)
}
