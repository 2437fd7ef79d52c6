//! `hubwire init`: a configuration file with fresh access keys.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::print;
use crate::config::{Config, ConfigError, Origin};
use crate::private_file;
use crate::startup_screen::{DEFAULT_FILE, config_option};

/// 256 bits: as many as the signature has.
const KEY_BYTES: usize = 32;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File to write
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Replace the file, and with it its keys, if it exists
    #[arg(long)]
    force: bool,
    /// Address for clients, REST and health
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Public address [default: http://localhost:PORT]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let document = document(args, &fresh_key()?, &fresh_key()?);
    // A file that the server would refuse is not written.
    Config::parse(&args.config, &document)?;
    write(&args.config, &document, args.force)?;
    let (file, option) = (args.config.display(), config_option(&args.config));
    print(&format!(
        "Wrote {file} with two fresh access keys. It is for your eyes only: keep it out of \
         version control.\n\n\
         Start the server                   hubwire{option}\n\
         Connect an application server      hubwire connection-string{option}\n\
         Connect a client of hub chat       hubwire token --hub chat{option}\n"
    ))?;
    Ok(())
}

fn fresh_key() -> anyhow::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(STANDARD.encode(bytes))
}

fn document(args: &Args, primary: &str, secondary: &str) -> String {
    let listen = toml_text(&args.listen);
    let endpoint = match &args.endpoint {
        Some(endpoint) => format!("endpoint = {}", toml_text(endpoint)),
        None => "# endpoint = \"https://wps.example.com\"".to_owned(),
    };
    format!(
        r#"# Configuration of Hubwire. `hubwire check-config --config FILE` shows what it amounts to.

# Address for clients, REST and health. "0.0.0.0:8080" serves other machines too.
listen = {listen}

# The address that clients and application servers use; needed behind a proxy or another name.
{endpoint}

# /metrics on a listener of its own; off unless set.
# admin_listen = "127.0.0.1:8081"

# Either key signs and verifies tokens. To exchange the primary one without a gap: let every
# application use the secondary key, replace the primary one, and go back.
# Instead of a text: {{ env = "NAME" }} or {{ file = "/run/secrets/primary" }}.
[access_keys]
primary = "{primary}"
secondary = "{secondary}"

# For every hub without a table [hubs.NAME] of its own.
[hub_defaults]
anonymous_connect_policy = "deny"

# Answers every event with its own data, so that a first client hears something.
[[hub_defaults.event_handlers]]
url_template = "builtin:echo"
user_event_pattern = "*"
"#
    )
}

/// A TOML basic string of what may be anything; the whole document is checked afterwards.
fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

fn write(path: &Path, document: &str, force: bool) -> anyhow::Result<()> {
    let origin = Origin::File {
        path: path.to_owned(),
        line: None,
    };
    let written = if force {
        private_file::replace(path, document)
    } else {
        private_file::create(path, document)
    };
    written.map_err(|error| {
        let problem = match error.kind() {
            ErrorKind::AlreadyExists => {
                "already exists; --force replaces it and its keys".to_owned()
            }
            _ => format!("cannot write the configuration: {error}"),
        };
        ConfigError::new(&origin, "", problem).into()
    })
}
