//! Exclusions and filters: whom they pick, and that judging a large hub keeps nobody else waiting.

use hubwire_core::ask::Answer;
use hubwire_core::command::{Action, Excluded, Question, Selection, Target};
use hubwire_core::session::Protocol;
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_proto::filter::Filter;
use hubwire_proto::simple::SimpleMode;

use super::{ask, ask_selected, connect, deliver, group, member, publication, send, world};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

fn filter(text: &str) -> Selection {
    Selection {
        excluded: Excluded::Nobody,
        filter: Some(Filter::parse(text).unwrap()),
    }
}

fn without(client: &Client) -> Selection {
    Selection {
        excluded: Excluded::from_ids(vec![client.id]),
        filter: None,
    }
}

fn deliver_selected(world: &World, target: Target, selection: Selection, text: &str) {
    let publication = publication(world, text);
    send(world, target, selection, Action::Deliver { publication });
}

fn narrow(members: usize) -> World {
    let budget = TickBudget {
        members,
        ..TickBudget::default()
    };
    World::new(1, Limits::default(), &budget)
}

fn tick(world: &mut World) {
    world.arrive_all();
    world.tick(0, || true);
}

/// A member of the group `room`, with a user.
fn user(world: &mut World, user: &str) -> Client {
    let mut client = world.connect(&Joining {
        user: Some(user),
        groups: &["room"],
        ..Joining::default()
    });
    world.run();
    client.receive_all();
    client
}

#[test]
fn a_message_reaches_who_is_selected_whatever_the_target() {
    let mut world = world(Limits::default());
    let mut simple = world.connect(&Joining {
        protocol: Protocol::Simple(SimpleMode::SendEvent),
        groups: &["room"],
        ..Joining::default()
    });
    let mut clients = [user(&mut world, "ann"), user(&mut world, "bob")];
    let ann = clients[0].id;
    let (all, room) = (Target::All, Target::Group("room".into()));
    let (of_ann, one) = (Target::User("ann".into()), Target::Connection(ann));
    let mut check = |target: &Target, selection: Selection, expected: [bool; 3]| {
        let text = format!("{target:?} {expected:?}").replace(['"', '\\'], "");
        deliver_selected(&world, target.clone(), selection, &text);
        world.run();
        let [ann, bob] = clients.each_mut().map(|client| {
            let seen = client.receive_all();
            assert!(seen.is_empty() || seen == [Seen::Text(json::from_server(&text))]);
            !seen.is_empty()
        });
        assert_eq!([ann, bob, !simple.receive_all().is_empty()], expected);
    };
    let by_id = format!("connectionId eq '{ann}'");
    check(&all, Selection::default(), [true, true, true]);
    check(&all, filter("userId eq 'ann'"), [true, false, false]);
    check(&all, filter("userId eq null"), [false, false, true]);
    check(&room, filter("userId ne 'ann'"), [false, true, true]);
    check(&room, filter("'room' in groups"), [true, true, true]);
    check(&all, filter("'den' in groups"), [false, false, false]);
    check(&all, filter("length(groups) eq 1"), [true, true, true]);
    check(&all, filter(&by_id), [true, false, false]);
    let spoken = "protocol eq 'json.webpubsub.azure.v1'";
    check(&all, filter(spoken), [true, true, false]);
    check(&of_ann, filter("userId eq 'bob'"), [false, false, false]);
    check(&one, filter("userId eq 'bob'"), [false, false, false]);
    check(&one, filter("userId eq 'ann'"), [true, false, false]);
    let both = Selection {
        excluded: Excluded::from_ids(vec![ann]),
        ..filter("userId ne null")
    };
    check(&all, both.clone(), [false, true, false]);
    check(&room, both.clone(), [false, true, false]);
    check(&one, both, [false, false, false]);
}

#[test]
fn closing_and_leaving_concern_only_who_is_selected() {
    let mut world = world(Limits::default());
    let [ann, bob] = ["ann", "bob"].map(|name| user(&mut world, name));
    let leave = ask_selected(
        &world,
        Target::Group("room".into()),
        filter("userId eq 'ann'"),
        |reply| Action::Leave {
            groups: None,
            reply: Some(reply),
        },
    );
    let members = ask(&world, Target::Group("room".into()), |reply| Action::Ask {
        question: Question::List {
            after: None,
            limit: 10,
        },
        reply,
    });
    let close = ask_selected(&world, Target::All, without(&bob), |reply| Action::Close {
        reason: None,
        reply: Some(reply),
    });
    let nobody = ask_selected(&world, Target::All, filter("false"), |reply| {
        Action::Close {
            reason: None,
            reply: Some(reply),
        }
    });
    world.run();
    assert_eq!(*leave.lock().unwrap(), [Answer::Applied(1)]);
    let [Answer::Page(page)] = &members.lock().unwrap()[..] else {
        panic!("no page")
    };
    assert_eq!(
        page.iter().map(|one| one.connection).collect::<Vec<_>>(),
        [bob.id]
    );
    assert_eq!(*close.lock().unwrap(), [Answer::Applied(1)]);
    assert_eq!(*nobody.lock().unwrap(), [Answer::Applied(0)]);
    let is_closed = |mut client: Client| !client.receive_all().is_empty();
    assert_eq!([is_closed(ann), is_closed(bob)], [true, false]);
}

