//! Sessions that wait: what acts at once, what is held, what wakes them, what comes too late.

use hubwire_core::command::{Action, Command, Selection, Target};
use hubwire_core::handler::Reply;
use hubwire_core::inbox::Mail;
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;
use hubwire_proto::ws::Opcode;

use super::{close, connect, deliver, member, reliable, world};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

/// A client whose event waits for its handler.
fn parked(world: &mut World) -> Client {
    let mut client = member(world, "room");
    client.text(&json::event("question", Some(1)));
    world.run();
    assert_eq!(client.receive_all(), []);
    assert_eq!(world.node.numbers().parked_connections, 1);
    client
}

fn answer(world: &mut World, text: &str) {
    let call = world.calls.borrow_mut().pop().unwrap();
    let reply = Reply {
        data_type: DataType::Text,
        bytes: text.as_bytes().into(),
        metadata: Metadata::default(),
    };
    call.ticket.answer(Ok(Some(reply)));
    world.run();
}

#[test]
fn pings_act_at_once_and_the_rest_is_held_in_order() {
    let mut world = world(Limits::default());
    let mut client = parked(&mut world);
    client.text(&json::publish("room", "one", false, Some(2)));
    client.text(json::PING);
    client.frame(Opcode::Ping, b"hi");
    client.text(&json::leave("room", Some(3)));
    client.text(&json::publish("room", "two", false, Some(4)));
    world.run();
    assert_eq!(
        client.receive_all(),
        [Seen::text(json::PONG), Seen::Pong(b"hi".to_vec())]
    );
    deliver(&world, Target::All, "meanwhile");
    world.run();
    assert_eq!(
        client.receive_all(),
        [Seen::Text(json::from_server("meanwhile"))]
    );
    answer(&mut world, "answer");
    let expected = [
        json::from_server("answer"),
        json::acked(1),
        json::from_group("room", "one"),
        json::acked(2),
        json::acked(3),
        json::acked(4),
    ];
    assert_eq!(client.receive_all(), expected.map(Seen::Text));
    assert_eq!(world.node.numbers().parked_connections, 0);
}

#[test]
fn what_came_before_broken_bytes_is_answered_before_the_failure() {
    let mut world = world(Limits::default());
    let mut client = parked(&mut world);
    client.text(&json::publish("room", "one", false, Some(2)));
    client.raw(&[0xFF; 8]);
    world.run();
    assert_eq!(client.receive_all(), []);
    answer(&mut world, "answer");
    let seen = client.receive_all();
    let expected = [
        json::from_server("answer"),
        json::acked(1),
        json::from_group("room", "one"),
        json::acked(2),
    ];
    assert_eq!(seen[..4], expected.map(Seen::Text));
    assert!(
        matches!(seen[4..], [Seen::Close(Some(1002), _)]),
        "{seen:?}"
    );
}

#[test]
fn what_came_before_a_close_frame_is_handled_before_the_close() {
    let mut world = world(Limits::default());
    let mut client = parked(&mut world);
    client.text(&json::publish("room", "one", false, Some(2)));
    client.close(1000);
    world.run();
    assert_eq!(client.receive_all(), []);
    answer(&mut world, "answer");
    let seen = client.receive_all();
    let expected = [
        json::from_server("answer"),
        json::acked(1),
        json::from_group("room", "one"),
        json::acked(2),
    ];
    assert_eq!(seen[..4], expected.map(Seen::Text));
    assert_eq!(seen[4..], [Seen::Close(Some(1000), String::new())]);
    world.assert_empty();
}

#[test]
fn at_the_bound_reading_stops_and_goes_on_after_the_answer() {
    let mut world = world(Limits {
        parked_input_bytes: 300,
        ..Limits::default()
    });
    let mut client = parked(&mut world);
    for ack_id in 2..=100 {
        client.text(&json::publish("nobody", "here", false, Some(ack_id)));
        world.run();
    }
    assert_eq!(world.node.numbers().reading_paused, 1);
    let received = world.node.numbers().messages_received;
    assert!(received < 10, "{received} messages were taken");
    client.text(json::PING);
    world.run();
    assert_eq!(
        client.receive_all(),
        [],
        "a ping behind the bound is not read"
    );
    answer(&mut world, "answer");
    let seen = client.receive_all();
    assert_eq!(seen.len(), 2 + 99 + 1);
    assert_eq!(seen[100], Seen::Text(json::acked(100)));
}

#[test]
fn messages_without_bytes_fill_the_bound_too() {
    let mut world = world(Limits {
        parked_input_bytes: 10_000,
        ..Limits::default()
    });
    let client = parked(&mut world);
    for _ in 0..10_000 {
        client.frame(Opcode::Text, b"");
        world.run();
        if world.node.numbers().reading_paused == 1 {
            return;
        }
    }
    panic!("ten thousand messages are held");
}

