//! Streams of a client to a group: what its publisher is answered and what the members see
//! (protocol notes: streams).

use hubwire_core::command::{Action, Command, Selection, Target};
use hubwire_core::id::ShardId;
use hubwire_core::inbox::{Mail, Permit};
use hubwire_core::settings::{Limits, TickBudget};

use super::{connect, member, world};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

pub(super) fn start(stream_id: &str) -> String {
    format!(r#"{{"type":"sendToGroup","group":"room","stream":{{"streamId":"{stream_id}"}}}}"#)
}

pub(super) fn start_for(stream_id: &str, idle_timeout_ms: u64) -> String {
    format!(
        r#"{{"type":"sendToGroup","group":"room","stream":{{"streamId":"{stream_id}","idleTimeoutMs":{idle_timeout_ms}}}}}"#
    )
}

pub(super) fn part(stream_id: &str, sequence_id: u64, text: &str) -> String {
    format!(
        r#"{{"type":"streamData","streamId":"{stream_id}","streamSequenceId":{sequence_id},"dataType":"text","data":"{text}"}}"#
    )
}

pub(super) fn keep_alive(stream_id: &str) -> String {
    format!(r#"{{"type":"streamData","streamId":"{stream_id}"}}"#)
}

pub(super) fn end(stream_id: &str) -> String {
    format!(r#"{{"type":"streamEnd","streamId":"{stream_id}"}}"#)
}

pub(super) fn acked(stream_id: &str, expected: u64) -> String {
    format!(r#"{{"type":"streamAck","streamId":"{stream_id}","expectedSequenceId":{expected}}}"#)
}

pub(super) fn closed(stream_id: &str) -> String {
    format!(r#"{{"type":"streamClosed","streamId":"{stream_id}"}}"#)
}

pub(super) fn failed(stream_id: &str, name: &str, message: &str) -> String {
    format!(
        r#"{{"type":"streamClosed","streamId":"{stream_id}","error":{{"name":"{name}","message":"{message}"}}}}"#
    )
}

pub(super) fn not_found(stream_id: &str) -> String {
    let message = "The connection has no open stream with this id.";
    failed(stream_id, "StreamNotFound", message)
}

pub(super) const FORBIDDEN: &str = "The client does not have permission to send to group 'room'.";
pub(super) const IDLE: &str = "Nothing was received for the stream in time.";

/// A part as a json client in the group sees it.
pub(super) fn seen_part(stream_id: &str, sequence_id: u64, text: &str) -> String {
    seen(
        text,
        &format!(r#""streamId":"{stream_id}","streamSequenceId":{sequence_id}"#),
    )
}

/// The end of a stream as a json client in the group sees it. `error` is the member's value.
pub(super) fn seen_end(stream_id: &str, sequence_id: u64, error: Option<&str>) -> String {
    let error = error
        .map(|error| format!(r#","error":{error}"#))
        .unwrap_or_default();
    seen(
        "",
        &format!(
            r#""streamId":"{stream_id}","streamSequenceId":{sequence_id},"endOfStream":true{error}"#
        ),
    )
}

pub(super) fn cancelled(stream_id: &str, sequence_id: u64) -> String {
    let error = r#"{"name":"Cancelled","message":"The publisher's connection has ended."}"#;
    seen_end(stream_id, sequence_id, Some(error))
}

fn seen(text: &str, stream: &str) -> String {
    let message = json::from_group("room", text);
    format!(
        r#"{},"stream":{{{stream}}}}}"#,
        &message[..message.len() - 1]
    )
}

/// What a client has received, all of it text, apart from pings.
pub(super) fn texts(client: &mut Client) -> Vec<String> {
    let text = |seen| match seen {
        Seen::Text(text) => Some(text),
        Seen::Ping => None,
        other => panic!("{other:?}"),
    };
    client.receive_all().into_iter().filter_map(text).collect()
}

/// A publisher that is not a member, with streams that it has started.
pub(super) fn publisher(world: &mut World, streams: &[&str]) -> Client {
    let mut publisher = connect(world, &Joining::default());
    for stream_id in streams {
        publisher.text(&start(stream_id));
        world.run();
        assert_eq!(texts(&mut publisher), [acked(stream_id, 1)]);
    }
    publisher
}

/// A node whose shards have room for one command.
pub(super) fn narrow(shards: usize) -> World {
    let limits = Limits {
        inbox_commands: 1,
        ..Limits::default()
    };
    World::new(shards, limits, &TickBudget::default())
}

/// An inbox of such a node without room.
pub(super) struct Full {
    shard: ShardId,
    permit: Permit,
}

impl Full {
    pub(super) fn inbox(world: &World, shard: ShardId) -> Self {
        let permit = world.node.inbox(shard).try_reserve().unwrap();
        Self { shard, permit }
    }

    /// What took the room is worked off, and all that waited for it.
    pub(super) fn work_off(self, world: &mut World) {
        let mail = Mail::Command(Command {
            hub: "chat".into(),
            target: Target::Group("nobody".into()),
            selection: Selection::default(),
            action: Action::Leave {
                groups: None,
                reply: None,
            },
        });
        world.node.inbox(self.shard).send(self.permit, mail);
        world.run();
    }
}

/// Sends `requests` of a publisher with the open stream `a` and compares what comes back, and what
/// a member of the group sees.
#[track_caller]
fn check(requests: &[&str], answers: &[String], deliveries: &[String]) {
    let mut world = world(Limits::default());
    let mut member = member(&mut world, "room");
    let mut publisher = publisher(&mut world, &["a"]);
    for request in requests {
        publisher.text(request);
    }
    world.run();
    assert_eq!(texts(&mut publisher), answers);
    assert_eq!(texts(&mut member), deliveries);
}

#[test]
fn a_stream_reaches_the_members_of_its_group_on_every_shard_and_then_ends() {
    for shards in [1, 3] {
        let mut world = World::new(shards, Limits::default(), &TickBudget::default());
        let mut members: Vec<_> = (0..4).map(|_| member(&mut world, "room")).collect();
        let mut stranger = member(&mut world, "elsewhere");
        let mut publisher = publisher(&mut world, &["a"]);
        assert_eq!(world.node.numbers().streams, 1);
        for (sequence_id, text) in (1..).zip(["one", "two", "three"]) {
            publisher.text(&part("a", sequence_id, text));
        }
        world.run();
        assert_eq!(texts(&mut publisher), [acked("a", 4)], "one for all");
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
        assert_eq!(texts(&mut stranger), [""; 0]);
        let mut late = member(&mut world, "room");
        assert_eq!(texts(&mut late), [""; 0]);
        let numbers = world.node.numbers();
        assert_eq!(
            (
                numbers.streams,
                numbers.streams_started,
                numbers.streams_completed
            ),
            (0, 1, 1)
        );
    }
}

#[test]
fn a_sender_is_named_and_gets_its_own_stream_unless_it_says_otherwise() {
    for (no_echo, echoes) in [(false, 2), (true, 0)] {
        let mut world = world(Limits::default());
        let mut client = world.connect(&Joining {
            user: Some("ann"),
            groups: &["room"],
            ..Joining::default()
        });
        let mut other = member(&mut world, "room");
        world.run();
        client.receive_all();
        client.text(&format!(
            r#"{{"type":"sendToGroup","group":"room","noEcho":{no_echo},"stream":{{"streamId":"a"}}}}"#
        ));
        client.text(&part("a", 1, "hello"));
        client.text(&end("a"));
        world.run();
        let echoes_seen = texts(&mut client)
            .into_iter()
            .filter(|text| text.contains(r#""type":"message""#));
        assert_eq!(echoes_seen.count(), echoes, "{no_echo}");
        let seen = texts(&mut other);
        assert_eq!(seen.len(), 2);
        assert!(
            seen.iter()
                .all(|text| text.contains(r#""fromUserId":"ann""#)),
            "{seen:?}"
        );
    }
}

#[test]
fn what_comes_again_is_acknowledged_and_not_delivered_again() {
    check(
        &[
            &part("a", 1, "x"),
            &part("a", 2, "y"),
            &part("a", 1, "x"),
            &part("a", 2, "y"),
            &part("a", 0, "?"),
        ],
        &[acked("a", 3)],
        &[seen_part("a", 1, "x"), seen_part("a", 2, "y")],
    );
}

#[test]
fn what_comes_too_early_is_refused_and_the_stream_goes_on() {
    let nack = |expected: u64| {
        format!(
            r#"{{"type":"streamNack","streamId":"a","expectedSequenceId":{expected},"name":"InvalidSequenceId","message":"The next part of the stream is {expected}."}}"#
        )
    };
    check(
        &[
            &part("a", 2, "y"),
            &part("a", 1, "x"),
            &part("a", 9, "z"),
            &part("a", 2, "y"),
        ],
        &[nack(1), nack(2), acked("a", 3)],
        &[seen_part("a", 1, "x"), seen_part("a", 2, "y")],
    );
}

#[test]
fn unknown_streams_are_not_found() {
    check(
        &[&part("b", 1, "x"), &keep_alive("c"), &end("d"), &end("")],
        &["b", "c", "d", ""].map(not_found),
        &[],
    );
}

#[test]
fn a_keep_alive_is_neither_answered_nor_delivered() {
    check(
        &[&keep_alive("a"), &part("a", 1, "x"), &keep_alive("a")],
        &[acked("a", 2)],
        &[seen_part("a", 1, "x")],
    );
}

#[test]
fn an_end_with_an_error_is_an_end_for_the_publisher_and_an_error_for_the_members() {
    let check = |error: &str, told: &str| {
        check(
            &[
                &part("a", 1, "x"),
                &format!(r#"{{"type":"streamEnd","streamId":"a","error":{error}}}"#),
                &part("a", 2, "y"),
            ],
            &[acked("a", 2), closed("a"), not_found("a")],
            &[seen_part("a", 1, "x"), seen_end("a", 2, Some(told))],
        );
    };
    check(
        r#"{"message":"no more","userErrorCode":"E7"}"#,
        r#"{"name":"UserError","message":"no more","userErrorCode":"E7"}"#,
    );
    check(
        r#"{"message":"no more"}"#,
        r#"{"name":"UserError","message":"no more"}"#,
    );
    check("{}", r#"{"name":"UserError"}"#);
}

#[test]
fn a_part_of_which_something_is_missing_ends_the_stream() {
    let message = "Stream data needs a sequence id, a data type and data, or none of them.";
    let error = r#"{"name":"Cancelled","message":"The publisher sent an invalid message."}"#;
    for broken in [
        r#"{"type":"streamData","streamId":"a","streamSequenceId":2}"#,
        r#"{"type":"streamData","streamId":"a","streamSequenceId":2,"dataType":"text"}"#,
        r#"{"type":"streamData","streamId":"a","data":"x"}"#,
    ] {
        check(
            &[&part("a", 1, "x"), broken, &part("a", 2, "y")],
            &[
                acked("a", 2),
                failed("a", "BadRequest", message),
                not_found("a"),
            ],
            &[seen_part("a", 1, "x"), seen_end("a", 2, Some(error))],
        );
    }
    check(
        &[r#"{"type":"streamData","streamId":"b","dataType":"text"}"#],
        &[failed("b", "BadRequest", message)],
        &[],
    );
}

#[test]
fn a_start_that_makes_no_sense_is_refused_and_open_streams_go_on() {
    let in_use = "The stream id is in use by another open stream of the connection.";
    check(
        &[
            &start("a"),
            &part("a", 1, "x"),
            &start_for("a", 5),
            &part("a", 2, "y"),
        ],
        &[
            failed("a", "BadRequest", in_use),
            failed("a", "BadRequest", in_use),
            acked("a", 3),
        ],
        &[seen_part("a", 1, "x"), seen_part("a", 2, "y")],
    );
    let bounds = "The idle timeout must be 1 to 86400000 milliseconds.";
    check(
        &[&start_for("b", 86_400_001), &start_for("b", 86_400_000)],
        &[failed("b", "BadRequest", bounds), acked("b", 1)],
        &[],
    );
    let zero = "The idle timeout must be a positive number of milliseconds.";
    check(
        &[&start_for("b", 0)],
        &[failed("b", "BadRequest", zero)],
        &[],
    );
    let empty = "The stream id must be 1 to 1024 characters.";
    check(&[&start("")], &[failed("", "BadRequest", empty)], &[]);
    let with_data = r#"{"type":"sendToGroup","group":"room","stream":{"streamId":"b"},"dataType":"text","data":"x"}"#;
    let data = "A stream must start without data.";
    check(&[with_data], &[failed("b", "BadRequest", data)], &[]);
}

#[test]
fn a_start_with_an_ack_id_gets_its_ack_besides() {
    let start = |stream_id: &str, idle_timeout_ms: u64, ack_id: u64| {
        let start = start_for(stream_id, idle_timeout_ms);
        format!(r#"{},"ackId":{ack_id}}}"#, &start[..start.len() - 1])
    };
    let refused = |ack_id: u64, name: &str, message: &str| {
        format!(
            r#"{{"type":"ack","ackId":{ack_id},"success":false,"error":{{"name":"{name}","message":"{message}"}}}}"#
        )
    };
    let zero = "The idle timeout must be a positive number of milliseconds.";
    let in_use = "The stream id is in use by another open stream of the connection.";
    check(
        &[
            &start("b", 9, 1),
            &start("a", 9, 2),
            &start("c", 0, 2),
            &start("c", 9, 1),
        ],
        &[
            acked("b", 1),
            json::acked(1),
            failed("a", "BadRequest", in_use),
            refused(2, "BadRequest", in_use),
            failed("c", "BadRequest", zero),
            refused(2, "BadRequest", zero),
            refused(1, "Duplicate", "Message with ack-id: 1 has been processed"),
        ],
        &[],
    );
}

#[test]
fn a_group_that_is_forbidden_gets_no_stream() {
    let mut world = world(Limits::default());
    let mut client = connect(
        &mut world,
        &Joining {
            roles: &["webpubsub.sendToGroup.other"],
            ..Joining::default()
        },
    );
    client.text(&start("a"));
    let with_ack = start("a").replace(r#""stream""#, r#""ackId":7,"stream""#);
    client.text(&with_ack);
    client.text(&part("a", 1, "x"));
    client.text(&start("a").replace("room", "other"));
    world.run();
    let refused = format!(
        r#"{{"type":"ack","ackId":7,"success":false,"error":{{"name":"Forbidden","message":"{FORBIDDEN}"}}}}"#
    );
    let expected = [
        failed("a", "Forbidden", FORBIDDEN),
        failed("a", "Forbidden", FORBIDDEN),
        refused,
        not_found("a"),
        acked("a", 1),
    ];
    assert_eq!(texts(&mut client), expected);
}

#[test]
fn open_streams_of_a_connection_are_bounded_and_each_counts_until_its_end() {
    let mut world = world(Limits {
        streams_per_connection: 2,
        ..Limits::default()
    });
    let mut publisher = publisher(&mut world, &["a", "b"]);
    for request in [start("c"), end("a"), start("c"), start("d")] {
        publisher.text(&request);
    }
    world.run();
    let many = "The connection has too many open streams.";
    let expected = [
        failed("c", "BadRequest", many),
        closed("a"),
        acked("c", 1),
        failed("d", "BadRequest", many),
    ];
    assert_eq!(texts(&mut publisher), expected);
    let numbers = world.node.numbers();
    assert_eq!((numbers.streams, numbers.streams_refused), (2, 2));
}

#[test]
fn streams_of_one_client_run_beside_each_other() {
    check(
        &[
            &start("b"),
            &part("b", 1, "b1"),
            &part("a", 1, "a1"),
            &end("b"),
            &start("b"),
            &part("b", 1, "again"),
            &part("a", 2, "a2"),
        ],
        &[
            acked("b", 1),
            acked("b", 2),
            closed("b"),
            acked("b", 1),
            acked("a", 3),
            acked("b", 2),
        ],
        &[
            seen_part("b", 1, "b1"),
            seen_part("a", 1, "a1"),
            seen_end("b", 2, None),
            seen_part("b", 1, "again"),
            seen_part("a", 2, "a2"),
        ],
    );
}

#[test]
fn acks_come_on_the_way_of_a_long_input() {
    let mut world = world(Limits::default());
    let mut publisher = publisher(&mut world, &["a"]);
    for sequence_id in 1..=70 {
        publisher.text(&part("a", sequence_id, "x"));
    }
    world.run();
    assert_eq!(
        texts(&mut publisher),
        [acked("a", 33), acked("a", 65), acked("a", 71)]
    );
}

#[test]
fn a_part_that_has_to_wait_is_published_once_and_acknowledged_then() {
    let mut world = narrow(2);
    let mut far = member(&mut world, "room");
    let mut publisher = publisher(&mut world, &["a"]);
    assert_ne!(far.id.shard(), publisher.id.shard());
    let full = Full::inbox(&world, far.id.shard());
    for sequence_id in 1..=3 {
        publisher.text(&part("a", sequence_id, "x"));
    }
    publisher.text(&end("a"));
    world.run();
    assert_eq!(texts(&mut publisher), [""; 0]);
    assert_eq!(world.node.numbers().parked_connections, 1);
    full.work_off(&mut world);
    assert_eq!(texts(&mut publisher).last(), Some(&closed("a")));
    let expected = [
        seen_part("a", 1, "x"),
        seen_part("a", 2, "x"),
        seen_part("a", 3, "x"),
        seen_end("a", 4, None),
    ];
    assert_eq!(texts(&mut far), expected);
    assert_eq!(world.node.numbers().parked_connections, 0);
}
