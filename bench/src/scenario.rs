//! The scenarios: each opens its connections, loads the server, and returns its figures.

mod connect;
mod fanout;
mod idle;
mod pairs;
mod recover;
mod rest;

use serde::Serialize;

use crate::cli::Scenario;
use crate::session::Session;

/// What a scenario found.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Figures {
    Fanout(fanout::Figures),
    Pairs(pairs::Figures),
    Connect(connect::Figures),
    Idle(idle::Figures),
    Recover(recover::Figures),
    Rest(rest::Figures),
}

/// Runs a scenario; returns its name and its figures.
pub(crate) fn run(
    scenario: &Scenario,
    session: &mut Session,
) -> anyhow::Result<(&'static str, Figures)> {
    Ok(match scenario {
        Scenario::Fanout(args) => ("fanout", Figures::Fanout(fanout::run(args, session)?)),
        Scenario::Pairs(args) => ("pairs", Figures::Pairs(pairs::run(args, session)?)),
        Scenario::Connect(args) => ("connect", Figures::Connect(connect::run(args, session)?)),
        Scenario::Idle(args) => ("idle", Figures::Idle(idle::run(args, session)?)),
        Scenario::Recover(args) => ("recover", Figures::Recover(recover::run(args, session)?)),
        Scenario::Rest(args) => ("rest", Figures::Rest(rest::run(args, session)?)),
    })
}
