//! Requests of application servers, without HTTP: what paths and queries mean, what the body of a
//! bulk change says, and the texts for what is wrong (protocol notes: REST common rules, REST
//! operations).
//!
//! Nothing here knows a token or a status other than "bad request"; [`crate::route`] has cut the
//! path, [`crate::query`] the query.

mod bulk;
mod operation;
mod parameters;

use std::borrow::Cow;

pub use bulk::BulkChange;
pub use operation::{EncodedSlash, Operation, PathError, PermissionVerb, Target};
pub use parameters::{
    CloseParameters, ListParameters, MAX_REASON_BYTES, MAX_TIME_TO_LIVE_SECONDS, SendParameters,
    TokenParameters, check_version, target_name,
};

/// The stable versions of the interface, all of them served alike; the last is the newest.
pub const VERSIONS: [&str; 5] = [
    "2021-10-01",
    "2022-11-01",
    "2023-07-01",
    "2024-01-01",
    "2024-12-01",
];

/// The newest version, which a request without one gets.
pub const NEWEST_VERSION: &str = VERSIONS[VERSIONS.len() - 1];

/// The early and preview versions that can be let in; what they have is a part of the stable ones.
pub const PREVIEW_VERSIONS: [&str; 5] = [
    "2020-10-01",
    "2021-01-01",
    "2021-05-01-preview",
    "2021-08-01-preview",
    "2022-10-01-preview",
];

/// What is wrong with a request that gets 400 (protocol notes: REST errors).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// For people.
    pub message: Cow<'static, str>,
    /// What it is about: a parameter, or [`Fault::REQUEST`].
    pub target: &'static str,
}

impl Fault {
    /// The target of a fault that is not about one parameter.
    pub const REQUEST: &'static str = "Request";

    /// A fault about `target`.
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>, target: &'static str) -> Self {
        Self {
            message: message.into(),
            target,
        }
    }

    /// A fault of the request as a whole, its path and body included.
    #[must_use]
    pub fn of_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(message, Self::REQUEST)
    }

    /// A parameter that breaks its rule.
    #[must_use]
    pub fn of_parameter(name: &'static str) -> Self {
        Self::new(format!("Invalid {name}."), name)
    }
}
