//! Listing the connections in a group, page by page (protocol notes: listing).
//!
//! Pages follow the connection ids, so members that come or go between two pages neither shift
//! nor repeat anybody.

use hubwire_core::ask::{Answer, Listed};
use hubwire_core::command::{Action, Question};
use hubwire_core::id::ConnectionIdText;
use hubwire_proto::connection_string::Endpoint;
use hyper::StatusCode;
use serde::Serialize;

use super::error::RestError;
use super::operation::Aim;
use super::{Call, Rest, VERSIONS, host_of, parameters};
use crate::listener::{Reply, reply};

/// The largest `maxpagesize`, and its default.
const MAX_PAGE: u32 = 200;
/// The largest `top`.
const MAX_TOP: u32 = i32::MAX.unsigned_abs();

#[derive(Serialize)]
struct Page<'a> {
    value: Vec<Row<'a>>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(rename = "connectionId")]
    connection_id: String,
    #[serde(rename = "userId")]
    user_id: Option<&'a str>,
}

impl Rest {
    pub(super) async fn list(&self, call: &Call<'_>, group: &str) -> Result<Reply, RestError> {
        let wanted = Wanted::read(self, call, group)?;
        // One more than wanted tells whether there is another page.
        let question = Question::List {
            after: wanted.after,
            limit: wanted.size + 1,
        };
        let ask = |reply| Action::Ask { question, reply };
        let aim = Aim::Group(group.to_owned());
        let answers = self.dispatch.ask(call.hub.key(), &aim, ask).await?;
        let mut members = merge(answers);
        let more = members.len() > wanted.size;
        members.truncate(wanted.size);
        let page = Page {
            next_link: members
                .last()
                .filter(|_| more)
                .and_then(|last| self.next_link(call, group, &wanted, last, members.len())),
            value: members.iter().map(Row::of).collect(),
        };
        let body = serde_json::to_string(&page).unwrap_or_default();
        Ok(reply::with_body(StatusCode::OK, reply::JSON, body))
    }

    /// The link to the page after `last`, unless as many as asked for were listed.
    fn next_link(
        &self,
        call: &Call<'_>,
        group: &str,
        wanted: &Wanted,
        last: &Listed,
        listed: usize,
    ) -> Option<String> {
        let listed = u32::try_from(listed).unwrap_or(u32::MAX);
        let top = wanted.top.map(|top| top.saturating_sub(listed));
        if top == Some(0) {
            return None;
        }
        let token = self
            .cursor_key
            .seal(call.hub.key(), group, last.connection.text());
        let address = self.own_address(call)?;
        let version = VERSIONS.last()?;
        let page = wanted.page;
        let mut link =
            format!("{address}?api-version={version}&maxpagesize={page}&continuationToken={token}");
        if let Some(top) = top {
            link.push_str(&format!("&top={top}"));
        }
        Some(link)
    }

    /// The request's own URL without its query, as the caller sees it: with the host that it
    /// asked for, and the scheme and base path that a proxy may have taken off.
    fn own_address(&self, call: &Call<'_>) -> Option<String> {
        let path = call.parts.uri.path();
        let endpoints = self.verifier.endpoints();
        let host = host_of(&call.parts.headers, &call.parts.uri);
        let asked = host.and_then(|host| Endpoint::parse(&format!("http://{host}")).ok());
        let known = endpoints.iter().find(|endpoint| {
            let authority = endpoint.authority();
            asked
                .as_ref()
                .is_some_and(|asked| asked.authority().eq_ignore_ascii_case(authority))
        });
        let endpoint = known.or(asked.as_ref()).or(endpoints.first())?;
        let below = endpoint.base_path();
        let is_below = path
            .strip_prefix(below)
            .is_some_and(|rest| rest.starts_with('/'));
        let (scheme, authority) = (
            if endpoint.is_secure() {
                "https"
            } else {
                "http"
            },
            endpoint.authority(),
        );
        let base = if is_below { "" } else { below };
        Some(format!("{scheme}://{authority}{base}{path}"))
    }
}

/// The page that a request wants.
struct Wanted {
    page: u32,
    top: Option<u32>,
    after: Option<ConnectionIdText>,
    /// The most to return.
    size: usize,
}

impl Wanted {
    fn read(rest: &Rest, call: &Call<'_>, group: &str) -> Result<Self, RestError> {
        let page =
            parameters::integer(&call.query, "maxpagesize", 1, MAX_PAGE)?.unwrap_or(MAX_PAGE);
        let top = parameters::integer(&call.query, "top", 1, MAX_TOP)?;
        let after = match parameters::texts(&call.query, "continuationToken")?.as_slice() {
            [] => None,
            [token] => Some(
                rest.cursor_key
                    .open(call.hub.key(), group, token)
                    .ok_or_else(|| parameters::invalid("continuationToken"))?,
            ),
            _ => return Err(parameters::invalid("continuationToken")),
        };
        let size = usize::try_from(top.unwrap_or(page).min(page)).unwrap_or(usize::MAX);
        Ok(Self {
            page,
            top,
            after,
            size: size.min(rest.list_page),
        })
    }
}

impl<'a> Row<'a> {
    fn of(member: &'a Listed) -> Self {
        Self {
            connection_id: member.connection.to_string(),
            user_id: member.user.as_deref(),
        }
    }
}

/// The members of all shards in one order.
fn merge(answers: Vec<Answer>) -> Vec<Listed> {
    let pages = answers.into_iter().map(|answer| match answer {
        Answer::Page(page) => page,
        Answer::Applied(_) | Answer::Refused | Answer::Exists(_) => Vec::new(),
    });
    let mut members: Vec<Listed> = pages.flatten().collect();
    members.sort_unstable_by_key(|member| member.connection.text());
    members
}
