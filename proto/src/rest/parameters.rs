//! The query parameters of REST operations (protocol notes: REST common rules).

use std::borrow::Cow;

use super::{Fault, PREVIEW_VERSIONS, VERSIONS};
use crate::connection_string::ClientType;
use crate::name;
use crate::query::Query;
use crate::token::DEFAULT_LIFETIME_MINUTES;

/// The longest time to live of a message, in seconds.
pub const MAX_TIME_TO_LIVE_SECONDS: u32 = 300;
/// The longest `reason` of a close, in bytes; every closed client is told it.
pub const MAX_REASON_BYTES: usize = 4096;

/// The largest `maxpagesize`, and its default.
const MAX_PAGE: u32 = 200;
/// The largest whole number that the vendor's service takes.
const MAX_INTEGER: u32 = i32::MAX.unsigned_abs();

/// What a send may say. Each kind of target has only some of them; the others are ignored there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendParameters<'a> {
    /// Ids of connections that get nothing.
    pub excluded: Vec<Cow<'a, str>>,
    /// Which connections get it; never empty.
    pub filter: Option<Cow<'a, str>>,
    /// How long a receiver may keep it waiting, in seconds; 0 and `None` are without end.
    pub time_to_live: Option<u32>,
}

/// What a close may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseParameters<'a> {
    /// Ids of connections that stay.
    pub excluded: Vec<Cow<'a, str>>,
    /// What the clients are told; never empty.
    pub reason: Option<Cow<'a, str>>,
}

/// What a list may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListParameters<'a> {
    /// The most entries on a page.
    pub page: u32,
    /// The most entries on this page and those that follow.
    pub top: Option<u32>,
    /// Where the page begins. Not judged here.
    pub continuation_token: Option<Cow<'a, str>>,
}

/// What a request for a client's token may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenParameters<'a> {
    /// The user; never empty.
    pub user_id: Option<Cow<'a, str>>,
    /// Roles as they were given.
    pub roles: Vec<Cow<'a, str>>,
    /// Names of groups.
    pub groups: Vec<Cow<'a, str>>,
    /// The lifetime, at least one.
    pub minutes: u32,
    /// Which kind of client it is for.
    pub client_type: ClientType,
}

impl<'a> SendParameters<'a> {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`Fault`] about the first that breaks its rule.
    pub fn read(query: &Query<'a>) -> Result<Self, Fault> {
        Ok(Self {
            time_to_live: integer(query, "messageTtlSeconds", 0, MAX_TIME_TO_LIVE_SECONDS)?,
            excluded: texts(query, "excluded")?,
            filter: one(query, "filter")?.filter(|filter| !filter.is_empty()),
        })
    }
}

impl<'a> CloseParameters<'a> {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`Fault`] about the first that breaks its rule.
    pub fn read(query: &Query<'a>) -> Result<Self, Fault> {
        let reasons = texts(query, "reason")?;
        let reason = reasons.into_iter().find(|reason| !reason.is_empty());
        if reason
            .as_ref()
            .is_some_and(|reason| reason.len() > MAX_REASON_BYTES)
        {
            return Err(Fault::of_parameter("reason"));
        }
        Ok(Self {
            excluded: texts(query, "excluded")?,
            reason,
        })
    }
}

impl<'a> ListParameters<'a> {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`Fault`] about the first that breaks its rule.
    pub fn read(query: &Query<'a>) -> Result<Self, Fault> {
        Ok(Self {
            page: integer(query, "maxpagesize", 1, MAX_PAGE)?.unwrap_or(MAX_PAGE),
            top: integer(query, "top", 1, MAX_INTEGER)?,
            continuation_token: one(query, "continuationToken")?,
        })
    }
}

impl<'a> TokenParameters<'a> {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`Fault`] about the first that breaks its rule.
    pub fn read(query: &Query<'a>) -> Result<Self, Fault> {
        let groups = texts(query, "group")?;
        if let Some(error) = groups
            .iter()
            .find_map(|group| name::check_group(group).err())
        {
            return Err(Fault::new(error.to_string(), "group"));
        }
        let user_id = one(query, "userId")?.filter(|user| !user.is_empty());
        // A user of blanks could be named by no path.
        if let Some(Err(error)) = user_id.as_deref().map(name::check_user_id) {
            return Err(Fault::new(error.to_string(), "userId"));
        }
        let client_type = match one(query, "clientType")? {
            None => ClientType::Default,
            Some(name) => {
                ClientType::from_name(&name).ok_or_else(|| Fault::of_parameter("clientType"))?
            }
        };
        // Some of the vendor's libraries send 0 when they mean the default.
        let minutes = integer(query, "minutesToExpire", 0, MAX_INTEGER)?
            .filter(|minutes| *minutes > 0)
            .unwrap_or(DEFAULT_LIFETIME_MINUTES);
        Ok(Self {
            user_id,
            roles: texts(query, "role")?,
            groups,
            minutes,
            client_type,
        })
    }
}

/// The group of a permission; `None` stands for all groups.
///
/// # Errors
///
/// [`Fault`] if it is no group name, or there are several.
pub fn target_name<'a>(query: &Query<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let group = one(query, "targetName")?;
    match group.as_deref().map(name::check_group) {
        Some(Err(error)) => Err(Fault::new(error.to_string(), "targetName")),
        Some(Ok(())) | None => Ok(group),
    }
}

/// Checks `api-version`. A request without one means the newest; previews are let in only if
/// `accept_previews`.
///
/// # Errors
///
/// [`Fault`] if it is unknown or repeated.
pub fn check_version(query: &Query<'_>, accept_previews: bool) -> Result<(), Fault> {
    let known = |version: &str| {
        VERSIONS.contains(&version) || accept_previews && PREVIEW_VERSIONS.contains(&version)
    };
    match query.all("api-version").as_deref() {
        Ok([]) => Ok(()),
        Ok([version]) if known(version) => Ok(()),
        _ => Err(Fault::new(
            "The specified API version is not supported.",
            "api-version",
        )),
    }
}

/// A whole number in a range, given at most once.
fn integer(
    query: &Query<'_>,
    name: &'static str,
    least: u32,
    most: u32,
) -> Result<Option<u32>, Fault> {
    let Some(text) = one(query, name)? else {
        return Ok(None);
    };
    // The parser would take a plus sign too.
    Some(text)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|number| (least..=most).contains(number))
        .map(Some)
        .ok_or_else(|| Fault::of_parameter(name))
}

/// The value of a parameter that may be given once.
fn one<'a>(query: &Query<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, Fault> {
    let mut values = texts(query, name)?;
    let value = values.pop();
    if values.is_empty() {
        Ok(value)
    } else {
        Err(Fault::of_parameter(name))
    }
}

/// Every value of a parameter.
fn texts<'a>(query: &Query<'a>, name: &'static str) -> Result<Vec<Cow<'a, str>>, Fault> {
    query.all(name).map_err(|_| Fault::of_parameter(name))
}
