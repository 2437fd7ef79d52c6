//! `hubwire service close`, `exists` and `list`.

use std::io::ErrorKind;

use anyhow::{Context as _, ensure};
use hyper::Method;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use super::target::{AnyTarget, PartTarget};
use super::{Hub, HubArgs};
use crate::cli::output::try_print;
use crate::remote::{Call, json_printable, printable};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("target").args(["all", "group", "user", "connection"]).required(true))]
pub(super) struct CloseArgs {
    #[command(flatten)]
    target: AnyTarget,
    /// What clients of a subprotocol are told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Not the connection with this ID; may be given several times
    #[arg(
        long,
        value_name = "ID",
        allow_hyphen_values = true,
        conflicts_with = "connection"
    )]
    excluded: Vec<String>,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("target").args(["group", "user", "connection"]).required(true))]
pub(super) struct ExistsArgs {
    #[command(flatten)]
    target: PartTarget,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// The group
    #[arg(long)]
    group: String,
    /// At most so many connections
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    top: Option<u32>,
    /// Connections in one answer of the server
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=200))]
    page_size: Option<u32>,
    /// Print a JSON object to a line instead of the ID, a tab and the user
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    value: Vec<Member>,
    next_link: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    connection_id: String,
    user_id: Option<String>,
}

pub(super) async fn close(args: &CloseArgs) -> anyhow::Result<()> {
    let mut hub = args.hub.open()?;
    let address = args.target.below(hub.address());
    let (method, address) = if args.target.is_connection() {
        (Method::DELETE, address)
    } else {
        let address = address.fixed(":closeConnections");
        (Method::POST, address.with_each("excluded", &args.excluded))
    };
    hub.call(method, address.with_some("reason", args.reason.as_ref()))
        .await?;
    Ok(())
}

pub(super) async fn exists(args: &ExistsArgs) -> anyhow::Result<bool> {
    let mut hub = args.hub.open()?;
    let address = args.target.below(hub.address());
    Ok(hub.ask(address).await?)
}

/// Prints each page as it comes.
pub(super) async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut hub = args.hub.open()?;
    let address = hub.address().fixed("groups").name(&args.group);
    let mut path = address
        .fixed("connections")
        .with_some("maxpagesize", args.page_size)
        .with_some("top", args.top)
        .finish();
    loop {
        let page = hub.page(path.clone()).await?;
        for member in &page.value {
            match try_print(&member.line(args.json)?) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                printed => printed?,
            }
        }
        let Some(link) = page.next_link.filter(|link| !link.is_empty()) else {
            return Ok(());
        };
        let next = path_of(&link).context("the server answered with an unusable nextLink")?;
        ensure!(
            next != path,
            "the server answered with the same nextLink again"
        );
        path = next.to_owned();
    }
}

impl Hub {
    async fn page(&mut self, path: String) -> anyhow::Result<Page> {
        let call = Call {
            method: Method::GET,
            path,
            content_type: None,
            body: Bytes::new(),
        };
        let body = self.requester.call(call).await?;
        serde_json::from_slice(&body).context("the answer is no list of connections")
    }
}

impl Member {
    fn line(&self, as_json: bool) -> anyhow::Result<String> {
        if as_json {
            return Ok(json_printable(&serde_json::to_string(self)?).into_owned());
        }
        let user = self.user_id.as_deref().unwrap_or_default();
        let (id, user) = (printable(&self.connection_id), printable(user));
        Ok(format!("{id}\t{user}"))
    }
}

/// Path and query of an absolute link. Its host is left out: a token for the next page goes to no
/// other server than that of the first.
fn path_of(link: &str) -> Option<&str> {
    let (_, rest) = link.split_once("://")?;
    rest.get(rest.find('/')?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_the_next_page_leads_to_the_same_server() {
        assert_eq!(path_of("https://other:1/api/x?top=1"), Some("/api/x?top=1"));
        assert_eq!(path_of("/api/x"), None);
        assert_eq!(path_of("https://other"), None);
    }
}
