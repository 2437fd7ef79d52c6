//! Listing the connections in a group, page by page (protocol notes: listing).
//!
//! Pages follow the connection ids, so members that come or go between two pages neither shift
//! nor repeat anybody.

use hubwire_core::ask::{Answer, Listed};
use hubwire_core::command::Question;
use hubwire_core::id::ConnectionIdText;
use hubwire_proto::rest::{Fault, ListParameters, NEWEST_VERSION, Target};
use hyper::StatusCode;
use serde::Serialize;

use super::error::RestError;
use super::{Call, Rest};
use crate::listener::{Reply, reply};

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
        let target = Target::Group(group.to_owned());
        let answers = self.question(call, &target, question).await?;
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
        let page = wanted.page;
        let mut link = format!(
            "{address}?api-version={NEWEST_VERSION}&maxpagesize={page}&continuationToken={token}"
        );
        if let Some(top) = top {
            link.push_str(&format!("&top={top}"));
        }
        Some(link)
    }

    /// The request's own URL without its query, as the caller sees it: with the host that it
    /// asked for, and the scheme and base path that a proxy may have taken off.
    fn own_address(&self, call: &Call<'_>) -> Option<String> {
        let path = call.parts.uri.path();
        let asked = call.hosts.asked();
        let endpoint = self
            .verifier
            .endpoint_named(call.hosts)
            .or(asked.as_ref())
            .or(self.verifier.endpoints().first())?;
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
        let ListParameters {
            page,
            top,
            continuation_token,
        } = ListParameters::read(&call.query)?;
        let after = continuation_token
            .map(|token| {
                rest.cursor_key
                    .open(call.hub.key(), group, &token)
                    .ok_or_else(|| Fault::of_parameter("continuationToken"))
            })
            .transpose()?;
        let size = usize::try_from(top.unwrap_or(page).min(page)).unwrap_or(usize::MAX);
        Ok(Self {
            page,
            top,
            after,
            size: size.min(rest.settings.list_page),
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
        Answer::Applied(_) | Answer::Refused | Answer::Exists(_) | Answer::Allows(_) => Vec::new(),
    });
    let mut members: Vec<Listed> = pages.flatten().collect();
    members.sort_unstable_by_key(|member| member.connection.text());
    members
}
