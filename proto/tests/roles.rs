//! What roles allow, and how grants and revokes change it (protocol notes: roles). Case numbers
//! are those of the protocol notes' black-box cases.

use hubwire_proto::role::Permission::{self, JoinLeaveGroup, SendToGroup};
use hubwire_proto::role::{
    IgnoredReason, MAX_LITERALS, MAX_PATTERNS, Permissions, TooManyLiterals,
};
use proptest::prelude::*;

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
}

#[test]
fn patterns_allow_what_they_match() {
    check(&["webpubsub.sendToGroups.a.b"], "a.b", (false, true));
    check(
        &[r"webpubsub.joinLeaveGroups.lit\*x\\\?"],
        r"lit*x\?",
        (true, false),
    );
    let rooms = [
        "webpubsub.joinLeaveGroups.room.*",
        "webpubsub.joinLeaveGroups.hall?",
        "webpubsub.sendToGroups.room.**",
    ];
    check(&rooms, "room.1", (true, true));
    check(&rooms, "room.1.a", (false, true));
    check(&rooms, "hall1", (true, false));
    check(&rooms, "hall", (false, false));
    check(&["webpubsub.joinLeaveGroups.**"], "a.b", (true, false));
    check(&["webpubsub.sendToGroups.*"], "a.b", (false, false));
    // A singular role takes the group literally.
    check(&["webpubsub.sendToGroup.*"], "a", (false, false));
    check(&["webpubsub.sendToGroup.*"], "*", (false, true));
}

/// What the roles allow for the state of a group: set, get.
#[track_caller]
fn check_state(roles: &[&str], group: &str, expect: (bool, bool)) {
    let (permissions, _) = Permissions::from_roles(roles.iter().copied());
    let got = (
        permissions.may_set_state(group),
        permissions.may_get_state(group),
    );
    assert_eq!(got, expect, "{roles:?} {group}");
}

#[test]
fn group_state_has_roles_of_its_own_and_comes_with_the_right_to_join() {
    check_state(&[], "g", (false, false));
    check_state(&["webpubsub.sendToGroup"], "g", (false, false));
    check_state(&["webpubsub.joinLeaveGroup"], "g", (true, true));
    check_state(&["webpubsub.joinLeaveGroup.g"], "g", (true, true));
    check_state(&["webpubsub.joinLeaveGroup.g"], "h", (false, false));
    check_state(&["webpubsub.joinLeaveGroups.g*"], "g1", (true, true));
    check_state(&["webpubsub.setGroupState"], "g", (true, false));
    check_state(&["webpubsub.getGroupState"], "g", (false, true));
    let literal = ["webpubsub.setGroupState.a.*", "webpubsub.getGroupState.b"];
    check_state(&literal, "a.*", (true, false));
    check_state(&literal, "a.1", (false, false));
    check_state(&literal, "b", (false, true));
    let mixed = ["webpubsub.setGroupState.a", "webpubsub.setGroupState"];
    check_state(&mixed, "b", (true, false));
    // They let nobody join or publish.
    let state = ["webpubsub.setGroupState", "webpubsub.getGroupState"];
    check(&state, "g", (false, false));
}

#[test]
fn what_rest_takes_away_from_joining_it_takes_away_from_state_that_came_with_it() {
    let roles = ["webpubsub.joinLeaveGroup", "webpubsub.getGroupState"];
    let (mut permissions, _) = Permissions::from_roles(roles);
    permissions.revoke(JoinLeaveGroup, Some("g")).unwrap();
    assert!(!permissions.may_set_state("g") && permissions.may_set_state("h"));
    assert!(permissions.may_get_state("g"), "that has a role of its own");
    permissions.grant(JoinLeaveGroup, Some("g")).unwrap();
    assert!(permissions.may_set_state("g"));
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
        ("webpubsub.setGroupStates.a*", IgnoredReason::Unknown),
        ("webpubsub.getGroupStates", IgnoredReason::Unknown),
        ("webpubsub.getGroupState.", IgnoredReason::GroupName),
        ("webpubsub.joinLeaveGroup.", IgnoredReason::GroupName),
        ("webpubsub.sendToGroup. ", IgnoredReason::GroupName),
        (&long_group, IgnoredReason::GroupName),
        ("webpubsub.sendToGroups.", IgnoredReason::Pattern),
        ("webpubsub.sendToGroups. ", IgnoredReason::Pattern),
        (r"webpubsub.sendToGroups.a\", IgnoredReason::Pattern),
        (r"webpubsub.sendToGroups.a\b", IgnoredReason::Pattern),
        ("webpubsub.sendToGroups.a*b*c*d*e**", IgnoredReason::Pattern),
        (&long_pattern, IgnoredReason::Pattern),
    ] {
        let (permissions, ignored) = Permissions::from_roles([role]);
        assert_eq!(permissions, Permissions::default(), "{role}");
        let got: Vec<_> = ignored.iter().map(|i| (i.role, i.reason)).collect();
        assert_eq!(got, [(role, reason)]);
    }
}

