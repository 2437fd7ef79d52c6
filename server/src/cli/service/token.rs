//! `hubwire service token`: a client's token that the server signs.

use anyhow::Context as _;
use clap::ValueEnum;
use hubwire_proto::connection_string::ClientType;
use hyper::Method;
use serde::Deserialize;

use super::HubArgs;
use crate::cli::print;
use crate::cli::token::{ClaimArgs, Form};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    claims: ClaimArgs,
    /// Lifetime [default: that of the server]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    minutes: Option<u32>,
    /// What kind of client it is for
    #[arg(long, value_enum, default_value_t)]
    client_type: Kind,
    /// A client URL, a bare token, or a JSON object
    #[arg(long, value_enum, default_value_t = Form::Url)]
    output: Form,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Kind {
    #[default]
    Default,
    Mqtt,
    #[value(name = "socketio")]
    SocketIo,
}

impl Kind {
    /// The value of `clientType`, which is left out where it is the default.
    fn parameter(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Mqtt => Some("MQTT"),
            Self::SocketIo => Some("SocketIO"),
        }
    }

    fn client_type(self) -> ClientType {
        match self {
            Self::Default => ClientType::Default,
            Self::Mqtt => ClientType::Mqtt,
            Self::SocketIo => ClientType::SocketIo,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    token: String,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let mut hub = args.hub.open()?;
    let roles = args.claims.roles();
    let address = hub
        .address()
        .fixed(":generateToken")
        .with_some("userId", args.claims.user.as_ref())
        .with_each("role", &roles)
        .with_each("group", &args.claims.group)
        .with_some("minutesToExpire", args.minutes)
        .with_some("clientType", args.client_type.parameter());
    let body = hub.call(Method::POST, address).await?;
    let Answer { token } = serde_json::from_slice(&body).context("the answer holds no token")?;
    // A client connects where its token is for, with the other scheme.
    let audience = hub
        .endpoint
        .audience(args.client_type.client_type(), hub.name.raw());
    let address = audience.replacen("http", "ws", 1);
    let url = format!("{address}?access_token={token}");
    print(&args.output.render(&url, &token))?;
    Ok(())
}
