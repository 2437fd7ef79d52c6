//! Bounds, and that meeting one concerns nobody else.

use hubwire_core::ask::Answer;
use hubwire_core::command::{Action, GroupNames, Target};
use hubwire_core::settings::Limits;

use super::{ask, connect, deliver, group, member, world};
use crate::support::client::{Seen, json};
use crate::support::world::{Joining, World};

#[test]
fn a_client_that_does_not_read_is_closed_alone_and_told_why_if_there_is_room() {
    let mut world = world(Limits {
        outbound_queue_messages: 5,
        ..Limits::default()
    });
    let mut slow = connect(
        &mut world,
        &Joining {
            groups: &["room"],
            room: 200,
            ..Joining::default()
        },
    );
    let mut other = member(&mut world, "room");
    for number in 0..20 {
        deliver(
            &world,
            Target::Group("room".into()),
            &format!("message {number}"),
        );
        world.run();
        assert_eq!(other.receive_all().len(), 1);
    }
    assert!(slow.pipe().server_gone);
    assert!(!other.pipe().server_gone);
    assert!(slow.receive_all().len() < 20);
    let numbers = world.node.numbers();
    assert_eq!((numbers.closed_slow_clients, numbers.connections), (1, 1));
}

#[test]
fn what_a_transport_owes_arrives_and_counts_as_waiting() {
    let joining = Joining {
        groups: &["room"],
        room: 200,
        owes_most: 10_000,
        ..Joining::default()
    };
    let send = |world: &mut World, bytes: usize| {
        deliver(world, Target::Group("room".into()), &"x".repeat(bytes));
        world.run();
    };
    let mut world = world(Limits {
        outbound_queue_bytes: 2000,
        ..Limits::default()
    });
    let mut client = connect(&mut world, &joining);
    send(&mut world, 1000);
    assert!(world.node.memory().queued() >= 700);
    let mut seen = Vec::new();
    while world.node.memory().queued() > 0 {
        seen.extend(client.receive(50));
        world.run();
    }
    seen.extend(client.receive_all());
    assert_eq!(seen.len(), 1);
    assert!(!client.pipe().server_gone);

    let slow = connect(&mut world, &joining);
    send(&mut world, 3000);
    assert!(slow.pipe().server_gone);
    assert_eq!(world.node.numbers().closed_slow_clients, 2);
    assert_eq!(world.node.memory().queued(), 0);
}

#[test]
fn what_a_write_takes_at_once_makes_nobody_slow() {
    let mut world = world(Limits {
        outbound_queue_messages: 5,
        ..Limits::default()
    });
    let mut client = member(&mut world, "room");
    for number in 0..100 {
        deliver(&world, Target::All, &number.to_string());
    }
    world.run();
    assert_eq!(client.receive_all().len(), 100);
}

#[test]
fn a_client_that_always_has_a_little_left_to_read_is_not_slow() {
    let mut world = world(Limits {
        outbound_queue_messages: 50,
        ..Limits::default()
    });
    let mut client = connect(
        &mut world,
        &Joining {
            room: 200,
            ..Joining::default()
        },
    );
    let pongs = |count: usize| vec![Seen::text(json::PONG); count];
    // Thirty pongs are more than the wire holds, so some wait at any time.
    for _ in 0..30 {
        client.text(json::PING);
    }
    world.run();
    let bytes_of_three = 3 * (json::PONG.len() + 2);
    for round in 0..500 {
        assert_eq!(client.receive(bytes_of_three), pongs(3), "round {round}");
        for _ in 0..3 {
            client.text(json::PING);
        }
        world.run();
    }
    assert!(!client.pipe().server_gone);
}

