//! `hubwire service send`.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::ValueEnum;
use hyper::Method;

use super::HubArgs;
use super::target::AnyTarget;
use crate::config::{ConfigError, Origin};

/// The most bytes of a message that are read. A server's own limit is far below it.
const MAX_MESSAGE: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("target").args(["all", "group", "user", "connection"]).required(true))]
pub(super) struct Args {
    /// The message; without it, that of --file, else the standard input
    #[arg(value_name = "MESSAGE")]
    message: Option<String>,
    /// File with the message
    #[arg(long, value_name = "FILE", conflicts_with = "message")]
    file: Option<PathBuf>,
    /// What the message is
    #[arg(long, value_enum, default_value_t)]
    data_type: DataType,
    #[command(flatten)]
    target: AnyTarget,
    /// Not to the connection with this ID; may be given several times
    #[arg(long, value_name = "ID", allow_hyphen_values = true, conflicts_with_all = ["user", "connection"])]
    excluded: Vec<String>,
    /// Only to connections that match, such as "userId ne 'ann'"
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "connection")]
    filter: Option<String>,
    /// Drop the message where it is not sent within this time; 0 is for ever
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(0..=300))]
    ttl: Option<u16>,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum DataType {
    #[default]
    Text,
    Json,
    Binary,
}

impl DataType {
    fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Binary => "application/octet-stream",
        }
    }
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let mut hub = args.hub.open()?;
    let message = args.message()?;
    let address = args.target.below(hub.address()).fixed(":send");
    let address = address
        .with_each("excluded", &args.excluded)
        .with_some("filter", args.filter.as_ref())
        .with_some("messageTtlSeconds", args.ttl);
    let content_type = args.data_type.content_type();
    hub.send(Method::POST, address, Some(content_type), message.into())
        .await?;
    Ok(())
}

impl Args {
    fn message(&self) -> Result<Vec<u8>, ConfigError> {
        if let Some(message) = &self.message {
            return Ok(message.clone().into_bytes());
        }
        if let Some(path) = &self.file {
            return File::open(path).and_then(read).map_err(|error| {
                let problem = format!("cannot read {}: {error}", path.display());
                ConfigError::new(&Origin::Flag("--file"), "", problem)
            });
        }
        let input = io::stdin();
        if input.is_terminal() {
            let problem = "needed, or --file FILE, or a message on the standard input";
            return Err(ConfigError::new(&Origin::Default, "MESSAGE", problem));
        }
        read(input.lock()).map_err(|error| {
            let problem = format!("cannot read the standard input: {error}");
            ConfigError::new(&Origin::Default, "MESSAGE", problem)
        })
    }
}

fn read(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(MAX_MESSAGE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_MESSAGE {
        let problem = format!("it is larger than {MAX_MESSAGE} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}
