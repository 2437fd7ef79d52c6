//! Keep-alive and dead peers. The hub's interval is the default of 20 seconds.

use hubwire_core::settings::Limits;
use hubwire_proto::ws::Opcode;

use super::{connect, world};
use crate::support::client::{Seen, json};
use crate::support::world::Joining;

const INTERVAL: u64 = 20_000;

#[test]
fn a_silent_client_is_pinged_and_one_that_talks_is_not() {
    let mut world = world(Limits::default());
    let mut silent = connect(&mut world, &Joining::default());
    let mut talking = connect(&mut world, &Joining::default());
    for _ in 0..10 {
        world.pass(INTERVAL / 2);
        talking.text(json::PING);
        silent.frame(Opcode::Pong, b"");
        world.run();
        assert!(
            talking
                .receive_all()
                .iter()
                .all(|seen| *seen == Seen::text(json::PONG))
        );
    }
    assert!(
        !silent.receive_all().contains(&Seen::Ping),
        "a pong proves that the peer lives"
    );
    world.pass(INTERVAL + 200);
    assert_eq!(silent.receive_all(), [Seen::Ping]);
}

#[test]
fn a_dead_peer_is_given_up_after_three_silent_intervals() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world, &Joining::default());
    world.pass(INTERVAL * 3 - 200);
    assert_eq!(client.receive_all(), [Seen::Ping, Seen::Ping]);
    world.pass(800);
    let seen = client.receive_all();
    assert!(
        matches!(&seen[..], [Seen::Text(_), Seen::Close(Some(1001), _)]),
        "{seen:?}"
    );
    assert_eq!(world.node.numbers().closed_dead_peers, 1);
    world.pass(Limits::default().close_timeout_ms + 200);
    world.assert_empty();
}

#[test]
fn an_answered_ping_keeps_the_connection() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world, &Joining::default());
    for _ in 0..20 {
        world.pass(INTERVAL);
        for seen in client.receive_all() {
            assert_eq!(seen, Seen::Ping);
            client.frame(Opcode::Pong, b"");
        }
    }
    assert_eq!(world.node.numbers().closed_dead_peers, 0);
    assert_eq!(world.node.connections(), 1);
}

#[test]
fn while_reading_is_stopped_silence_proves_nothing_and_afterwards_counts_anew() {
    let mut world = world(Limits {
        parked_input_bytes: 1,
        ..Limits::default()
    });
    let mut client = connect(&mut world, &Joining::default());
    client.text(&json::event("first", None));
    client.text(&json::leave("room", Some(1)));
    world.run();
    assert_eq!(world.node.numbers().reading_paused, 1);
    world.pass(INTERVAL * 10);
    assert_eq!(world.node.connections(), 1);
    let call = world.calls.borrow_mut().pop().unwrap();
    call.ticket.answer(Ok(None));
    world.pass(INTERVAL * 2);
    let seen = client.receive_all();
    assert!(seen.contains(&Seen::Text(json::acked(1))), "{seen:?}");
    assert_eq!(world.node.numbers().closed_dead_peers, 0);
    world.pass(INTERVAL * 2);
    assert_eq!(world.node.numbers().closed_dead_peers, 1);
}