#[test]
fn a_filter_over_a_large_hub_is_cut_and_only_its_own_hub_waits() {
    // 202 steps, 16 to a unit, and one unit each for the member and its judgement.
    let steps = format!("'room' in groups{}", " and userId ne null".repeat(50));
    check_cut(&steps, "ann", 14);
    // Four times 7200 bytes, 16 to a unit.
    let text = "contains(tolower(toupper(tolower(userId))),'ä')";
    check_cut(text, &"Ää".repeat(1800), 4 * 7200 / 16 + 2);
}

/// Has a filter that costs `cost` for each member judge many users, while another hub goes on.
fn check_cut(text: &str, name: &str, cost: usize) {
    const MEMBERS: usize = 40;
    let expensive = filter(text);
    let mut world = narrow(3 * cost);
    let mut clients: Vec<_> = (0..MEMBERS).map(|_| user(&mut world, name)).collect();
    let mut elsewhere = connect(
        &mut world,
        &Joining {
            hub: "den",
            groups: &["room"],
            ..Joining::default()
        },
    );
    deliver_selected(&world, Target::All, expensive, "first");
    deliver(&world, Target::All, "second");
    let mut received = vec![Vec::new(); MEMBERS];
    // Whoever comes first may use up one tick.
    tick(&mut world);
    let mut ticks = 1;
    loop {
        let mut judged = 0;
        for (seen, client) in received.iter_mut().zip(&mut clients) {
            let new = client.receive_all();
            judged += usize::from(new.contains(&Seen::Text(json::from_server("first"))));
            seen.extend(new);
        }
        assert!(judged <= 4, "{judged} members in one tick");
        if received.iter().all(|seen: &Vec<Seen>| seen.len() == 2) {
            break;
        }
        elsewhere.text(&json::publish("room", "here", false, Some(ticks)));
        tick(&mut world);
        assert_eq!(
            elsewhere.receive_all(),
            [
                Seen::Text(json::from_group("room", "here")),
                Seen::Text(json::acked(ticks)),
            ],
            "another hub waits in tick {ticks}"
        );
        ticks += 1;
        assert!(ticks < 1000, "the walk does not end");
    }
    assert!(ticks >= MEMBERS as u64 / 4, "{ticks} ticks");
    let expected = ["first", "second"].map(|text| Seen::Text(json::from_server(text)));
    assert!(received.iter().all(|seen| *seen == expected));
}

#[test]
fn walks_of_several_hubs_take_turns() {
    let mut world = narrow(4);
    let clients: Vec<_> = (0..200).map(|_| member(&mut world, "room")).collect();
    let mut den: Vec<_> = (0..6)
        .map(|_| {
            connect(
                &mut world,
                &Joining {
                    hub: "den",
                    groups: &["room"],
                    ..Joining::default()
                },
            )
        })
        .collect();
    for _ in 0..5 {
        deliver(&world, Target::All, "long");
    }
    tick(&mut world);
    den[0].text(&json::publish("room", "short", false, None));
    for _ in 0..8 {
        tick(&mut world);
    }
    let short = [Seen::Text(json::from_group("room", "short"))];
    assert!(den.iter_mut().all(|client| client.receive_all() == short));
    drop(clients);
}

#[test]
fn a_list_of_many_is_cut_too_and_names_only_who_is_still_there() {
    let mut world = narrow(3);
    let mut clients: Vec<_> = (0..30).map(|_| member(&mut world, "room")).collect();
    let page = ask(&world, Target::Group("room".into()), |reply| Action::Ask {
        question: Question::List {
            after: None,
            limit: 100,
        },
        reply,
    });
    tick(&mut world);
    assert!(page.lock().unwrap().is_empty(), "not cut");
    // Somebody else takes the place of one that was visited.
    clients.remove(0).pipe().reset();
    tick(&mut world);
    world.connect(&Joining::default());
    world.run();
    let mut expected: Vec<_> = clients.iter().map(|client| client.id).collect();
    expected.sort_unstable_by_key(hubwire_core::id::ConnectionId::text);
    let [Answer::Page(page)] = &page.lock().unwrap()[..] else {
        panic!("no page")
    };
    let listed: Vec<_> = page.iter().map(|listed| listed.connection).collect();
    assert_eq!(listed, expected);
}

#[test]
fn a_change_of_groups_is_judged_before_it_begins_whatever_the_budget() {
    for members in [1, 2, 3, 7, 1000] {
        let mut world = narrow(members);
        let joining = Joining {
            groups: &["a", "b", "c"],
            ..Joining::default()
        };
        let clients: Vec<_> = (0..4).map(|_| connect(&mut world, &joining)).collect();
        let stranger = member(&mut world, "b");
        let memory = world.node.memory();
        let groups = hubwire_core::command::GroupNames::new(["a", "b", "c"], memory);
        let answers = ask_selected(&world, Target::All, filter("'a' in groups"), |reply| {
            Action::Leave {
                groups: Some(groups),
                reply: Some(reply),
            }
        });
        world.run();
        assert_eq!(*answers.lock().unwrap(), [Answer::Applied(4)]);
        assert_eq!(
            world.node.numbers().groups,
            1,
            "only the stranger's is left"
        );
        assert_eq!(world.node.memory().queued(), 0);
        let again = ask(&world, Target::Connection(stranger.id), |reply| {
            Action::Leave {
                groups: Some(group(&world, "b")),
                reply: Some(reply),
            }
        });
        world.run();
        assert_eq!(*again.lock().unwrap(), [Answer::Applied(1)]);
        assert_eq!(world.node.numbers().groups, 0);
        drop(clients);
    }
}
