//! The server under test: its address, its key, and the requests that carry its tokens.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use hubwire_proto::connection_string::{ConnectionString, Endpoint};
use hubwire_proto::name::HubName;
use hubwire_proto::percent;
use hubwire_proto::token::{AccessKey, NewToken, UnixSeconds, sign};

use crate::cli::TokenUse;
use crate::client::{HANDSHAKE_KEY, Identity};
use crate::subprotocol::Subprotocol;

const API_VERSION: &str = "2024-12-01";
const LIFETIME: Duration = Duration::from_secs(3600);

/// A hub of a server.
#[derive(Debug)]
pub(crate) struct Target {
    connection: ConnectionString,
    hub: HubName,
    address: SocketAddr,
    roles: [String; 2],
}

impl Target {
    /// Reads a connection string and resolves its host.
    pub(crate) fn resolve(connection_string: &str, hub: &str) -> anyhow::Result<Self> {
        let connection = ConnectionString::parse(connection_string)?;
        let hub = HubName::new(hub).with_context(|| format!("--hub {hub}"))?;
        let endpoint = &connection.endpoint;
        ensure!(
            !endpoint.is_secure(),
            "{endpoint} asks for TLS, which this generator does not speak yet: use an http:// \
             endpoint"
        );
        Ok(Self {
            address: resolve(endpoint)?,
            connection,
            hub,
            roles: ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"].map(str::to_owned),
        })
    }

    /// Where to connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint as a URL, without its key.
    pub(crate) fn endpoint(&self) -> String {
        self.connection.endpoint.to_string()
    }

    /// The `Host` of requests.
    pub(crate) fn authority(&self) -> &str {
        self.connection.endpoint.authority()
    }

    pub(crate) fn hub(&self) -> &str {
        self.hub.raw()
    }

    /// A client's upgrade request, with a token of its own signed now: user `u` and its number,
    /// allowed to join and to publish anywhere.
    pub(crate) fn upgrade_request(&self, index: usize, subprotocol: Subprotocol) -> Vec<u8> {
        self.request(index, subprotocol, "")
    }

    /// As [`Target::upgrade_request`], to continue a connection that was lost. As with the
    /// official clients, the token is there and of no use.
    pub(crate) fn recovery_request(
        &self,
        index: usize,
        subprotocol: Subprotocol,
        identity: &Identity,
    ) -> Vec<u8> {
        let more = format!(
            "&awps_connection_id={}&awps_reconnection_token={}",
            percent::encode(&identity.connection_id),
            percent::encode(&identity.reconnection_token),
        );
        self.request(index, subprotocol, &more)
    }

    fn request(&self, index: usize, subprotocol: Subprotocol, more: &str) -> Vec<u8> {
        let endpoint = &self.connection.endpoint;
        let now = unix_now();
        let token = sign(
            &NewToken {
                audience: &endpoint.client_audience(&self.hub),
                issued_at: now,
                expires_at: now.plus(LIFETIME),
                subject: Some(&format!("u{index}")),
                roles: &self.roles,
                groups: &[],
            },
            &self.connection.access_key,
        );
        format!(
            "GET {}/client/hubs/{}?access_token={token}{more} HTTP/1.1\r\nHost: {}\r\n\
             Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {HANDSHAKE_KEY}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
            endpoint.base_path(),
            percent::encode(self.hub.raw()),
            endpoint.authority(),
            subprotocol.name(),
        )
        .into_bytes()
    }

    /// The path and query that publish to a group.
    pub(crate) fn send_to_group_path(&self, group: &str) -> String {
        format!(
            "{}/api/hubs/{}/groups/{}/:send?api-version={API_VERSION}",
            self.connection.endpoint.base_path(),
            percent::encode(self.hub.raw()),
            percent::encode(group)
        )
    }

    /// The tokens of the `nth` of `connections` REST connections that publish to `group`.
    pub(crate) fn rest_tokens(
        &self,
        group: &str,
        token_use: TokenUse,
        nth: usize,
        connections: usize,
    ) -> RestTokens {
        let path = self.send_to_group_path(group);
        let mut tokens = RestTokens {
            audience: format!("http://{}{path}", self.authority()),
            key: self.connection.access_key.clone(),
            token_use,
            offset: Duration::from_secs(nth as u64),
            step: Duration::from_secs(connections as u64),
            current: String::new(),
        };
        tokens.current = tokens.fresh();
        tokens
    }
}

