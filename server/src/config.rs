//! The configuration: defaults, file, environment and flags in one typed value.
//!
//! A later layer wins over an earlier one. Whatever is wrong is one [`ConfigError`] that names the
//! place and the key. What the keys are and mean stands once, in `config/keys.rs` and
//! `config/limits.rs`; reading, checking and the reference all use those tables.

mod effective;
mod environment;
mod error;
mod hub;
mod keys;
mod limits;
mod log;
mod network;
mod reference;
mod reload;
mod rest;
mod secret;
mod section;
mod tls;
mod tree;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::name::HubName;

pub(crate) use environment::CONNECTION_STRING_VARIABLE;
pub use error::{ConfigError, Origin};
pub use hub::{EventHandlerConfig, HubConfig, SystemEvent, UrlTemplate};
pub use limits::Limits;
pub use log::{LogConfig, LogFormat};
pub use reference::{limits_reference, reference};
pub use reload::Reloaded;
pub use rest::{AuthConfig, RestConfig};
pub use secret::AccessKeys;
pub(crate) use secret::warn_if_open;
pub use tls::TlsConfig;

use environment::{CONFIG_VARIABLE, set_plain};
use section::Section;
use tree::{Node, Segment, Table, Value};

use crate::regular_file;

/// Where the vendor's emulator listens too, so that its users need not change a thing.
const DEFAULT_PORT: u16 = 8080;

/// The most bytes of a configuration file.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Everything a node is told at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file it came from, if there was one.
    pub file: Option<PathBuf>,
    /// Address for clients, REST and health.
    pub listen: SocketAddr,
    /// Where [`Self::listen`] was given, for [`Self::cannot_listen`].
    pub listen_origin: Origin,
    /// The public addresses that were given; perhaps none. Use [`Self::endpoints`].
    pub endpoint: Vec<Endpoint>,
    /// Where [`Self::endpoint`] was given.
    pub endpoint_origin: Origin,
    /// Directory for state that survives a restart.
    pub data_dir: Option<PathBuf>,
    /// Where [`Self::data_dir`] was given.
    pub data_dir_origin: Origin,
    /// Whether the sessions of reliable clients survive a restart there.
    pub keep_sessions: bool,
    /// Address of the admin listener; `None`: off.
    pub admin_listen: Option<SocketAddr>,
    /// Where [`Self::admin_listen`] was given.
    pub admin_listen_origin: Origin,
    /// Threads that own client sockets, 1 to 63.
    pub shards: usize,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The keys that sign and verify tokens.
    pub access_keys: AccessKeys,
    /// Whose tokens are believed, beyond their signature.
    pub auth: AuthConfig,
    /// Choices of the REST API.
    pub rest: RestConfig,
    /// Where the certificate comes from; `None`: no TLS.
    pub tls: Option<TlsConfig>,
    /// The bounds of the node.
    pub limits: Limits,
    /// Settings of hubs that are not in [`Self::hubs`].
    pub hub_defaults: HubConfig,
    /// Settings of named hubs, by lower-case name. They take nothing from the defaults.
    pub hubs: BTreeMap<String, HubConfig>,
    /// What is not wrong but not wise either.
    pub warnings: Vec<ConfigError>,
}

/// What a configuration is read from. Not `Debug`: the environment may hold secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file to read; `None`: `HUBWIRE_CONFIG`, or no file.
    pub file: Option<PathBuf>,
    /// The process environment, or what stands for it.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags that were given.
    pub flags: Vec<Flag>,
    /// Whether TLS with a certificate of our own was asked for.
    pub dev_tls: bool,
}

/// A flag of the command line that sets a key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag with its dashes, for error messages.
    pub name: &'static str,
    /// The dotted key that it sets.
    pub key: &'static str,
    /// Its values; several only where the key takes a list.
    pub values: Vec<String>,
}

