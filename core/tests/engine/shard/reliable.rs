//! Reliable sessions: numbers, acknowledgements, the time without a transport, and what comes with
//! the next one.

use hubwire_core::Millis;
use hubwire_core::command::{Action, Question, Selection, Target};
use hubwire_core::handler::Reply;
use hubwire_core::publication::{Origin, Publication};
use hubwire_core::session::Protocol;
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_core::wheel;
use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::Opcode;

use super::{Answers, ask, deliver, group, send, world};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, NEXT_TOKEN, TOKEN, World};

pub(super) const RELIABLE: Protocol = Protocol::PubSub(Subprotocol::JsonReliable);

/// A reliable member of `room`.
pub(super) fn joining() -> Joining<'static> {
    Joining {
        protocol: RELIABLE,
        groups: &["room"],
        ..Joining::default()
    }
}

pub(super) fn connected(client: &Client, token: &str) -> Seen {
    Seen::Text(format!(
        r#"{{"type":"system","event":"connected","connectionId":"{}","reconnectionToken":"{token}"}}"#,
        client.id
    ))
}

/// Connects a reliable member of `room` and takes its greeting.
pub(super) fn connect(world: &mut World) -> Client {
    let mut client = world.connect(&joining());
    world.run();
    assert_eq!(client.receive_all(), [connected(&client, TOKEN)]);
    client
}

/// Brings a client back and takes its greeting.
pub(super) fn come_back(world: &mut World, client: &Client) -> (Client, Vec<Seen>) {
    let mut again = world.recover(client, &joining());
    world.run();
    let mut seen = again.receive_all();
    assert_eq!(seen.remove(0), connected(&again, NEXT_TOKEN));
    (again, seen)
}

/// The texts of server messages from `first` on.
pub(super) fn numbered(first: u64, texts: &[&str]) -> Vec<Seen> {
    let message = |(sequence_id, text): (u64, &&str)| {
        let rest = json::from_server(text);
        Seen::Text(format!(r#"{{"sequenceId":{sequence_id},{}"#, &rest[1..]))
    };
    (first..).zip(texts).map(message).collect()
}

pub(super) fn acknowledge(client: &Client, sequence_id: u64) {
    client.text(&format!(
        r#"{{"type":"sequenceAck","sequenceId":{sequence_id}}}"#
    ));
}

/// The transport ends without a word.
fn cut(world: &mut World, client: &Client) {
    client.pipe().client_finished = true;
    world.run();
    assert!(client.pipe().server_gone);
}

fn to(client: &Client) -> Target {
    Target::Connection(client.id)
}

fn exists(world: &mut World, client: &Client) -> bool {
    let answers = ask(world, to(client), |reply| Action::Ask {
        question: Question::Exists,
        reply,
    });
    world.run();
    let answers = answers.lock().unwrap();
    matches!(answers[..], [hubwire_core::ask::Answer::Exists(true)])
}

#[test]
fn black_box_cases_41_and_47_what_was_not_acknowledged_comes_again_with_its_numbers() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world);
    for text in ["a", "b"] {
        deliver(&world, to(&client), text);
    }
    world.run();
    assert_eq!(client.receive_all(), numbered(1, &["a", "b"]));
    acknowledge(&client, 1);
    world.run();
    cut(&mut world, &client);
    deliver(&world, Target::Group("room".into()), "c");
    world.run();
    let (mut client, seen) = come_back(&mut world, &client);
    assert_eq!(seen, numbered(2, &["b", "c"]));
    deliver(&world, Target::All, "d");
    world.run();
    assert_eq!(client.receive_all(), numbered(4, &["d"]));
    acknowledge(&client, 4);
    world.run();
    cut(&mut world, &client);
    let (_, seen) = come_back(&mut world, &client);
    assert_eq!(seen, []);
}

#[test]
fn an_acknowledgement_counts_for_all_before_it_and_only_for_numbers_that_were_given() {
    let mut world = world(Limits::default());
    let check = |world: &mut World, acknowledged: &[u64], first: u64| {
        let mut client = connect(world);
        for text in ["a", "b", "c", "d"] {
            deliver(world, to(&client), text);
        }
        world.run();
        client.receive_all();
        for sequence_id in acknowledged {
            acknowledge(&client, *sequence_id);
        }
        world.run();
        cut(world, &client);
        let (_, seen) = come_back(world, &client);
        let left = &["a", "b", "c", "d"][usize::try_from(first).unwrap() - 1..];
        assert_eq!(seen, numbered(first, left), "{acknowledged:?}");
    };
    check(&mut world, &[], 1);
    check(&mut world, &[0], 1);
    check(&mut world, &[3], 4);
    check(&mut world, &[3, 1, 3], 4);
    check(&mut world, &[5], 1);
    check(&mut world, &[2, u64::MAX], 3);
    check(&mut world, &[4], 5);
}

