//! The query parameters of REST operations (protocol notes: REST common rules).

use std::borrow::Cow;
use std::sync::Arc;

use hubwire_core::command::Excluded;
use hubwire_core::id::ConnectionId;

use super::VERSIONS;
use super::error::RestError;
use crate::listener::Query;

/// The longest time to live of a message, in seconds.
const MAX_TIME_TO_LIVE: u32 = 300;
/// The longest `reason` of a close, which every closed client is told.
pub(crate) const MAX_REASON_BYTES: usize = 4096;

/// A missing version is the latest one.
pub(super) fn check_version(query: &Query<'_>) -> Result<(), RestError> {
    let known = match texts(query, "api-version")?.as_slice() {
        [] => true,
        [version] => VERSIONS.contains(&version.as_ref()),
        _ => false,
    };
    if known {
        Ok(())
    } else {
        let text = "The specified API version is not supported.";
        Err(RestError::bad_request(text, "api-version"))
    }
}

/// Checks `messageTtlSeconds`. No client outlives its socket yet, so no message waits that long.
pub(super) fn check_time_to_live(query: &Query<'_>) -> Result<(), RestError> {
    integer(query, "messageTtlSeconds", 0, MAX_TIME_TO_LIVE).map(|_| ())
}

/// The connections that are left out. An id that no connection can have leaves out nobody.
pub(super) fn excluded(query: &Query<'_>) -> Result<Excluded, RestError> {
    let ids = texts(query, "excluded")?;
    Ok(Excluded::from_ids(
        ids.iter()
            .filter_map(|id| ConnectionId::parse(id))
            .collect(),
    ))
}

/// The reason for closing.
pub(super) fn reason(query: &Query<'_>) -> Result<Option<Arc<str>>, RestError> {
    let reasons = texts(query, "reason")?;
    let reason = reasons.into_iter().find(|reason| !reason.is_empty());
    if reason
        .as_ref()
        .is_some_and(|reason| reason.len() > MAX_REASON_BYTES)
    {
        return Err(invalid("reason"));
    }
    Ok(reason.map(Arc::from))
}

/// A whole number in a range, given at most once.
pub(super) fn integer(
    query: &Query<'_>,
    name: &'static str,
    least: u32,
    most: u32,
) -> Result<Option<u32>, RestError> {
    let number = match texts(query, name)?.as_slice() {
        [] => return Ok(None),
        [text] => text
            .parse()
            .ok()
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())),
        _ => None,
    };
    number
        .filter(|number| (least..=most).contains(number))
        .map(Some)
        .ok_or_else(|| invalid(name))
}

/// Every value of a parameter.
pub(super) fn texts<'a>(
    query: &Query<'a>,
    name: &'static str,
) -> Result<Vec<Cow<'a, str>>, RestError> {
    query.all(name).map_err(|_| invalid(name))
}

/// The error for a parameter that breaks its rule.
pub(super) fn invalid(name: &'static str) -> RestError {
    RestError::bad_request(format!("Invalid {name}."), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_once_in_digits_and_in_its_range() {
        let check = |query: &str, expect: Result<Option<u32>, ()>| {
            let found = integer(&Query::parse(Some(query)), "n", 1, 200).map_err(|_| ());
            assert_eq!(found, expect, "{query}");
        };
        check("", Ok(None));
        check("n=1", Ok(Some(1)));
        check("n=200", Ok(Some(200)));
        for wrong in [
            "n=",
            "n",
            "n=0",
            "n=201",
            "n=+5",
            "n=-1",
            "n=1.0",
            "n=%201",
            "n=1&n=1",
            "n=99999999999",
            "n=%FF",
        ] {
            check(wrong, Err(()));
        }
    }

    #[test]
    fn a_version_is_known_or_absent() {
        let check = |query: &str, expect: bool| {
            assert_eq!(
                check_version(&Query::parse(Some(query))).is_ok(),
                expect,
                "{query}"
            );
        };
        check("", true);
        check("api-version=2021-10-01", true);
        check("api-version=2099-01-01", false);
        check("api-version=", false);
        check("api-version=2024-12-01&api-version=2024-12-01", false);
        check("api-version=2024-01-01,2024-12-01", false);
    }
}
