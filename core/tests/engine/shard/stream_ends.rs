//! Streams that their publishers do not end: who hears of it, and when.

use hubwire_core::command::{Action, Target};
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_proto::role::Permission;
use hubwire_proto::subprotocol::Subprotocol;

use super::stream::{
    FORBIDDEN, Full, IDLE, acked, cancelled, closed, end, failed, keep_alive, narrow, not_found,
    part, publisher, seen_end, seen_part, start, start_for, texts,
};
use super::{ask, close, connect, deliver, member, world};
use crate::support::client::{Client, json};
use crate::support::world::{Joining, World};

/// What a publisher of two parts does or suffers at last, and a member of the group sees then.
#[track_caller]
fn check(joining: &Joining<'_>, last: impl Fn(&mut World, &Client)) {
    for shards in [1, 2] {
        let mut world = World::new(shards, Limits::default(), &TickBudget::default());
        let mut far = member(&mut world, "room");
        let mut publisher = world.connect(joining);
        let mut near = member(&mut world, "room");
        for request in [start("a"), part("a", 1, "x"), start("b"), part("a", 2, "y")] {
            publisher.text(&request);
        }
        world.run();
        publisher.receive_all();
        last(&mut world, &publisher);
        world.run();
        let expected = [
            seen_part("a", 1, "x"),
            seen_part("a", 2, "y"),
            cancelled("a", 3),
            cancelled("b", 1),
        ];
        for member in [&mut far, &mut near] {
            assert_eq!(texts(member), expected, "{shards} shards");
        }
        let numbers = world.node.numbers();
        assert_eq!((numbers.streams, numbers.streams_cancelled), (0, 2));
    }
}

#[test]
fn whatever_ends_a_publisher_cancels_its_streams() {
    let plain = Joining::default();
    check(&plain, |_, publisher| publisher.close(1000));
    check(&plain, |_, publisher| publisher.pipe().reset());
    check(&plain, |_, publisher| {
        publisher.pipe().client_finished = true;
    });
    check(&plain, |_, publisher| publisher.raw(&[0xFF; 8]));
    check(&plain, |_, publisher| publisher.text("nonsense"));
    check(&plain, |world, publisher| {
        close(world, Target::Connection(publisher.id), None);
    });
    // By a walk over a group.
    let named = Joining {
        groups: &["publishers"],
        ..Joining::default()
    };
    check(&named, |world, _| {
        close(world, Target::Group("publishers".into()), None);
    });
}

#[test]
fn the_end_of_a_reliable_publisher_is_the_end_of_its_session() {
    let reliable = Joining {
        protocol: hubwire_core::session::Protocol::PubSub(Subprotocol::JsonReliable),
        ..Joining::default()
    };
    check(&reliable, |_, publisher| publisher.close(1000));
    check(&reliable, |world, publisher| {
        close(world, Target::Connection(publisher.id), None);
    });
    check(&reliable, |world, publisher| {
        publisher.pipe().reset();
        world.pass(29_000);
        assert_eq!(world.node.numbers().streams, 2, "its client may come back");
        world.pass(2000);
    });
}

#[test]
fn a_member_that_is_closed_with_the_publisher_hears_nothing_more() {
    let mut world = world(Limits::default());
    let mut member = member(&mut world, "room");
    let publisher = publisher(&mut world, &["a"]);
    close(&world, Target::All, None);
    world.run();
    let seen = member.receive_all();
    assert_eq!(seen.len(), 2, "disconnected and close: {seen:?}");
    publisher.close(1000);
    member.close(1000);
    world.run();
    drop((member, publisher));
    world.assert_empty();
}

