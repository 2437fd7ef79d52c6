//! The rules for names: hub, group, event, user id, connection id.
//!
//! Only their shape is judged here. Who may use a name is decided by [`crate::role`]; undoing
//! percent-encoding is the caller's work, with [`crate::percent`].

use std::fmt;

/// The longest hub name in bytes (protocol notes: names).
pub const MAX_HUB_LEN: usize = 128;
/// The longest group name, in UTF-16 code units (protocol notes: names).
pub const MAX_GROUP_UNITS: usize = 1024;
/// The longest event name in bytes (protocol notes: names).
pub const MAX_EVENT_LEN: usize = 128;

/// A name that breaks its rule. The text is the one that REST answers with (protocol notes: REST
/// errors).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// See [`HubName`].
    #[error("Invalid hub name.")]
    Hub,
    /// See [`check_group`].
    #[error("Invalid group name.")]
    Group,
    /// See [`check_event`].
    #[error("Invalid event name.")]
    Event,
    /// See [`check_user_id`].
    #[error("Invalid user ID.")]
    UserId,
    /// See [`check_connection_id`].
    #[error("Invalid connection ID.")]
    ConnectionId,
}

/// The name of a hub: a letter, then up to 127 letters, digits or ``_ ` , . [ ]``, all ASCII.
///
/// Hubs are looked up in lower case; tokens are checked against the spelling of the request. Two
/// names are equal if their lower-cased forms are.
#[derive(Clone)]
pub struct HubName {
    raw: Box<str>,
    /// `None` when `raw` is lower case already, as it nearly always is.
    lower: Option<Box<str>>,
}

impl HubName {
    /// Takes the decoded name as the request spelled it.
    ///
    /// # Errors
    ///
    /// [`NameError::Hub`] if it breaks the rule.
    pub fn new(raw: &str) -> Result<Self, NameError> {
        let (&first, rest) = raw.as_bytes().split_first().ok_or(NameError::Hub)?;
        let allowed = |b: &u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b'`' | b',' | b'.' | b'[' | b']')
        };
        if raw.len() > MAX_HUB_LEN || !first.is_ascii_alphabetic() || !rest.iter().all(allowed) {
            return Err(NameError::Hub);
        }
        let lower = raw
            .bytes()
            .any(|b| b.is_ascii_uppercase())
            .then(|| raw.to_ascii_lowercase().into_boxed_str());
        Ok(Self {
            raw: raw.into(),
            lower,
        })
    }

    /// The spelling of the request.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The lower-cased form: the key under which the hub is found.
    #[must_use]
    pub fn key(&self) -> &str {
        self.lower.as_deref().unwrap_or(&self.raw)
    }
}

impl PartialEq for HubName {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for HubName {}

impl fmt::Debug for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HubName").field(&self.raw).finish()
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

/// A group is 1 to 1024 UTF-16 units, not all of them white space. Anything else is allowed,
/// blanks at the ends included, and letter case counts.
///
/// # Errors
///
/// [`NameError::Group`].
pub fn check_group(name: &str) -> Result<(), NameError> {
    // A UTF-16 unit takes at least one byte of UTF-8, so short names need no count.
    let too_long = name.len() > MAX_GROUP_UNITS && name.encode_utf16().count() > MAX_GROUP_UNITS;
    if too_long || is_blank(name) {
        return Err(NameError::Group);
    }
    Ok(())
}

/// An event is an ASCII letter of either case, then up to 127 letters, digits or `_ . -`.
///
/// # Errors
///
/// [`NameError::Event`].
pub fn check_event(name: &str) -> Result<(), NameError> {
    let (&first, rest) = name.as_bytes().split_first().ok_or(NameError::Event)?;
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if name.len() > MAX_EVENT_LEN || !first.is_ascii_alphabetic() || !rest.iter().all(allowed) {
        return Err(NameError::Event);
    }
    Ok(())
}

/// A user id in a REST path is anything but empty or all white space.
///
/// # Errors
///
/// [`NameError::UserId`].
pub fn check_user_id(id: &str) -> Result<(), NameError> {
    if is_blank(id) {
        return Err(NameError::UserId);
    }
    Ok(())
}

/// A connection id in a REST path is anything but empty or all white space; an unknown one is
/// simply not found.
///
/// # Errors
///
/// [`NameError::ConnectionId`].
pub fn check_connection_id(id: &str) -> Result<(), NameError> {
    if is_blank(id) {
        return Err(NameError::ConnectionId);
    }
    Ok(())
}

fn is_blank(name: &str) -> bool {
    name.chars().all(char::is_whitespace)
}
