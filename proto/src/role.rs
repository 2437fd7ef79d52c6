//! Roles: what a connection may do to groups, and changes of that while it lives (protocol notes:
//! roles).
//!
//! Sending events needs no role. A role that grants nothing is reported, never guessed at. How a
//! group pattern is matched is told in [`crate::pattern`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::name;
use crate::pattern::Pattern;

/// The most groups that can be named singly, granted and revoked ones together, for each kind of
/// role.
pub const MAX_LITERALS: usize = 1000;
/// The most patterns with wildcards for each kind of role.
pub const MAX_PATTERNS: usize = 10;

/// What the REST API can allow for a group and take away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Publishing to it.
    SendToGroup,
    /// Joining and leaving it.
    JoinLeaveGroup,
}

impl Permission {
    /// Reads the path segment of a REST request: the name in any letter case, or its number.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "1" => Some(Self::SendToGroup),
            "2" => Some(Self::JoinLeaveGroup),
            _ => [Self::SendToGroup, Self::JoinLeaveGroup]
                .into_iter()
                .find(|permission| permission.name().eq_ignore_ascii_case(name)),
        }
    }

    /// The name as the REST API's texts spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendToGroup => "SendToGroup",
            Self::JoinLeaveGroup => "JoinLeaveGroup",
        }
    }
}

/// What a role allows for a group: the permissions of the REST API, and those of group state, which
/// only roles give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    SendToGroup,
    JoinLeaveGroup,
    SetGroupState,
    GetGroupState,
}

impl Right {
    const COUNT: usize = 4;

    const fn index(self) -> usize {
        match self {
            Self::SendToGroup => 0,
            Self::JoinLeaveGroup => 1,
            Self::SetGroupState => 2,
            Self::GetGroupState => 3,
        }
    }
}

impl From<Permission> for Right {
    fn from(permission: Permission) -> Self {
        match permission {
            Permission::SendToGroup => Self::SendToGroup,
            Permission::JoinLeaveGroup => Self::JoinLeaveGroup,
        }
    }
}

/// What a connection may do to which groups. The default is nothing.
///
/// Kept by every connection, so small: all-or-nothing permissions own no memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Permissions {
    /// For each [`Right`], whether it is held for all groups.
    all: [bool; Right::COUNT],
    /// `None` when all or nothing is allowed.
    details: Option<Box<Details>>,
}

/// For each [`Right`], what goes beyond all or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Details([Rules; Right::COUNT]);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Rules {
    patterns: Box<[Pattern]>,
    /// Sorted by group; they come before the patterns and before the permission for all groups.
    literals: Vec<Literal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Literal {
    group: Box<str>,
    allowed: bool,
}

/// A change that would name more than [`MAX_LITERALS`] groups; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {MAX_LITERALS} literal permissions for `{}` is reached", permission.name())]
pub struct TooManyLiterals {
    /// What should have been changed.
    pub permission: Permission,
}

impl TooManyLiterals {
    /// The text of the 409 (protocol notes: REST errors).
    #[must_use]
    pub fn text(self, connection_id: &str) -> String {
        let permission = self.permission.name();
        format!(
            "Connection `{connection_id}` has reached the limit of {MAX_LITERALS} literal \
             permissions for `{permission}`."
        )
    }
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
    /// [`MAX_LITERALS`] groups are named already.
    #[error("too many groups named by roles")]
    TooManyLiterals,
    /// There are [`MAX_PATTERNS`] patterns already.
    #[error("too many group patterns in roles")]
    TooManyPatterns,
}

