//! Group state when members leave, come back, and outlive their node (protocol notes: group state).

use hubwire_core::command::{Action, Target};
use hubwire_core::session::Protocol;
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_proto::subprotocol::Subprotocol;

use super::group_state::{
    Item, Kind, START, acked, connect, json_told, member, request, set, snapshot, subscribe,
    subscriber, unsubscribe, update,
};
use super::{ask, close, group, world};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

/// A way to stop being a member.
type Leave = fn(&mut World, &Client);

#[test]
fn whoever_stops_being_a_member_takes_its_state_along_and_is_told_nothing_more() {
    // Case 124.
    let state = Some(&[("k", "v")][..]);
    let ways: [(&str, Leave); 7] = [
        ("leaves", |_, client| {
            client.text(&json::leave("room", None));
        }),
        ("is removed", |world, client| {
            let groups = Some(group(world, "room"));
            let leave = |reply| Action::Leave {
                groups,
                reply: Some(reply),
            };
            ask(world, Target::Connection(client.id), leave);
        }),
        ("is removed from all groups", |world, client| {
            let leave = |reply| Action::Leave {
                groups: None,
                reply: Some(reply),
            };
            ask(world, Target::Connection(client.id), leave);
        }),
        ("closes", |_, client| client.close(1000)),
        ("breaks", |_, client| client.pipe().reset()),
        ("is closed", |world, client| {
            close(world, Target::Connection(client.id), None);
        }),
        ("is unreadable", |_, client| client.text("nonsense")),
    ];
    for shards in [1, 3] {
        for (way, leave) in ways {
            let mut world = World::new(shards, Limits::default(), &TickBudget::default());
            let mut clients: Vec<_> = (0..3).map(|_| subscriber(&mut world)).collect();
            let mut leaver = subscriber(&mut world);
            request(&mut world, &leaver, &set("room", state, None));
            world.pass(9);
            leaver.receive_all();
            leave(&mut world, &leaver);
            world.run();
            leaver.receive_all();
            request(&mut world, &clients[0], &set("room", state, None));
            for client in &mut clients {
                let seen = client.receive_all();
                let left = update(Item::new(&leaver, None, 9));
                assert_eq!(seen.len(), 3, "{way} {shards}: {seen:?}");
                assert_eq!(seen[1], left, "{way} {shards}");
            }
            assert_eq!(leaver.receive_all(), [], "{way} {shards}");
            for client in &mut clients {
                client.close(1000);
            }
            leaver.pipe().reset();
            world.run();
            world.assert_empty();
        }
    }
}

#[test]
fn subscribing_again_brings_a_fresh_snapshot_and_unsubscribing_ends_updates() {
    let mut world = world(Limits::default());
    let (mut watcher, owner) = (subscriber(&mut world), member(&mut world));
    let state = Some(&[("k", "v")][..]);
    request(&mut world, &owner, &set("room", state, None));
    watcher.receive_all();
    request(&mut world, &watcher, &subscribe(Some(1)));
    let whole = || snapshot(&[Item::new(&owner, state, 0)]);
    assert_eq!(watcher.receive_all(), [acked(1), whole()]);
    request(&mut world, &watcher, &unsubscribe(Some(2)));
    request(&mut world, &watcher, &unsubscribe(Some(3)));
    assert_eq!(watcher.receive_all(), [acked(2), acked(3)]);
    request(&mut world, &owner, &set("room", None, None));
    request(&mut world, &owner, &set("room", state, None));
    assert_eq!(watcher.receive_all(), []);
    request(&mut world, &watcher, &subscribe(Some(4)));
    let whole = snapshot(&[Item::new(&owner, state, 2)]);
    assert_eq!(watcher.receive_all(), [acked(4), whole]);
    // A member again, it is no subscriber any more.
    for text in [json::leave("room", None), json::join("room", None)] {
        request(&mut world, &watcher, &text);
    }
    request(&mut world, &owner, &set("room", None, None));
    assert_eq!(watcher.receive_all(), []);
}

fn reliable(subprotocol: Subprotocol) -> Joining<'static> {
    Joining {
        protocol: Protocol::PubSub(subprotocol),
        groups: &["room"],
        ..Joining::default()
    }
}

