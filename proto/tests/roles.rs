//! What roles allow (protocol notes: roles).

use hubwire_proto::role::{IgnoredReason, MAX_LITERALS, Permissions};

/// What the roles allow for a group: join, send.
#[track_caller]
fn check(roles: &[&str], group: &str, expect: (bool, bool)) {
    let (permissions, _) = Permissions::from_roles(roles.iter().copied());
    let got = (permissions.may_join(group), permissions.may_send(group));
    assert_eq!(got, expect, "{roles:?} {group}");
}

#[test]
fn roles_allow_what_they_name() {
    check(&[], "g", (false, false));
    check(&["webpubsub.joinLeaveGroup"], "g", (true, false));
    check(&["webpubsub.sendToGroup"], "g", (false, true));
    let both = ["webpubsub.sendToGroup.a.b*", "webpubsub.joinLeaveGroup.x"];
    check(&both, "a.b*", (false, true));
    check(&both, "a.bc", (false, false));
    check(&both, "a", (false, false));
    check(&both, "x", (true, false));
    check(&both, "X", (false, false));
    check(
        &["webpubsub.joinLeaveGroup.x", "webpubsub.joinLeaveGroup"],
        "y",
        (true, false),
    );
    check(&["webpubsub.sendToGroups.a.b"], "a.b", (false, true));
    check(
        &[r"webpubsub.joinLeaveGroups.lit\*x\\\?"],
        r"lit*x\?",
        (true, false),
    );
}

#[test]
fn roles_without_effect_are_reported() {
    let long_pattern = format!("webpubsub.sendToGroups.{}", "x".repeat(1025));
    let long_group = format!("webpubsub.sendToGroup.{}", "x".repeat(1025));
    for (role, reason) in [
        ("", IgnoredReason::Unknown),
        ("admin", IgnoredReason::Unknown),
        ("webpubsub.", IgnoredReason::Unknown),
        ("webpubsub.joinleavegroup", IgnoredReason::Unknown),
        ("webpubsub.joinLeaveGroups", IgnoredReason::Unknown),
        ("webpubsub.sendToGroups", IgnoredReason::Unknown),
        ("webpubsub.joinLeaveGroup.", IgnoredReason::GroupName),
        ("webpubsub.sendToGroup. ", IgnoredReason::GroupName),
        (&long_group, IgnoredReason::GroupName),
        ("webpubsub.sendToGroups.", IgnoredReason::Pattern),
        (r"webpubsub.sendToGroups.a\", IgnoredReason::Pattern),
        (r"webpubsub.sendToGroups.a\b", IgnoredReason::Pattern),
        ("webpubsub.sendToGroups.a*b*c*d*e**", IgnoredReason::Pattern),
        (&long_pattern, IgnoredReason::Pattern),
        ("webpubsub.sendToGroups.a.*", IgnoredReason::Wildcard),
        ("webpubsub.joinLeaveGroups.**", IgnoredReason::Wildcard),
        ("webpubsub.joinLeaveGroups.a?", IgnoredReason::Wildcard),
    ] {
        let (permissions, ignored) = Permissions::from_roles([role]);
        assert_eq!(permissions, Permissions::default(), "{role}");
        let got: Vec<_> = ignored.iter().map(|i| (i.role, i.reason)).collect();
        assert_eq!(got, [(role, reason)]);
    }
}

#[test]
fn literal_groups_are_bounded_for_each_operation() {
    let roles: Vec<_> = (0..MAX_LITERALS + 2)
        .flat_map(|n| {
            [
                format!("webpubsub.joinLeaveGroup.g{n:04}"),
                format!("webpubsub.sendToGroup.g{n:04}"),
                format!("webpubsub.sendToGroups.g{n:04}"),
            ]
        })
        .collect();
    let (permissions, ignored) = Permissions::from_roles(roles.iter().map(String::as_str));
    assert_eq!(ignored.len(), 4);
    assert!(ignored.iter().all(|i| i.reason == IgnoredReason::TooMany));
    assert!(permissions.may_join("g0999") && permissions.may_send("g0000"));
    assert!(!permissions.may_join("g1000") && !permissions.may_send("g1001"));
}

#[test]
fn permissions_are_small() {
    assert!(size_of::<Permissions>() <= 16);
}
