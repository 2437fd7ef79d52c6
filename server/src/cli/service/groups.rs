//! `hubwire service add` and `remove`: who is in which groups.

use anyhow::Context as _;
use hyper::Method;
use serde::Serialize;

use super::address::Address;
use super::{Hub, HubArgs};

#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    members: Members,
    /// The group; may be given several times
    #[arg(long, required = true)]
    group: Vec<String>,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("groups").args(["group", "all_groups"]).required(true))]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    members: Members,
    /// The group; may be given several times
    #[arg(long)]
    group: Vec<String>,
    /// Every group, of a user or a connection
    #[arg(long, conflicts_with_all = ["all", "filter"])]
    all_groups: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// Whose groups change.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct Members {
    /// Every connection of the hub
    #[arg(long)]
    all: bool,
    /// Every connection that matches, such as "userId ne 'ann'"
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// The connections of this user
    #[arg(long)]
    user: Option<String>,
    /// The connection with this ID
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    connection: Option<String>,
}

/// The body of the requests about many connections.
#[derive(Serialize)]
struct Bulk<'a> {
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
}

pub(super) async fn add(args: &AddArgs) -> anyhow::Result<()> {
    let mut hub = args.hub.open()?;
    args.members
        .change(&mut hub, &args.group, Method::PUT, ":addToGroups")
        .await
}

pub(super) async fn remove(args: &RemoveArgs) -> anyhow::Result<()> {
    let mut hub = args.hub.open()?;
    if !args.all_groups {
        return args
            .members
            .change(&mut hub, &args.group, Method::DELETE, ":removeFromGroups")
            .await;
    }
    let hub_address = hub.address();
    let address = match (&args.members.user, &args.members.connection) {
        (Some(user), _) => hub_address.fixed("users").name(user),
        (_, connection) => {
            let connection = connection.as_deref().unwrap_or_default();
            hub_address.fixed("connections").name(connection)
        }
    };
    hub.call(Method::DELETE, address.fixed("groups")).await?;
    Ok(())
}

impl Members {
    /// Does `method` for each group of a user or a connection, or `action` once for many
    /// connections.
    async fn change(
        &self,
        hub: &mut Hub,
        groups: &[String],
        method: Method,
        action: &str,
    ) -> anyhow::Result<()> {
        let member_of = |hub: Address, group: &str| match (&self.user, &self.connection) {
            (Some(user), _) => Some(hub.fixed("users").name(user).fixed("groups").name(group)),
            (_, Some(connection)) => {
                let group = hub.fixed("groups").name(group);
                Some(group.fixed("connections").name(connection))
            }
            (None, None) => None,
        };
        for group in groups {
            let Some(address) = member_of(hub.address(), group) else {
                return self.change_many(hub, groups, action).await;
            };
            let done = hub.call(method.clone(), address).await;
            done.with_context(|| format!("group {group:?}"))?;
        }
        Ok(())
    }

    async fn change_many(
        &self,
        hub: &mut Hub,
        groups: &[String],
        action: &str,
    ) -> anyhow::Result<()> {
        let body = serde_json::to_vec(&Bulk {
            groups,
            filter: self.filter.as_deref(),
        })?;
        let address = hub.address().fixed(action);
        hub.send(Method::POST, address, Some("application/json"), body.into())
            .await?;
        Ok(())
    }
}
