//! One behaviour of a shard at a time, through its wire.

mod bulk;
mod closing;
mod expiry;
mod group_state;
mod group_state_leaving;
mod group_state_races;
mod group_state_random;
mod keep_alive;
mod limits;
mod mixed;
mod parked;
mod permissions;
mod protobuf;
mod reliable;
mod reliable_ends;
mod reload;
mod restart;
mod selection;
mod stream;
mod stream_ends;
mod stream_kinds;
mod stream_recovery;
mod walks;

use std::sync::{Arc, Mutex};

use hubwire_core::ask::{Answer, ReplyTo};
use hubwire_core::command::{Action, Command, GroupNames, Selection, Target};
use hubwire_core::publication::{Origin, Publication};
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_proto::message::DataType;

use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

fn world(limits: Limits) -> World {
    World::new(1, limits, &TickBudget::default())
}

/// Connects a client and takes its greeting, which must be first on the wire.
fn connect(world: &mut World, joining: &Joining<'_>) -> Client {
    let mut client = world.connect(joining);
    world.run();
    let greeting = format!(
        r#"{{"type":"system","event":"connected","connectionId":"{}"}}"#,
        client.id
    );
    assert_eq!(client.receive_all(), [Seen::Text(greeting)]);
    client
}

fn member(world: &mut World, group: &str) -> Client {
    connect(
        world,
        &Joining {
            groups: &[group],
            ..Joining::default()
        },
    )
}

fn send(world: &World, target: Target, selection: Selection, action: Action) {
    let to = world.node.route("chat", &target);
    let command = Command {
        hub: "chat".into(),
        target,
        selection,
        action,
    };
    world.node.try_send(&command, to).unwrap();
}

fn publication(world: &World, text: &str) -> Arc<Publication> {
    let (origin, memory) = (Origin::Server, world.node.memory());
    Publication::new(origin, DataType::Text, text.as_bytes().into(), memory)
}

fn deliver(world: &World, target: Target, text: &str) {
    let publication = publication(world, text);
    let action = Action::Deliver { publication };
    send(world, target, Selection::default(), action);
}

fn group(world: &World, name: &str) -> Arc<GroupNames> {
    GroupNames::new([name], world.node.memory())
}

/// The answers to a command, once all have come.
type Answers = Arc<Mutex<Vec<Answer>>>;

/// Sends a command whose answers come into what is returned.
fn ask(world: &World, target: Target, action: impl FnOnce(ReplyTo) -> Action) -> Answers {
    ask_selected(world, target, Selection::default(), action)
}

/// Sends a command for those of a target that are selected.
fn ask_selected(
    world: &World,
    target: Target,
    selection: Selection,
    action: impl FnOnce(ReplyTo) -> Action,
) -> Answers {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let result = Arc::clone(&answers);
    let to = world.node.route("chat", &target);
    let reply = world
        .node
        .asks()
        .open(to.len(), Box::new(move |all| *result.lock().unwrap() = all))
        .unwrap();
    send(world, target, selection, action(reply));
    answers
}

fn close(world: &World, target: Target, reason: Option<&str>) -> Answers {
    ask(world, target, |reply| Action::Close {
        reason: reason.map(Into::into),
        reply: Some(reply),
    })
}

#[test]
fn connected_is_first_on_the_wire_even_when_requests_came_with_the_upgrade() {
    let mut world = world(Limits::default());
    let mut unread = Vec::new();
    let request = json::join("room", Some(1));
    hubwire_proto::ws::client::encode_masked(
        hubwire_proto::ws::Opcode::Text,
        request.as_bytes(),
        [1, 2, 3, 4],
        &mut unread,
    );
    let mut client = world.connect(&Joining {
        unread,
        user: Some("ann"),
        ..Joining::default()
    });
    world.run();
    let seen = client.receive_all();
    let greeting = format!(
        r#"{{"type":"system","event":"connected","userId":"ann","connectionId":"{}"}}"#,
        client.id
    );
    assert_eq!(seen, [Seen::Text(greeting), Seen::Text(json::acked(1))]);
}

#[test]
fn what_one_tick_queues_for_a_client_leaves_in_one_write() {
    let mut world = world(Limits::default());
    let mut client = member(&mut world, "room");
    let writes = client.pipe().writes;
    for ack_id in 1..=20 {
        client.text(&json::publish("room", "hello", false, Some(ack_id)));
    }
    world.run();
    let seen = client.receive_all();
    assert_eq!(seen.len(), 40);
    assert_eq!(client.pipe().writes - writes, 1);
}

#[test]
fn memory_is_all_given_back_when_everybody_is_gone() {
    let mut world = World::new(3, Limits::default(), &TickBudget::default());
    let mut clients: Vec<_> = (0..9).map(|_| member(&mut world, "room")).collect();
    for client in &clients {
        client.text(&json::publish("room", "hello", false, Some(1)));
    }
    world.run();
    for client in &mut clients {
        assert_eq!(client.receive_all().len(), 10, "nine messages and an ack");
        client.close(1000);
    }
    world.run();
    world.assert_empty();
}
