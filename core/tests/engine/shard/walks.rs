//! Commands to many members, cut by the tick's budget while members come and go.

use hubwire_core::ask::Answer;
use hubwire_core::command::{Action, Target};
use hubwire_core::settings::{Limits, TickBudget};

use super::{ask, close, connect, deliver, group, member};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

/// A world that visits `members` members in a tick.
fn narrow(members: usize) -> World {
    World::new(
        1,
        Limits::default(),
        &TickBudget {
            members,
            ..TickBudget::default()
        },
    )
}

/// Ticks once, after everything that was sent arrived.
fn tick(world: &mut World) {
    world.arrive_all();
    world.tick(0, || true);
}

#[test]
fn a_message_to_a_group_that_changes_meanwhile_reaches_everybody_who_stays_once() {
    let mut world = narrow(3);
    let mut clients: Vec<_> = (0..20).map(|_| member(&mut world, "room")).collect();
    deliver(&world, Target::Group("room".into()), "news");
    tick(&mut world);
    assert_eq!(
        clients
            .iter_mut()
            .map(|client| client.receive_all().len())
            .sum::<usize>(),
        3,
        "the walk is cut"
    );
    // One that was visited, one that comes next and the last one go; another comes.
    for leaver in [19, 4, 0] {
        clients.remove(leaver).pipe().reset();
        tick(&mut world);
    }
    let mut newcomer = connect(
        &mut world,
        &Joining {
            groups: &["room"],
            ..Joining::default()
        },
    );
    world.run();
    assert_eq!(newcomer.receive_all(), [], "it came after the message");
    let mut seen: Vec<usize> = Vec::new();
    for client in &mut clients {
        seen.push(client.receive_all().len());
    }
    // The first two were looked at above.
    assert_eq!(seen[..2], [0, 0]);
    assert_eq!(seen[2..], [1; 15]);
    deliver(&world, Target::Group("room".into()), "more");
    world.run();
    clients.push(newcomer);
    let more = [Seen::Text(json::from_server("more"))];
    assert!(
        clients
            .iter_mut()
            .all(|client| client.receive_all() == more)
    );
}

#[test]
fn messages_of_a_sender_stay_in_order_behind_a_cut_walk_and_other_hubs_do_not_wait() {
    let mut world = narrow(2);
    let mut clients: Vec<_> = (0..9).map(|_| member(&mut world, "room")).collect();
    let mut elsewhere = connect(
        &mut world,
        &Joining {
            hub: "den",
            groups: &["room"],
            ..Joining::default()
        },
    );
    for number in 0..4 {
        clients[0].text(&json::publish(
            "room",
            &number.to_string(),
            false,
            Some(number),
        ));
    }
    tick(&mut world);
    elsewhere.text(&json::join("other", Some(1)));
    tick(&mut world);
    assert_eq!(elsewhere.receive_all(), [Seen::Text(json::acked(1))]);
    world.run();
    let expected: Vec<_> = (0..4)
        .map(|number| Seen::Text(json::from_group("room", &number.to_string())))
        .collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let mut seen = client.receive_all();
        if index == 0 {
            seen.retain(|seen| matches!(seen, Seen::Text(text) if !text.contains("ack")));
        }
        assert_eq!(seen, expected, "client {index}");
    }
}

#[test]
fn leaves_and_joins_for_many_are_applied_once_to_each_whatever_the_budget() {
    for members in [1, 2, 5, 100] {
        let mut world = narrow(members);
        let mut clients: Vec<_> = (0..7).map(|_| member(&mut world, "room")).collect();
        let moved = ask(&world, Target::Group("room".into()), |reply| Action::Join {
            groups: group(&world, "next"),
            reply: Some(reply),
        });
        let left = ask(&world, Target::Group("next".into()), |reply| {
            Action::Leave {
                groups: Some(group(&world, "room")),
                reply: Some(reply),
            }
        });
        deliver(&world, Target::Group("room".into()), "nobody");
        deliver(&world, Target::Group("next".into()), "everybody");
        world.run();
        assert_eq!(*moved.lock().unwrap(), [Answer::Applied(7)]);
        assert_eq!(*left.lock().unwrap(), [Answer::Applied(7)]);
        let everybody = [Seen::Text(json::from_server("everybody"))];
        assert!(
            clients
                .iter_mut()
                .all(|client| client.receive_all() == everybody)
        );
        assert_eq!(world.node.numbers().groups, 1);
    }
}

#[test]
fn closing_everybody_answers_and_leaves_nothing_whatever_the_budget() {
    let check = |members: usize, target: &Target, gone_meanwhile: bool| {
        let mut world = narrow(members);
        let joining = Joining {
            user: Some("ann"),
            groups: &["room"],
            ..Joining::default()
        };
        let mut clients: Vec<Client> = (0..6).map(|_| world.connect(&joining)).collect();
        world.run();
        let answers = close(&world, target.clone(), None);
        tick(&mut world);
        if gone_meanwhile {
            clients.pop().unwrap().pipe().reset();
        }
        world.run();
        let [Answer::Applied(closed)] = answers.lock().unwrap()[..] else {
            panic!("no answer")
        };
        assert!((5..=6).contains(&closed), "{closed}");
        for client in &mut clients {
            let seen = client.receive_all();
            assert!(
                matches!(seen[..], [_, Seen::Text(_), Seen::Close(Some(1000), _)]),
                "{seen:?}"
            );
            client.close(1000);
        }
        world.run();
        world.assert_empty();
        // The hub starts anew.
        let mut client = member(&mut world, "room");
        deliver(&world, Target::All, "hello");
        world.run();
        assert_eq!(
            client.receive_all(),
            [Seen::Text(json::from_server("hello"))]
        );
    };
    for members in [1, 2, 5, 100] {
        for target in [
            Target::All,
            Target::Group("room".into()),
            Target::User("ann".into()),
        ] {
            check(members, &target, false);
            check(members, &target, true);
        }
    }
}
