//! The command line: arguments, dispatch, exit codes.
//!
//! 0 is success, 2 a usage or configuration error found before anything listens or is sent, 1
//! anything else. Questions of `hubwire service` end as those of `test`: 0 yes, 1 no, 2 no answer.

mod check_config;
mod client;
mod config_args;
mod connection_string;
mod init;
mod output;
mod reference;
mod remote_args;
mod serve;
mod service;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::{AccessKeys, ConfigError, Origin};
use crate::remote::printable;
use config_args::ConfigArgs;
pub use output::print;

/// A self-hosted Web PubSub server. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "hubwire", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    serve: ConfigArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve(ConfigArgs),
    /// Print a client URL, or a token for a client or for REST
    Token(token::Args),
    /// Print the connection string for application servers
    ConnectionString(connection_string::Args),
    /// Connect to a hub of any Web PubSub server as a client
    Client(client::Args),
    /// Send, close, ask and more over the REST API of any Web PubSub server
    Service(service::Args),
    /// Write a configuration file with fresh access keys
    Init(init::Args),
    /// Check the configuration and print it with every default, without secrets
    CheckConfig(ConfigArgs),
    /// Print a page of the reference, in Markdown
    #[command(hide = true)]
    PrintReference(reference::Args),
}

/// Which access key signs.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum WhichKey {
    #[default]
    Primary,
    Secondary,
}

impl WhichKey {
    fn of(self, keys: &AccessKeys) -> Result<&hubwire_proto::token::AccessKey, ConfigError> {
        match self {
            Self::Primary => Ok(&keys.primary),
            Self::Secondary => keys.secondary.as_ref().ok_or_else(|| {
                ConfigError::new(
                    &Origin::Flag("--key"),
                    "access_keys.secondary",
                    "not configured",
                )
            }),
        }
    }
}

/// Runs the command that the process was started with. A wrong command line ends the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            let is_usage = error.chain().any(|cause| cause.is::<ConfigError>());
            ExitCode::from(if is_usage { 2 } else { 1 })
        }
    }
}

/// Tells an error, parts of which another server may have written.
fn complain(error: &anyhow::Error) {
    eprintln!("{}", printable(&format!("{error:#}")));
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Token(args) => token::run(&args),
        Command::ConnectionString(args) => connection_string::run(&args),
        Command::Client(args) => client::run(&args),
        Command::Service(args) => return service::run(&args),
        Command::Init(args) => init::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::PrintReference(args) => reference::run(&args),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Runs what talks to a server, in this thread.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    result
}
