//! REST for application servers: the order of checks, and the operations that send, close, ask
//! and change groups (protocol notes: REST operations).
//!
//! A request is checked in a fixed order: token, rate, version, names and parameters, content
//! type, body. Only then is anything done. Work goes to the shards as commands; a shard that cannot
//! take or answer one in time is a 503, never a wrong answer. What paths, queries and bodies mean
//! is in [`hubwire_proto::rest`]; here is what needs a token, a node or HTTP.

mod body;
mod cursor;
mod error;
mod filters;
mod list;
mod permission;
mod rate;
mod token;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hubwire_core::ask::{Answer, ReplyTo};
use hubwire_core::command::{Action, Excluded, GroupNames, Question, Selection};
use hubwire_core::id::ConnectionId;
use hubwire_core::publication::{Origin, Publication};
use hubwire_core::shard::SHUTTING_DOWN;
use hubwire_proto::metadata::Metadata;
use hubwire_proto::name::HubName;
use hubwire_proto::percent;
use hubwire_proto::rest::{
    BulkChange, CloseParameters, EncodedSlash, Fault, Operation, PathError, SendParameters, Target,
    check_version,
};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};

use crate::dispatch::Dispatch;
use crate::front::{Hosts, Verifier};
use crate::listener::{Query, Reply, reply};
use crate::metrics::Counters;
use crate::shards::Clock;
use crate::telemetry::redact_url;

use body::Bodies;
pub(crate) use body::{BYTES_AT_ONCE as BODY_BYTES_AT_ONCE, TIMEOUT as BODY_TIMEOUT};
use cursor::CursorKey;
use error::{RestError, Severity};
use filters::Filters;
use rate::Rate;

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
    /// Requests per second; 0 is without bound.
    pub(crate) requests_per_second: usize,
    /// Bytes of parsed filters that are kept.
    pub(crate) filter_cache_bytes: usize,
    /// Whether preview versions are accepted.
    pub(crate) accept_previews: bool,
    /// What `%2F` in a path segment is.
    pub(crate) encoded_slash: EncodedSlash,
    /// Whether an access key's token is good for making tokens.
    pub(crate) allow_token_generation: bool,
}

impl RestSettings {
    /// Longer than any request can take, since each part of it has a bound of its own.
    pub(crate) fn longest_exchange(&self) -> Duration {
        body::TIMEOUT + body::DISCARD_TIMEOUT + self.ask_timeout * 2
    }
}

/// REST on a node.
pub(crate) struct Rest {
    settings: RestSettings,
    verifier: Arc<Verifier>,
    dispatch: Arc<Dispatch>,
    bodies: Bodies,
    filters: Filters,
    rate: Option<Rate>,
    cursor_key: CursorKey,
    clock: Clock,
    counters: Arc<Counters>,
}

/// A request past its token and names.
struct Call<'a> {
    parts: &'a Parts,
    hosts: Hosts<'a>,
    hub: HubName,
    query: Query<'a>,
}

