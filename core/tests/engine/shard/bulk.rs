//! Many groups for many connections at once.

use std::sync::Arc;

use hubwire_core::ask::Answer;
use hubwire_core::command::{Action, GroupNames, Target};
use hubwire_core::settings::{Limits, TickBudget};

use super::{Answers, ask, connect, deliver, member};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

/// More than any count that the protocol could be thought to bound.
const MANY: usize = 1025;

fn narrow(members: usize, groups_per_connection: usize) -> World {
    let limits = Limits {
        groups_per_connection,
        ..Limits::default()
    };
    let budget = TickBudget {
        members,
        ..TickBudget::default()
    };
    World::new(2, limits, &budget)
}

fn names(world: &World, count: usize) -> Arc<GroupNames> {
    let names: Vec<_> = (0..count).map(|number| format!("g{number}")).collect();
    GroupNames::new(names.iter().map(String::as_str), world.node.memory())
}

fn join(world: &World, groups: Arc<GroupNames>) -> Answers {
    ask(world, Target::All, |reply| Action::Join {
        groups,
        reply: Some(reply),
    })
}

fn applied(answers: &Answers) -> usize {
    let count = |answer: &Answer| match answer {
        Answer::Applied(count) => *count,
        other => panic!("{other:?}"),
    };
    answers.lock().unwrap().iter().map(count).sum()
}

#[test]
fn more_than_a_thousand_groups_for_everybody_over_many_ticks() {
    for members in [7, 500, 100_000] {
        let mut world = narrow(members, 2000);
        let mut clients: Vec<_> = (0..5)
            .map(|_| connect(&mut world, &Joining::default()))
            .collect();
        let joined = join(&world, names(&world, MANY));
        world.run();
        assert_eq!(applied(&joined), 5);
        // Both shards have every group.
        assert_eq!(world.node.numbers().groups, 2 * MANY as u64);
        deliver(&world, Target::Group("g1024".into()), "last");
        world.run();
        let last = [Seen::Text(json::from_server("last"))];
        assert!(
            clients
                .iter_mut()
                .all(|client| client.receive_all() == last)
        );
        let groups = names(&world, MANY);
        let left = ask(&world, Target::All, |reply| Action::Leave {
            groups: Some(groups),
            reply: Some(reply),
        });
        world.run();
        assert_eq!(applied(&left), 5);
        assert_eq!(world.node.numbers().groups, 0);
        assert_eq!(world.node.memory().queued(), 0, "the names are given back");
    }
}

#[test]
fn a_connection_takes_groups_in_order_up_to_its_bound() {
    let mut world = narrow(2, 3);
    let mut client = member(&mut world, "g1");
    let answers = join(&world, names(&world, 5));
    world.run();
    assert_eq!(*answers.lock().unwrap(), [Answer::Refused]);
    assert_eq!(
        world.node.numbers().joins_refused,
        1,
        "it is not asked for the one behind"
    );
    let mut is_member = |group: &str| {
        deliver(&world, Target::Group(group.into()), "hi");
        world.run();
        !client.receive_all().is_empty()
    };
    assert_eq!(
        ["g0", "g1", "g2", "g3", "g4"].map(&mut is_member),
        [true, true, true, false, false]
    );
    let few = join(&world, names(&world, 3));
    world.run();
    assert_eq!(applied(&few), 1, "it is in all of them");
}