#[test]
fn a_session_waits_as_long_as_its_window_and_is_gone_then() {
    let limits = Limits {
        recovery_window_ms: 5_000,
        ..Limits::default()
    };
    let mut world = world(limits);
    let client = connect(&mut world);
    cut(&mut world, &client);
    world.now = Millis(4_999);
    world.run();
    assert!(exists(&mut world, &client));
    let (client, _) = come_back(&mut world, &client);
    // The first window is over, but the client was back.
    world.now = Millis(5_000 + wheel::GRANULARITY_MS);
    world.run();
    cut(&mut world, &client);
    assert_eq!(world.node.numbers().detached_sessions, 1);
    world.now = world.now.plus(5_000 + wheel::GRANULARITY_MS);
    world.run();
    assert!(!exists(&mut world, &client));
    let mut refused = world.recover(&client, &joining());
    world.run();
    let reason = "The connection could not be recovered.".to_owned();
    assert_eq!(refused.receive_all(), [Seen::Close(Some(1008), reason)]);
    let numbers = world.node.numbers();
    assert_eq!(
        (
            numbers.detached_sessions,
            numbers.sessions_expired,
            numbers.recoveries_too_late
        ),
        (0, 1, 1)
    );
    assert_eq!(
        (world.node.connections(), world.node.memory().queued()),
        (0, 0)
    );
}

#[test]
fn how_a_transport_ends_decides_whether_its_session_waits() {
    let check = |end: &dyn Fn(&mut World, &Client), waits: bool, answer: &[Seen]| {
        let mut world = world(Limits::default());
        let mut client = connect(&mut world);
        end(&mut world, &client);
        world.run();
        assert_eq!(client.receive_all(), answer);
        assert_eq!(exists(&mut world, &client), waits);
    };
    let close = |code: u16| Seen::Close(Some(code), String::new());
    check(&|_, client| client.pipe().client_finished = true, true, &[]);
    check(&|_, client| client.pipe().reset(), true, &[]);
    check(&|_, client| client.close(1001), true, &[close(1001)]);
    check(&|_, client| client.close(4000), true, &[close(4000)]);
    let empty = |_: &mut World, client: &Client| client.frame(Opcode::Close, b"");
    check(&empty, true, &[Seen::Close(None, String::new())]);
    check(&|_, client| client.close(1000), false, &[close(1000)]);
    let nonsense = "The client message is not a valid JSON protocol message.";
    let mut world = world(Limits::default());
    let mut client = connect(&mut world);
    client.text("nonsense");
    world.run();
    let seen = client.receive_all();
    assert_eq!(
        seen.last(),
        Some(&Seen::Close(Some(1007), nonsense.to_owned()))
    );
    assert!(!exists(&mut world, &client));
}

#[test]
fn a_new_transport_takes_over_from_one_that_only_seems_alive() {
    let mut world = world(Limits::default());
    let mut old = connect(&mut world);
    deliver(&world, to(&old), "a");
    world.run();
    let (mut new, seen) = come_back(&mut world, &old);
    assert!(old.pipe().server_gone);
    assert_eq!(seen, numbered(1, &["a"]));
    // What the old one still says is not heard.
    old.text(&json::publish("room", "late", false, None));
    world.run();
    assert_eq!(new.receive_all(), []);
    assert_eq!(old.receive_all(), numbered(1, &["a"]));
    assert_eq!(world.node.numbers().detached_sessions, 0);
    assert_eq!(world.node.numbers().sessions_recovered, 1);
}

#[test]
fn black_box_cases_49_and_50_everything_works_on_a_session_without_a_transport() {
    let mut world = world(Limits::default());
    let mut client = world.connect(&Joining {
        protocol: RELIABLE,
        roles: &[],
        ..Joining::default()
    });
    world.run();
    client.receive_all();
    cut(&mut world, &client);
    let joined = group(&world, "Room");
    let _: Answers = ask(&world, to(&client), |reply| Action::Join {
        groups: joined,
        reply: Some(reply),
    });
    let _: Answers = ask(&world, to(&client), |reply| Action::Grant {
        permission: hubwire_proto::role::Permission::SendToGroup,
        group: Some("Room".into()),
        reply: Some(reply),
    });
    world.run();
    deliver(&world, Target::Group("room".into()), "no");
    deliver(&world, Target::Group("Room".into()), "yes");
    world.run();
    let (mut client, seen) = come_back(&mut world, &client);
    assert_eq!(seen, numbered(1, &["yes"]));
    client.text(&json::publish("Room", "mine", true, Some(1)));
    world.run();
    assert_eq!(client.receive_all(), [Seen::text(&json::acked(1))]);
    cut(&mut world, &client);
    // Case 45.
    let _: Answers = ask(&world, to(&client), |reply| Action::Close {
        reason: None,
        reply: Some(reply),
    });
    world.run();
    assert!(!exists(&mut world, &client));
    assert_eq!(world.node.connections(), 0);
}