#[test]
fn when_the_node_is_out_of_memory_the_largest_queue_ends_and_the_rest_goes_on() {
    let mut world = world(Limits {
        node_queued_bytes: 10_000,
        ..Limits::default()
    });
    let stuck = connect(
        &mut world,
        &Joining {
            groups: &["room"],
            room: 200,
            ..Joining::default()
        },
    );
    let mut other = member(&mut world, "room");
    let text = "x".repeat(900);
    for ack_id in 1..=30 {
        other.text(&json::publish("room", &text, true, Some(ack_id)));
        world.pass(20);
    }
    assert!(stuck.pipe().server_gone);
    assert_eq!(world.node.numbers().closed_for_memory, 1);
    let acks: Vec<_> = (1..=30).map(|id| Seen::Text(json::acked(id))).collect();
    assert_eq!(
        other.receive_all(),
        acks,
        "a publisher waits for memory and goes on"
    );
    other.close(1000);
    world.run();
    world.assert_empty();
}

#[test]
fn names_of_groups_that_wait_end_nobody_and_keep_no_publisher_waiting() {
    let mut world = world(Limits {
        node_queued_bytes: 10_000,
        ..Limits::default()
    });
    let stuck = connect(
        &mut world,
        &Joining {
            groups: &["room"],
            room: 200,
            ..Joining::default()
        },
    );
    let mut publisher = connect(&mut world, &Joining::default());
    let names: Vec<_> = (0..2000).map(|number| format!("group {number}")).collect();
    let held = GroupNames::new(names.iter().map(String::as_str), world.node.memory());
    assert!(world.node.memory().queued() > 10_000);
    publisher.text(&json::publish("room", &"x".repeat(900), false, Some(1)));
    world.pass(500);
    assert_eq!(publisher.receive_all(), [Seen::Text(json::acked(1))]);
    assert_eq!(world.node.numbers().closed_for_memory, 0);
    assert!(!stuck.pipe().server_gone);
    drop(held);
}

#[test]
fn a_publisher_that_waited_for_memory_goes_on_without_another_event() {
    let mut world = world(Limits {
        node_queued_bytes: 2000,
        ..Limits::default()
    });
    let mut reader = connect(
        &mut world,
        &Joining {
            groups: &["room"],
            ..Joining::default()
        },
    );
    let mut publisher = connect(&mut world, &Joining::default());
    // Both in one tick: the first message fills the memory until the flush at its end.
    let text = "x".repeat(1500);
    publisher.text(&json::publish("room", &text, false, Some(1)));
    publisher.text(&json::publish("room", &text, false, Some(2)));
    world.pass(50);
    let acks = [1, 2].map(|id| Seen::Text(json::acked(id)));
    assert_eq!(publisher.receive_all(), acks);
    assert_eq!(reader.receive_all().len(), 2);
}

#[test]
fn joins_beyond_the_bound_are_refused_with_an_ack_and_over_rest() {
    let mut world = world(Limits {
        groups_per_connection: 2,
        ..Limits::default()
    });
    let mut client = connect(&mut world, &Joining::default());
    for (ack_id, group) in [(1, "a"), (2, "b"), (3, "c"), (4, "a")] {
        client.text(&json::join(group, Some(ack_id)));
    }
    world.run();
    let seen = client.receive_all();
    let [first, second, Seen::Text(third), fourth] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(
        [first, second, fourth],
        [1, 2, 4].map(|id| Seen::Text(json::acked(id))).each_ref()
    );
    assert_eq!(
        (json::number(third, "ackId"), json::string(third, "name")),
        (Some(3), Some("BadRequest"))
    );
    let join = |name: &str| {
        let groups = group(&world, name);
        ask(&world, Target::Connection(client.id), |reply| {
            Action::Join {
                groups,
                reply: Some(reply),
            }
        })
    };
    let (refused, again) = (join("d"), join("a"));
    world.run();
    assert_eq!(*refused.lock().unwrap(), [Answer::Refused]);
    assert_eq!(*again.lock().unwrap(), [Answer::Applied(1)]);
    assert_eq!(world.node.numbers().joins_refused, 2);
}