#[test]
fn requests_of_members_wait_behind_the_change_and_other_hubs_do_not() {
    let mut world = narrow(4, 2000);
    let mut client = connect(&mut world, &Joining::default());
    let mut elsewhere = connect(
        &mut world,
        &Joining {
            hub: "den",
            ..Joining::default()
        },
    );
    let answers = join(&world, names(&world, 50));
    let shard = client.id.shard().index();
    let tick = |world: &mut World| {
        world.arrive_all();
        for index in [shard, 1 - shard] {
            world.tick(index, || true);
        }
    };
    tick(&mut world);
    client.text(&json::leave("g49", Some(1)));
    elsewhere.text(&json::join("g49", Some(1)));
    tick(&mut world);
    assert_eq!(client.receive_all(), [], "its hub is busy");
    assert_eq!(elsewhere.receive_all(), [Seen::Text(json::acked(1))]);
    world.run();
    assert_eq!(applied(&answers), 1);
    assert_eq!(client.receive_all(), [Seen::Text(json::acked(1))]);
    assert_eq!(
        world.node.numbers().groups,
        49 + 1,
        "the last group was left after it was joined"
    );
}

#[test]
fn one_that_goes_between_two_of_its_groups_leaves_nothing_behind() {
    let mut world = narrow(4, 2000);
    let mut clients: Vec<Client> = (0..6)
        .map(|_| connect(&mut world, &Joining::default()))
        .collect();
    let answers = join(&world, names(&world, 10));
    for _ in 0..2 {
        for shard in 0..2 {
            world.tick(shard, || true);
        }
    }
    // The first of each shard is in some of the groups.
    for _ in 0..2 {
        clients.remove(0).pipe().reset();
    }
    world.run();
    assert_eq!(applied(&answers), 4);
    for client in &clients {
        client.close(1000);
    }
    world.run();
    world.assert_empty();
}

/// Ticks of the one shard until the command has given back its names.
fn ticks(world: &mut World) -> usize {
    world.arrive_all();
    let mut ticks = 0;
    while world.node.memory().queued() > 0 {
        world.tick(0, || true);
        ticks += 1;
        assert!(ticks < 100_000, "the change does not end");
    }
    ticks
}

#[test]
fn a_member_costs_no_more_names_than_it_has_or_may_have_groups() {
    const CLIENTS: usize = 10;
    const MEMBERS: usize = 10;
    let limits = Limits {
        groups_per_connection: 3,
        ..Limits::default()
    };
    let budget = TickBudget {
        members: MEMBERS,
        ..TickBudget::default()
    };
    let mut world = World::new(1, limits, &budget);
    let joining = Joining {
        groups: &["g1998", "kept"],
        ..Joining::default()
    };
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| connect(&mut world, &joining))
        .collect();
    // A tick does half of its budget for one busy hub, and may end before that with a member.
    let most = |units: usize| CLIENTS * units / (MEMBERS / 2) + CLIENTS;
    let answers = join(&world, names(&world, 2000));
    let taken = ticks(&mut world);
    assert!(taken <= most(1 + 4), "{taken} ticks to join");
    assert_eq!(*answers.lock().unwrap(), [Answer::Refused]);
    assert_eq!(world.node.numbers().joins_refused, CLIENTS as u64);
    assert_eq!(world.node.numbers().groups, 3, "g0 is the third");

    let groups = names(&world, 2000);
    let left = ask(&world, Target::All, |reply| Action::Leave {
        groups: Some(groups),
        reply: Some(reply),
    });
    let taken = ticks(&mut world);
    assert!(taken <= most(1 + 3), "{taken} ticks to leave");
    assert_eq!(applied(&left), CLIENTS);
    assert_eq!(world.node.numbers().groups, 1, "the one that is not named");
    drop(clients);
}

#[test]
fn a_name_that_comes_again_is_no_work() {
    let mut world = World::new(
        1,
        Limits::default(),
        &TickBudget {
            members: 10,
            ..TickBudget::default()
        },
    );
    let clients: Vec<_> = (0..10)
        .map(|_| connect(&mut world, &Joining::default()))
        .collect();
    let many = ["a", "b"].into_iter().cycle().take(2000);
    let answers = join(&world, GroupNames::new(many, world.node.memory()));
    let taken = ticks(&mut world);
    assert!(taken <= 20, "{taken} ticks");
    assert_eq!(applied(&answers), clients.len());
    assert_eq!(world.node.numbers().groups, 2);
}
