//! Group patterns of roles.

use hubwire_proto::pattern::{MAX_PATTERN_LEN, Pattern};
use hubwire_proto::role::{Permission, Permissions};

use crate::naive;

/// The first line is a pattern, the rest a name. A matcher that tries everything decides the same,
/// and a role with the pattern allows just that, until it is revoked.
pub fn pattern(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else {
        return;
    };
    let (text, name) = input.split_once('\n').unwrap_or((input, ""));
    let Ok(pattern) = Pattern::parse(text) else {
        return;
    };
    assert!(text.len() <= MAX_PATTERN_LEN);
    let matches = pattern.matches(name);
    if name.chars().count() <= 300 {
        assert_eq!(matches, naive::matches(text, name));
    }
    if let Some(literal) = pattern.literal() {
        assert!(pattern.matches(&literal));
        assert_eq!(matches, literal == name);
    }

    let role = format!("webpubsub.sendToGroups.{text}");
    let (mut permissions, ignored) = Permissions::from_roles([role.as_str()]);
    if ignored.is_empty() {
        assert_eq!(permissions.may_send(name), matches || pattern.is_anything());
    }
    let revoked = permissions.revoke(Permission::SendToGroup, Some(name));
    assert!(revoked.is_ok() && !permissions.may_send(name));
}