/// Tokens for one REST connection: the same again and again, or one for each request.
#[derive(Debug)]
pub(crate) struct RestTokens {
    audience: String,
    key: AccessKey,
    token_use: TokenUse,
    /// Added to the lifetime, so that no two tokens of a run are the same.
    offset: Duration,
    step: Duration,
    current: String,
}

impl RestTokens {
    /// The token of the next request.
    pub(crate) fn next(&mut self) -> &str {
        if self.token_use == TokenUse::Fresh {
            self.current = self.fresh();
        }
        &self.current
    }

    fn fresh(&mut self) -> String {
        let now = unix_now();
        self.offset += self.step;
        sign(
            &NewToken {
                audience: &self.audience,
                issued_at: now,
                expires_at: now.plus(LIFETIME + self.offset),
                subject: None,
                roles: &[],
                groups: &[],
            },
            &self.key,
        )
    }
}

fn resolve(endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
    (endpoint.host(), endpoint.port())
        .to_socket_addrs()
        .with_context(|| format!("resolving {}", endpoint.authority()))?
        // Loopback names often resolve to ::1 first, where few servers listen.
        .min_by_key(SocketAddr::is_ipv6)
        .with_context(|| format!("{} has no address", endpoint.authority()))
}

fn unix_now() -> UnixSeconds {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixSeconds(0).plus(since)
}

#[cfg(test)]
mod tests {
    use hubwire_proto::token::{DEFAULT_SKEW, verify};

    use super::*;

    const KEY: &str = "a-key-of-32-bytes-a-key-of-32-by";

    fn target(endpoint: &str) -> anyhow::Result<Target> {
        let text = format!("Endpoint={endpoint};AccessKey={KEY};Version=1.0;");
        Target::resolve(&text, "bench")
    }

    #[test]
    fn requests_go_below_the_base_path_with_a_token_for_it() {
        let target = target("http://127.0.0.1:8080/base/").expect("valid");
        let request =
            String::from_utf8(target.upgrade_request(3, Subprotocol::Json)).expect("text");
        let (path, token) = request
            .strip_prefix("GET ")
            .and_then(|rest| rest.split_once(" HTTP/1.1\r\n"))
            .and_then(|(line, _)| line.split_once("?access_token="))
            .expect("a request line with a token");
        assert_eq!(path, "/base/client/hubs/bench");
        let key = AccessKey::new(KEY).expect("a key");
        let claims = verify(token, &[&key], unix_now(), DEFAULT_SKEW).expect("valid");
        assert_eq!(claims.subject.as_deref(), Some("u3"));
        assert!(
            request.contains("\r\nHost: 127.0.0.1:8080\r\n"),
            "{request}"
        );
        assert_eq!(
            target.send_to_group_path("g 0"),
            "/base/api/hubs/bench/groups/g%200/:send?api-version=2024-12-01"
        );
    }

    #[test]
    fn a_recovery_names_its_connection_behind_the_token() {
        let target = target("http://127.0.0.1:8080").expect("valid");
        let identity = Identity {
            connection_id: "a-b_c".to_owned(),
            reconnection_token: "t/+".to_owned(),
        };
        let request = target.recovery_request(3, Subprotocol::JsonReliable, &identity);
        let request = String::from_utf8(request).expect("text");
        let more = "&awps_connection_id=a-b_c&awps_reconnection_token=t%2F%2B HTTP/1.1\r\n";
        assert!(request.contains(more), "{request}");
        let offered = "\r\nSec-WebSocket-Protocol: json.reliable.webpubsub.azure.v1\r\n";
        assert!(request.contains(offered), "{request}");
    }

    #[test]
    fn fresh_tokens_differ_and_repeated_ones_do_not() {
        let target = target("http://127.0.0.1:8080").expect("valid");
        let mut seen = std::collections::HashSet::new();
        for nth in 0..4 {
            let mut tokens = target.rest_tokens("g0", TokenUse::Fresh, nth, 4);
            for _ in 0..8 {
                assert!(seen.insert(tokens.next().to_owned()), "twice the same");
            }
            let mut tokens = target.rest_tokens("g0", TokenUse::Repeated, nth, 4);
            assert_eq!(tokens.next().to_owned(), tokens.next());
        }
    }

    #[test]
    fn an_unusable_endpoint_is_named_and_the_key_is_not() {
        fn check(endpoint: &str, expect: &str) {
            let error = format!("{:#}", target(endpoint).expect_err("unusable"));
            assert!(error.contains(expect), "{endpoint}: {error}");
            assert!(!error.contains(KEY), "{error}");
        }
        check("https://127.0.0.1:8080", "TLS");
        check("ftp://127.0.0.1", "http://");
        check("http://127.0.0.1:0", "port");
    }
}
