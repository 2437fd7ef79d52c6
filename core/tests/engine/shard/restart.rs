//! A node that ends, and the next one that takes its reliable sessions over.

use hubwire_core::Millis;
use hubwire_core::command::Target;
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_core::snapshot::Snapshot;
use hubwire_core::wheel;

use super::deliver;
use super::reliable::{acknowledge, come_back, connect, connected, joining, numbered};
use crate::support::client::{Seen, json};
use crate::support::world::{Joining, TOKEN, World};

fn world(shards: usize) -> World {
    World::new(shards, Limits::default(), &TickBudget::default())
}

fn restarted(shards: usize, snapshot: Snapshot, elapsed_ms: u64) -> World {
    let (limits, budget) = (Limits::default(), TickBudget::default());
    World::restarted(shards, limits, &budget, snapshot, elapsed_ms)
}

/// The snapshot as a file has it.
fn stored(snapshot: &Snapshot) -> Snapshot {
    let text = serde_json::to_string(snapshot).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn sessions_go_on_in_the_next_node_whatever_its_shards() {
    for (before, after) in [(1, 1), (1, 4), (4, 1), (4, 3)] {
        let mut world = world(before);
        let mut clients: Vec<_> = (0..9).map(|_| connect(&mut world)).collect();
        deliver(&world, Target::Group("room".into()), "a");
        deliver(&world, Target::Group("room".into()), "b");
        world.run();
        for client in &mut clients {
            assert_eq!(client.receive_all(), numbered(1, &["a", "b"]));
            acknowledge(client, 1);
        }
        clients[0].text(&json::publish("room", "c", true, Some(5)));
        world.run();
        clients[0].receive_all();
        let snapshot = stored(&world.stop());
        assert_eq!((snapshot.sessions.len(), snapshot.messages.len()), (9, 2));
        for client in &mut clients {
            assert_eq!(
                client.receive_all().last(),
                Some(&Seen::Close(Some(1001), String::new()))
            );
        }
        let mut world = restarted(after, snapshot, 1_000);
        world.run();
        assert_eq!(world.node.numbers().detached_sessions, 9);
        // A new connection takes nobody's place.
        let mut stranger = world.connect(&joining());
        world.run();
        assert_eq!(stranger.receive_all(), [connected(&stranger, TOKEN)]);
        deliver(&world, Target::Group("room".into()), "d");
        world.run();
        for (place, client) in clients.iter().enumerate() {
            let (mut client, seen) = come_back(&mut world, client);
            let from_client = |sequence_id: u64| {
                let message = json::from_group("room", "c");
                Seen::Text(format!(r#"{{"sequenceId":{sequence_id},{}"#, &message[1..]))
            };
            let mut expect = numbered(2, &["b"]);
            if place > 0 {
                expect.push(from_client(3));
            }
            expect.extend(numbered(if place > 0 { 4 } else { 3 }, &["d"]));
            assert_eq!(seen, expect, "{before} {after} {place}");
            if place == 0 {
                client.text(&json::publish("room", "c", true, Some(5)));
                world.run();
                let seen = client.receive_all();
                assert!(
                    matches!(&seen[..], [Seen::Text(ack)] if ack.contains("Duplicate")),
                    "{seen:?}"
                );
            }
        }
    }
}

#[test]
fn a_window_goes_on_while_no_node_is_there() {
    let check = |before_ms: u64, elapsed_ms: u64, left_ms: u64| {
        let mut world = world(1);
        let client = connect(&mut world);
        if before_ms > 0 {
            client.pipe().client_finished = true;
            world.run();
            world.now = Millis(before_ms);
            world.run();
        }
        let mut world = restarted(1, stored(&world.stop()), elapsed_ms);
        world.run();
        let waits = |world: &World| world.node.numbers().detached_sessions;
        assert_eq!(waits(&world), u64::from(left_ms > 0));
        if left_ms > 0 {
            world.now = Millis(left_ms - 1);
            world.run();
            assert_eq!(waits(&world), 1, "{before_ms} {elapsed_ms}");
            world.now = Millis(left_ms + wheel::GRANULARITY_MS);
            world.run();
            assert_eq!(waits(&world), 0, "{before_ms} {elapsed_ms}");
        }
        assert_eq!(world.node.connections(), 0);
    };
    check(0, 0, 30_000);
    check(0, 10_000, 20_000);
    check(0, 30_000, 0);
    check(0, u64::MAX, 0);
    check(12_000, 10_000, 8_000);
    check(12_000, 18_000, 0);
}

#[test]
fn a_session_whose_window_ended_without_a_node_still_says_farewell() {
    for shards in [1, 3] {
        let mut world = world(shards);
        let (publisher, reader) = (connect(&mut world), connect(&mut world));
        publisher.text(r#"{"type":"sendToGroup","group":"room","stream":{"streamId":"s"}}"#);
        world.run();
        publisher.pipe().client_finished = true;
        world.run();
        world.now = Millis(20_000);
        world.run();
        let mut world = restarted(shards, stored(&world.stop()), 15_000);
        // Its window is over, whether or not the end of it was noticed.
        let mut late = world.recover(&publisher, &joining());
        world.run();
        assert!(matches!(
            late.receive_all()[..],
            [Seen::Close(Some(1008), _)]
        ));
        world.now = Millis(wheel::GRANULARITY_MS);
        world.run();
        assert_eq!(world.node.connections(), 1);
        let (_, seen) = come_back(&mut world, &reader);
        let [Seen::Text(last)] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert!(
            last.contains(r#""endOfStream":true"#) && last.contains("Cancelled"),
            "{last}"
        );
    }
}

#[test]
fn what_is_under_way_is_finished_before_the_end() {
    let budget = TickBudget {
        members: 1,
        ..TickBudget::default()
    };
    let limits = Limits {
        inbox_commands: 1,
        ..Limits::default()
    };
    let mut world = World::new(3, limits, &budget);
    let clients: Vec<_> = (0..7).map(|_| connect(&mut world)).collect();
    let mut plain = world.connect(&Joining {
        groups: &["room"],
        ..Joining::default()
    });
    world.run();
    plain.receive_all();
    for ack_id in 0..20 {
        clients[0].text(&json::publish(
            "room",
            &ack_id.to_string(),
            true,
            Some(ack_id),
        ));
    }
    clients[0].pipe().arrive(usize::MAX);
    // One tick reads it all and cannot carry it all out.
    for shard in 0..3 {
        world.tick(shard, || true);
    }
    let snapshot = stored(&world.stop());
    let close = Seen::Close(Some(1001), String::new());
    assert_eq!(plain.receive_all().last(), Some(&close));
    let mut world = restarted(2, snapshot, 0);
    world.run();
    let published: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    for client in &clients[1..] {
        let (_, seen) = come_back(&mut world, client);
        let texts: Vec<_> = seen
            .iter()
            .map(|seen| match seen {
                Seen::Text(message) => json::string(message, "data").unwrap(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts, published);
    }
}

#[test]
fn without_a_place_to_save_them_sessions_end_and_clients_are_told_to_start_afresh() {
    let mut world = world(2);
    let mut client = connect(&mut world);
    let away = connect(&mut world);
    away.pipe().client_finished = true;
    world.run();
    world.node.quiesce();
    world.run();
    world
        .node
        .shut_down(hubwire_core::inbox::AtShutdown::EndSessions);
    world.run();
    let seen = client.receive_all();
    assert!(
        matches!(seen.last(), Some(Seen::Close(Some(1008), _))),
        "{seen:?}"
    );
    assert_eq!(world.node.take_saved().sessions.len(), 0);
    client.close(1008);
    world.run();
    assert_eq!(world.node.connections(), 0);
}