impl Rest {
    /// REST on the shards that `dispatch` leads to and that count time by `clock`, for the bearers
    /// of tokens that `verifier` believes.
    pub(crate) fn new(
        dispatch: Arc<Dispatch>,
        clock: Clock,
        verifier: Arc<Verifier>,
        settings: RestSettings,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            cursor_key: CursorKey::new(verifier.key_store().cursor_key().clone()),
            bodies: Bodies::new(settings.body_bytes),
            filters: Filters::new(settings.filter_cache_bytes, Arc::clone(&counters)),
            rate: Rate::new(settings.requests_per_second),
            dispatch,
            settings,
            verifier,
            clock,
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
        let found = Operation::find(parts.method.as_str(), segments, self.settings.encoded_slash);
        let (name, result) = match found {
            Ok(operation) => (
                operation.name(),
                self.perform(&parts, &mut body, hub, &operation).await,
            ),
            Err(error) => ("unknown", Err(error.into())),
        };
        if let Err(error) = &result {
            let url = redact_url(&parts.uri.to_string());
            // As a text it is quoted, and cannot pass for other fields.
            let error = error.to_string();
            tracing::debug!(%peer, operation = name, url, error, "REST request refused");
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
        let hosts = self.verifier.hosts(&parts.headers, &parts.uri);
        self.verifier
            .rest(&parts.headers, parts.uri.path(), hosts)?;
        if let Some(rate) = &self.rate {
            rate.take().map_err(RestError::too_many_requests)?;
        }
        if let Operation::NotBuilt(_) = operation {
            return Err(RestError::not_implemented());
        }
        let query = Query::parse(parts.uri.query());
        check_version(&query, self.settings.accept_previews)?;
        let hub = percent::decode(hub)
            .ok()
            .and_then(|hub| HubName::new(&hub).ok())
            .ok_or_else(|| Fault::new("Invalid hub name.", "hub"))?;
        operation.check_names()?;
        let call = Call {
            parts,
            hosts,
            hub,
            query,
        };
        match operation {
            Operation::Send(target) => self.send(&call, body, target).await,
            Operation::Close(target) => self.close(&call, target).await,
            Operation::Exists(target) => self.exists(&call, target).await,
            Operation::Join { target, group } => self.join(&call, target, group).await,
            Operation::Leave { target, group } => self.leave(&call, target, group.as_deref()).await,
            Operation::JoinMany => {
                let join = |groups, reply| Action::Join { groups, reply };
                self.change_many(&call, body, join).await
            }
            Operation::LeaveMany => {
                let leave = |groups, reply| Action::Leave {
                    groups: Some(groups),
                    reply,
                };
                self.change_many(&call, body, leave).await
            }
            Operation::List { group } => self.list(&call, group).await,
            Operation::Permission {
                verb,
                permission,
                connection,
            } => {
                let permission = permission.ok_or_else(|| Fault::of_parameter("permission"))?;
                self.permission(&call, *verb, permission, connection).await
            }
            Operation::GenerateToken => self.generate_token(&call),
            Operation::NotBuilt(_) => Err(RestError::not_implemented()),
        }
    }

    async fn send(
        &self,
        call: &Call<'_>,
        body: &mut Incoming,
        target: &Target,
    ) -> Result<Reply, RestError> {
        let parameters = SendParameters::read(&call.query)?;
        let mut selection = Selection::default();
        // One user is sent to without exceptions, one connection whatever it is.
        if let Target::Hub | Target::Group(_) = target {
            selection.excluded = excluded(&parameters.excluded);
        }
        if let (Some(filter), Target::Hub | Target::Group(_) | Target::User(_)) =
            (&parameters.filter, target)
        {
            selection.filter = Some(self.filters.parse(filter)?);
        }
        let headers = &call.parts.headers;
        let (message, _room) = self.bodies.message(headers, body).await?;
        let lines = headers.iter();
        let metadata =
            Metadata::from_headers(lines.map(|(name, value)| (name.as_str(), value.as_bytes())))
                .map_err(|error| Fault::of_request(error.to_string()))?;
        let origin = match target {
            Target::Group(group) => Origin::Group {
                group: group.as_str().into(),
                from_user: None,
            },
            Target::Hub | Target::User(_) | Target::Connection(_) => Origin::Server,
        };
        self.dispatch.wait_for_memory().await?;
        let expires_at = parameters
            .time_to_live
            .filter(|seconds| *seconds > 0)
            .map(|seconds| self.clock.now().plus(u64::from(seconds) * 1000));
        let publication = Publication::with_metadata(
            origin,
            message.data_type,
            message.payload.into(),
            self.dispatch.memory(),
            expires_at,
            metadata,
        );
        let action = Action::Deliver { publication };
        self.dispatch
            .send(call.hub.key(), target, selection, action)
            .await?;
        Ok(reply::empty(StatusCode::ACCEPTED))
    }

    async fn close(&self, call: &Call<'_>, target: &Target) -> Result<Reply, RestError> {
        let parameters = CloseParameters::read(&call.query)?;
        let mut selection = Selection::default();
        if let Target::Hub | Target::Group(_) | Target::User(_) = target {
            selection.excluded = excluded(&parameters.excluded);
        }
        let reason = parameters.reason.map(Arc::from);
        let close = |reply| Action::Close {
            reason,
            reply: Some(reply),
        };
        self.dispatch
            .ask(call.hub.key(), target, selection, close)
            .await?;
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    async fn exists(&self, call: &Call<'_>, target: &Target) -> Result<Reply, RestError> {
        let question = Question::Exists;
        let answers = self.question(call, target, question).await?;
        if answers.contains(&Answer::Exists(true)) {
            Ok(reply::empty(StatusCode::OK))
        } else {
            Err(RestError::not_existed(Severity::Info, target))
        }
    }

    async fn join(
        &self,
        call: &Call<'_>,
        target: &Target,
        group: &str,
    ) -> Result<Reply, RestError> {
        let groups = GroupNames::new([group], self.dispatch.memory());
        let join = |reply| Action::Join {
            groups,
            reply: Some(reply),
        };
        let answers = self
            .dispatch
            .ask(call.hub.key(), target, Selection::default(), join)
            .await?;
        match applied(&answers) {
            Some(Applied::ToSome) => Ok(reply::empty(StatusCode::OK)),
            Some(Applied::Refused) => {
                let text = "The connection is in as many groups as it may be.";
                Err(Fault::new(text, "group").into())
            }
            None => Err(RestError::not_existed(Severity::Error, target)),
        }
    }

    async fn leave(
        &self,
        call: &Call<'_>,
        target: &Target,
        group: Option<&str>,
    ) -> Result<Reply, RestError> {
        let groups = group.map(|group| GroupNames::new([group], self.dispatch.memory()));
        let leave = |reply| Action::Leave {
            groups,
            reply: Some(reply),
        };
        self.dispatch
            .ask(call.hub.key(), target, Selection::default(), leave)
            .await?;
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    /// Changes the groups of those connections of the hub that a filter in the body matches.
    async fn change_many(
        &self,
        call: &Call<'_>,
        body: &mut Incoming,
        change: impl FnOnce(Arc<GroupNames>, Option<ReplyTo>) -> Action,
    ) -> Result<Reply, RestError> {
        let (json, _room) = self.bodies.json(&call.parts.headers, body).await?;
        let wanted = BulkChange::parse(&json)?;
        let filter = wanted
            .filter
            .map(|filter| self.filters.parse(&filter))
            .transpose()?;
        let names = wanted.groups.iter().map(AsRef::as_ref);
        let groups = self.dispatch.group_names(names).await?;
        let selection = Selection {
            filter,
            ..Selection::default()
        };
        self.dispatch
            .ask(call.hub.key(), &Target::Hub, selection, |reply| {
                change(groups, Some(reply))
            })
            .await?;
        Ok(reply::empty(StatusCode::OK))
    }

    async fn question(
        &self,
        call: &Call<'_>,
        target: &Target,
        question: Question,
    ) -> Result<Vec<Answer>, RestError> {
        let ask = |reply| Action::Ask { question, reply };
        let everybody = Selection::default();
        let answers = self.dispatch.ask(call.hub.key(), target, everybody, ask);
        Ok(answers.await?)
    }
}

/// How a change went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applied {
    /// At least one connection has it.
    ToSome,
    /// There were connections, and a bound of each of them stood against it.
    Refused,
}

/// How a change went; `None` if there was nobody.
fn applied(answers: &[Answer]) -> Option<Applied> {
    if answers
        .iter()
        .any(|answer| matches!(answer, Answer::Applied(1..)))
    {
        Some(Applied::ToSome)
    } else if answers.contains(&Answer::Refused) {
        Some(Applied::Refused)
    } else {
        None
    }
}

/// The connections that are left out. An id that no connection can have leaves out nobody.
fn excluded(ids: &[Cow<'_, str>]) -> Excluded {
    let ids = ids.iter().filter_map(|id| ConnectionId::parse(id));
    Excluded::from_ids(ids.collect())
}

/// The response of a server that is about to end.
pub(crate) fn shutting_down() -> Reply {
    finish(RestError::unavailable(SHUTTING_DOWN).into_reply())
}

/// The response for a path that means nothing.
pub(crate) fn not_found() -> Reply {
    finish(RestError::from(PathError::Unknown).into_reply())
}

/// The response for a method that a known path does not have, among `allowed` ones.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Reply {
    finish(RestError::from(PathError::Method(allowed)).into_reply())
}

fn finish(mut reply: Reply) -> Reply {
    let versions = HeaderValue::from_static(SUPPORTED_VERSIONS);
    reply.headers_mut().insert(API_SUPPORTED_VERSIONS, versions);
    reply
}

#[cfg(test)]
mod tests {
    use hubwire_proto::rest::VERSIONS;

    use super::SUPPORTED_VERSIONS;

    #[test]
    fn the_header_names_every_version() {
        assert_eq!(SUPPORTED_VERSIONS, VERSIONS.join(", "));
    }
}