#[test]
fn literal_groups_are_bounded_for_each_permission() {
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
    let too_many = IgnoredReason::TooManyLiterals;
    assert!(ignored.iter().all(|i| i.reason == too_many));
    assert!(permissions.may_join("g0999") && permissions.may_send("g0000"));
    assert!(!permissions.may_join("g1000") && !permissions.may_send("g1001"));
}

#[test]
fn patterns_are_bounded_for_each_permission() {
    let roles: Vec<_> = (0..=MAX_PATTERNS)
        .rev()
        .flat_map(|n| {
            let join = format!("webpubsub.joinLeaveGroups.{n:02}*");
            [
                join.clone(),
                join,
                format!("webpubsub.sendToGroups.{n:02}?"),
            ]
        })
        .collect();
    let (permissions, ignored) = Permissions::from_roles(roles.iter().map(String::as_str));
    let ignored: Vec<_> = ignored.iter().map(|i| (i.role, i.reason)).collect();
    let too_many = IgnoredReason::TooManyPatterns;
    let last = [
        ("webpubsub.sendToGroups.10?", too_many),
        ("webpubsub.joinLeaveGroups.10*", too_many),
    ];
    assert_eq!(ignored, last, "whatever their order");
    assert!(permissions.may_join("00x") && permissions.may_send("09x"));
    assert!(!permissions.may_join("10x") && !permissions.may_send("10x"));
}

#[test]
fn permissions_are_small() {
    assert!(size_of::<Permissions>() <= 16);
}

#[test]
fn permission_names() {
    for (name, expect) in [
        ("sendToGroup", Some(SendToGroup)),
        ("SENDTOGROUP", Some(SendToGroup)), // Case 83.
        ("1", Some(SendToGroup)),
        ("joinleavegroup", Some(JoinLeaveGroup)),
        ("2", Some(JoinLeaveGroup)),
        ("0", None),
        ("3", None),
        ("01", None),
        ("", None),
        ("sendToGroup,joinLeaveGroup", None),
    ] {
        assert_eq!(Permission::from_name(name), expect, "{name}");
    }
}

#[test]
fn a_grant_is_for_one_permission_and_one_literal_group() -> Result<(), TooManyLiterals> {
    let mut permissions = Permissions::default();
    permissions.grant(SendToGroup, Some("room.*"))?;
    permissions.grant(SendToGroup, Some("room.*"))?;
    assert!(permissions.may_send("room.*") && !permissions.may_join("room.*"));
    assert!(!permissions.may_send("room.child"), "case 84");
    permissions.revoke(SendToGroup, Some("room.*"))?;
    permissions.revoke(SendToGroup, Some("never"))?;
    assert_eq!(permissions, Permissions::default(), "owns nothing again");
    Ok(())
}

#[test]
fn a_revoke_counts_under_a_wider_role() -> Result<(), TooManyLiterals> {
    let roles = ["webpubsub.joinLeaveGroups.room*", "webpubsub.sendToGroup"];
    let (mut permissions, _) = Permissions::from_roles(roles);
    let before = permissions.clone();
    permissions.revoke(JoinLeaveGroup, Some("room"))?;
    permissions.revoke(SendToGroup, Some("room"))?;
    assert!(!permissions.may_join("room") && !permissions.may_send("room"));
    assert!(permissions.may_join("room-other"), "case 86");
    assert!(permissions.may_send("other"));
    assert!(!permissions.allows(SendToGroup, None), "not every group");
    permissions.grant(JoinLeaveGroup, Some("room"))?;
    permissions.grant(SendToGroup, Some("room"))?;
    assert_eq!(permissions, before);
    assert!(permissions.allows(SendToGroup, None) && !permissions.allows(JoinLeaveGroup, None));
    Ok(())
}

