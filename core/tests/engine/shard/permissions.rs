//! Grants and revocations while a connection lives (black-box cases 23 and 83 to 88).

use hubwire_core::ask::Answer;
use hubwire_core::command::{Action, Question, Target};
use hubwire_core::id::ConnectionId;
use hubwire_core::settings::Limits;
use hubwire_proto::role::{MAX_LITERALS, Permission};

use super::{ask, connect, deliver, world};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

const JOIN: Permission = Permission::JoinLeaveGroup;
const SEND: Permission = Permission::SendToGroup;

fn answer(world: &mut World, id: ConnectionId, action: impl FnOnce(Action) -> Action) -> Answer {
    let answers = ask(world, Target::Connection(id), |reply| {
        // The closure puts its own action in place of the question.
        let question = Question::Exists;
        action(Action::Ask { question, reply })
    });
    world.run();
    let answers = answers.lock().unwrap();
    let [answer] = &answers[..] else {
        panic!("one shard answers: {answers:?}")
    };
    answer.clone()
}

fn grant(
    world: &mut World,
    id: ConnectionId,
    permission: Permission,
    group: Option<&str>,
) -> Answer {
    answer(world, id, |ask| Action::Grant {
        permission,
        group: group.map(Into::into),
        reply: ask.reply_to(),
    })
}

fn revoke(
    world: &mut World,
    id: ConnectionId,
    permission: Permission,
    group: Option<&str>,
) -> Answer {
    answer(world, id, |ask| Action::Revoke {
        permission,
        group: group.map(Into::into),
        reply: ask.reply_to(),
    })
}

fn allows(
    world: &mut World,
    id: ConnectionId,
    permission: Permission,
    group: Option<&str>,
) -> bool {
    let answer = answer(world, id, |ask| match ask {
        Action::Ask { reply, .. } => Action::Ask {
            question: Question::Allows {
                permission,
                group: group.map(Into::into),
            },
            reply,
        },
        other => other,
    });
    answer == Answer::Allows(true)
}

/// Sends a request; returns the name of the error that it is answered with.
fn outcome(world: &mut World, client: &mut Client, request: &str) -> Option<String> {
    client.text(request);
    world.run();
    let seen = client.receive_all();
    let [Seen::Text(ack)] = &seen[..] else {
        panic!("one ack was expected: {seen:?}")
    };
    json::string(ack, "name").map(str::to_owned)
}

fn client(world: &mut World, roles: &[&str]) -> Client {
    connect(
        world,
        &Joining {
            roles,
            ..Joining::default()
        },
    )
}

fn forbidden() -> Option<String> {
    Some("Forbidden".to_owned())
}

#[test]
fn a_grant_holds_from_the_next_request_on_even_with_the_same_ack_id() {
    let mut world = world(Limits::default());
    let mut client = client(&mut world, &[]);
    let id = client.id;
    let join = json::join("room", Some(1));
    assert_eq!(outcome(&mut world, &mut client, &join), forbidden());
    assert!(!allows(&mut world, id, JOIN, Some("room")));
    for _ in 0..2 {
        assert_eq!(
            grant(&mut world, id, JOIN, Some("room")),
            Answer::Applied(1)
        );
    }
    assert!(allows(&mut world, id, JOIN, Some("room")));
    assert!(!allows(&mut world, id, SEND, Some("room")));
    assert_eq!(outcome(&mut world, &mut client, &join), None);
    let other = json::join("other", Some(2));
    assert_eq!(outcome(&mut world, &mut client, &other), forbidden());
    let publish = json::publish("room", "hi", true, Some(3));
    assert_eq!(outcome(&mut world, &mut client, &publish), forbidden());
    assert_eq!(grant(&mut world, id, SEND, None), Answer::Applied(1));
    assert!(allows(&mut world, id, SEND, None));
    assert_eq!(outcome(&mut world, &mut client, &publish), None);
}

#[test]
fn a_member_whose_permission_is_revoked_stays_and_cannot_leave() {
    let mut world = world(Limits::default());
    let roles = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"];
    let mut client = client(&mut world, &roles);
    let id = client.id;
    let (join, leave) = (json::join("room", Some(1)), json::leave("room", Some(2)));
    assert_eq!(outcome(&mut world, &mut client, &join), None);
    for permission in [JOIN, SEND] {
        let answer = revoke(&mut world, id, permission, Some("room"));
        assert_eq!(answer, Answer::Applied(1));
    }
    assert_eq!(outcome(&mut world, &mut client, &leave), forbidden());
    let again = json::join("room", Some(3));
    assert_eq!(outcome(&mut world, &mut client, &again), forbidden());
    let publish = json::publish("room", "hi", true, Some(4));
    assert_eq!(outcome(&mut world, &mut client, &publish), forbidden());
    deliver(&world, Target::Group("room".into()), "still here");
    world.run();
    let still_here = [Seen::Text(json::from_server("still here"))];
    assert_eq!(client.receive_all(), still_here);
    // The wider role goes on for every other group.
    assert!(!allows(&mut world, id, JOIN, Some("room")));
    assert!(allows(&mut world, id, JOIN, Some("other")));
    let elsewhere = json::join("other", Some(5));
    assert_eq!(outcome(&mut world, &mut client, &elsewhere), None);
    assert_eq!(
        grant(&mut world, id, JOIN, Some("room")),
        Answer::Applied(1)
    );
    assert_eq!(outcome(&mut world, &mut client, &leave), None);
}

#[test]
fn a_connection_that_is_not_there_has_no_permissions() {
    let mut world = world(Limits::default());
    let mut client = client(&mut world, &[]);
    let id = client.id;
    client.close(1000);
    world.run();
    client.receive_all();
    assert_eq!(
        grant(&mut world, id, JOIN, Some("room")),
        Answer::Applied(0)
    );
    assert_eq!(
        revoke(&mut world, id, JOIN, Some("room")),
        Answer::Applied(0)
    );
    assert!(!allows(&mut world, id, JOIN, Some("room")));
}

#[test]
fn a_connection_remembers_a_bounded_number_of_groups() {
    let mut world = world(Limits::default());
    let client = client(&mut world, &[]);
    let id = client.id;
    for number in 0..MAX_LITERALS {
        let answer = grant(&mut world, id, SEND, Some(&format!("g{number}")));
        assert_eq!(answer, Answer::Applied(1), "{number}");
    }
    assert_eq!(
        grant(&mut world, id, SEND, Some("one more")),
        Answer::Refused
    );
    assert!(!allows(&mut world, id, SEND, Some("one more")));
    assert!(allows(&mut world, id, SEND, Some("g0")));
    // What it has it may have again, and each permission counts for itself.
    assert_eq!(grant(&mut world, id, SEND, Some("g0")), Answer::Applied(1));
    assert_eq!(
        grant(&mut world, id, JOIN, Some("one more")),
        Answer::Applied(1)
    );
    assert_eq!(revoke(&mut world, id, SEND, Some("g0")), Answer::Applied(1));
    assert_eq!(
        grant(&mut world, id, SEND, Some("one more")),
        Answer::Applied(1)
    );
}
