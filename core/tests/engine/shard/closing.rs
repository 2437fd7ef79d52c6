//! How connections end: the closing handshake from both sides, and what broken input gets.

use hubwire_core::ask::Answer;
use hubwire_core::command::Target;
use hubwire_core::inbox::AtShutdown;
use hubwire_core::session::Protocol;
use hubwire_core::settings::Limits;
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::Opcode;

use super::{close, connect, deliver, member, world};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

fn close_frame(code: u16) -> Seen {
    Seen::Close(Some(code), String::new())
}

fn is_gone(client: &Client) -> bool {
    client.pipe().server_gone
}

#[test]
fn a_client_that_closes_gets_its_code_back_and_then_the_end() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world, &Joining::default());
    client.close(1000);
    world.run();
    assert_eq!(client.receive_all(), [close_frame(1000)]);
    assert!(is_gone(&client));

    let mut client = connect(&mut world, &Joining::default());
    client.frame(Opcode::Close, b"");
    world.run();
    assert_eq!(client.receive_all(), [Seen::Close(None, String::new())]);
    assert!(is_gone(&client));
    world.assert_empty();
}

#[test]
fn acks_and_messages_before_a_close_are_written_before_it() {
    let mut world = world(Limits::default());
    let mut client = connect(
        &mut world,
        &Joining {
            room: 120,
            ..Joining::default()
        },
    );
    client.text(&json::join("room", Some(1)));
    client.text(&json::publish("room", "hi", false, Some(2)));
    client.close(1000);
    world.run();
    let mut seen = Vec::new();
    while !is_gone(&client) {
        seen.extend(client.receive_all());
        world.run();
    }
    seen.extend(client.receive_all());
    let expected = [
        json::acked(1),
        json::from_group("room", "hi"),
        json::acked(2),
    ]
    .map(Seen::Text);
    assert_eq!(seen[..3], expected);
    assert_eq!(seen[3..], [close_frame(1000)]);
}

#[test]
fn the_application_server_closes_with_and_without_a_reason() {
    let check = |reason: Option<&str>, expected: &str| {
        let mut world = world(Limits::default());
        let mut client = connect(&mut world, &Joining::default());
        let answers = close(&world, Target::Connection(client.id), reason);
        world.run();
        assert_eq!(
            client.receive_all(),
            [Seen::Text(json::disconnected(expected)), close_frame(1000)]
        );
        assert_eq!(*answers.lock().unwrap(), [Answer::Applied(1)]);
        assert!(!is_gone(&client), "the client's close frame is awaited");
        client.close(1000);
        world.run();
        assert!(is_gone(&client));
        world.assert_empty();
    };
    check(None, "Application server closed the connection.");
    check(Some(""), "Application server closed the connection.");
    check(
        Some("so long"),
        "Application server closed the connection. Reason: so long",
    );
}

#[test]
fn a_client_that_does_not_answer_a_close_is_dropped_in_time() {
    let mut world = world(Limits {
        close_timeout_ms: 2000,
        ..Limits::default()
    });
    let client = connect(&mut world, &Joining::default());
    let _ = close(&world, Target::All, None);
    world.pass(1900);
    assert!(!is_gone(&client));
    world.pass(300);
    assert!(is_gone(&client));
    world.assert_empty();
}

#[test]
fn when_both_close_at_once_the_farewell_is_still_written() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world, &Joining::default());
    let _ = close(&world, Target::All, None);
    client.close(1000);
    world.run();
    let goodbye = json::disconnected("Application server closed the connection.");
    assert_eq!(
        client.receive_all(),
        [Seen::Text(goodbye), close_frame(1000)]
    );
    assert!(is_gone(&client));
}

#[test]
fn nonsense_in_answer_to_a_close_gets_no_second_farewell() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world, &Joining::default());
    let _ = close(&world, Target::All, None);
    world.run();
    client.raw(&[0xff; 20]);
    world.run();
    let goodbye = json::disconnected("Application server closed the connection.");
    assert_eq!(
        client.receive_all(),
        [Seen::Text(goodbye), close_frame(1000)]
    );
    assert!(is_gone(&client));
    world.assert_empty();
}