/// A group that a role names stays revoked although a pattern matches it too.
#[test]
fn a_revoke_counts_for_a_group_named_twice() -> Result<(), TooManyLiterals> {
    let roles = [
        "webpubsub.joinLeaveGroups.room*",
        "webpubsub.joinLeaveGroup.room",
    ];
    let (mut permissions, _) = Permissions::from_roles(roles);
    permissions.revoke(JoinLeaveGroup, Some("room"))?;
    assert!(!permissions.may_join("room") && permissions.may_join("room2"));
    permissions.grant(JoinLeaveGroup, Some("room"))?;
    assert!(permissions.may_join("room"));
    Ok(())
}

#[test]
fn without_a_group_every_group_is_meant() -> Result<(), TooManyLiterals> {
    let roles = [
        "webpubsub.joinLeaveGroups.room*",
        "webpubsub.joinLeaveGroup.x",
    ];
    let (mut permissions, _) = Permissions::from_roles(roles);
    permissions.revoke(JoinLeaveGroup, Some("room"))?;
    permissions.grant(JoinLeaveGroup, None)?;
    assert!(permissions.may_join("room") && permissions.may_join("y"));
    assert!(permissions.allows(JoinLeaveGroup, None));
    assert!(!permissions.allows(SendToGroup, None) && !permissions.may_send("x"));
    permissions.revoke(JoinLeaveGroup, None)?;
    assert_eq!(permissions, Permissions::default());
    Ok(())
}

/// Case 87: grants and revokes count together, and what is full changes nothing.
#[test]
fn changes_are_bounded() -> Result<(), TooManyLiterals> {
    let (mut permissions, _) = Permissions::from_roles(["webpubsub.sendToGroups.room*"]);
    for n in 0..MAX_LITERALS / 2 {
        permissions.revoke(SendToGroup, Some(&format!("room{n}")))?;
        permissions.grant(SendToGroup, Some(&format!("hall{n}")))?;
    }
    let full = Err(TooManyLiterals {
        permission: SendToGroup,
    });
    let before = permissions.clone();
    assert_eq!(permissions.grant(SendToGroup, Some("new")), full);
    assert_eq!(permissions.revoke(SendToGroup, Some("room")), full);
    assert_eq!(permissions.grant(SendToGroup, Some("room")), Ok(()), "held");
    assert_eq!(
        permissions.revoke(SendToGroup, Some("new")),
        Ok(()),
        "not held"
    );
    assert_eq!(
        permissions.revoke(SendToGroup, Some("room1")),
        Ok(()),
        "revoked"
    );
    assert_eq!(permissions, before);
    permissions.grant(JoinLeaveGroup, Some("new"))?;

    permissions.revoke(SendToGroup, Some("hall1"))?;
    permissions.grant(SendToGroup, Some("new"))?;
    assert!(permissions.may_send("new") && !permissions.may_send("hall1"));
    permissions.grant(SendToGroup, None)?;
    assert!(permissions.may_send("hall1"));
    permissions.revoke(SendToGroup, Some("hall1"))
}

#[test]
fn the_text_of_a_conflict() {
    let error = TooManyLiterals {
        permission: JoinLeaveGroup,
    };
    assert_eq!(
        error.text("c1"),
        "Connection `c1` has reached the limit of 1000 literal permissions for `JoinLeaveGroup`."
    );
}

proptest! {
    /// The last change of a group decides, and all others are as the roles say.
    #[test]
    fn the_last_change_counts(
        roles in prop::collection::vec("webpubsub\\.sendToGroup(|s)\\.[ab*?]{1,3}", 0..4),
        changes in prop::collection::vec((any::<bool>(), "[ab]{1,3}"), 0..12),
        group in "[ab]{1,3}",
    ) {
        let (roles, _) = Permissions::from_roles(roles.iter().map(String::as_str));
        let mut permissions = roles.clone();
        for (granted, group) in &changes {
            let change = if *granted { Permissions::grant } else { Permissions::revoke };
            prop_assert_eq!(change(&mut permissions, SendToGroup, Some(group)), Ok(()));
        }
        let last = changes.iter().rev().find(|(_, changed)| *changed == group);
        let expect = last.map_or(roles.may_send(&group), |(granted, _)| *granted);
        prop_assert_eq!(permissions.may_send(&group), expect);
        prop_assert_eq!(permissions.may_join(&group), false);
    }
}