impl Config {
    /// Reads and checks everything that `sources` names, secret files included.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let file = sources
            .file
            .clone()
            .or_else(|| sources.variable(CONFIG_VARIABLE).map(PathBuf::from));
        let table = match &file {
            Some(path) => layer_of_file(path, &read_file(path)?)?,
            None => layer_without_file(),
        };
        Ok(Self {
            file,
            ..Self::finish(table, sources)?
        })
    }

    /// Reads and checks a file's text alone, as if it stood in `path`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn parse(path: &Path, source: &str) -> Result<Self, ConfigError> {
        let config = Self::finish(layer_of_file(path, source)?, &Sources::default())?;
        Ok(Self {
            file: Some(path.to_owned()),
            ..config
        })
    }

    fn finish(mut table: Table, sources: &Sources) -> Result<Self, ConfigError> {
        environment::apply(&mut table, &sources.environment)?;
        for flag in &sources.flags {
            flag.apply(&mut table)?;
        }
        let root = Section::root(&table, keys::ROOT)?;
        let mut config = Self::read(&root, |name| sources.variable(name))?;
        if sources.dev_tls {
            config.set_development_tls(&root, sources)?;
        }
        config.check(&root)?;
        Ok(config)
    }

    fn read(
        root: &Section<'_>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut hubs = BTreeMap::new();
        for (name, section) in root.named("hubs")? {
            let hub = HubName::new(name).map_err(|_| {
                let problem =
                    "a hub name is a letter, then at most 127 letters, digits or _ ` , . [ ]";
                ConfigError::new(section.origin(), section.path(), problem)
            })?;
            hubs.insert(hub.key().to_owned(), HubConfig::read(&section)?);
        }
        let mut warnings = Vec::new();
        let access_keys = AccessKeys::read(&root.section("access_keys")?, variable, &mut warnings)?;
        let default_listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT);
        Ok(Self {
            file: None,
            listen: root
                .parsed("listen", network::address)?
                .unwrap_or(default_listen),
            listen_origin: root.origin_of("listen"),
            endpoint: root.parsed_list("endpoint", network::endpoint)?,
            endpoint_origin: root.origin_of("endpoint"),
            data_dir: root.parsed("data_dir", data_dir)?,
            data_dir_origin: root.origin_of("data_dir"),
            keep_sessions: root.boolean("keep_sessions")?.unwrap_or(true),
            admin_listen: root.parsed("admin_listen", network::address)?,
            admin_listen_origin: root.origin_of("admin_listen"),
            shards: root
                .integer("shards")?
                .and_then(|shards| usize::try_from(shards).ok())
                .unwrap_or_else(default_shards),
            log: LogConfig::read(&root.section("log")?)?,
            access_keys,
            auth: AuthConfig::read(&root.section("auth")?)?,
            rest: RestConfig::read(&root.section("rest")?)?,
            tls: TlsConfig::read_section(&root.section("tls")?, &mut warnings)?,
            limits: Limits::read(&root.section("limits")?)?,
            hub_defaults: HubConfig::read(&root.section("hub_defaults")?)?,
            hubs,
            warnings,
        })
    }

    /// A certificate of our own names this machine alone, and nobody else has reason to trust it.
    fn set_development_tls(
        &mut self,
        root: &Section<'_>,
        sources: &Sources,
    ) -> Result<(), ConfigError> {
        if self.tls.is_some() {
            return Err(root.error("tls", "given beside --dev-tls; one certificate is enough"));
        }
        if !self.listen.ip().is_loopback() {
            let problem = format!(
                "{} is not loopback: --dev-tls is for this machine only; set tls.certificate and \
                 tls.key",
                self.listen
            );
            return Err(root.error("listen", problem));
        }
        let variable = |name: &str| sources.variable(name);
        self.tls = Some(TlsConfig::development(self.data_dir.as_deref(), variable)?);
        Ok(())
    }

    /// What no key can be blamed for alone.
    fn check(&self, root: &Section<'_>) -> Result<(), ConfigError> {
        if self.admin_listen == Some(self.listen) && self.listen.port() != 0 {
            return Err(root.error("admin_listen", "the same address as listen"));
        }
        match self.public_key_problem() {
            Some((key, problem)) => Err(root.error(key, problem)),
            None => Ok(()),
        }
    }

    /// The key and the reason for which the public development key must not be used.
    fn public_key_problem(&self) -> Option<(&'static str, String)> {
        if !self.access_keys.is_public() {
            return None;
        }
        let advice = "the public development key is for loopback only; `hubwire init` writes a \
                      configuration with keys of your own";
        if !self.listen.ip().is_loopback() {
            let problem = format!("{} is not loopback: {advice}", self.listen);
            return Some(("listen", problem));
        }
        // A proxy may stand between a loopback address and the world.
        let public = self
            .endpoint
            .iter()
            .find(|endpoint| !network::is_local(endpoint))?;
        Some(("endpoint", format!("{public} is not local: {advice}")))
    }

    /// The settings of a hub, whatever the case of its name.
    #[must_use]
    pub fn hub(&self, name: &str) -> &HubConfig {
        self.hubs
            .get(&name.to_ascii_lowercase())
            .unwrap_or(&self.hub_defaults)
    }

    /// The public addresses of a node that listens on `port`, at least one.
    ///
    /// # Errors
    ///
    /// If no endpoint is configured and `port` is 0, which names no address.
    pub fn endpoints(&self, port: u16) -> Result<Vec<Endpoint>, ConfigError> {
        if !self.endpoint.is_empty() {
            return Ok(self.endpoint.clone());
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::parse(&format!("{scheme}://localhost:{port}")).map_err(|_| {
            let problem = "must be given, since listen leaves the port to the system";
            ConfigError::new(&Origin::Default, "endpoint", problem)
        })?;
        Ok(vec![endpoint])
    }

    /// The first of [`Self::endpoints`], for connection strings and client URLs.
    ///
    /// # Errors
    ///
    /// As [`Self::endpoints`].
    pub fn first_endpoint(&self, port: u16) -> Result<Endpoint, ConfigError> {
        self.endpoints(port)
            .map(|mut endpoints| endpoints.swap_remove(0))
    }

    /// The error for an address that cannot be bound, with the place where it was given.
    #[must_use]
    pub fn cannot_listen(&self, address: SocketAddr, error: &std::io::Error) -> ConfigError {
        let (origin, key) = if self.admin_listen == Some(address) {
            (&self.admin_listen_origin, "admin_listen")
        } else {
            (&self.listen_origin, "listen")
        };
        ConfigError::new(origin, key, format!("cannot listen on {address}: {error}"))
    }

    /// The configuration as a TOML document with every default filled in and no secret.
    #[must_use]
    pub fn effective(&self) -> String {
        effective::render(self)
    }
}

