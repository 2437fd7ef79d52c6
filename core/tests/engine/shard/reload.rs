//! New settings while connections live.

use hubwire_core::handler::Reply;
use hubwire_core::settings::Limits;
use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;
use hubwire_proto::ws::Opcode;

use super::{connect, world};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World, hubs};

fn answer(world: &mut World, text: &str) {
    let call = world.calls.borrow_mut().pop().unwrap();
    call.ticket.answer(Ok(Some(Reply {
        data_type: DataType::Text,
        bytes: text.as_bytes().into(),
        metadata: Metadata::default(),
    })));
    world.run();
}

/// Sends an event; returns whether it found a handler.
fn is_handled(world: &mut World, client: &mut Client, ack_id: u64) -> bool {
    client.text(&json::event("question", Some(ack_id)));
    world.run();
    if world.calls.borrow().is_empty() {
        let seen = client.receive_all();
        let [Seen::Text(ack)] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(json::string(ack, "name"), Some("InternalServerError"));
        return false;
    }
    answer(world, "answer");
    let expected = [json::from_server("answer"), json::acked(ack_id)].map(Seen::Text);
    assert_eq!(client.receive_all(), expected);
    true
}

#[test]
fn handlers_change_for_old_and_new_connections_and_a_call_under_way_is_answered() {
    let mut world = world(Limits::default());
    let mut old = connect(&mut world, &Joining::default());
    old.text(&json::event("question", Some(1)));
    world.run();
    world.node.replace_hubs(hubs(false, 20_000));
    world.run();
    assert_eq!(old.receive_all(), [], "nobody notices");
    answer(&mut world, "late");
    let expected = [json::from_server("late"), json::acked(1)].map(Seen::Text);
    assert_eq!(old.receive_all(), expected);
    let mut new = connect(&mut world, &Joining::default());
    assert!(!is_handled(&mut world, &mut old, 2));
    assert!(!is_handled(&mut world, &mut new, 2));
    world.node.replace_hubs(hubs(true, 20_000));
    assert!(is_handled(&mut world, &mut old, 3));
    assert!(is_handled(&mut world, &mut new, 3));
}

#[test]
fn upgrades_see_the_new_settings_at_once() {
    let world = world(Limits::default());
    assert_eq!(world.node.hubs().of("chat").keep_alive_interval_ms, 20_000);
    world.node.replace_hubs(hubs(true, 7000));
    assert_eq!(world.node.hubs().of("chat").keep_alive_interval_ms, 7000);
}

#[test]
fn a_shorter_keep_alive_interval_holds_after_one_old_one_and_ends_nobody_who_answers() {
    let mut world = world(Limits::default());
    let mut quiet = connect(&mut world, &Joining::default());
    let mut dead = connect(&mut world, &Joining::default());
    world.pass(15_000);
    world.node.replace_hubs(hubs(true, 1000));
    world.run();
    let mut new = connect(&mut world, &Joining::default());
    world.pass(1200);
    assert_eq!(new.receive_all(), [Seen::Ping]);
    let mut pings = 0;
    for _ in 0..100 {
        world.pass(100);
        for client in [&mut quiet, &mut new] {
            for seen in client.receive_all() {
                assert_eq!(seen, Seen::Ping);
                client.frame(Opcode::Pong, b"");
                pings += 1;
            }
        }
    }
    // In 11 seconds the new one is pinged about ten times, the old one from second 20 on.
    assert!((12..=18).contains(&pings), "{pings} pings");
    let seen = dead.receive_all();
    assert!(
        matches!(
            seen[..],
            [
                Seen::Ping,
                Seen::Ping,
                Seen::Text(_),
                Seen::Close(Some(1001), _)
            ]
        ),
        "{seen:?}"
    );
    assert_eq!(world.node.numbers().closed_dead_peers, 1);
}

#[test]
fn a_longer_keep_alive_interval_is_waited_for() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world, &Joining::default());
    world.node.replace_hubs(hubs(true, 60_000));
    world.pass(59_000);
    assert_eq!(client.receive_all(), []);
    world.pass(1500);
    assert_eq!(client.receive_all(), [Seen::Ping]);
}
