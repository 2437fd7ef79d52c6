//! `hubwire service`: the REST API of any Web PubSub server, one command for each need.
//!
//! What the requests look like is in the modules below, by what they are about (protocol notes:
//! REST operations).

mod address;
mod connections;
mod groups;
mod permissions;
mod send;
mod target;
mod token;

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::name::HubName;
use hyper::Method;
use hyper::body::Bytes;

use super::remote_args::RemoteArgs;
use super::token::hub_name;
use super::{complain, print};
use crate::remote::{Call, RequestError, Requester};
use address::Address;

/// The exit code of a question that got no answer, as `test` has it.
const NO_ANSWER: u8 = 2;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a message to a hub, a group, a user or a connection
    Send(send::Args),
    /// Close connections
    Close(connections::CloseArgs),
    /// Ask whether a connection, a group or a user is there: yes (exit code 0) or no (1)
    Exists(connections::ExistsArgs),
    /// List the connections of a group, with their users
    List(connections::ListArgs),
    /// Add connections to groups
    Add(groups::AddArgs),
    /// Remove connections from groups
    Remove(groups::RemoveArgs),
    /// Grant a permission to a connection
    Grant(permissions::Args),
    /// Revoke a permission of a connection
    Revoke(permissions::Args),
    /// Ask whether a connection has a permission: yes (exit code 0) or no (1)
    Check(permissions::Args),
    /// Have the server sign a token for a client, and print the client's URL
    Token(token::Args),
    /// Ask whether the server is healthy
    Health(ServerArgs),
}

/// A server, and patience with it.
#[derive(Debug, Clone, clap::Args)]
struct ServerArgs {
    /// How long each request may take, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    timeout: u64,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// A hub of a server.
#[derive(Debug, Clone, clap::Args)]
struct HubArgs {
    /// Hub that it is about
    #[arg(long)]
    hub: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// A hub, and requests to its server.
struct Hub {
    name: HubName,
    endpoint: Endpoint,
    requester: Requester,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    use super::block_on;

    match &args.command {
        Command::Send(args) => block_on(send::run(args))?,
        Command::Close(args) => block_on(connections::close(args))?,
        Command::Exists(args) => return answer(block_on(connections::exists(args))),
        Command::List(args) => block_on(connections::list(args))?,
        Command::Add(args) => block_on(groups::add(args))?,
        Command::Remove(args) => block_on(groups::remove(args))?,
        Command::Grant(args) => block_on(permissions::grant(args))?,
        Command::Revoke(args) => block_on(permissions::revoke(args))?,
        Command::Check(args) => return answer(block_on(permissions::check(args))),
        Command::Token(args) => block_on(token::run(args))?,
        Command::Health(args) => block_on(health(args))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the answer to a question; a failure must not look like a no.
fn answer(result: anyhow::Result<bool>) -> anyhow::Result<ExitCode> {
    match result {
        Ok(true) => print("yes")?,
        Ok(false) => {
            print("no")?;
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => {
            complain(&error);
            return Ok(ExitCode::from(NO_ANSWER));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn health(args: &ServerArgs) -> anyhow::Result<()> {
    let (endpoint, mut requester) = args.open()?;
    let path = format!(
        "{}/api/health?api-version={}",
        endpoint.base_path(),
        address::API_VERSION
    );
    requester
        .call(Call {
            method: Method::HEAD,
            path,
            content_type: None,
            body: Bytes::new(),
        })
        .await?;
    print("healthy")?;
    Ok(())
}

impl ServerArgs {
    fn open(&self) -> anyhow::Result<(Endpoint, Requester)> {
        let remote = self.remote.resolve()?;
        let key = remote.connection.access_key.clone();
        let timeout = Duration::from_secs(self.timeout);
        let requester = Requester::new(remote.dialer()?, key, timeout);
        Ok((remote.connection.endpoint, requester))
    }
}

impl HubArgs {
    fn open(&self) -> anyhow::Result<Hub> {
        let name = hub_name(&self.hub)?;
        let (endpoint, requester) = self.server.open()?;
        Ok(Hub {
            name,
            endpoint,
            requester,
        })
    }
}

impl Hub {
    /// Where the operations of the hub begin.
    fn address(&self) -> Address {
        Address::of_hub(&self.endpoint, &self.name)
    }

    async fn call(&mut self, method: Method, address: Address) -> Result<Bytes, RequestError> {
        self.send(method, address, None, Bytes::new()).await
    }

    async fn send(
        &mut self,
        method: Method,
        address: Address,
        content_type: Option<&'static str>,
        body: Bytes,
    ) -> Result<Bytes, RequestError> {
        self.requester
            .call(Call {
                method,
                path: address.finish(),
                content_type,
                body,
            })
            .await
    }

    /// Whether something is there.
    async fn ask(&mut self, address: Address) -> Result<bool, RequestError> {
        let call = Call {
            method: Method::HEAD,
            path: address.finish(),
            content_type: None,
            body: Bytes::new(),
        };
        Ok(self.requester.ask(call).await?.is_some())
    }
}
