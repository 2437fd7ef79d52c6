//! Group state while shards take their time: snapshots whose parts and updates cross, full
//! inboxes, walks that are cut, and members that go meanwhile.

use hubwire_core::command::Target;
use hubwire_core::metrics::ShardNumbers;
use hubwire_core::settings::{Limits, TickBudget};

use super::deliver;
use super::group_state::{
    Item, acked, connect, member, request, set, snapshot, subscribe, subscriber, unsubscribe,
    update,
};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

const STATE: Option<&[(&str, &str)]> = Some(&[("k", "1")]);
const CHANGED: Option<&[(&str, &str)]> = Some(&[("k", "2")]);

/// Ticks one shard once, after everything that was sent arrived.
fn tick(world: &mut World, shard: usize) {
    world.arrive_all();
    world.tick(shard, || true);
}

/// A world of three shards, with a member of `room` on each. They set their states 1, 2 and 3
/// milliseconds after the start, and now is 10.
fn three(budget: &TickBudget) -> (World, [Client; 3]) {
    let mut world = World::new(3, Limits::default(), budget);
    let members = [(); 3].map(|()| {
        world.pass(1);
        let client = member(&mut world);
        request(&mut world, &client, &set("room", STATE, None));
        client
    });
    world.pass(7);
    for (shard, client) in (0u8..).zip(&members) {
        assert_eq!(client.id.shard().0, shard);
    }
    (world, members)
}

#[test]
fn an_update_that_comes_before_its_part_is_merged_into_the_snapshot() {
    // A shard that takes one command in a tick has the question still before it.
    let budget = TickBudget {
        commands: 1,
        ..TickBudget::default()
    };
    let (mut world, [mut watcher, far, other]) = three(&budget);
    deliver(&world, Target::Connection(far.id), "first");
    watcher.text(&subscribe(Some(1)));
    tick(&mut world, 0);
    assert_eq!(watcher.receive_all(), [acked(1)]);
    far.text(&set("room", CHANGED, None));
    tick(&mut world, 1);
    tick(&mut world, 0);
    world.run();
    let items = [
        Item::new(&watcher, STATE, 1),
        Item::new(&other, STATE, 3),
        Item::new(&far, CHANGED, 10),
    ];
    assert_eq!(watcher.receive_all(), [snapshot(&items)]);
}

#[test]
fn an_update_between_the_parts_is_merged_and_one_behind_them_follows() {
    let (mut world, [mut watcher, far, other]) = three(&TickBudget::default());
    watcher.text(&subscribe(Some(1)));
    tick(&mut world, 0);
    tick(&mut world, 1);
    tick(&mut world, 0);
    far.text(&set("room", CHANGED, None));
    tick(&mut world, 1);
    tick(&mut world, 0);
    assert_eq!(watcher.receive_all(), [acked(1)], "a part is missing");
    world.pass(5);
    let items = [
        Item::new(&watcher, STATE, 1),
        Item::new(&other, STATE, 3),
        Item::new(&far, CHANGED, 10),
    ];
    assert_eq!(watcher.receive_all(), [snapshot(&items)]);
    request(&mut world, &far, &set("room", STATE, None));
    let later = update(Item::new(&far, STATE, 15));
    assert_eq!(watcher.receive_all(), [later]);
}

#[test]
fn who_leaves_while_the_snapshot_is_gathered_is_not_in_it() {
    let (mut world, [mut watcher, far, other]) = three(&TickBudget::default());
    watcher.text(&subscribe(None));
    tick(&mut world, 0);
    tick(&mut world, 1);
    tick(&mut world, 0);
    // Its shard has sent its part, with the state in it.
    far.text(&json::leave("room", None));
    tick(&mut world, 1);
    tick(&mut world, 0);
    world.run();
    let items = [Item::new(&watcher, STATE, 1), Item::new(&other, STATE, 3)];
    assert_eq!(watcher.receive_all(), [snapshot(&items)]);
}

#[test]
fn a_subscriber_that_leaves_meanwhile_gets_no_snapshot_and_may_come_back() {
    for (end, begin) in [
        (json::leave("room", None), json::join("room", None)),
        (unsubscribe(None), json::PING.to_owned()),
    ] {
        let (mut world, [mut watcher, far, other]) = three(&TickBudget::default());
        watcher.text(&set("room", None, None));
        watcher.text(&subscribe(Some(1)));
        watcher.text(&end);
        tick(&mut world, 0);
        tick(&mut world, 1);
        // The parts for the first subscription come when the second one waits for its own.
        watcher.text(&begin);
        watcher.text(&subscribe(Some(2)));
        tick(&mut world, 0);
        world.run();
        let mut seen = watcher.receive_all();
        seen.retain(|seen| *seen != Seen::text(json::PONG));
        let items = [Item::new(&far, STATE, 2), Item::new(&other, STATE, 3)];
        assert_eq!(seen, [acked(1), acked(2), snapshot(&items)], "{end}");
    }
}

