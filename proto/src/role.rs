//! Roles: what a connection may do to groups (protocol notes: roles).
//!
//! Sending events needs no role. Group patterns with wildcards and changes at run time are not
//! read here; a role that grants nothing is reported, never guessed at.

use std::borrow::Cow;

use crate::name;

/// The most literal groups that one connection's roles can name for joining, and as many for
/// publishing.
pub const MAX_LITERALS: usize = 1000;
/// The longest group pattern, in bytes.
pub const MAX_PATTERN_LEN: usize = 1024;
/// The most unescaped `*` in a pattern; `**` counts as two.
pub const MAX_STARS: usize = 5;

/// What a connection may do to which groups. The default is nothing.
///
/// Kept by every connection, so small: all-or-nothing permissions own no memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions {
    all_join: bool,
    all_send: bool,
    literals: Option<Box<Literals>>,
}

/// Group names, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Literals {
    join: Box<[Box<str>]>,
    send: Box<[Box<str>]>,
}

/// A role that had no effect, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IgnoredRole<'a> {
    /// The role as it was given.
    pub role: &'a str,
    /// Why it had no effect.
    pub reason: IgnoredReason,
}

/// Why a role had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IgnoredReason {
    /// No such role.
    #[error("unknown role")]
    Unknown,
    /// The group it names cannot exist.
    #[error("invalid group name")]
    GroupName,
    /// Its pattern breaks the pattern rules.
    #[error("invalid group pattern")]
    Pattern,
    /// Its pattern has wildcards.
    #[error("wildcards in group patterns are not supported")]
    Wildcard,
    /// [`MAX_LITERALS`] groups are named already.
    #[error("too many groups named by roles")]
    TooMany,
}

impl Permissions {
    /// Reads role strings, letter case included. The second value lists those without effect.
    pub fn from_roles<'a>(
        roles: impl IntoIterator<Item = &'a str>,
    ) -> (Self, Vec<IgnoredRole<'a>>) {
        let (mut join, mut send) = (Grants::default(), Grants::default());
        let mut ignored = Vec::new();
        for role in roles {
            match parse(role) {
                Ok((operation, target)) => match operation {
                    Operation::Join => join.add(role, target),
                    Operation::Send => send.add(role, target),
                },
                Err(reason) => ignored.push(IgnoredRole { role, reason }),
            }
        }
        let permissions = Self {
            all_join: join.all,
            all_send: send.all,
            literals: None,
        };
        let (join, send) = (join.finish(&mut ignored), send.finish(&mut ignored));
        let literals =
            (!join.is_empty() || !send.is_empty()).then(|| Box::new(Literals { join, send }));
        (
            Self {
                literals,
                ..permissions
            },
            ignored,
        )
    }

    /// Whether the connection may join and leave the group.
    #[must_use]
    pub fn may_join(&self, group: &str) -> bool {
        self.all_join || self.literals.as_ref().is_some_and(|l| has(&l.join, group))
    }

    /// Whether the connection may publish to the group.
    #[must_use]
    pub fn may_send(&self, group: &str) -> bool {
        self.all_send || self.literals.as_ref().is_some_and(|l| has(&l.send, group))
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Join,
    Send,
}

enum Target<'a> {
    All,
    Group(Cow<'a, str>),
}

/// What the roles seen so far grant for one operation.
#[derive(Default)]
struct Grants<'a> {
    all: bool,
    /// A group and the role that named it.
    literals: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Grants<'a> {
    fn add(&mut self, role: &'a str, target: Target<'a>) {
        match target {
            Target::All => self.all = true,
            Target::Group(group) => self.literals.push((group, role)),
        }
    }

    fn finish(mut self, ignored: &mut Vec<IgnoredRole<'a>>) -> Box<[Box<str>]> {
        if self.all {
            return Box::default();
        }
        self.literals.sort_unstable();
        self.literals.dedup_by(|a, b| a.0 == b.0);
        let kept = self.literals.len().min(MAX_LITERALS);
        ignored.extend(self.literals.drain(kept..).map(|(_, role)| IgnoredRole {
            role,
            reason: IgnoredReason::TooMany,
        }));
        self.literals
            .into_iter()
            .map(|(group, _)| group.into())
            .collect()
    }
}

fn has(sorted: &[Box<str>], group: &str) -> bool {
    sorted
        .binary_search_by(|known| known.as_ref().cmp(group))
        .is_ok()
}

fn parse(role: &str) -> Result<(Operation, Target<'_>), IgnoredReason> {
    let rest = role
        .strip_prefix("webpubsub.")
        .ok_or(IgnoredReason::Unknown)?;
    // The rest of the string, dots included, is the group or pattern.
    let (permission, name) = match rest.split_once('.') {
        Some((permission, name)) => (permission, Some(name)),
        None => (rest, None),
    };
    let target = match (permission, name) {
        ("joinLeaveGroup" | "sendToGroup", None) => Target::All,
        ("joinLeaveGroup" | "sendToGroup", Some(group)) => {
            name::check_group(group).map_err(|_| IgnoredReason::GroupName)?;
            Target::Group(Cow::Borrowed(group))
        }
        ("joinLeaveGroups" | "sendToGroups", Some(pattern)) => {
            Target::Group(literal_of_pattern(pattern)?)
        }
        _ => return Err(IgnoredReason::Unknown),
    };
    let operation = if permission.starts_with("join") {
        Operation::Join
    } else {
        Operation::Send
    };
    Ok((operation, target))
}

/// The one group that a pattern without wildcards matches.
fn literal_of_pattern(pattern: &str) -> Result<Cow<'_, str>, IgnoredReason> {
    if pattern.len() > MAX_PATTERN_LEN {
        return Err(IgnoredReason::Pattern);
    }
    let mut literal = String::with_capacity(pattern.len());
    let (mut stars, mut wildcard) = (0, false);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '?' | '\\')) => literal.push(escaped),
                _ => return Err(IgnoredReason::Pattern),
            },
            '*' => {
                stars += 1;
                wildcard = true;
            }
            '?' => wildcard = true,
            c => literal.push(c),
        }
    }
    if stars > MAX_STARS {
        return Err(IgnoredReason::Pattern);
    }
    if wildcard {
        return Err(IgnoredReason::Wildcard);
    }
    name::check_group(&literal).map_err(|_| IgnoredReason::Pattern)?;
    Ok(Cow::Owned(literal))
}