#[test]
fn a_hang_up_is_noticed_while_reading_is_stopped() {
    let mut world = world(Limits {
        parked_input_bytes: 1,
        ..Limits::default()
    });
    let client = parked(&mut world);
    client.text(&json::join("other", Some(2)));
    world.run();
    client.pipe().client_finished = true;
    world.run();
    assert!(client.pipe().server_gone);
    answer(&mut world, "too late");
    world.assert_empty();
}

#[test]
fn an_answer_to_a_connection_that_has_gone_reaches_nobody() {
    let mut world = world(Limits::default());
    let client = parked(&mut world);
    client.pipe().reset();
    world.run();
    // The same slot, now somebody else's, who waits for a call with the same number.
    let mut next = parked(&mut world);
    assert_eq!(next.id.slot(), client.id.slot());
    let late = world.calls.borrow_mut().remove(0);
    assert_eq!(late.ticket.connection(), client.id);
    late.ticket.answer(Ok(None));
    world.run();
    assert_eq!(next.receive_all(), []);
    answer(&mut world, "mine");
    assert_eq!(
        next.receive_all(),
        [json::from_server("mine"), json::acked(1)].map(Seen::Text)
    );
}

#[test]
fn a_lost_call_counts_as_failed() {
    let mut world = world(Limits::default());
    let mut client = parked(&mut world);
    drop(world.calls.borrow_mut().pop());
    world.run();
    let seen = client.receive_all();
    let [Seen::Text(ack)] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(json::string(ack, "name"), Some("InternalServerError"));
    // A failure does not use up the ack id.
    client.text(&json::event("again", Some(1)));
    world.run();
    answer(&mut world, "now");
    assert_eq!(
        client.receive_all(),
        [json::from_server("now"), json::acked(1)].map(Seen::Text)
    );
}

#[test]
fn a_parked_session_can_be_closed() {
    let mut world = world(Limits::default());
    let mut client = parked(&mut world);
    client.text(&json::publish("room", "held", false, Some(2)));
    world.run();
    let _ = close(&world, Target::Group("room".into()), None);
    world.run();
    assert!(matches!(
        client.receive_all()[..],
        [Seen::Text(_), Seen::Close(Some(1000), _)]
    ));
    answer(&mut world, "too late");
    client.close(1000);
    world.run();
    assert_eq!(client.receive_all(), []);
    world.assert_empty();
}

#[test]
fn a_publisher_without_room_in_another_shard_waits_and_goes_on_in_order() {
    let limits = Limits {
        inbox_commands: 1,
        ..Limits::default()
    };
    let mut world = World::new(2, limits, &TickBudget::default());
    let mut publisher = connect(&mut world, &Joining::default());
    let mut receiver = member(&mut world, "room");
    assert_ne!(publisher.id.shard(), receiver.id.shard());
    let hold = world.node.inbox(receiver.id.shard()).try_reserve().unwrap();
    for ack_id in 1..=5 {
        publisher.text(&json::publish(
            "room",
            &ack_id.to_string(),
            false,
            Some(ack_id),
        ));
    }
    world.run();
    assert_eq!(
        publisher.receive_all(),
        [],
        "nothing is acknowledged that is not on its way"
    );
    assert_eq!(world.node.numbers().sessions_waited_for_room, 1);
    // Mail that the shard works off makes the room that the publisher waits for.
    let command = Command {
        hub: "chat".into(),
        target: Target::Connection(publisher.id),
        selection: Selection::default(),
        action: Action::Leave {
            groups: None,
            reply: None,
        },
    };
    let mail = Mail::Command(command);
    world.node.inbox(receiver.id.shard()).send(hold, mail);
    world.run();
    assert_eq!(
        publisher.receive_all(),
        [1, 2, 3, 4, 5].map(|id| Seen::Text(json::acked(id)))
    );
    let expected =
        [1, 2, 3, 4, 5].map(|number| Seen::Text(json::from_group("room", &number.to_string())));
    assert_eq!(receiver.receive_all(), expected);
}

#[test]
fn a_reliable_client_that_closed_while_its_handler_works_is_not_waited_for() {
    let mut world = world(Limits::default());
    let client = reliable::connect(&mut world);
    client.text(&json::event("ask", Some(1)));
    client.close(1000);
    world.run();
    // It does not wait for the answer to its close frame.
    client.pipe().client_finished = true;
    world.run();
    assert_eq!(world.node.numbers().detached_sessions, 0);
    assert_eq!(world.node.connections(), 0);
}
