//! Reliable sessions that come to their end while somebody wants them back or delivers to them.

use hubwire_core::command::Target;
use hubwire_core::inbox::AtShutdown;
use hubwire_core::settings::Limits;

use super::reliable::{connect, joining, numbered};
use super::{close, deliver, world};
use crate::support::client::{Seen, json};

#[test]
fn a_client_that_has_closed_cannot_come_back_while_its_handler_works() {
    let mut world = world(Limits::default());
    let client = connect(&mut world);
    client.text(&json::event("ask", None));
    client.close(1000);
    world.run();
    let mut refused = world.recover(&client, &joining());
    world.run();
    let reason = "The connection could not be recovered.".to_owned();
    assert_eq!(refused.receive_all(), [Seen::Close(Some(1008), reason)]);
    world.calls.borrow_mut().clear();
    world.run();
    world.assert_empty();
}

#[test]
fn a_client_that_comes_back_while_its_session_is_put_away_is_not_told_that_it_is_gone() {
    let mut world = world(Limits::default());
    let client = connect(&mut world);
    world.node.quiesce();
    world.run();
    world.node.shut_down(AtShutdown::SaveSessions);
    world.run();
    let mut again = world.recover(&client, &joining());
    world.run();
    assert_eq!(again.receive_all(), []);
    assert!(again.pipe().server_gone);
    assert_eq!(world.node.take_saved().sessions.len(), 1);
}

#[test]
fn a_session_that_was_closed_before_its_full_queue_could_end_it_says_goodbye() {
    let mut world = world(Limits {
        replay_messages: 3,
        ..Limits::default()
    });
    let mut client = connect(&mut world);
    for text in ["a", "b", "c", "d"] {
        deliver(&world, Target::Group("room".into()), text);
    }
    close(&world, Target::Connection(client.id), None);
    world.run();
    let mut expect = numbered(1, &["a", "b", "c"]);
    let message = "Application server closed the connection.";
    expect.push(Seen::text(&json::disconnected(message)));
    expect.push(Seen::Close(Some(1000), String::new()));
    assert_eq!(client.receive_all(), expect);
    assert_eq!(world.node.numbers().closed_replay_full, 0);
}

#[test]
fn a_session_with_a_gap_is_not_put_away() {
    let mut world = world(Limits {
        replay_messages: 3,
        ..Limits::default()
    });
    connect(&mut world);
    for text in ["a", "b", "c", "d"] {
        deliver(&world, Target::Group("room".into()), text);
    }
    // Somebody became impatient, and both come in one tick.
    world.node.shut_down(AtShutdown::SaveSessions);
    world.run();
    assert_eq!(world.node.take_saved().sessions.len(), 0);
}
