//! New client connections: who gets in, and what with (protocol notes: connecting).
//!
//! Everything is decided before the 101. After it the socket belongs to the shard that the seat
//! names.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use hubwire_core::session::Protocol;
use hubwire_core::shard::{Attachment, SHUTTING_DOWN};
use hubwire_proto::name::HubName;
use hubwire_proto::percent;
use hubwire_proto::role::Permissions;
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol;
use hubwire_proto::token::Claims;
use hubwire_proto::ws::handshake::{self, UpgradeRequest};
use hyper::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::{Request, StatusCode, Version};

use super::auth::{Unauthorized, bearer};
use super::{Inner, recovery};
use crate::listener::{Answer, Query, Reply, Upgrade, reply};
use crate::metrics::Rejection;
use crate::telemetry::redact_url;

/// Why a client does not get in. The text is the body of the response.
struct Refusal {
    status: StatusCode,
    why: Rejection,
    text: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, why: Rejection, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            why,
            text: text.into(),
            header: None,
        }
    }

    fn bad_request(why: Rejection, error: &impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why, error.to_string())
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self {
            header: Some((name, value)),
            ..self
        }
    }

    fn into_reply(self) -> Reply {
        let mut reply = reply::with_body(self.status, reply::TEXT, self.text.into_owned());
        // A refused client has nothing more to ask here, and its place is wanted.
        let close = HeaderValue::from_static("close");
        reply.headers_mut().insert(CONNECTION, close);
        if let Some((name, value)) = self.header {
            reply.headers_mut().insert(name, value);
        }
        reply
    }
}

impl From<Unauthorized> for Refusal {
    fn from(error: Unauthorized) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            Rejection::Token,
            error.to_string(),
        )
        .with(WWW_AUTHENTICATE, error.challenge())
    }
}

impl Inner {
    /// Answers a GET on a client path. `in_path` is the hub in the path, encoded; without one, it
    /// is in the query.
    pub(super) fn connect<B>(
        &self,
        request: &Request<B>,
        in_path: Option<&str>,
        peer: SocketAddr,
    ) -> Answer {
        self.admit(request, in_path).unwrap_or_else(|refusal| {
            self.counters.reject(refusal.why);
            let url = redact_url(&request.uri().to_string());
            let (status, reason) = (refusal.status.as_u16(), &*refusal.text);
            tracing::debug!(%peer, url, status, reason, "client refused");
            refusal.into_reply().into()
        })
    }

    fn admit<B>(&self, request: &Request<B>, in_path: Option<&str>) -> Result<Answer, Refusal> {
        let accept = handshake::accept_key(check_upgrade(request)?);
        let query = Query::parse(request.uri().query());
        let hub = hub_of(in_path, &query)?;
        let Some(pass) = self.gate.enter() else {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Rejection::Draining,
                SHUTTING_DOWN,
            ));
        };
        let lines = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        let offered = handshake::offered_subprotocols(lines.iter().map(HeaderValue::as_bytes));
        let selection = subprotocol::select(&offered);
        if recovery::is_asked_for(&query) {
            let (answer, then) = self.recover(&query, &hub, &offered, selection, pass);
            return Ok(switch(&accept, answer, then));
        }
        let claims = self.authenticate(request, &query, &hub)?;
        let groups = initial_groups(&claims, self.node.limits().groups_per_connection)?;
        let mode = mode_of(&query)?;
        let permissions = self.permissions(&claims, &hub);
        let seat = self.take_seat()?;
        let doorway = self
            .doorways
            .get(seat.connection().shard().index())
            .map(Arc::clone);
        let Some(doorway) = doorway else {
            let text = "The server has no such shard.";
            return Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                Rejection::Internal,
                text,
            ));
        };
        let protocol = selection
            .subprotocol
            .map_or(Protocol::Simple(mode), Protocol::PubSub);
        let keys = self.verifier.key_store();
        let reconnection_token =
            recovery::issue(keys, seat.connection(), &hub, selection.subprotocol);
        let hub: Arc<str> = hub.key().into();
        let user = claims.and_then(|claims| claims.subject).map(Arc::from);
        let hand_over: Upgrade = Box::new(move |stream, mut unread| {
            let _pass = pass;
            // A socket that broke meanwhile gives its seat back.
            if let Ok((transport, decrypted)) = stream.into_socket() {
                unread.extend(decrypted);
                doorway.hand_over(Attachment {
                    seat,
                    transport,
                    unread,
                    hub,
                    user,
                    protocol,
                    permissions,
                    groups,
                    reconnection_token,
                });
            }
            Box::pin(std::future::ready(()))
        });
        Ok(switch(&accept, selection.answer, hand_over))
    }

    /// The claims of the client's token; `None` if it has none and needs none.
    fn authenticate<B>(
        &self,
        request: &Request<B>,
        query: &Query<'_>,
        hub: &HubName,
    ) -> Result<Option<Claims>, Refusal> {
        let in_query = query.first_filled("access_token");
        let token = in_query.as_deref().or_else(|| bearer(request.headers()));
        match token {
            Some(token) => {
                let hosts = self.verifier.hosts(request.headers(), request.uri());
                Ok(Some(self.verifier.client(token, hub.raw(), hosts)?))
            }
            None if self.node.hubs().of(hub.key()).allow_anonymous => Ok(None),
            None => Err(Unauthorized::Missing.into()),
        }
    }

    fn permissions(&self, claims: &Option<Claims>, hub: &HubName) -> Permissions {
        let roles = claims
            .iter()
            .flat_map(|claims| &claims.roles)
            .map(String::as_str);
        let (permissions, ignored) = Permissions::from_roles(roles);
        for role in ignored {
            tracing::debug!(%hub, role = role.role, reason = %role.reason, "a role has no effect");
        }
        permissions
    }

    fn take_seat(&self) -> Result<hubwire_core::node::Seat, Refusal> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| {
            let text = "The server has no randomness.";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Rejection::Internal, text)
        })?;
        self.node.reserve_seat(random).map_err(|error| {
            Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                Rejection::NodeFull,
                error.to_string(),
            )
        })
    }
}