#[test]
fn parts_for_a_subscriber_that_has_gone_are_thrown_away() {
    let (mut world, [watcher, far, other]) = three(&TickBudget::default());
    watcher.text(&subscribe(None));
    tick(&mut world, 0);
    watcher.pipe().reset();
    tick(&mut world, 0);
    world.run();
    // Another one may have taken its slot.
    let mut next = subscriber(&mut world);
    assert_eq!(next.id.slot(), watcher.id.slot());
    request(&mut world, &far, &set("room", None, None));
    assert_eq!(next.receive_all(), [update(Item::new(&far, None, 10))]);
    for client in [next, far, other] {
        client.close(1000);
    }
    world.run();
    world.assert_empty();
}

#[test]
fn a_shard_gathers_few_snapshots_at_once_and_the_others_wait() {
    let mut world = World::new(2, Limits::default(), &TickBudget::default());
    let mut members: Vec<_> = (0..200).map(|_| member(&mut world)).collect();
    let (near, far): (Vec<_>, Vec<_>) = members
        .iter_mut()
        .partition(|client| client.id.shard().0 == 0);
    for client in &near {
        client.text(&subscribe(Some(1)));
    }
    for _ in 0..5 {
        tick(&mut world, 0);
    }
    let mut begun = 0;
    let mut near = near;
    for client in &mut near {
        begun += client.receive_all().len();
    }
    assert_eq!(begun, 16, "acks; nobody has a snapshot");
    let ShardNumbers {
        parked_connections, ..
    } = world.node.numbers();
    assert_eq!(parked_connections, 84);
    world.run();
    let mut later = 0;
    for client in &mut near {
        later += client.receive_all().len();
    }
    assert_eq!(
        later,
        84 + 100,
        "acks of those who waited, and all snapshots"
    );
    assert_eq!(world.node.numbers().parked_connections, 0);
    for client in near.iter().chain(&far) {
        client.close(1000);
    }
    world.run();
    world.assert_empty();
}

