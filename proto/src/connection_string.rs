//! Connection strings and the URLs that follow from them (protocol notes: connection strings).
//!
//! No address is opened or resolved here.

use std::fmt;

use crate::name::HubName;
use crate::percent;
use crate::token::AccessKey;

/// The public address of a server: scheme, host, perhaps a port, perhaps a base path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    secure: bool,
    authority: String,
    base_path: String,
}

/// The kinds of clients, each of which connects below a path of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientType {
    /// Simple clients and those of a Web PubSub subprotocol.
    #[default]
    Default,
    /// MQTT clients.
    Mqtt,
    /// Socket.IO clients.
    SocketIo,
}

impl ClientType {
    /// The type of that name, in any letter case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            () if is("default") => Some(Self::Default),
            () if is("mqtt") => Some(Self::Mqtt),
            () if is("socketio") => Some(Self::SocketIo),
            () => None,
        }
    }

    /// What stands before the hub in the path.
    const fn path(self) -> &'static str {
        match self {
            Self::Default => "/client/hubs/",
            Self::Mqtt => "/clients/mqtt/hubs/",
            Self::SocketIo => "/clients/socketio/hubs/",
        }
    }
}

/// A text that is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The scheme is neither http nor https.
    #[error("The endpoint must start with http:// or https://.")]
    Scheme,
    /// No host, or one with forbidden characters.
    #[error("The endpoint has no valid host.")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("The endpoint has an invalid port.")]
    Port,
    /// It has a query, a fragment or blanks.
    #[error("The endpoint must not have a query, a fragment or white space.")]
    Extra,
}

impl Endpoint {
    /// Reads `http(s)://host[:port][/base]`; slashes at the end are dropped.
    ///
    /// # Errors
    ///
    /// [`EndpointError`].
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = url.split_once("://").ok_or(EndpointError::Scheme)?;
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ => return Err(EndpointError::Scheme),
        };
        if rest.contains(['?', '#', ';']) || rest.contains(char::is_whitespace) {
            return Err(EndpointError::Extra);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        check_authority(authority)?;
        Ok(Self {
            secure,
            authority: authority.to_owned(),
            base_path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// Whether it is https and wss.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host and port as spelled, without a scheme.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host alone: a name or an address, the latter without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        split_port(&self.authority).0.trim_matches(['[', ']'])
    }

    /// The port, which is that of the scheme if none is spelled out.
    #[must_use]
    pub fn port(&self) -> u16 {
        let default = if self.secure { 443 } else { 80 };
        let spelled = split_port(&self.authority).1;
        spelled
            .and_then(|port| port.parse().ok())
            .unwrap_or(default)
    }

    /// What comes before `/client` and `/api` in a path: empty, or starting with a slash and ending
    /// without one.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The audience of client tokens for a hub.
    #[must_use]
    pub fn client_audience(&self, hub: &HubName) -> String {
        self.audience(ClientType::Default, hub.raw())
    }

    /// The audience of tokens for a type of client and a hub.
    #[must_use]
    pub fn audience(&self, client_type: ClientType, hub: &str) -> String {
        format!("{self}{}{}", client_type.path(), percent::encode(hub))
    }

    /// Where a client connects, its token included.
    #[must_use]
    pub fn client_url(&self, hub: &HubName, token: &str) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        let (authority, base_path) = (&self.authority, &self.base_path);
        let (hub, token) = (percent::encode(hub.raw()), percent::encode(token));
        format!("{scheme}://{authority}{base_path}/client/hubs/{hub}?access_token={token}")
    }

    /// Replaces the port, or adds one.
    fn set_port(&mut self, port: &str) -> Result<(), EndpointError> {
        check_port(port)?;
        let host = split_port(&self.authority).0;
        self.authority = format!("{host}:{port}");
        Ok(())
    }
}

/// As an `http(s)` URL without a slash at the end.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.base_path)
    }
}

/// What an application server needs to reach this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// Where.
    pub endpoint: Endpoint,
    /// With which key.
    pub access_key: AccessKey,
}

/// A text that is no connection string. No text repeats the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// A part without `=`.
    #[error("The connection string must be a list of name=value pairs with `;` between them.")]
    Pair,
    /// A name that counts is there twice.
    #[error("The connection string has `{0}` twice.")]
    Repeated(&'static str),
    /// A name that must be there is not, or its value is empty.
    #[error("The connection string has no `{0}`.")]
    Missing(&'static str),
    /// The endpoint, or the port, is unusable.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl ConnectionString {
    /// Reads `Endpoint=…;AccessKey=…;Version=1.0;`, perhaps with `Port=…`. Names ignore letter
    /// case, unknown ones are skipped, and an endpoint without a scheme is https, as the vendor's
    /// libraries have it.
    ///
    /// # Errors
    ///
    /// [`ConnectionStringError`].
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        const NAMES: [&str; 3] = ["Endpoint", "AccessKey", "Port"];
        let mut values = [None; NAMES.len()];
        for pair in text
            .split(';')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            // Keys end in `=` themselves, so only the first one separates.
            let (name, value) = pair.split_once('=').ok_or(ConnectionStringError::Pair)?;
            let known = NAMES.iter().zip(&mut values);
            for (known, slot) in known.filter(|(known, _)| name.trim().eq_ignore_ascii_case(known))
            {
                if slot.replace(value.trim()).is_some() {
                    return Err(ConnectionStringError::Repeated(known));
                }
            }
        }
        let [endpoint, access_key, port] = values;
        let endpoint = endpoint
            .filter(|url| !url.is_empty())
            .ok_or(ConnectionStringError::Missing("Endpoint"))?;
        let mut endpoint = if endpoint.contains("://") {
            Endpoint::parse(endpoint)?
        } else {
            Endpoint::parse(&format!("https://{endpoint}"))?
        };
        if let Some(port) = port {
            endpoint.set_port(port)?;
        }
        let access_key = AccessKey::new(access_key.unwrap_or_default())
            .map_err(|_| ConnectionStringError::Missing("AccessKey"))?;
        Ok(Self {
            endpoint,
            access_key,
        })
    }

    /// The text, secret included. `None` if the key has a `;` or a blank at an end, since no reader
    /// would get it back.
    #[must_use]
    pub fn expose(&self) -> Option<String> {
        let key = self.access_key.expose();
        if key.contains(';') || key.trim() != key {
            return None;
        }
        Some(format!(
            "Endpoint={};AccessKey={key};Version=1.0;",
            self.endpoint
        ))
    }
}

/// Host and port without the default port of either scheme.
pub(crate) fn strip_default_port(authority: &str) -> &str {
    match split_port(authority) {
        (host, Some("80" | "443")) => host,
        _ => authority,
    }
}

fn check_authority(authority: &str) -> Result<(), EndpointError> {
    let (host, port) = split_port(authority);
    if let Some(port) = port {
        check_port(port)?;
    }
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    // Without brackets only names and IPv4 addresses are left.
    let is_name = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if is_ipv6 || is_name {
        Ok(())
    } else {
        Err(EndpointError::Host)
    }
}

fn check_port(port: &str) -> Result<(), EndpointError> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        _ => Err(EndpointError::Port),
    }
}

/// Splits at the colon of the port, not at those inside an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}