#[test]
fn black_box_case_51_ack_ids_outlive_the_transport() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world);
    client.text(&json::publish("room", "once", true, Some(7)));
    world.run();
    assert_eq!(client.receive_all(), [Seen::text(&json::acked(7))]);
    cut(&mut world, &client);
    let (mut client, _) = come_back(&mut world, &client);
    client.text(&json::publish("room", "once", true, Some(7)));
    world.run();
    let seen = client.receive_all();
    let [Seen::Text(ack)] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert!(ack.contains(r#""name":"Duplicate""#), "{ack}");
}

#[test]
fn a_pending_call_and_what_came_behind_it_outlive_the_transport() {
    let mut world = world(Limits::default());
    let mut listener = connect(&mut world);
    let client = connect(&mut world);
    client.text(&json::event("ask", Some(1)));
    client.text(&json::publish("room", "behind", true, Some(2)));
    world.run();
    cut(&mut world, &client);
    assert_eq!(listener.receive_all(), []);
    let call = world.calls.borrow_mut().pop().unwrap();
    call.ticket.answer(Ok(Some(Reply {
        data_type: DataType::Text,
        bytes: b"answer".as_slice().into(),
        metadata: Metadata::default(),
    })));
    world.run();
    let [Seen::Text(published)] = &listener.receive_all()[..] else {
        panic!("not published")
    };
    assert!(published.contains("behind"), "{published}");
    let (mut client, seen) = come_back(&mut world, &client);
    assert_eq!(seen, numbered(1, &["answer"]));
    // The acks went with the transport; a client that asks again learns that it succeeded.
    for ack_id in [1, 2] {
        client.text(&json::publish("room", "again", true, Some(ack_id)));
    }
    world.run();
    for seen in client.receive_all() {
        assert!(
            matches!(&seen, Seen::Text(ack) if ack.contains("Duplicate")),
            "{seen:?}"
        );
    }
    assert_eq!(listener.receive_all(), []);
}

#[test]
fn black_box_case_46_a_full_queue_ends_the_session_with_or_without_a_transport() {
    let limits = || Limits {
        replay_messages: 3,
        ..Limits::default()
    };
    for is_cut in [false, true] {
        let mut world = world(limits());
        let mut client = connect(&mut world);
        if is_cut {
            cut(&mut world, &client);
        }
        for text in ["a", "b", "c"] {
            deliver(&world, Target::Group("room".into()), text);
        }
        world.run();
        assert!(exists(&mut world, &client));
        deliver(&world, Target::Group("room".into()), "d");
        world.run();
        assert!(!exists(&mut world, &client));
        if !is_cut {
            let mut expect = numbered(1, &["a", "b", "c"]);
            let message = "The reliable message buffer is full.";
            expect.push(Seen::text(&json::disconnected(message)));
            expect.push(Seen::Close(Some(1008), String::new()));
            assert_eq!(client.receive_all(), expect);
        }
        let numbers = world.node.numbers();
        assert_eq!(
            (numbers.closed_replay_full, numbers.unacknowledged_messages),
            (1, 0)
        );
        assert_eq!(
            (world.node.connections(), world.node.memory().queued()),
            (0, 0)
        );
    }
}

#[test]
fn bytes_are_bounded_as_well() {
    let mut world = world(Limits {
        replay_bytes: 2_000,
        ..Limits::default()
    });
    let client = connect(&mut world);
    let text = "x".repeat(900);
    for _ in 0..2 {
        deliver(&world, to(&client), &text);
    }
    world.run();
    assert!(exists(&mut world, &client));
    deliver(&world, to(&client), &text);
    world.run();
    assert!(!exists(&mut world, &client));
}

#[test]
fn a_message_that_expires_is_not_kept_for_a_client_that_is_away() {
    let mut world = world(Limits {
        replay_messages: 2,
        ..Limits::default()
    });
    let client = connect(&mut world);
    cut(&mut world, &client);
    let until = |world: &World, text: &str, expires_at: Option<Millis>| {
        let publication = Publication::with_metadata(
            Origin::Server,
            DataType::Text,
            text.as_bytes().into(),
            world.node.memory(),
            expires_at,
            Metadata::default(),
        );
        let action = Action::Deliver { publication };
        send(world, to(&client), Selection::default(), action);
    };
    until(&world, "a", Some(Millis(1_000)));
    until(&world, "b", Some(Millis(2_000)));
    world.run();
    world.now = Millis(1_000);
    // There is room again, since the first is worth nothing any more.
    until(&world, "c", None);
    world.run();
    let (_, seen) = come_back(&mut world, &client);
    assert_eq!(seen, numbered(2, &["b", "c"]));
    assert_eq!(world.node.numbers().messages_expired, 1);
}

#[test]
fn messages_of_every_size_are_numbered_for_every_reliable_client() {
    let mut world = World::new(2, Limits::default(), &TickBudget::default());
    let mut reliable = connect(&mut world);
    let mut plain = world.connect(&Joining {
        groups: &["room"],
        ..Joining::default()
    });
    world.run();
    plain.receive_all();
    let sizes = [0, 60, 65_400, 65_436, 65_460, 65_536, 200_000];
    let texts: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for text in &texts {
        deliver(&world, Target::Group("room".into()), text);
        world.run();
    }
    let unnumbered: Vec<_> = texts
        .iter()
        .map(|text| Seen::text(&json::from_server(text)))
        .collect();
    assert_eq!(plain.receive_all(), unnumbered);
    assert_eq!(reliable.receive_all(), numbered(1, &texts));
    cut(&mut world, &reliable);
    let (_, seen) = come_back(&mut world, &reliable);
    assert_eq!(seen, numbered(1, &texts));
}

#[test]
fn recovery_in_another_hub_is_refused_and_harms_nobody() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world);
    let mut intruder = world.recover(
        &client,
        &Joining {
            hub: "other",
            ..joining()
        },
    );
    world.run();
    assert!(matches!(
        intruder.receive_all()[..],
        [Seen::Close(Some(1008), _)]
    ));
    deliver(&world, to(&client), "still here");
    world.run();
    assert_eq!(client.receive_all(), numbered(1, &["still here"]));
}

