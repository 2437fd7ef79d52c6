//! Messages with a time to live: what a slow client has not taken in time is dropped.

use hubwire_core::Millis;
use hubwire_core::command::{Action, Selection, Target};
use hubwire_core::publication::{Origin, Publication};
use hubwire_core::settings::Limits;
use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;

use super::{connect, deliver, send, world};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

/// Sends a message that expires at `expires_at`.
fn deliver_until(world: &World, target: Target, text: &str, expires_at: Millis) {
    let payload = text.as_bytes().into();
    let memory = world.node.memory();
    let publication = Publication::with_metadata(
        Origin::Server,
        DataType::Text,
        payload,
        memory,
        Some(expires_at),
        Metadata::default(),
    );
    let action = Action::Deliver { publication };
    send(world, target, Selection::default(), action);
}

/// A client whose wire holds `room` bytes and that does not read.
fn blocked(world: &mut World, room: usize) -> Client {
    let client = connect(
        world,
        &Joining {
            room: 10_000,
            groups: &["room"],
            ..Joining::default()
        },
    );
    client.pipe().room = room;
    deliver(world, Target::Connection(client.id), "fill");
    world.run();
    assert!(client.pipe().written.len() == room, "not blocked");
    client
}

fn receive(world: &mut World, client: &mut Client) -> Vec<Seen> {
    let mut seen = Vec::new();
    for _ in 0..1000 {
        seen.extend(client.receive(1));
        world.run();
    }
    seen
}

fn from_server(texts: &[&str]) -> Vec<Seen> {
    let seen = texts.iter().map(|text| Seen::Text(json::from_server(text)));
    seen.collect()
}

#[test]
fn what_a_blocked_client_did_not_take_in_time_goes_with_its_memory_and_the_rest_comes() {
    for target in [
        Target::All,
        Target::Group("room".into()),
        // This way goes by one connection at a time.
        Target::User("nobody".into()),
    ] {
        let mut world = world(Limits::default());
        let mut client = blocked(&mut world, 40);
        let target = match target {
            Target::User(_) => Target::Connection(client.id),
            other => other,
        };
        let before = world.node.memory().queued();
        let big = "x".repeat(5000);
        deliver_until(&world, target.clone(), &big, Millis(2000));
        deliver(&world, target.clone(), "kept");
        deliver_until(&world, target.clone(), "later", Millis(60_000));
        deliver_until(&world, target.clone(), &big, Millis(1000));
        world.pass(900);
        assert!(world.node.memory().queued() > before + 5000);
        assert_eq!(world.node.numbers().messages_expired, 0);
        // A look every second and the wheel's coarseness.
        world.pass(2500);
        assert!(
            world.node.memory().queued() < before + 5000,
            "memory is held"
        );
        assert_eq!(world.node.numbers().messages_expired, 2);
        assert!(!client.pipe().server_gone);
        let seen = receive(&mut world, &mut client);
        assert_eq!(seen, from_server(&["fill", "kept", "later"]));
        assert_eq!(world.node.memory().queued(), 0);
    }
}

#[test]
fn a_message_that_was_begun_is_finished_and_one_that_was_not_is_never_sent_late() {
    let mut world = world(Limits::default());
    let mut client = blocked(&mut world, 40);
    deliver_until(&world, Target::All, "begun", Millis(1500));
    deliver_until(&world, Target::All, "late", Millis(1500));
    // Makes room for the end of the filling and the beginning of the next.
    assert_eq!(client.receive(40), []);
    world.run();
    let mut seen = client.receive(20);
    world.run();
    world.pass(400);
    world.now = Millis(1500);
    seen.extend(receive(&mut world, &mut client));
    assert_eq!(seen, from_server(&["fill", "begun"]));
    assert_eq!(world.node.numbers().messages_expired, 1);
}

#[test]
fn a_client_that_reads_gets_everything_in_time() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world, &Joining::default());
    deliver_until(&world, Target::All, "a", Millis(1000));
    deliver(&world, Target::All, "b");
    world.run();
    assert_eq!(client.receive_all(), from_server(&["a", "b"]));
    // One that waited for its turn too long is not sent at all.
    world.now = Millis(1000);
    deliver_until(&world, Target::All, "c", Millis(1000));
    world.run();
    assert_eq!(client.receive_all(), []);
    assert_eq!(world.node.numbers().messages_expired, 1);
}

#[test]
fn expired_messages_do_not_make_a_client_slow() {
    let mut world = world(Limits {
        outbound_queue_messages: 5,
        ..Limits::default()
    });
    let client = blocked(&mut world, 10);
    for round in 1..=10 {
        for _ in 0..3 {
            deliver_until(&world, Target::All, "x", world.now.plus(1000));
        }
        world.run();
        world.pass(2500);
        assert!(!client.pipe().server_gone, "round {round}");
    }
    assert_eq!(world.node.numbers().messages_expired, 30);
}

#[test]
fn without_a_time_to_live_no_timer_runs() {
    let mut world = world(Limits::default());
    let client = blocked(&mut world, 10);
    let before = world.next_timer();
    deliver(&world, Target::All, "kept");
    world.run();
    assert_eq!(world.next_timer(), before);
    deliver_until(&world, Target::All, "expires", Millis(100_000));
    world.run();
    assert!(world.next_timer() < before);
    drop(client);
}
