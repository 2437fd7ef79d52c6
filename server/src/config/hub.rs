//! Settings of a hub: who may connect without a token, keep-alive, event handlers.

use std::time::Duration;

use hubwire_proto::name::check_event;
use hubwire_proto::protobuf::JsonField;

use super::error::ConfigError;
use super::section::{Section, line, wrong_type};
use super::tree::{Node, Table, Value, join};

/// The settings of one hub, or of all hubs without settings of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// Whether a client may connect without a token.
    pub allow_anonymous: bool,
    /// A client that was silent for this long is pinged.
    pub keep_alive_interval: Duration,
    /// Ordered; the first handler that matches an event gets it.
    pub event_handlers: Vec<EventHandlerConfig>,
    /// Where JSON goes in messages to protobuf clients.
    pub protobuf_json: JsonField,
}

/// One event handler of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHandlerConfig {
    /// Where its events go.
    pub url_template: UrlTemplate,
    /// `*`, or a comma list of valid event names; empty: no user event.
    pub user_event_pattern: String,
    /// The system events it takes.
    pub system_events: Vec<SystemEvent>,
}

/// Where events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlTemplate {
    /// `builtin:echo`: every user event is answered with its own data.
    BuiltinEcho,
}

/// An event of the connection itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemEvent {
    /// A client asks to connect; the handler decides.
    Connect,
    /// A client is connected.
    Connected,
    /// A client is gone.
    Disconnected,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            allow_anonymous: false,
            keep_alive_interval: Duration::from_secs(20),
            event_handlers: Vec::new(),
            protobuf_json: JsonField::default(),
        }
    }
}

impl EventHandlerConfig {
    /// `builtin:echo` for every user event.
    #[must_use]
    pub fn echo() -> Self {
        Self {
            url_template: UrlTemplate::BuiltinEcho,
            user_event_pattern: "*".to_owned(),
            system_events: Vec::new(),
        }
    }

    fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let Some(url_template) = section.parsed("url_template", UrlTemplate::parse)? else {
            let problem = "an event handler needs a url_template";
            return Err(ConfigError::new(section.origin(), section.path(), problem));
        };
        section.section("auth")?.parsed("type", no_authentication)?;
        Ok(Self {
            url_template,
            user_event_pattern: section
                .parsed("user_event_pattern", user_event_pattern)?
                .unwrap_or_default(),
            system_events: section.parsed_list("system_events", SystemEvent::parse)?,
        })
    }
}

impl HubConfig {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        Ok(Self {
            allow_anonymous: section.choice("anonymous_connect_policy")? == Some("allow"),
            keep_alive_interval: section
                .integer("web_socket_keep_alive_interval_in_seconds")?
                .map_or(default.keep_alive_interval, Duration::from_secs),
            event_handlers: section
                .sections("event_handlers")?
                .iter()
                .map(EventHandlerConfig::read)
                .collect::<Result<_, _>>()?,
            protobuf_json: match section.choice("protobuf_json")? {
                Some("text_data") => JsonField::TextData,
                _ => JsonField::JsonData,
            },
        })
    }
}

impl UrlTemplate {
    fn parse(text: &str) -> Result<Self, String> {
        let scheme = text
            .split_once(':')
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            _ if text == "builtin:echo" => Ok(Self::BuiltinEcho),
            Some(scheme @ ("http" | "https" | "tunnel")) => Err(format!(
                "event handlers over {scheme} are not supported in this version; use builtin:echo"
            )),
            _ => Err(format!("must be builtin:echo, not {text:?}")),
        }
    }

    /// The spelling of the configuration file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltinEcho => "builtin:echo",
        }
    }
}

impl SystemEvent {
    fn parse(text: &str) -> Result<Self, String> {
        [Self::Connect, Self::Connected, Self::Disconnected]
            .into_iter()
            .find(|event| event.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("must be connect, connected or disconnected, not {text:?}"))
    }

    /// The name of the event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}

/// What the control plane puts around a hub's settings when it shows a hub.
const AROUND_PROPERTIES: [&str; 7] = [
    "api_version",
    "depends_on",
    "id",
    "name",
    "resource_group",
    "system_data",
    "type",
];

/// Takes the settings of hubs that were pasted as the control plane shows them out of their
/// `properties`.
///
/// # Errors
///
/// If a setting is given inside and outside of them.
pub(super) fn open_pasted_hubs(root: &mut Table) -> Result<(), ConfigError> {
    if let Some(defaults) = root.get_mut("hub_defaults") {
        let path = defaults.written.clone();
        open_pasted_hub(defaults, &path)?;
    }
    if let Some(node) = root.get_mut("hubs")
        && let Value::Table(hubs) = &mut node.value
    {
        for hub in hubs.values_mut() {
            let path = join(&node.written, &hub.written);
            open_pasted_hub(hub, &path)?;
        }
    }
    Ok(())
}

fn open_pasted_hub(hub: &mut Node, path: &str) -> Result<(), ConfigError> {
    let Value::Table(hub) = &mut hub.value else {
        return Ok(());
    };
    let Some(properties) = hub.remove("properties") else {
        return Ok(());
    };
    let within = properties.written.clone();
    let Value::Table(settings) = properties.value else {
        return Err(wrong_type(&properties, &join(path, &within), "a table"));
    };
    hub.retain(|name, _| !AROUND_PROPERTIES.contains(&name.as_str()));
    for (name, mut setting) in settings {
        setting.written = join(&within, &setting.written);
        if let Some(outside) = hub.get(&name) {
            let mut both = [outside, &setting];
            both.sort_by_key(|node| line(&node.origin));
            let [first, second] = both;
            let problem = format!("already given as {} at {}", first.written, first.origin);
            let key = join(path, &second.written);
            return Err(ConfigError::new(&second.origin, key, problem));
        }
        hub.insert(name, setting);
    }
    Ok(())
}

fn no_authentication(text: &str) -> Result<(), String> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Ok(()),
        "managedidentity" => Err("managed identities are not supported; use None".to_owned()),
        _ => Err(format!("must be None, not {text:?}")),
    }
}

fn user_event_pattern(text: &str) -> Result<String, String> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    if names != ["*"] {
        for name in &names {
            check_event(name).map_err(|_| {
                format!("must be *, an event name or a comma list of names, not {text:?}")
            })?;
        }
    }
    Ok(names.join(","))
}