#[test]
fn a_dead_peer_leaves_its_session_to_wait() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world);
    while !client.pipe().server_gone {
        world.now = world.now.plus(20_000);
        world.run();
        assert!(world.now < Millis(200_000), "the peer counts as alive");
    }
    let seen = client.receive_all();
    assert_eq!(seen.last(), Some(&Seen::Close(Some(1001), String::new())));
    assert!(client.pipe().server_gone);
    let numbers = world.node.numbers();
    assert_eq!(
        (numbers.closed_dead_peers, numbers.detached_sessions),
        (1, 1)
    );
}

#[test]
fn whoever_holds_most_gives_memory_back_first_on_whatever_shard() {
    for shards in [1, 2] {
        let limits = Limits {
            node_queued_bytes: 60_000,
            ..Limits::default()
        };
        let mut world = World::new(shards, limits, &TickBudget::default());
        // They take turns on the shards.
        let clients: Vec<_> = (0..4).map(|_| connect(&mut world)).collect();
        let [hog, other_hog, away, here] = &clients[..] else {
            panic!("four")
        };
        for client in [hog, other_hog, away] {
            cut(&mut world, client);
        }
        for client in [away, here] {
            deliver(&world, to(client), "small");
        }
        let text = "x".repeat(10_000);
        for client in [hog, other_hog, hog, hog, other_hog, hog, other_hog] {
            deliver(&world, to(client), &text);
            world.run();
            world.now = world.now.plus(20);
            world.run();
        }
        assert!(!exists(&mut world, hog), "{shards} shards");
        for client in [other_hog, away, here] {
            assert!(exists(&mut world, client), "{shards} shards");
        }
        assert_eq!(world.node.numbers().closed_for_memory, 1);
    }
}

/// Shares of a payload are counted once, places in queues for each client.
#[test]
fn the_node_counts_what_unacknowledged_messages_cost() {
    let mut world = world(Limits::default());
    let clients: Vec<_> = (0..3).map(|_| connect(&mut world)).collect();
    let before = world.node.memory().queued();
    assert_eq!(before, 0);
    let text = "x".repeat(10_000);
    deliver(&world, Target::Group("room".into()), &text);
    world.run();
    let queued = world.node.memory().queued();
    assert!((10_000..10_400).contains(&queued), "{queued}");
    assert_eq!(world.node.numbers().unacknowledged_messages, 3);
    for client in &clients {
        acknowledge(client, 1);
    }
    world.run();
    assert_eq!(world.node.memory().queued(), 0);
}