impl Permissions {
    /// Reads role strings, letter case included. The second value lists those without effect.
    pub fn from_roles<'a>(
        roles: impl IntoIterator<Item = &'a str>,
    ) -> (Self, Vec<IgnoredRole<'a>>) {
        let mut grants: [Grants<'a>; Right::COUNT] = Default::default();
        let mut ignored = Vec::new();
        for role in roles {
            match parse(role) {
                Ok((right, target)) => grants[right.index()].add(role, target),
                Err(reason) => ignored.push(IgnoredRole { role, reason }),
            }
        }
        let all = grants.each_ref().map(|grants| grants.all);
        let details = Details(grants.map(|grants| grants.finish(&mut ignored)));
        let permissions = Self {
            all,
            details: (details != Details::default()).then(|| Box::new(details)),
        };
        (permissions, ignored)
    }

    /// Whether the connection may join and leave the group.
    #[must_use]
    pub fn may_join(&self, group: &str) -> bool {
        self.allows(Permission::JoinLeaveGroup, Some(group))
    }

    /// Whether the connection may publish to the group.
    #[must_use]
    pub fn may_send(&self, group: &str) -> bool {
        self.allows(Permission::SendToGroup, Some(group))
    }

    /// Whether the connection may tell the group its state, if it is a member (protocol notes:
    /// group state). Whoever may join may do so too.
    #[must_use]
    pub fn may_set_state(&self, group: &str) -> bool {
        self.may_join(group) || self.holds(Right::SetGroupState, Some(group))
    }

    /// Whether the connection may be told the states of the group's members, if it is a member.
    /// Whoever may join may do so too.
    #[must_use]
    pub fn may_get_state(&self, group: &str) -> bool {
        self.may_join(group) || self.holds(Right::GetGroupState, Some(group))
    }

    /// Whether the permission is held for a group, or without one for every group.
    #[must_use]
    pub fn allows(&self, permission: Permission, group: Option<&str>) -> bool {
        self.holds(permission.into(), group)
    }

    /// Allows a group, or without one every group, whatever was revoked before.
    ///
    /// What is allowed already stays as it is. The group is taken literally; its name is the
    /// caller's to check.
    ///
    /// # Errors
    ///
    /// [`TooManyLiterals`].
    pub fn grant(
        &mut self,
        permission: Permission,
        group: Option<&str>,
    ) -> Result<(), TooManyLiterals> {
        self.set(permission, group, true)
    }

    /// Takes a group away, even from under a role for many groups, or without one every group.
    /// Otherwise as [`Permissions::grant`].
    ///
    /// # Errors
    ///
    /// [`TooManyLiterals`].
    pub fn revoke(
        &mut self,
        permission: Permission,
        group: Option<&str>,
    ) -> Result<(), TooManyLiterals> {
        self.set(permission, group, false)
    }

    fn set(
        &mut self,
        permission: Permission,
        group: Option<&str>,
        allowed: bool,
    ) -> Result<(), TooManyLiterals> {
        let right = Right::from(permission).index();
        let details = self.details.get_or_insert_default();
        let rules = &mut details.0[right];
        let result = match group {
            Some(group) => rules
                .set(self.all[right], group, allowed)
                .map_err(|Full| TooManyLiterals { permission }),
            None => {
                *rules = Rules::default();
                self.all[right] = allowed;
                Ok(())
            }
        };
        if **details == Details::default() {
            self.details = None;
        }
        result
    }

    fn holds(&self, right: Right, group: Option<&str>) -> bool {
        let all = self.all[right.index()];
        let Some(details) = self.details.as_deref() else {
            return all;
        };
        let rules = &details.0[right.index()];
        match group {
            Some(group) => rules.allow(all, group),
            // Under a permission for all groups, every literal is a revoked one.
            None => all && rules.literals.is_empty(),
        }
    }
}

struct Full;

impl Rules {
    fn allow(&self, all: bool, group: &str) -> bool {
        match self.find(group) {
            Ok(found) => self.literals[found].allowed,
            Err(_) => self.allow_by_rule(all, group),
        }
    }

    fn allow_by_rule(&self, all: bool, group: &str) -> bool {
        all || self.patterns.iter().any(|pattern| pattern.matches(group))
    }

    fn set(&mut self, all: bool, group: &str, allowed: bool) -> Result<(), Full> {
        let by_rule = self.allow_by_rule(all, group);
        match self.find(group) {
            Ok(found) if by_rule == allowed => {
                self.literals.remove(found);
            }
            Ok(found) => self.literals[found].allowed = allowed,
            Err(_) if by_rule == allowed => {}
            Err(_) if self.literals.len() >= MAX_LITERALS => return Err(Full),
            Err(place) => {
                let group = group.into();
                self.literals.insert(place, Literal { group, allowed });
            }
        }
        Ok(())
    }

