//! `hubwire service grant`, `revoke` and `check`.

use clap::ValueEnum;
use hubwire_proto::role::Permission;
use hyper::Method;

use super::address::Address;
use super::{Hub, HubArgs};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The permission
    #[arg(value_enum)]
    permission: Which,
    /// The connection with this ID
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    connection: String,
    /// The group that it is for; without it, every group
    #[arg(long)]
    group: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    #[value(name = "sendToGroup")]
    SendToGroup,
    #[value(name = "joinLeaveGroup")]
    JoinLeaveGroup,
}

impl Which {
    /// As it stands in a path.
    fn name(self) -> &'static str {
        match self {
            Self::SendToGroup => Permission::SendToGroup.name(),
            Self::JoinLeaveGroup => Permission::JoinLeaveGroup.name(),
        }
    }
}

pub(super) async fn grant(args: &Args) -> anyhow::Result<()> {
    args.change(Method::PUT).await
}

pub(super) async fn revoke(args: &Args) -> anyhow::Result<()> {
    args.change(Method::DELETE).await
}

pub(super) async fn check(args: &Args) -> anyhow::Result<bool> {
    let mut hub = args.hub.open()?;
    let address = args.address(&hub);
    Ok(hub.ask(address).await?)
}

impl Args {
    async fn change(&self, method: Method) -> anyhow::Result<()> {
        let mut hub = self.hub.open()?;
        let address = self.address(&hub);
        hub.call(method, address).await?;
        Ok(())
    }

    fn address(&self, hub: &Hub) -> Address {
        hub.address()
            .fixed("permissions")
            .name(self.permission.name())
            .fixed("connections")
            .name(&self.connection)
            .with_some("targetName", self.group.as_ref())
    }
}