#[test]
fn a_group_that_becomes_forbidden_ends_its_streams_for_both_sides() {
    let mut world = World::new(2, Limits::default(), &TickBudget::default());
    let mut members = [member(&mut world, "room"), member(&mut world, "room")];
    let mut publisher = publisher(&mut world, &["a"]);
    publisher.text(&part("a", 1, "x"));
    publisher.text(&start("b").replace("room", "other"));
    world.run();
    assert_eq!(texts(&mut publisher), [acked("b", 1), acked("a", 2)]);
    let revoke = |world: &mut World, publisher: &Client, group: &str| {
        let (permission, group) = (Permission::SendToGroup, Some(group.into()));
        ask(world, Target::Connection(publisher.id), |reply| {
            let reply = Some(reply);
            Action::Revoke {
                permission,
                group,
                reply,
            }
        });
        world.run();
    };
    revoke(&mut world, &publisher, "elsewhere");
    assert_eq!(texts(&mut publisher), [""; 0]);
    revoke(&mut world, &publisher, "room");
    publisher.text(&part("a", 2, "y"));
    publisher.text(&part("b", 1, "z"));
    world.run();
    let expected = [
        failed("a", "Forbidden", FORBIDDEN),
        not_found("a"),
        acked("b", 2),
    ];
    assert_eq!(texts(&mut publisher), expected);
    let error = format!(r#"{{"name":"Forbidden","message":"{FORBIDDEN}"}}"#);
    let expected = [seen_part("a", 1, "x"), seen_end("a", 2, Some(&error))];
    for member in &mut members {
        assert_eq!(texts(member), expected);
    }
    let numbers = world.node.numbers();
    assert_eq!((numbers.streams, numbers.streams_forbidden), (1, 1));
}

fn idle_error() -> String {
    format!(r#"{{"name":"IdleTimeout","message":"{IDLE}"}}"#)
}

#[test]
fn a_stream_that_rests_for_too_long_ends_for_both_sides() {
    let mut world = World::new(2, Limits::default(), &TickBudget::default());
    let mut members = [member(&mut world, "room"), member(&mut world, "room")];
    let mut publisher = publisher(&mut world, &["default"]);
    for request in [start_for("a", 1000), start_for("b", 30_000)] {
        publisher.text(&request);
    }
    world.pass(900);
    publisher.text(&part("a", 1, "x"));
    world.pass(900);
    publisher.text(&keep_alive("a"));
    world.pass(900);
    publisher.receive_all();
    assert_eq!(world.node.numbers().streams, 3);
    world.pass(300);
    assert_eq!(texts(&mut publisher), [failed("a", "IdleTimeout", IDLE)]);
    let expected = [
        seen_part("a", 1, "x"),
        seen_end("a", 2, Some(&idle_error())),
    ];
    for member in &mut members {
        assert_eq!(texts(member), expected);
    }
    // Its name is free, and its successor has a time of its own.
    publisher.text(&start_for("a", 5000));
    publisher.text(&part("a", 1, "again"));
    world.pass(4000);
    assert_eq!(texts(&mut publisher), [acked("a", 1), acked("a", 2)]);
    assert_eq!(texts(&mut members[0]), [seen_part("a", 1, "again")]);
    world.pass(1500);
    assert_eq!(texts(&mut publisher), [failed("a", "IdleTimeout", IDLE)]);
    world.pass(25_000);
    assert_eq!(world.node.numbers().streams_timed_out, 3);
    let open = world.node.numbers().streams;
    assert_eq!(open, 1, "five minutes are the default");
}

#[test]
fn who_waits_for_an_event_handler_is_not_idle() {
    let mut world = world(Limits::default());
    let mut member = member(&mut world, "room");
    let mut publisher = publisher(&mut world, &[]);
    for stream_id in ["a", "b"] {
        publisher.text(&start_for(stream_id, 1500));
    }
    publisher.text(&json::event("question", Some(1)));
    publisher.text(&part("a", 1, "x"));
    world.pass(5000);
    let call = world.calls.borrow_mut().pop().unwrap();
    call.ticket.answer(Ok(None));
    world.pass(700);
    let expected = [acked("a", 1), acked("b", 1), json::acked(1), acked("a", 2)];
    assert_eq!(texts(&mut publisher), expected);
    world.pass(1500);
    let expected = [
        seen_part("a", 1, "x"),
        seen_end("b", 1, Some(&idle_error())),
        seen_end("a", 2, Some(&idle_error())),
    ];
    assert_eq!(texts(&mut member), expected);
}

#[test]
fn who_wants_no_echo_gets_none_of_the_last_message_either() {
    let mut world = world(Limits::default());
    let mut publisher = member(&mut world, "room");
    let mut other = member(&mut world, "room");
    for (stream_id, no_echo) in [("a", true), ("b", false)] {
        publisher.text(
            &start_for(stream_id, 1000)
                .replace(r#""stream":"#, &format!(r#""noEcho":{no_echo},"stream":"#)),
        );
    }
    world.pass(1200);
    let idle = |stream_id| failed(stream_id, "IdleTimeout", IDLE);
    let last = |stream_id| seen_end(stream_id, 1, Some(&idle_error()));
    let expected = [
        acked("a", 1),
        acked("b", 1),
        idle("a"),
        idle("b"),
        last("b"),
    ];
    assert_eq!(texts(&mut publisher), expected);
    assert_eq!(texts(&mut other), [last("a"), last("b")]);
}

#[test]
fn a_publisher_that_is_found_gone_when_it_is_written_to_is_cancelled_at_once() {
    let mut world = World::new(2, Limits::default(), &TickBudget::default());
    let mut members = [member(&mut world, "room"), member(&mut world, "room")];
    let publisher = publisher(&mut world, &["a"]);
    publisher.pipe().broken = true;
    deliver(&world, Target::Connection(publisher.id), "anybody there?");
    world.run();
    for member in &mut members {
        assert_eq!(texts(member), [cancelled("a", 1)]);
    }
}

#[test]
fn the_last_message_waits_for_room_behind_everything_that_was_published() {
    let mut world = narrow(3);
    let mut members: Vec<_> = (0..3).map(|_| member(&mut world, "room")).collect();
    let publisher = publisher(&mut world, &["a", "b"]);
    let home = publisher.id.shard();
    publisher.text(&part("a", 1, "x"));
    world.run();
    let full: Vec<_> = members
        .iter()
        .map(|member| member.id.shard())
        .filter(|shard| *shard != home)
        .map(|shard| Full::inbox(&world, shard))
        .collect();
    assert_eq!(full.len(), 2);
    publisher.pipe().reset();
    world.run();
    for member in &mut members {
        assert_eq!(texts(member), [seen_part("a", 1, "x")]);
    }
    // While the last words of one wait, another begins nothing that it would have to end.
    let mut second = connect(&mut world, &Joining::default());
    let moved = |world: &mut World, second: &Client| {
        (
            second.id.shard() == home,
            world.node.numbers().streams_started,
        )
    };
    second.text(&start("a"));
    second.text(&part("a", 1, "new"));
    world.run();
    assert_eq!(moved(&mut world, &second), (true, 2));
    for inbox in full {
        inbox.work_off(&mut world);
    }
    assert_eq!(texts(&mut second), [acked("a", 1), acked("a", 2)]);
    let expected = [
        cancelled("a", 2),
        cancelled("b", 1),
        seen_part("a", 1, "new"),
    ];
    for member in &mut members {
        assert_eq!(texts(member), expected);
    }
    second.text(&end("a"));
    world.run();
    assert_eq!(texts(&mut second), [closed("a")]);
}

#[test]
fn a_publisher_that_waits_for_room_and_hangs_up_is_cancelled_behind_its_parts() {
    let mut world = narrow(2);
    let mut far = member(&mut world, "room");
    let publisher = publisher(&mut world, &["a"]);
    assert_ne!(far.id.shard(), publisher.id.shard());
    let full = Full::inbox(&world, far.id.shard());
    publisher.text(&part("a", 1, "x"));
    publisher.text(&part("a", 2, "y"));
    publisher.pipe().client_finished = true;
    world.run();
    assert_eq!(texts(&mut far), [""; 0]);
    full.work_off(&mut world);
    let expected = [
        seen_part("a", 1, "x"),
        seen_part("a", 2, "y"),
        cancelled("a", 3),
    ];
    assert_eq!(texts(&mut far), expected);
}

#[test]
fn the_last_message_waits_its_turn_behind_a_long_walk() {
    let budget = TickBudget {
        members: 2,
        ..TickBudget::default()
    };
    let mut world = World::new(1, Limits::default(), &budget);
    let mut members: Vec<_> = (0..9).map(|_| member(&mut world, "room")).collect();
    let publisher = publisher(&mut world, &["a"]);
    for sequence_id in 1..=3 {
        publisher.text(&part("a", sequence_id, "x"));
    }
    publisher.close(1000);
    world.run();
    for member in &mut members {
        let expected = [
            seen_part("a", 1, "x"),
            seen_part("a", 2, "x"),
            seen_part("a", 3, "x"),
            cancelled("a", 4),
        ];
        assert_eq!(texts(member), expected);
    }
}

#[test]
fn a_last_message_that_nobody_hears_leaves_nothing_behind() {
    let mut world = World::new(2, Limits::default(), &TickBudget::default());
    let publishers = [publisher(&mut world, &["a"]), publisher(&mut world, &["a"])];
    for publisher in &publishers {
        publisher.close(1000);
    }
    world.run();
    drop(publishers);
    world.assert_empty();
    assert_eq!(world.node.numbers().streams, 0);
}

#[test]
fn what_a_stream_holds_is_charged_until_its_end() {
    let mut world = World::new(1, Limits::default(), &TickBudget::default());
    let client = world.connect(&Joining::default());
    let before = world.node.memory().queued();
    let id = "i".repeat(1000);
    client.text(&format!(
        r#"{{"type":"sendToGroup","group":"room","stream":{{"streamId":"{id}"}}}}"#
    ));
    world.run();
    let held = world.node.memory().queued() - before;
    assert!((1000..1200).contains(&held), "{held}");
    client.text(&format!(r#"{{"type":"streamEnd","streamId":"{id}"}}"#));
    world.run();
    assert_eq!(world.node.memory().queued(), before);
}
