//! `hubwire client`: a Web PubSub client in the terminal, for any server.

mod command;
mod input;
mod message;
mod output;
mod session;
mod timers;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::name::HubName;
use hubwire_proto::percent;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::token::{DEFAULT_LIFETIME_MINUTES, NewToken, sign};
use tokio::time::{Instant, timeout_at};

use super::remote_args::{RemoteArgs, Secret};
use super::token::{ClaimArgs, hub_name};
use crate::clock::now;
use crate::config::{ConfigError, Origin};
use crate::remote::{Dialer, Upgrade};
use command::{Command, Data, Payload};
use output::{Form, Output};
use session::{Plan, Session};

/// The longest `--timeout`, a year: later points in time may not be known to the system.
const MAX_SECONDS: u64 = 366 * 86_400;
/// The most of `--timeout` that is kept for closing.
const CLOSING: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Hub to connect to
    #[arg(long, required_unless_present = "url")]
    hub: Option<String>,
    #[command(flatten)]
    claims: ClaimArgs,
    /// Client access URL to connect with, token included; nothing is signed then
    #[arg(
        long,
        value_name = "URL",
        conflicts_with_all = ["hub", "user", "role", "group", "connection_string", "ConfigArgs"]
    )]
    url: Option<Secret>,
    /// Be a simple client: bare messages, every line of input is one
    #[arg(long, conflicts_with_all = ["join", "send", "event"])]
    simple: bool,
    /// As a simple client, publish every message to this group
    #[arg(long, value_name = "GROUP", requires = "simple")]
    to_group: Option<String>,
    /// Group to join once connected; may be given several times
    #[arg(long, value_name = "GROUP")]
    join: Vec<String>,
    /// Send a text to a group and leave; no commands are read
    #[arg(long, value_name = "GROUP=TEXT", value_parser = pair)]
    send: Vec<(String, String)>,
    /// Send a user event with a text and leave; no commands are read
    #[arg(long, value_name = "NAME=TEXT", value_parser = pair)]
    event: Vec<(String, String)>,
    /// Leave after this many messages, not before
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stay and watch at the end of the input
    #[arg(long, conflicts_with = "count")]
    watch: bool,
    /// Be over after this time, connecting and closing included; a failure if something is still
    /// awaited then
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    timeout: Option<u64>,
    /// Print every message as it is, one to a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (dialer, target) = match &args.url {
        Some(Secret(url)) => {
            let (endpoint, target) = parse_url(url)?;
            (args.remote.dialer(endpoint)?, target)
        }
        None => args.signed_target()?,
    };
    let target = match &args.to_group {
        None => target,
        Some(group) => {
            let separator = if target.contains('?') { '&' } else { '?' };
            let group = percent::encode(group);
            format!("{target}{separator}webpubsub_mode=sendToGroup&group={group}")
        }
    };
    super::block_on(connect(args, &dialer, &target))
}

async fn connect(args: &Args, dialer: &Dialer, target: &str) -> anyhow::Result<()> {
    let timeout = args.timeout.map(Duration::from_secs);
    let end = timeout.map(|timeout| Instant::now() + timeout);
    let upgrade = Upgrade {
        target,
        subprotocol: (!args.simple).then(|| Subprotocol::Json.name()),
    };
    let form = match (args.json, args.simple) {
        (false, _) => Form::Readable,
        (true, false) => Form::Raw,
        (true, true) => Form::Wrapped,
    };
    // The last part of the time is for closing.
    let closing = timeout.map_or(Duration::ZERO, |timeout| (timeout / 4).min(CLOSING));
    let plan = Plan {
        simple: args.simple,
        first: args.first_commands(),
        count: args.count,
        watch: args.watch,
        leave: end.map(|end| end - closing),
        end,
        input: args.send.is_empty() && args.event.is_empty(),
    };
    let socket = match (timeout, end) {
        (Some(timeout), Some(end)) => timeout_at(end, upgrade.open(dialer))
            .await
            .map_err(|_| anyhow!("not connected within {} s", timeout.as_secs()))??,
        _ => upgrade.open(dialer).await?,
    };
    Session::new(socket, plan, Output::new(form)).run().await
}

impl Args {
    /// Where to connect with a token signed here: a dialer, and path and query.
    fn signed_target(&self) -> anyhow::Result<(Dialer, String)> {
        let hub: HubName = hub_name(self.hub.as_deref().unwrap_or_default())?;
        if self.claims.user.as_deref() == Some("") {
            let problem = "must not be empty";
            return Err(ConfigError::new(&Origin::Flag("--user"), "", problem).into());
        }
        let remote = self.remote.resolve()?;
        let endpoint = &remote.connection.endpoint;
        let roles = self.claims.roles();
        let now = now();
        let lifetime = Duration::from_secs(u64::from(DEFAULT_LIFETIME_MINUTES) * 60);
        let token = sign(
            &NewToken {
                audience: &endpoint.client_audience(&hub),
                issued_at: now,
                expires_at: now.plus(lifetime),
                subject: self.claims.user.as_deref(),
                roles: &roles,
                groups: &self.claims.group,
            },
            &remote.connection.access_key,
        );
        let (_, target) = parse_url(&endpoint.client_url(&hub, &token))?;
        Ok((remote.dialer()?, target))
    }

    fn first_commands(&self) -> Vec<Command> {
        let joins = self.join.iter().cloned().map(Command::Join);
        let text = |text: &str| Payload {
            data: Data::Text(text.to_owned()),
            no_echo: false,
        };
        let sends = self
            .send
            .iter()
            .map(|(group, data)| Command::Send(group.clone(), text(data)));
        let events = self
            .event
            .iter()
            .map(|(name, data)| Command::Event(name.clone(), text(data)));
        joins.chain(sends).chain(events).collect()
    }
}

/// A name and a text with `=` between them.
fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, text)) if !name.is_empty() => Ok((name.to_owned(), text.to_owned())),
        _ => Err("must be a name and a text with = between them"),
    }
}

/// Splits a client access URL into where to connect and what to ask for.
fn parse_url(url: &str) -> anyhow::Result<(Endpoint, String)> {
    split_url(url)
        .map_err(|problem| ConfigError::new(&Origin::Flag("--url"), "", problem))
        .context("this is no client access URL")
}

fn split_url(url: &str) -> Result<(Endpoint, String), String> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("must start with ws:// or wss://")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => "http",
        "wss" | "https" => "https",
        _ => return Err("must start with ws:// or wss://".to_owned()),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let endpoint =
        Endpoint::parse(&format!("{scheme}://{authority}")).map_err(|error| error.to_string())?;
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((endpoint, format!("{slash}{target}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_url_is_split_into_address_and_request() {
        let check = |url: &str, endpoint: &str, target: &str| {
            let (found, rest) = split_url(url).unwrap();
            assert_eq!(
                (found.to_string().as_str(), rest.as_str()),
                (endpoint, target)
            );
        };
        check(
            "ws://h:1/client/hubs/c?access_token=a.b",
            "http://h:1",
            "/client/hubs/c?access_token=a.b",
        );
        check(
            "WSS://H/base/client/?hub=c#x",
            "https://H",
            "/base/client/?hub=c",
        );
        check("https://[::1]?hub=c", "https://[::1]", "/?hub=c");
        for wrong in [
            "",
            "h/client",
            "ftp://h/client",
            "ws:///client",
            "ws://a@b/client",
        ] {
            assert!(split_url(wrong).is_err(), "{wrong}");
        }
    }
}