impl Sources {
    /// A variable's value; an empty one counts as not set.
    fn variable(&self, name: &str) -> Option<String> {
        let (_, value) = self.environment.iter().find(|(other, _)| other == name)?;
        value
            .to_str()
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    }
}

impl Flag {
    fn apply(&self, table: &mut Table) -> Result<(), ConfigError> {
        let origin = Origin::Flag(self.name);
        let path: Vec<_> = self
            .key
            .split('.')
            .map(|key| Segment::Key(key.to_owned()))
            .collect();
        let value = match self.values.as_slice() {
            [value] => Value::Plain(value.clone()),
            values => Value::List(
                values
                    .iter()
                    .map(|value| Node {
                        written: String::new(),
                        origin: origin.clone(),
                        value: Value::Plain(value.clone()),
                    })
                    .collect(),
            ),
        };
        set_plain(table, &path, value, &origin)
    }
}

fn layer_of_file(path: &Path, source: &str) -> Result<Table, ConfigError> {
    let mut table = tree::from_toml(path, source)?;
    hub::open_pasted_hubs(&mut table)?;
    Ok(table)
}

/// Without a file every hub echoes, so that a first client gets an answer.
fn layer_without_file() -> Table {
    let node = |key: &str, value| Node {
        written: key.to_owned(),
        origin: Origin::Default,
        value,
    };
    let text = |key: &str, text: &str| (key.to_owned(), node(key, Value::Text(text.to_owned())));
    let echo = EventHandlerConfig::echo();
    let handler = Table::from([
        text("url_template", echo.url_template.as_str()),
        text("user_event_pattern", &echo.user_event_pattern),
    ]);
    let handlers = Value::List(vec![node("", Value::Table(handler))]);
    let defaults = Table::from([(
        "event_handlers".to_owned(),
        node("event_handlers", handlers),
    )]);
    Table::from([(
        "hub_defaults".to_owned(),
        node("hub_defaults", Value::Table(defaults)),
    )])
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    let origin = Origin::File {
        path: path.to_owned(),
        line: None,
    };
    regular_file::read_text(path, MAX_FILE_BYTES).map_err(|error| {
        let problem = format!("cannot read the configuration: {error}");
        ConfigError::new(&origin, "", problem)
    })
}

fn data_dir(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.metadata() {
        _ if text.is_empty() => Err("must not be empty".to_owned()),
        Ok(metadata) if !metadata.is_dir() => Err(format!("{text} is not a directory")),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(format!("cannot use {text}: {error}")),
    }
}

fn default_shards() -> usize {
    let most = usize::try_from(keys::MAX_SHARDS).unwrap_or(usize::MAX);
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(most)
}
