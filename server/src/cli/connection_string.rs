//! `hubwire connection-string`: what an application server needs.

use anyhow::Context;
use clap::ValueEnum;
use hubwire_proto::connection_string::ConnectionString;
use serde_json::json;

use super::{ConfigArgs, WhichKey, print};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The access key in it
    #[arg(long, value_enum, default_value_t)]
    key: WhichKey,
    /// The string alone, or a JSON object with its parts
    #[arg(long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Form {
    #[default]
    Text,
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.config.load()?;
    let access_key = args.key.of(&config.access_keys)?.clone();
    let endpoint = config.first_endpoint(config.listen.port())?;
    let connection = ConnectionString {
        endpoint,
        access_key,
    };
    let text = connection
        .expose()
        .context("the access key does not fit a connection string")?;
    print(&match args.output {
        Form::Text => text,
        Form::Json => json!({
            "connectionString": text,
            "endpoint": connection.endpoint.to_string(),
            "accessKey": connection.access_key.expose(),
        })
        .to_string(),
    })?;
    Ok(())
}
