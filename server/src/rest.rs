//! REST for application servers, first half: send, close, membership, existence, listing
//! (protocol notes: REST operations).
//!
//! A request is checked in a fixed order: token, version, names and parameters, content type,
//! body. Only then is anything done. Work goes to the shards as commands; a shard that cannot
//! take or answer one in time is a 503, never a wrong answer.

mod body;
mod cursor;
mod dispatch;
mod error;
mod list;
mod operation;
mod parameters;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hubwire_core::ask::Answer;
use hubwire_core::command::{Action, Excluded, Question};
use hubwire_core::node::Node;
use hubwire_core::publication::{Origin, Publication};
use hubwire_proto::name::HubName;
use hubwire_proto::percent;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};

use crate::front::Verifier;
use crate::listener::{Query, Reply, reply};
use crate::metrics::Counters;
use crate::telemetry::redact_url;

use body::Bodies;
pub(crate) use body::{BYTES_AT_ONCE as BODY_BYTES_AT_ONCE, TIMEOUT as BODY_TIMEOUT};
use cursor::CursorKey;
use dispatch::Dispatch;
use error::{RestError, Severity};
use operation::{Aim, Operation};
pub(crate) use parameters::MAX_REASON_BYTES;

/// The versions of the interface that are served; the last is the latest.
const VERSIONS: [&str; 5] = [
    "2021-10-01",
    "2022-11-01",
    "2023-07-01",
    "2024-01-01",
    "2024-12-01",
];
const SUPPORTED_VERSIONS: &str = "2021-10-01, 2022-11-01, 2023-07-01, 2024-01-01, 2024-12-01";

const API_SUPPORTED_VERSIONS: HeaderName = HeaderName::from_static("api-supported-versions");

/// What REST is told at start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestSettings {
    /// Bytes of a request's body; over it 413.
    pub(crate) body_bytes: usize,
    /// Time that the shards have to take a command and to answer a question.
    pub(crate) ask_timeout: Duration,
    /// Connections on a page of a list.
    pub(crate) list_page: usize,
}

impl RestSettings {
    /// Longer than any request can take, since each part of it has a bound of its own.
    pub(crate) fn longest_exchange(&self) -> Duration {
        body::TIMEOUT * 2 + body::DISCARD_TIMEOUT + self.ask_timeout * 2
    }
}

/// REST on a node.
pub(crate) struct Rest {
    verifier: Arc<Verifier>,
    dispatch: Dispatch,
    bodies: Bodies,
    cursor_key: CursorKey,
    list_page: usize,
    counters: Arc<Counters>,
}

/// A request past its token and names.
struct Call<'a> {
    parts: &'a Parts,
    hub: HubName,
    query: Query<'a>,
}