fn check_upgrade<B>(request: &Request<B>) -> Result<&str, Refusal> {
    let http_version = match request.version() {
        Version::HTTP_11 => (1, 1),
        _ => (1, 0),
    };
    let headers = request.headers().iter();
    let request = UpgradeRequest {
        method: request.method().as_str(),
        http_version,
        headers: headers.map(|(name, value)| (name.as_str(), value.as_bytes())),
    };
    handshake::check_upgrade(request).map_err(|error| {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        let refusal = Refusal::new(status, Rejection::NotAnUpgrade, error.to_string());
        match status {
            StatusCode::UPGRADE_REQUIRED => refusal.with(
                SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static(handshake::VERSION),
            ),
            _ => refusal,
        }
    })
}

fn hub_of(in_path: Option<&str>, query: &Query<'_>) -> Result<HubName, Refusal> {
    let decoded = match in_path {
        Some(encoded) => percent::decode(encoded).ok(),
        None => query.first_filled("hub"),
    };
    HubName::new(&decoded.unwrap_or_default())
        .map_err(|error| Refusal::bad_request(Rejection::Hub, &error))
}

/// The groups that a token names, each once.
fn initial_groups(claims: &Option<Claims>, most: usize) -> Result<Vec<Arc<str>>, Refusal> {
    let Some(claims) = claims else {
        return Ok(Vec::new());
    };
    claims
        .check_groups()
        .map_err(|error| Refusal::bad_request(Rejection::Groups, &error))?;
    let mut seen = HashSet::new();
    let groups: Vec<Arc<str>> = claims
        .groups
        .iter()
        .filter(|group| seen.insert(group.as_str()))
        .map(|group| Arc::from(group.as_str()))
        .collect();
    if groups.len() > most {
        let text = format!("The token names more than {most} groups.");
        return Err(Refusal::bad_request(Rejection::Groups, &text));
    }
    Ok(groups)
}

/// Checked for every new connection, also for those that turn out not to be simple.
fn mode_of(query: &Query<'_>) -> Result<SimpleMode, Refusal> {
    let texts = |name| {
        query
            .all(name)
            .map_err(|error| Refusal::bad_request(Rejection::Mode, &error))
    };
    let (modes, groups, no_echo) = (texts("webpubsub_mode")?, texts("group")?, texts("noEcho")?);
    let [modes, groups, no_echo] = [&modes, &groups, &no_echo]
        .map(|texts| texts.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    SimpleMode::from_query(&modes, &groups, &no_echo)
        .map_err(|error| Refusal::bad_request(Rejection::Mode, &error))
}

/// The 101 (RFC 6455 §4.2.2). No extension is ever agreed on.
fn switch(accept: &str, subprotocol: Option<&str>, then: Upgrade) -> Answer {
    let mut reply = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = reply.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, reply::header_text(accept));
    if let Some(name) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, reply::header_text(name));
    }
    Answer {
        reply,
        upgrade: Some(then),
    }
}
