//! Acknowledgement errors: their names and texts, the same in every protocol that has
//! acknowledgements (protocol notes: ack errors).
//!
//! Which id counts as a duplicate is the session's knowledge.

/// The `name` of an error in a failed acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckErrorName {
    /// The id was used before by a request that succeeded; clients take this as success.
    Duplicate,
    /// The connection lacks the permission.
    Forbidden,
    /// Anything else, above all an event that nobody takes or whose handler fails.
    InternalServerError,
    /// The request makes no sense to the server.
    BadRequest,
}

impl AckErrorName {
    /// As it goes over the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "Duplicate",
            Self::Forbidden => "Forbidden",
            Self::InternalServerError => "InternalServerError",
            Self::BadRequest => "BadRequest",
        }
    }
}

/// The text with [`AckErrorName::InternalServerError`]; what went wrong is never told.
pub const INTERNAL_SERVER_ERROR: &str = "Internal server error";

/// The text with [`AckErrorName::Duplicate`].
#[must_use]
pub fn duplicate(ack_id: u64) -> String {
    format!("Message with ack-id: {ack_id} has been processed")
}

/// The text with [`AckErrorName::Forbidden`] for a join.
#[must_use]
pub fn forbidden_join(group: &str) -> String {
    format!("The client does not have permission to join group '{group}'.")
}

/// The text with [`AckErrorName::Forbidden`] for a leave.
#[must_use]
pub fn forbidden_leave(group: &str) -> String {
    format!("The client does not have permission to leave group '{group}'.")
}

/// The text with [`AckErrorName::Forbidden`] for a publish.
#[must_use]
pub fn forbidden_send(group: &str) -> String {
    format!("The client does not have permission to send to group '{group}'.")
}

/// The text with [`AckErrorName::Forbidden`] for setting or clearing a state.
#[must_use]
pub fn forbidden_set_state(group: &str) -> String {
    format!("The client does not have permission to set its state in group '{group}'.")
}

/// The text with [`AckErrorName::Forbidden`] for subscribing to a group's states.
#[must_use]
pub fn forbidden_get_state(group: &str) -> String {
    format!("The client does not have permission to get the state of group '{group}'.")
}

/// The text with [`AckErrorName::BadRequest`] for group state of a group that the client may deal
/// with and is not in. Joining, not a role, is what it lacks.
#[must_use]
pub fn not_a_member(group: &str) -> String {
    format!("The client is not a member of group '{group}'.")
}

/// The text with [`AckErrorName::BadRequest`] for a state with too many bytes in its keys and
/// values.
#[must_use]
pub fn state_too_large(group: &str, bytes: usize, limit: usize) -> String {
    format!("The state for group '{group}' has {bytes} bytes, more than {limit}.")
}