/// Sends `input` as it is and returns what comes back, up to the end of the stream.
fn answer_to_broken(input: &[u8], protocol: Protocol) -> Vec<Seen> {
    let mut world = world(Limits {
        message_bytes: 100,
        ..Limits::default()
    });
    let mut other = member(&mut world, "room");
    let mut client = world.connect(&Joining {
        protocol,
        ..Joining::default()
    });
    world.run();
    let _ = client.receive_all();
    client.raw(input);
    world.run();
    let seen = client.receive_all();
    assert!(
        client.pipe().server_finished,
        "the end follows the last frame"
    );
    assert!(
        !is_gone(&client),
        "what is on its way is still read, so that the end is no reset"
    );
    client.raw(&[0; 1000]);
    client.pipe().client_finished = true;
    world.run();
    assert!(is_gone(&client));
    deliver(&world, Target::All, "still here");
    world.run();
    assert_eq!(
        other.receive_all(),
        [Seen::Text(json::from_server("still here"))]
    );
    seen
}

fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    hubwire_proto::ws::client::encode_masked(opcode, payload, [9, 8, 7, 6], &mut bytes);
    bytes
}

#[test]
fn malformed_json_is_told_disconnected_and_1007() {
    for input in [
        "",
        "hello",
        "[]",
        r#"{"type":"joinGroup"}"#,
        r#"{"type":"unheard of"}"#,
    ] {
        let seen = answer_to_broken(
            &masked(Opcode::Text, input.as_bytes()),
            Protocol::PubSub(Subprotocol::Json),
        );
        let [Seen::Text(goodbye), Seen::Close(Some(1007), _)] = &seen[..] else {
            panic!("{input}: {seen:?}")
        };
        assert_eq!(
            json::string(goodbye, "event"),
            Some("disconnected"),
            "{input}"
        );
    }
}

#[test]
fn broken_frames_close_with_the_code_of_the_framing_rules() {
    let check = |input: &[u8], code: u16| {
        for protocol in [
            Protocol::PubSub(Subprotocol::Json),
            Protocol::Simple(SimpleMode::SendEvent),
        ] {
            let seen = answer_to_broken(input, protocol);
            let [.., Seen::Close(Some(seen_code), _)] = &seen[..] else {
                panic!("{input:?}: {seen:?}")
            };
            assert_eq!(*seen_code, code, "{input:?}");
        }
    };
    check(&[0x81, 0x01, b'x'], 1002);
    check(&[0xf1, 0x80, 0, 0, 0, 0], 1002);
    check(&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007);
    // A declared length is refused before the bytes come: 2^62, and just above the limit.
    check(&[0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1009);
    check(&masked(Opcode::Text, &[b'x'; 101]), 1009);
    // Only the first mistake is told.
    check(&[&[0x81, 0x01, b'x'][..], &[0xff; 30]].concat(), 1002);
}

#[test]
fn malformed_json_with_nonsense_behind_it_gets_one_farewell() {
    let input = [masked(Opcode::Text, b"hello"), vec![0xff; 30]].concat();
    let seen = answer_to_broken(&input, Protocol::PubSub(Subprotocol::Json));
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn a_simple_client_without_permission_is_closed_with_1008() {
    let mode = SimpleMode::SendToGroup {
        group: "room".into(),
        no_echo: false,
    };
    let mut world = world(Limits::default());
    let mut client = world.connect(&Joining {
        protocol: Protocol::Simple(mode),
        roles: &[],
        ..Joining::default()
    });
    client.text("hi");
    world.run();
    let seen = client.receive_all();
    assert!(
        matches!(&seen[..], [Seen::Close(Some(1008), _)]),
        "{seen:?}"
    );
}

#[test]
fn a_reset_and_a_half_close_end_the_connection_at_once() {
    let mut world = world(Limits::default());
    let reset = connect(&mut world, &Joining::default());
    let half_closed = connect(&mut world, &Joining::default());
    reset.pipe().reset();
    half_closed.pipe().client_finished = true;
    world.run();
    assert!(is_gone(&reset) && is_gone(&half_closed));
    world.assert_empty();
}

#[test]
fn a_shutdown_tells_everybody_even_who_comes_too_late() {
    let mut world = World::new(
        2,
        Limits::default(),
        &hubwire_core::settings::TickBudget::default(),
    );
    let mut clients: Vec<_> = (0..4)
        .map(|_| connect(&mut world, &Joining::default()))
        .collect();
    world.node.shut_down(AtShutdown::EndSessions);
    world.run();
    // Its 101 was on the way when the end began.
    let mut late = world.connect(&Joining::default());
    world.run();
    let farewell = late.receive_all().split_off(1);
    let goodbye = json::disconnected("The server is shutting down.");
    assert_eq!(farewell, [Seen::Text(goodbye), close_frame(1001)]);
    late.close(1001);
    for client in &mut clients {
        let goodbye = json::disconnected("The server is shutting down.");
        assert_eq!(
            client.receive_all(),
            [Seen::Text(goodbye), close_frame(1001)]
        );
        client.close(1001);
    }
    world.run();
    world.assert_empty();
}