#[test]
fn a_reliable_connection_keeps_state_and_subscription_while_it_is_away() {
    // Cases 125 and 126.
    for shards in [1, 2] {
        let mut world = World::new(shards, Limits::default(), &TickBudget::default());
        let mut watcher = subscriber(&mut world);
        let joining = reliable(Subprotocol::JsonReliable);
        let mut away = connect(&mut world, &joining);
        let state = Some(&[("k", "v")][..]);
        request(&mut world, &away, &subscribe(None));
        request(&mut world, &away, &set("room", state, None));
        away.receive_all();
        watcher.receive_all();
        away.pipe().reset();
        world.run();
        request(&mut world, &watcher, &subscribe(None));
        let still_there = [snapshot(&[Item::new(&away, state, 0)])];
        assert_eq!(watcher.receive_all(), still_there);
        request(&mut world, &watcher, &set("room", state, None));
        watcher.receive_all();
        let mut back = world.recover(&away, &joining);
        world.run();
        let item = Item::new(&watcher, state, 0);
        let missed = json_told(Kind::Update, Some(3), &[item]);
        assert_eq!(back.receive_all().last(), Some(&missed));
        back.pipe().reset();
        world.run();
        let window = Limits::default().recovery_window_ms;
        let updates = |client: &mut Client| {
            let mut seen = client.receive_all();
            seen.retain(|seen| *seen != Seen::Ping);
            seen
        };
        world.pass(window - 1);
        assert_eq!(updates(&mut watcher), [], "{shards}");
        world.pass(1000);
        let seen = updates(&mut watcher);
        let [Seen::Text(text)] = &seen[..] else {
            panic!("one update was expected: {seen:?}")
        };
        let at = json::number(text, "updatedAt").unwrap();
        let after_start = i64::try_from(at).unwrap() - START;
        assert_eq!(
            seen,
            [update(Item::new(&back, None, after_start))],
            "{shards}"
        );
        assert!(after_start >= i64::try_from(window).unwrap());
        watcher.close(1000);
        world.run();
        world.assert_empty();
    }
}

#[test]
fn states_and_subscriptions_outlive_a_restart_and_only_changes_are_told() {
    // Case 127.
    for (before, after) in [(1, 1), (3, 3), (3, 2)] {
        let budget = TickBudget::default();
        let mut world = World::new(before, Limits::default(), &budget);
        let joining = [
            reliable(Subprotocol::JsonReliable),
            reliable(Subprotocol::ProtobufReliable),
            reliable(Subprotocol::JsonReliable),
        ];
        let mut clients: Vec<_> = joining
            .iter()
            .map(|joining| connect(&mut world, joining))
            .collect();
        let mut mortal = member(&mut world);
        let state = Some(&[("k", "v")][..]);
        request(&mut world, &clients[0], &subscribe(None));
        for owner in [&clients[0], &clients[2], &mortal] {
            request(&mut world, owner, &set("room", state, None));
        }
        for client in &mut clients {
            client.receive_all();
        }
        clients[0].text(r#"{"type":"sequenceAck","sequenceId":4}"#);
        world.run();
        world.pass(50);
        let snapshot = world.stop();
        mortal.receive_all();
        // The clock is behind the one before.
        let mut world = World::restarted(after, Limits::default(), &budget, snapshot, 100);
        world.node.set_start(START - 1000);
        world.run();
        let mut back: Vec<_> = clients
            .iter()
            .zip(&joining)
            .map(|(client, joining)| world.recover(client, joining))
            .collect();
        world.run();
        let gone = json_told(Kind::Update, Some(5), &[Item::new(&mortal, None, 50)]);
        let seen = back[0].receive_all();
        assert_eq!(seen[1..], [gone], "{before} {after}: no new snapshot");
        back[2].receive_all();
        request(&mut world, &back[2], &set("room", None, None));
        let item = Item::new(&back[2], None, 1);
        let change = json_told(Kind::Update, Some(6), &[item]);
        assert_eq!(back[0].receive_all(), [change], "{before} {after}");
        // A newcomer learns what was restored.
        let mut newcomer = world.connect(&Joining {
            groups: &["room"],
            ..Joining::default()
        });
        request(&mut world, &newcomer, &subscribe(None));
        let restored = json_told(Kind::Snapshot, None, &[Item::new(&back[0], state, 0)]);
        assert_eq!(newcomer.receive_all().last(), Some(&restored));
        newcomer.close(1000);
        for client in &back {
            client.close(1000);
        }
        world.run();
        assert_eq!(world.node.memory().queued(), 0);
        assert_eq!(world.node.connections(), 0);
    }
}
