//! Streams of reliable publishers, whose transport is not their session.

use hubwire_core::command::{Action, Target};
use hubwire_core::session::Protocol;
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_proto::role::Permission;
use hubwire_proto::subprotocol::Subprotocol;

use super::stream::{
    FORBIDDEN, Full, IDLE, acked, cancelled, closed, end, failed, narrow, not_found, part,
    seen_end, seen_part, start, start_for, texts,
};
use super::{ask, member};
use crate::support::client::{Client, Seen};
use crate::support::world::{Joining, World};

fn reliable<'a>() -> Joining<'a> {
    Joining {
        protocol: Protocol::PubSub(Subprotocol::JsonReliable),
        ..Joining::default()
    }
}

fn world() -> World {
    World::new(2, Limits::default(), &TickBudget::default())
}

/// A reliable publisher with its answers to `requests` taken.
fn publisher(world: &mut World, requests: &[String]) -> Client {
    let mut publisher = world.connect(&reliable());
    for request in requests {
        publisher.text(request);
    }
    world.run();
    publisher.receive_all();
    publisher
}

/// Breaks the transport of a client.
fn cut(world: &mut World, client: &Client) {
    client.pipe().reset();
    world.run();
    assert_eq!(world.node.numbers().detached_sessions, 1);
}

/// Brings a client back; what it hears behind the greeting.
fn come_back(world: &mut World, client: &mut Client) -> Vec<String> {
    *client = world.recover(client, &reliable());
    world.run();
    let mut seen = texts(client);
    assert!(seen.remove(0).contains(r#""event":"connected""#));
    seen
}

#[test]
fn a_publisher_that_comes_back_sends_again_and_nothing_is_delivered_twice() {
    let mut world = world();
    let mut members = [member(&mut world, "room"), member(&mut world, "room")];
    let mut publisher = publisher(&mut world, &[start("a"), part("a", 1, "one")]);
    publisher.text(&part("a", 2, "two"));
    world.run();
    cut(&mut world, &publisher);
    assert_eq!(world.node.numbers().streams, 1);
    assert_eq!(come_back(&mut world, &mut publisher), [""; 0]);
    for (sequence_id, text) in (1..).zip(["one", "two", "three"]) {
        publisher.text(&part("a", sequence_id, text));
    }
    world.run();
    assert_eq!(texts(&mut publisher), [acked("a", 4)]);
    publisher.text(&end("a"));
    world.run();
    assert_eq!(texts(&mut publisher), [closed("a")]);
    let expected = [
        seen_part("a", 1, "one"),
        seen_part("a", 2, "two"),
        seen_part("a", 3, "three"),
        seen_end("a", 4, None),
    ];
    for member in &mut members {
        assert_eq!(texts(member), expected);
    }
}

#[test]
fn an_end_whose_answer_was_lost_is_answered_again() {
    let mut world = world();
    let mut member = member(&mut world, "room");
    let mut publisher = publisher(&mut world, &[start("a"), part("a", 1, "x"), end("a")]);
    cut(&mut world, &publisher);
    assert_eq!(come_back(&mut world, &mut publisher), [""; 0]);
    publisher.text(&part("a", 1, "x"));
    publisher.text(&end("a"));
    publisher.text(&end("b"));
    world.run();
    let expected = [closed("a"), closed("a"), not_found("b")];
    assert_eq!(texts(&mut publisher), expected);
    let expected = [seen_part("a", 1, "x"), seen_end("a", 2, None)];
    assert_eq!(texts(&mut member), expected);
}

#[test]
fn a_start_whose_answer_was_lost_is_answered_again_and_no_other() {
    let mut world = world();
    let mut publisher = publisher(&mut world, &[start("a"), start("b"), part("b", 1, "x")]);
    cut(&mut world, &publisher);
    come_back(&mut world, &mut publisher);
    for request in [
        start("a"),
        start_for("a", 7),
        start("b"),
        part("a", 1, "x"),
        start("a"),
    ] {
        publisher.text(&request);
    }
    world.run();
    let in_use = "The stream id is in use by another open stream of the connection.";
    let refused = |stream_id| failed(stream_id, "BadRequest", in_use);
    let expected = [
        acked("a", 1),
        refused("a"),
        refused("b"),
        refused("a"),
        acked("a", 2),
    ];
    assert_eq!(texts(&mut publisher), expected);
    let numbers = world.node.numbers();
    assert_eq!((numbers.streams, numbers.streams_started), (2, 2));
}

#[test]
fn what_ends_while_the_publisher_is_away_is_told_when_it_is_back() {
    let mut world = world();
    let mut member = member(&mut world, "room");
    let requests = [
        start_for("a", 5000),
        start("b"),
        start("c").replace("room", "other"),
    ];
    let mut publisher = publisher(&mut world, &requests);
    cut(&mut world, &publisher);
    world.pass(6000);
    let (permission, group) = (Permission::SendToGroup, Some("room".into()));
    ask(&world, Target::Connection(publisher.id), |reply| {
        let reply = Some(reply);
        Action::Revoke {
            permission,
            group,
            reply,
        }
    });
    world.run();
    let error = |name: &str, message: &str| format!(r#"{{"name":"{name}","message":"{message}"}}"#);
    let expected = [
        seen_end("a", 1, Some(&error("IdleTimeout", IDLE))),
        seen_end("b", 1, Some(&error("Forbidden", FORBIDDEN))),
    ];
    assert_eq!(
        texts(&mut member),
        expected,
        "its members need not wait for it"
    );
    let told = come_back(&mut world, &mut publisher);
    let forbidden = "The client does not have permission to send to the group.";
    let expected = [
        failed("a", "IdleTimeout", IDLE),
        failed("b", "Forbidden", forbidden),
    ];
    assert_eq!(told, expected);
    publisher.text(&part("c", 1, "x"));
    publisher.text(&part("a", 1, "x"));
    world.run();
    let expected = [failed("a", "IdleTimeout", IDLE), acked("c", 2)];
    assert_eq!(texts(&mut publisher), expected);
}

#[test]
fn a_part_that_waits_for_room_is_published_though_its_publisher_is_away() {
    let mut world = narrow(2);
    let mut far = member(&mut world, "room");
    let mut publisher = publisher(&mut world, &[start("a")]);
    assert_ne!(far.id.shard(), publisher.id.shard());
    let full = Full::inbox(&world, far.id.shard());
    publisher.text(&part("a", 1, "x"));
    publisher.text(&part("a", 2, "y"));
    world.run();
    cut(&mut world, &publisher);
    full.work_off(&mut world);
    assert_eq!(
        texts(&mut far),
        [seen_part("a", 1, "x"), seen_part("a", 2, "y")]
    );
    come_back(&mut world, &mut publisher);
    for (sequence_id, text) in (1..).zip(["x", "y", "z"]) {
        publisher.text(&part("a", sequence_id, text));
    }
    world.run();
    assert_eq!(texts(&mut publisher), [acked("a", 4)]);
    assert_eq!(texts(&mut far), [seen_part("a", 3, "z")]);
}

#[test]
fn a_half_open_transport_does_not_end_the_stream_that_goes_on_over_another() {
    let mut world = world();
    let mut member = member(&mut world, "room");
    let mut publisher = publisher(&mut world, &[start("a"), part("a", 1, "x")]);
    assert_eq!(come_back(&mut world, &mut publisher), [""; 0]);
    publisher.text(&part("a", 1, "x"));
    publisher.text(&part("a", 2, "y"));
    world.run();
    assert_eq!(texts(&mut publisher), [acked("a", 3)]);
    let expected = [seen_part("a", 1, "x"), seen_part("a", 2, "y")];
    assert_eq!(texts(&mut member), expected);
}

#[test]
fn streams_outlive_the_process_if_their_publisher_does_and_end_if_it_does_not() {
    let limits = Limits::default;
    let budget = TickBudget::default();
    for shards in [1, 3] {
        let mut world = World::new(shards, limits(), &budget);
        let joining = Joining {
            groups: &["room"],
            ..reliable()
        };
        let mut member = world.connect(&joining);
        let requests = [
            start_for("a", 3000),
            part("a", 1, "x"),
            start("b"),
            end("b"),
        ];
        let mut publisher = publisher(&mut world, &requests);
        let mortal = super::stream::publisher(&mut world, &["c"]);
        mortal.text(&part("c", 1, "z"));
        world.run();
        member.receive_all();
        world.pass(2000);
        let saved = world.stop();
        let mut world = World::restarted(shards, limits(), &budget, saved, 1000);
        world.run();
        assert_eq!(world.node.numbers().streams, 1);
        world.pass(2000);
        assert_eq!(come_back(&mut world, &mut publisher), [""; 0]);
        for request in [part("a", 1, "x"), part("a", 2, "y"), end("b")] {
            publisher.text(&request);
        }
        world.run();
        assert_eq!(texts(&mut publisher), [closed("b"), acked("a", 3)]);
        member = world.recover(&member, &joining);
        world.run();
        let numbered = |sequence_id: u64, message: String| {
            Seen::Text(format!(r#"{{"sequenceId":{sequence_id},{}"#, &message[1..]))
        };
        let expected = [
            numbered(1, seen_part("a", 1, "x")),
            numbered(2, seen_end("b", 1, None)),
            numbered(3, seen_part("c", 1, "z")),
            numbered(4, cancelled("c", 2)),
            numbered(5, seen_part("a", 2, "y")),
        ];
        assert_eq!(member.receive_all()[1..], expected);
        world.pass(3500);
        assert_eq!(world.node.numbers().streams_timed_out, 1);
    }
}

#[test]
fn a_node_is_not_at_rest_while_a_last_message_waits_for_room() {
    let mut world = narrow(2);
    let joining = Joining {
        groups: &["room"],
        ..reliable()
    };
    let mut far = world.connect(&joining);
    let publisher = super::stream::publisher(&mut world, &["a"]);
    assert_ne!(far.id.shard(), publisher.id.shard());
    texts(&mut far);
    let full = Full::inbox(&world, far.id.shard());
    world.node.quiesce();
    world.run();
    assert_eq!(world.node.numbers().streams_cancelled, 1);
    assert!(!world.node.is_quiet());
    full.work_off(&mut world);
    assert!(world.node.is_quiet());
    let expected = format!(r#"{{"sequenceId":1,{}"#, &cancelled("a", 1)[1..]);
    assert_eq!(texts(&mut far), [expected]);
}