#[test]
fn whoever_waits_to_gather_goes_on_when_the_end_of_a_tick_makes_room() {
    let budget = TickBudget {
        members: 140,
        ..TickBudget::default()
    };
    let mut world = World::new(2, Limits::default(), &budget);
    let names: Vec<String> = (0..16).map(|number| format!("group-{number}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    // On the first shard 210 clients, of whom 16 have a group each; on the second one who is in all.
    let mut near = Vec::new();
    for place in 0..210 {
        let groups = all.get(place..=place).unwrap_or_default();
        near.push(world.connect(&Joining {
            groups,
            ..Joining::default()
        }));
        let groups = if place == 0 { &all[..] } else { &[] };
        world.connect(&Joining {
            groups,
            ..Joining::default()
        });
    }
    let elsewhere = Joining {
        hub: "other",
        groups: &["room"],
        ..Joining::default()
    };
    let mut last = world.connect(&elsewhere);
    world.connect(&elsewhere);
    world.run();
    assert_eq!(last.id.shard().0, 0);
    last.receive_all();
    for (client, group) in near.iter().zip(&all) {
        client.text(&subscribe(None).replace("room", group));
    }
    tick(&mut world, 0);
    last.text(&subscribe(Some(1)));
    tick(&mut world, 0);
    assert_eq!(last.receive_all(), [], "16 snapshots are being gathered");
    // A walk takes one tick and the first half of the next one; the parts, which wait behind it,
    // take the second half.
    deliver(&world, Target::All, "walk");
    world.tick(1, || false);
    world.run();
    assert_eq!(last.receive_all(), [acked(1), snapshot(&[])]);
}

#[test]
fn a_change_waits_for_room_and_for_what_is_owed_before_it() {
    let limits = Limits {
        inbox_commands: 1,
        ..Limits::default()
    };
    let mut world = World::new(2, limits, &TickBudget::default());
    let (first, mut far) = (member(&mut world), subscriber(&mut world));
    // Also in a group without other members, where there is nobody to wait for.
    let mut second = connect(
        &mut world,
        &Joining {
            groups: &["room", "hall"],
            ..Joining::default()
        },
    );
    assert_eq!(first.id.shard(), second.id.shard());
    // The other shard's inbox takes one command, and the shard does not look.
    first.text(&set("room", STATE, None));
    tick(&mut world, 0);
    first.close(1000);
    tick(&mut world, 0);
    second.text(&set("hall", STATE, Some(1)));
    second.text(&set("room", CHANGED, Some(2)));
    second.text(&subscribe(Some(3)));
    for _ in 0..3 {
        tick(&mut world, 0);
    }
    assert_eq!(second.receive_all(), [], "it waits");
    world.run();
    let expected = [
        Item::new(&first, STATE, 0),
        Item::new(&first, None, 1),
        Item::new(&second, CHANGED, 1),
    ];
    // A time is the one of the change, and the clock stood still.
    assert_eq!(far.receive_all(), expected.map(update));
    let whole = snapshot(&[Item::new(&second, CHANGED, 1)]);
    assert_eq!(second.receive_all(), [acked(1), acked(2), acked(3), whole]);
    far.close(1000);
    second.close(1000);
    world.run();
    world.assert_empty();
}

#[test]
fn walks_that_are_cut_reach_everybody_who_stays_once() {
    let budget = TickBudget {
        members: 2,
        ..TickBudget::default()
    };
    let mut world = World::new(1, Limits::default(), &budget);
    let mut watchers: Vec<_> = (0..12).map(|_| subscriber(&mut world)).collect();
    let owner = member(&mut world);
    owner.text(&set("room", STATE, None));
    tick(&mut world, 0);
    // One that was told, one that comes next and the last one go, and the owner in between.
    for leaver in [11, 3, 0] {
        watchers.remove(leaver).pipe().reset();
        tick(&mut world, 0);
    }
    owner.text(&json::leave("room", None));
    world.run();
    for client in &mut watchers {
        let item = |state, time| update(Item::new(&owner, state, time));
        assert_eq!(client.receive_all(), [item(STATE, 0), item(None, 1)]);
    }
    // The group ends while a change is on its way through it, and another one takes its place.
    owner.text(&json::join("room", None));
    owner.text(&set("room", STATE, None));
    tick(&mut world, 0);
    for client in &watchers {
        client.pipe().reset();
    }
    owner.text(&json::leave("room", None));
    owner.text(&json::join("hall", None));
    world.run();
    let mut newcomer = connect(
        &mut world,
        &Joining {
            groups: &["room"],
            ..Joining::default()
        },
    );
    request(&mut world, &newcomer, &subscribe(None));
    assert_eq!(newcomer.receive_all(), [snapshot(&[])]);
    owner.close(1000);
    newcomer.close(1000);
    world.run();
    world.assert_empty();
}

#[test]
fn a_question_that_is_cut_is_answered_with_everybody() {
    let budget = TickBudget {
        members: 2,
        ..TickBudget::default()
    };
    let mut world = World::new(2, Limits::default(), &budget);
    let owners: Vec<_> = (0..9)
        .map(|_| {
            world.pass(1);
            let owner = member(&mut world);
            request(&mut world, &owner, &set("room", STATE, None));
            owner
        })
        .collect();
    let mut watcher = member(&mut world);
    watcher.text(&subscribe(Some(1)));
    world.run();
    let items: Vec<_> = (1..)
        .zip(&owners)
        .map(|(time, owner)| Item::new(owner, STATE, time))
        .collect();
    assert_eq!(watcher.receive_all(), [acked(1), snapshot(&items)]);
}

#[test]
fn states_count_as_memory_of_their_clients() {
    let limits = Limits {
        node_queued_bytes: 20_000,
        ..Limits::default()
    };
    let mut world = World::new(1, limits, &TickBudget::default());
    let mut large = member(&mut world);
    let mut small = subscriber(&mut world);
    request(&mut world, &small, &set("room", STATE, None));
    small.receive_all();
    let value = "v".repeat(4000);
    for group in ["room", "a", "b", "c", "d"] {
        large.text(&json::join(group, None));
        large.text(&set(group, Some(&[("k", &value)]), None));
    }
    world.run();
    let seen = large.receive_all();
    assert!(
        matches!(seen.last(), Some(Seen::Close(Some(1008), _))),
        "{seen:?}"
    );
    assert_eq!(world.node.numbers().closed_for_memory, 1);
    assert_eq!(
        small.receive_all().len(),
        2,
        "its state, and that it is gone"
    );
    assert!(world.node.memory().queued() < 1000);
    small.close(1000);
    world.run();
    world.assert_empty();
}
