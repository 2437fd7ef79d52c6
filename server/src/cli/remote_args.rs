//! Which server a command talks to, and what it trusts there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hubwire_proto::connection_string::{ConnectionString, Endpoint};

use super::ConfigArgs;
use crate::config::{CONNECTION_STRING_VARIABLE, ConfigError, Origin};
use crate::remote::Dialer;

/// Where a connection string is looked for: ours, then the one that the vendor's samples use.
const VARIABLES: [&str; 2] = [CONNECTION_STRING_VARIABLE, "WebPubSubConnectionString"];

/// The server to talk to: by connection string, else that of the local configuration.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RemoteArgs {
    /// Connection string of the server [env: HUBWIRE_CONNECTION_STRING, WebPubSubConnectionString]
    /// [default: that of the local configuration]
    #[arg(long, value_name = "TEXT", conflicts_with = "ConfigArgs")]
    connection_string: Option<Secret>,
    /// File with certificates to trust beside those of the system, in PEM; may be given several
    /// times
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    #[command(flatten, next_help_heading = "Local configuration")]
    config: ConfigArgs,
}

/// An argument that holds a key or a token, which `Debug` must not show.
#[derive(Clone)]
pub(super) struct Secret(pub(super) String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

/// A server and its key.
pub(super) struct Remote {
    pub(super) connection: ConnectionString,
    authorities: Vec<PathBuf>,
}

impl RemoteArgs {
    /// The server that the arguments, the environment or the local configuration name, in this
    /// order; arguments that say something about the local configuration win over the environment.
    pub(super) fn resolve(&self) -> Result<Remote, ConfigError> {
        if let Some(Secret(text)) = &self.connection_string {
            return self.named(&Origin::Flag("--connection-string"), text);
        }
        if !self.config.is_given() {
            for name in VARIABLES {
                match std::env::var(name) {
                    Ok(text) if !text.is_empty() => {
                        return self.named(&Origin::Variable(name.to_owned()), &text);
                    }
                    _ => {}
                }
            }
        }
        let config = self.config.load()?;
        let endpoint = config.first_endpoint(config.listen.port())?;
        // A certificate of our own is there once the server has run.
        let own = config
            .tls
            .as_ref()
            .and_then(|tls| tls.development_authority());
        let own = own.filter(|file| file.exists());
        Ok(Remote {
            connection: ConnectionString {
                endpoint,
                access_key: config.access_keys.primary.clone(),
            },
            authorities: self.ca.iter().cloned().chain(own).collect(),
        })
    }

    /// Connections to an address for which no key is needed.
    pub(super) fn dialer(&self, endpoint: Endpoint) -> Result<Dialer, ConfigError> {
        dialer(endpoint, &self.ca)
    }

    fn named(&self, origin: &Origin, text: &str) -> Result<Remote, ConfigError> {
        let connection = ConnectionString::parse(text)
            .map_err(|error| ConfigError::new(origin, "", error.to_string()))?;
        Ok(Remote {
            connection,
            authorities: self.ca.clone(),
        })
    }
}

impl Remote {
    pub(super) fn dialer(&self) -> Result<Dialer, ConfigError> {
        dialer(self.connection.endpoint.clone(), &self.authorities)
    }
}

/// Nothing is sent yet, so what goes wrong is a matter of configuration.
fn dialer(endpoint: Endpoint, authorities: &[PathBuf]) -> Result<Dialer, ConfigError> {
    Dialer::new(endpoint, authorities)
        .map_err(|error| ConfigError::new(&Origin::Default, "", error.to_string()))
}
