//! `hubwire token`: the client URL generator. It only signs; no server need be running.

use std::time::Duration;

use clap::ValueEnum;
use hubwire_proto::name::{HubName, check_group};
use hubwire_proto::role::Permissions;
use hubwire_proto::token::{DEFAULT_LIFETIME_MINUTES, NewToken, sign};
use serde_json::json;

use super::{ConfigArgs, WhichKey, print};
use crate::clock::now;
use crate::config::{ConfigError, Origin};
use crate::remote::{json_printable, printable};

/// Ten years: longer is a mistake, and rotating keys ends it anyway.
const MAX_MINUTES: i64 = 10 * 366 * 24 * 60;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("audience").required(true))]
pub(super) struct Args {
    /// Hub that the client connects to
    #[arg(long, group = "audience")]
    hub: Option<String>,
    /// Make a token for a REST request with this path instead, such as /api/hubs/chat/:send
    #[arg(long, group = "audience", value_name = "PATH", conflicts_with_all = ["role", "group"])]
    rest: Option<String>,
    #[command(flatten)]
    claims: ClaimArgs,
    /// Lifetime
    #[arg(
        long,
        default_value_t = DEFAULT_LIFETIME_MINUTES,
        value_parser = clap::value_parser!(u32).range(1..=MAX_MINUTES)
    )]
    minutes: u32,
    /// The access key that signs
    #[arg(long, value_enum, default_value_t)]
    key: WhichKey,
    /// A client URL (the default with --hub), a bare token (the default with --rest), or a JSON
    /// object
    #[arg(long, value_enum)]
    output: Option<Form>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Who the client of a token is, and what it may do from the start.
#[derive(Debug, clap::Args)]
pub(super) struct ClaimArgs {
    /// User ID in the token; anonymous without it
    #[arg(long)]
    pub(super) user: Option<String>,
    /// Role in the token, such as sendToGroup or joinLeaveGroup.GROUP; may be given several times
    #[arg(long)]
    role: Vec<String>,
    /// Group in the token, which the client is in from the start; may be given several times
    #[arg(long)]
    pub(super) group: Vec<String>,
}

impl ClaimArgs {
    /// The roles with their whole names: `sendToGroup` is short for `webpubsub.sendToGroup`.
    pub(super) fn roles(&self) -> Vec<String> {
        self.role
            .iter()
            .map(|role| match role.strip_prefix("webpubsub.") {
                Some(_) => role.clone(),
                None => format!("webpubsub.{role}"),
            })
            .collect()
    }
}

/// How a token is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    Url,
    Token,
    Json,
}

/// What a token is for.
enum Use {
    Client(HubName),
    /// A path that begins with a slash and has no query.
    Rest(String),
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let target = args.target()?;
    let roles = args.claims.roles();
    args.check(&roles)?;
    let config = args.config.load()?;
    let endpoint = config.first_endpoint(config.listen.port())?;
    let key = args.key.of(&config.access_keys)?;
    let audience = match &target {
        Use::Client(hub) => endpoint.client_audience(hub),
        Use::Rest(path) => format!("{endpoint}{path}"),
    };
    let issued_at = now();
    let expires_at = issued_at.plus(Duration::from_secs(u64::from(args.minutes) * 60));
    let token = sign(
        &NewToken {
            audience: &audience,
            issued_at,
            expires_at,
            subject: args.claims.user.as_deref(),
            roles: &roles,
            groups: &args.claims.group,
        },
        key,
    );
    let (url, default_form) = match &target {
        Use::Client(hub) => (endpoint.client_url(hub, &token), Form::Url),
        Use::Rest(_) => (audience, Form::Token),
    };
    let form = args.output.unwrap_or(default_form);
    print(&form.render(&url, &token))?;
    Ok(())
}

impl Form {
    /// A URL, the token that belongs to it, or both. Another server may have written them.
    pub(super) fn render(self, url: &str, token: &str) -> String {
        match self {
            Self::Url => printable(url).into_owned(),
            Self::Token => printable(token).into_owned(),
            Self::Json => {
                // The names that the vendor's libraries give these values.
                let base_url = url.split('?').next().unwrap_or_default();
                let json = json!({ "baseUrl": base_url, "token": token, "url": url });
                json_printable(&json.to_string()).into_owned()
            }
        }
    }
}

impl Args {
    fn target(&self) -> Result<Use, ConfigError> {
        match (&self.hub, &self.rest) {
            (_, Some(path)) => {
                let path = path.split(['?', '#']).next().unwrap_or_default();
                if !path.starts_with("/api/") || path.contains(char::is_whitespace) {
                    let problem = "must be a path that begins with /api/";
                    return Err(ConfigError::new(&Origin::Flag("--rest"), "", problem));
                }
                Ok(Use::Rest(path.to_owned()))
            }
            (hub, None) => hub_name(hub.as_deref().unwrap_or_default()).map(Use::Client),
        }
    }

    /// The server would pass over roles without effect and refuse impossible groups.
    fn check(&self, roles: &[String]) -> Result<(), ConfigError> {
        let (_, ignored) = Permissions::from_roles(roles.iter().map(String::as_str));
        if let Some(ignored) = ignored.first() {
            let problem = format!("{:?} has no effect: {}", ignored.role, ignored.reason);
            return Err(ConfigError::new(&Origin::Flag("--role"), "", problem));
        }
        if let Some(group) = self
            .claims
            .group
            .iter()
            .find(|group| check_group(group).is_err())
        {
            let problem =
                format!("{group:?} is no group name: 1 to 1024 characters, not all blank");
            return Err(ConfigError::new(&Origin::Flag("--group"), "", problem));
        }
        if self.claims.user.as_deref() == Some("") {
            return Err(ConfigError::new(
                &Origin::Flag("--user"),
                "",
                "must not be empty",
            ));
        }
        Ok(())
    }
}

/// The value of `--hub`.
pub(super) fn hub_name(text: &str) -> Result<HubName, ConfigError> {
    HubName::new(text).map_err(|_| {
        let problem = "a hub name is a letter, then at most 127 letters, digits or _ ` , . [ ]";
        ConfigError::new(&Origin::Flag("--hub"), "", problem)
    })
}