    fn find(&self, group: &str) -> Result<usize, usize> {
        self.literals
            .binary_search_by(|known| known.group.as_ref().cmp(group))
    }
}

enum Target<'a> {
    All,
    Group(Cow<'a, str>),
    Pattern(Pattern),
}

/// What the roles seen so far grant of one right.
#[derive(Default)]
struct Grants<'a> {
    all: bool,
    /// A group and the role that named it.
    literals: Vec<(Cow<'a, str>, &'a str)>,
    /// A role and its pattern.
    patterns: Vec<(&'a str, Pattern)>,
}

impl<'a> Grants<'a> {
    fn add(&mut self, role: &'a str, target: Target<'a>) {
        match target {
            Target::All => self.all = true,
            Target::Group(group) => self.literals.push((group, role)),
            Target::Pattern(pattern) => self.patterns.push((role, pattern)),
        }
    }

    fn finish(mut self, ignored: &mut Vec<IgnoredRole<'a>>) -> Rules {
        if self.all {
            return Rules::default();
        }
        let mut ignore = |role, reason| ignored.push(IgnoredRole { role, reason });
        // Sorted, so that what is kept does not depend on the order of the roles.
        self.literals.sort_unstable();
        self.literals.dedup_by(|a, b| a.0 == b.0);
        let kept = self.literals.len().min(MAX_LITERALS);
        for (_, role) in self.literals.drain(kept..) {
            ignore(role, IgnoredReason::TooManyLiterals);
        }
        self.patterns.sort_unstable_by_key(|(role, _)| *role);
        self.patterns.dedup_by(|a, b| a.0 == b.0);
        let kept = self.patterns.len().min(MAX_PATTERNS);
        for (role, _) in self.patterns.drain(kept..) {
            ignore(role, IgnoredReason::TooManyPatterns);
        }
        let literal = |(group, _): (Cow<'_, str>, _)| Literal {
            group: group.into(),
            allowed: true,
        };
        Rules {
            patterns: self.patterns.into_iter().map(|(_, p)| p).collect(),
            literals: self.literals.into_iter().map(literal).collect(),
        }
    }
}

fn parse(role: &str) -> Result<(Right, Target<'_>), IgnoredReason> {
    use Right::{GetGroupState, JoinLeaveGroup, SendToGroup, SetGroupState};
    let rest = role
        .strip_prefix("webpubsub.")
        .ok_or(IgnoredReason::Unknown)?;
    // The rest of the string, dots included, is the group or pattern.
    let (name, argument) = match rest.split_once('.') {
        Some((name, argument)) => (name, Some(argument)),
        None => (rest, None),
    };
    let singular = match name {
        "sendToGroup" => Some(SendToGroup),
        "joinLeaveGroup" => Some(JoinLeaveGroup),
        "setGroupState" => Some(SetGroupState),
        "getGroupState" => Some(GetGroupState),
        _ => None,
    };
    match (singular, name, argument) {
        (Some(right), _, None) => Ok((right, Target::All)),
        (Some(right), _, Some(group)) => Ok((right, group_target(group)?)),
        (None, "sendToGroups", Some(pattern)) => Ok((SendToGroup, pattern_target(pattern)?)),
        (None, "joinLeaveGroups", Some(pattern)) => Ok((JoinLeaveGroup, pattern_target(pattern)?)),
        // The roles of group state have no plural in any source.
        _ => Err(IgnoredReason::Unknown),
    }
}

fn group_target(group: &str) -> Result<Target<'_>, IgnoredReason> {
    name::check_group(group).map_err(|_| IgnoredReason::GroupName)?;
    Ok(Target::Group(Cow::Borrowed(group)))
}

fn pattern_target(text: &str) -> Result<Target<'_>, IgnoredReason> {
    let pattern = Pattern::parse(text).map_err(|_| IgnoredReason::Pattern)?;
    if pattern.is_anything() {
        return Ok(Target::All);
    }
    let Some(literal) = pattern.literal() else {
        return Ok(Target::Pattern(pattern));
    };
    name::check_group(&literal).map_err(|_| IgnoredReason::Pattern)?;
    Ok(Target::Group(Cow::Owned(literal)))
}