impl Rest {
    /// REST on `node` for the bearers of tokens that `verifier` believes.
    pub(crate) fn new(
        node: Arc<Node>,
        verifier: Arc<Verifier>,
        settings: RestSettings,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            cursor_key: CursorKey::derive(verifier.primary_key()),
            bodies: Bodies::new(settings.body_bytes),
            dispatch: Dispatch::new(node, settings.ask_timeout, Arc::clone(&counters)),
            list_page: settings.list_page,
            verifier,
            counters,
        }
    }

    /// Answers a request below `/api/hubs/{hub}/`; `hub` and `segments` are encoded.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        hub: &str,
        segments: &[&str],
        peer: SocketAddr,
    ) -> Reply {
        let (parts, mut body) = request.into_parts();
        let (name, result) = match Operation::find(&parts.method, segments) {
            Ok(operation) => (
                operation.name(),
                self.perform(&parts, &mut body, hub, &operation).await,
            ),
            Err(error) => ("unknown", Err(error)),
        };
        if let Err(error) = &result {
            let url = redact_url(&parts.uri.to_string());
            tracing::debug!(%peer, operation = name, url, %error, "REST request refused");
            // Else the response could be lost in the reset that unread input brings about.
            body::discard(body, &parts.headers).await;
        }
        let reply = finish(result.unwrap_or_else(|error| error.into_reply()));
        self.counters.rest(name, reply.status());
        reply
    }

    async fn perform(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        hub: &str,
        operation: &Operation,
    ) -> Result<Reply, RestError> {
        self.verifier.rest(
            &parts.headers,
            parts.uri.path(),
            host_of(&parts.headers, &parts.uri),
        )?;
        let query = Query::parse(parts.uri.query());
        parameters::check_version(&query)?;
        let hub = percent::decode(hub)
            .ok()
            .and_then(|hub| HubName::new(&hub).ok());
        let hub = hub.ok_or_else(|| RestError::bad_request("Invalid hub name.", "hub"))?;
        operation.check_names()?;
        let call = Call { parts, hub, query };
        match operation {
            Operation::Send(aim) => self.send(&call, body, aim).await,
            Operation::Close(aim) => self.close(&call, aim).await,
            Operation::Exists(aim) => self.exists(&call, aim).await,
            Operation::Join { aim, group } => self.join(&call, aim, group).await,
            Operation::Leave { aim, group } => self.leave(&call, aim, group.as_deref()).await,
            Operation::List { group } => self.list(&call, group).await,
            Operation::Unsupported(_) => Err(RestError::not_implemented(
                "This operation is not supported in this version of the server.",
            )),
        }
    }

    async fn send(
        &self,
        call: &Call<'_>,
        body: &mut Incoming,
        aim: &Aim,
    ) -> Result<Reply, RestError> {
        parameters::check_time_to_live(&call.query)?;
        // One user or connection is sent to as a whole.
        let excluded = match aim {
            Aim::Hub | Aim::Group(_) => parameters::excluded(&call.query)?,
            Aim::User(_) | Aim::Connection(_) => Excluded::Nobody,
        };
        if !matches!(aim, Aim::Connection(_)) && call.query.has("filter") {
            return Err(RestError::not_implemented(
                "The parameter filter is not supported in this version of the server.",
            ));
        }
        let (message, _room) = self.bodies.read(&call.parts.headers, body).await?;
        let origin = match aim {
            Aim::Group(group) => Origin::Group {
                group: group.as_str().into(),
                from_user: None,
            },
            Aim::Hub | Aim::User(_) | Aim::Connection(_) => Origin::Server,
        };
        self.dispatch.wait_for_memory().await?;
        let memory = self.dispatch.memory();
        let publication =
            Publication::new(origin, message.data_type, message.payload.into(), memory);
        let action = Action::Deliver {
            publication,
            excluded,
        };
        self.dispatch.send(call.hub.key(), aim, action).await?;
        Ok(reply::empty(StatusCode::ACCEPTED))
    }

    async fn close(&self, call: &Call<'_>, aim: &Aim) -> Result<Reply, RestError> {
        let excluded = match aim {
            Aim::Connection(_) => Excluded::Nobody,
            Aim::Hub | Aim::Group(_) | Aim::User(_) => parameters::excluded(&call.query)?,
        };
        let reason = parameters::reason(&call.query)?;
        let close = |reply| Action::Close {
            reason,
            excluded,
            reply: Some(reply),
        };
        self.dispatch.ask(call.hub.key(), aim, close).await?;
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    async fn exists(&self, call: &Call<'_>, aim: &Aim) -> Result<Reply, RestError> {
        let ask = |reply| Action::Ask {
            question: Question::Exists,
            reply,
        };
        let answers = self.dispatch.ask(call.hub.key(), aim, ask).await?;
        if answers.contains(&Answer::Exists(true)) {
            Ok(reply::empty(StatusCode::OK))
        } else {
            Err(RestError::not_existed(Severity::Info, aim))
        }
    }

    async fn join(&self, call: &Call<'_>, aim: &Aim, group: &str) -> Result<Reply, RestError> {
        let join = |reply| Action::Join {
            group: group.into(),
            reply: Some(reply),
        };
        let answers = self.dispatch.ask(call.hub.key(), aim, join).await?;
        if applied(&answers) > 0 {
            Ok(reply::empty(StatusCode::OK))
        } else if answers.contains(&Answer::Refused) {
            let text = "The connection is in as many groups as it may be.";
            Err(RestError::bad_request(text, "group"))
        } else {
            Err(RestError::not_existed(Severity::Error, aim))
        }
    }

    async fn leave(
        &self,
        call: &Call<'_>,
        aim: &Aim,
        group: Option<&str>,
    ) -> Result<Reply, RestError> {
        let leave = |reply| Action::Leave {
            group: group.map(Into::into),
            reply: Some(reply),
        };
        self.dispatch.ask(call.hub.key(), aim, leave).await?;
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }
}

/// The response for a path that means nothing.
pub(crate) fn not_found() -> Reply {
    finish(RestError::not_found().into_reply())
}

/// The response for a method that a known path does not have, among `allowed` ones.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Reply {
    finish(RestError::method_not_allowed(allowed).into_reply())
}

/// The host that a request is addressed to.
pub(crate) fn host_of<'a>(headers: &'a hyper::HeaderMap, uri: &'a hyper::Uri) -> Option<&'a str> {
    // A target in absolute form wins over the header (RFC 9112 §3.2.2).
    let in_target = uri.authority().map(hyper::http::uri::Authority::as_str);
    in_target.or_else(|| headers.get(HOST)?.to_str().ok())
}

fn applied(answers: &[Answer]) -> usize {
    let count = |answer: &Answer| match answer {
        Answer::Applied(count) => *count,
        Answer::Refused | Answer::Exists(_) | Answer::Page(_) => 0,
    };
    answers.iter().map(count).sum()
}

fn finish(mut reply: Reply) -> Reply {
    let versions = HeaderValue::from_static(SUPPORTED_VERSIONS);
    reply.headers_mut().insert(API_SUPPORTED_VERSIONS, versions);
    reply
}
