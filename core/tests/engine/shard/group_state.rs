//! Group state: what members tell a group and who is told (protocol notes: group state). Times are
//! those of a clock that the test moves.

use std::collections::BTreeMap;

use hubwire_core::id::ConnectionId;
use hubwire_core::session::Protocol;
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::Opcode;
use prost::Message as _;

use super::world;
use crate::support::client::{Client, Seen, json};
use crate::support::protobuf::{
    self, Downstream, Group, GroupState, GroupStateItem, GroupStates, Request, Response,
    SetGroupState,
};
use crate::support::world::{Joining, World};

/// When the nodes of these tests start.
pub(super) const START: i64 = 1_000_000;

/// A state as its entries.
type State<'a> = &'a [(&'a str, &'a str)];

/// A state in a snapshot or an update.
pub(super) struct Item<'a> {
    pub(super) of: ConnectionId,
    pub(super) user: Option<&'a str>,
    pub(super) state: Option<State<'a>>,
    pub(super) updated_at: i64,
}

impl<'a> Item<'a> {
    /// Of a client without a user.
    pub(super) fn new(of: &Client, state: Option<State<'a>>, after_start: i64) -> Self {
        Self {
            of: of.id,
            user: None,
            state,
            updated_at: START + after_start,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Snapshot,
    Update,
}

/// What a client of the subprotocol is told.
fn told(
    subprotocol: Subprotocol,
    kind: Kind,
    sequence_id: Option<u64>,
    items: &[Item<'_>],
) -> Seen {
    match subprotocol {
        Subprotocol::Json | Subprotocol::JsonReliable => json_told(kind, sequence_id, items),
        Subprotocol::Protobuf | Subprotocol::ProtobufReliable => {
            let message = GroupStates {
                group: "room".to_owned(),
                items: items.iter().map(protobuf_item).collect(),
                sequence_id,
            };
            protobuf::seen(match kind {
                Kind::Snapshot => Response::GroupStateSnapshot(message),
                Kind::Update => Response::GroupStateUpdate(message),
            })
        }
    }
}

pub(super) fn json_told(kind: Kind, sequence_id: Option<u64>, items: &[Item<'_>]) -> Seen {
    let number = sequence_id.map_or_else(String::new, |id| format!(r#""sequenceId":{id},"#));
    let items: Vec<_> = items.iter().map(json_item).collect();
    Seen::Text(format!(
        r#"{{{number}"type":"groupState{kind:?}","group":"room","items":[{}]}}"#,
        items.join(",")
    ))
}

fn json_item(item: &Item<'_>) -> String {
    let user = item
        .user
        .map_or_else(String::new, |user| format!(r#""userId":"{user}","#));
    let state = item.state.map_or_else(String::new, |entries| {
        format!(r#""state":{},"#, json_state(entries))
    });
    let (id, at) = (item.of, item.updated_at);
    format!(r#"{{"connectionId":"{id}",{user}{state}"updatedAt":{at}}}"#)
}

fn json_state(entries: State<'_>) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|(key, value)| format!(r#""{key}":"{value}""#))
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn protobuf_item(item: &Item<'_>) -> GroupStateItem {
    GroupStateItem {
        connection_id: item.of.to_string(),
        user_id: item.user.map(str::to_owned),
        state: item.state.map(protobuf_state),
        updated_at: item.updated_at,
    }
}

fn protobuf_state(entries: State<'_>) -> GroupState {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let entries: BTreeMap<_, _> = entries.iter().map(owned).collect();
    GroupState { entries }
}

/// The snapshot that a json client is told.
pub(super) fn snapshot(items: &[Item<'_>]) -> Seen {
    json_told(Kind::Snapshot, None, items)
}

/// The update that a json client is told.
pub(super) fn update(item: Item<'_>) -> Seen {
    json_told(Kind::Update, None, &[item])
}

pub(super) fn acked(ack_id: u64) -> Seen {
    Seen::Text(json::acked(ack_id))
}

fn ack_of(ack_id: Option<u64>) -> String {
    ack_id.map_or_else(String::new, |id| format!(r#","ackId":{id}"#))
}

/// A request to set or clear the state in a group.
pub(super) fn set(group: &str, state: Option<State<'_>>, ack_id: Option<u64>) -> String {
    let state = state.map_or_else(String::new, |entries| {
        format!(r#","state":{}"#, json_state(entries))
    });
    let ack = ack_of(ack_id);
    format!(r#"{{"type":"setGroupState","group":"{group}"{state}{ack}}}"#)
}

pub(super) fn subscribe(ack_id: Option<u64>) -> String {
    let ack = ack_of(ack_id);
    format!(r#"{{"type":"subscribeGroupState","group":"room"{ack}}}"#)
}

pub(super) fn unsubscribe(ack_id: Option<u64>) -> String {
    let ack = ack_of(ack_id);
    format!(r#"{{"type":"unsubscribeGroupState","group":"room"{ack}}}"#)
}

/// Connects a client and takes its greeting.
pub(super) fn connect(world: &mut World, joining: &Joining<'_>) -> Client {
    world.node.set_start(START);
    let mut client = world.connect(joining);
    world.run();
    client.receive_all();
    client
}

/// A member of the group `room`.
pub(super) fn member(world: &mut World) -> Client {
    connect(
        world,
        &Joining {
            groups: &["room"],
            ..Joining::default()
        },
    )
}

/// A member that is told the group's states from now on.
pub(super) fn subscriber(world: &mut World) -> Client {
    let mut client = member(world);
    client.text(&subscribe(None));
    world.run();
    assert_eq!(client.receive_all().len(), 1, "a snapshot");
    client
}

/// Sends a request and lets everything come of it.
pub(super) fn request(world: &mut World, client: &Client, text: &str) {
    client.text(text);
    world.run();
}

const PROTOCOLS: [Subprotocol; 4] = Subprotocol::ALL;

/// A request in the subprotocol's own words.
fn say(client: &Client, subprotocol: Subprotocol, text: &str, message: Request) {
    match subprotocol {
        Subprotocol::Json | Subprotocol::JsonReliable => client.text(text),
        Subprotocol::Protobuf | Subprotocol::ProtobufReliable => {
            client.frame(Opcode::Binary, &protobuf::request(message));
        }
    }
}

fn to_group(group: &str, ack_id: Option<u64>) -> Group {
    Group {
        group: group.to_owned(),
        ack_id,
    }
}

/// What came, with the fields of protobuf messages in their order: a number may come first.
fn receive(client: &mut Client) -> Vec<Seen> {
    let in_order = |seen| match seen {
        Seen::Binary(bytes) => {
            Seen::Binary(Downstream::decode(&bytes[..]).unwrap().encode_to_vec())
        }
        seen => seen,
    };
    client.receive_all().into_iter().map(in_order).collect()
}

#[test]
fn subscribers_of_every_kind_are_told_of_members_of_every_kind_wherever_they_are() {
    // Case 122.
    for shards in [1, 4] {
        let mut world = World::new(shards, Limits::default(), &TickBudget::default());
        let joining = |subprotocol, user| Joining {
            protocol: Protocol::PubSub(subprotocol),
            groups: &["room"],
            user,
            ..Joining::default()
        };
        let mut owners = PROTOCOLS.map(|subprotocol| {
            let user = subprotocol.is_reliable().then_some("ann");
            let client = connect(&mut world, &joining(subprotocol, user));
            (subprotocol, user, client)
        });
        let mut simple = connect(
            &mut world,
            &Joining {
                protocol: Protocol::Simple(SimpleMode::SendEvent),
                groups: &["room"],
                ..Joining::default()
            },
        );
        let entries: State<'_> = &[("a \u{e9}", "1"), ("b", "")];
        for (subprotocol, _, owner) in &mut owners {
            world.pass(10);
            let message = Request::SetGroupState(SetGroupState {
                group: "room".to_owned(),
                ack_id: Some(1),
                state: Some(protobuf_state(entries)),
            });
            let text = set("room", Some(entries), Some(1));
            say(owner, *subprotocol, &text, message);
            world.run();
            assert_eq!(owner.receive_all().len(), 1, "an ack");
        }
        let count = PROTOCOLS.len() * shards;
        let mut subscribers: Vec<_> = PROTOCOLS
            .iter()
            .cycle()
            .take(count)
            .map(|subprotocol| {
                let client = connect(&mut world, &joining(*subprotocol, None));
                let message = Request::SubscribeGroupState(to_group("room", Some(7)));
                say(&client, *subprotocol, &subscribe(Some(7)), message);
                (*subprotocol, client)
            })
            .collect();
        world.run();
        let items: Vec<_> = (1i64..)
            .zip(&owners)
            .map(|(place, (_, user, owner))| Item {
                user: *user,
                ..Item::new(owner, Some(entries), 10 * place)
            })
            .collect();
        for (subprotocol, client) in &mut subscribers {
            let ack = match subprotocol {
                Subprotocol::Json | Subprotocol::JsonReliable => acked(7),
                Subprotocol::Protobuf | Subprotocol::ProtobufReliable => protobuf::acked(7),
            };
            let number = subprotocol.is_reliable().then_some(1);
            let expected = [ack, told(*subprotocol, Kind::Snapshot, number, &items)];
            assert_eq!(receive(client), expected, "{subprotocol:?} on {shards}");
        }
        for (place, (from, user, owner)) in owners.iter().enumerate() {
            world.pass(10);
            let message = Request::SetGroupState(SetGroupState {
                group: "room".to_owned(),
                ..SetGroupState::default()
            });
            say(owner, *from, &set("room", None, None), message);
            world.run();
            let after_start = 10 * (i64::try_from(place).unwrap() + 5);
            let item = Item {
                user: *user,
                ..Item::new(owner, None, after_start)
            };
            for (subprotocol, client) in &mut subscribers {
                let number = subprotocol.is_reliable().then_some(2 + place as u64);
                let expected = told(
                    *subprotocol,
                    Kind::Update,
                    number,
                    std::slice::from_ref(&item),
                );
                assert_eq!(receive(client), [expected], "{from:?} to {subprotocol:?}");
            }
        }
        assert_eq!(simple.receive_all(), [], "simple clients are told nothing");
    }
}

/// What a member, or who is none, gets for a request with an ack id; without one it gets nothing.
#[track_caller]
fn check(roles: &[&str], is_member: bool, request_text: &str, expect: Result<(), (&str, &str)>) {
    let mut world = world(Limits {
        group_state_bytes: 8,
        ..Limits::default()
    });
    let groups: &[&str] = if is_member { &["room"] } else { &[] };
    let joining = Joining {
        roles,
        groups,
        ..Joining::default()
    };
    let mut client = connect(&mut world, &joining);
    request(&mut world, &client, request_text);
    let ack = client.receive_all().into_iter().next();
    let expected = match expect {
        Ok(()) => acked(5),
        Err((name, message)) => Seen::Text(format!(
            r#"{{"type":"ack","ackId":5,"success":false,"error":{{"name":"{name}","message":"{message}"}}}}"#
        )),
    };
    assert_eq!(ack, Some(expected), "{roles:?} {is_member} {request_text}");
    if expect.is_err() {
        let silent = request_text.replace(r#","ackId":5"#, "");
        request(&mut world, &client, &silent);
        assert_eq!(client.receive_all(), [], "{roles:?} {is_member} {silent}");
    }
    client.close(1000);
    world.run();
    client.receive_all();
    world.assert_empty();
}

#[test]
fn what_is_lacking_is_told_if_an_ack_is_asked_for() {
    // Cases 120 and 121.
    let join = ["webpubsub.joinLeaveGroup.room"];
    let (set_role, get_role) = (["webpubsub.setGroupState"], ["webpubsub.getGroupState"]);
    let elsewhere = [
        "webpubsub.setGroupState.other",
        "webpubsub.getGroupState.other",
        "webpubsub.sendToGroup",
    ];
    let here = [
        "webpubsub.setGroupState.room",
        "webpubsub.getGroupState.room",
    ];
    let set_it = set("room", Some(&[("key", "value")]), Some(5));
    let clear_it = set("room", None, Some(5));
    let (subscribe, unsubscribe) = (subscribe(Some(5)), unsubscribe(Some(5)));
    let may_not_set = Err((
        "Forbidden",
        "The client does not have permission to set its state in group 'room'.",
    ));
    let may_not_get = Err((
        "Forbidden",
        "The client does not have permission to get the state of group 'room'.",
    ));
    let no_member = Err(("BadRequest", "The client is not a member of group 'room'."));
    for is_member in [true, false] {
        let if_member = if is_member { Ok(()) } else { no_member };
        for roles in [&join[..], &set_role, &here] {
            check(roles, is_member, &set_it, if_member);
            check(roles, is_member, &clear_it, if_member);
        }
        for roles in [&join[..], &get_role, &here] {
            check(roles, is_member, &subscribe, if_member);
        }
        for roles in [&[][..], &get_role, &elsewhere] {
            check(roles, is_member, &set_it, may_not_set);
            check(roles, is_member, &clear_it, may_not_set);
        }
        for roles in [&[][..], &set_role, &elsewhere] {
            check(roles, is_member, &subscribe, may_not_get);
        }
        check(&[], is_member, &unsubscribe, Ok(()));
    }
    let too_large = set("room", Some(&[("key", "values")]), Some(5));
    let why = "The state for group 'room' has 9 bytes, more than 8.";
    check(&join, true, &too_large, Err(("BadRequest", why)));
}

#[test]
fn a_state_that_is_too_large_leaves_the_one_before() {
    let mut world = world(Limits {
        group_state_bytes: 8,
        ..Limits::default()
    });
    let mut owner = subscriber(&mut world);
    let fits: State<'_> = &[("a", "12"), ("b", "1234")];
    let too_large: State<'_> = &[("a", "12"), ("b", "12345")];
    request(&mut world, &owner, &set("room", Some(fits), None));
    request(&mut world, &owner, &set("room", Some(too_large), None));
    assert_eq!(world.node.numbers().group_states_refused, 1);
    request(&mut world, &owner, &subscribe(None));
    let item = || Item::new(&owner, Some(fits), 0);
    let expected = [update(item()), snapshot(&[item()])];
    assert_eq!(owner.receive_all(), expected);
}

#[test]
fn times_rise_over_all_groups_and_clears_while_the_clock_stands_still() {
    // Case 123.
    let mut world = world(Limits::default());
    let joining = Joining {
        groups: &["room", "hall"],
        ..Joining::default()
    };
    let mut owner = connect(&mut world, &joining);
    request(&mut world, &owner, &subscribe(None));
    owner.receive_all();
    let state = Some(&[("k", "v")][..]);
    // The second one is for another group, the last one changes nothing.
    for (group, state) in [
        ("room", state),
        ("hall", state),
        ("room", None),
        ("room", state),
        ("room", state),
        ("hall", None),
        ("hall", None),
        ("room", None),
        ("room", None),
    ] {
        owner.text(&set(group, state, None));
    }
    world.run();
    let expected = [(state, 0), (None, 2), (state, 3), (state, 4), (None, 6)];
    let expected = expected.map(|(state, time)| update(Item::new(&owner, state, time)));
    assert_eq!(owner.receive_all(), expected);
    world.pass(500);
    request(&mut world, &owner, &set("room", state, None));
    let expected = [update(Item::new(&owner, state, 500))];
    assert_eq!(owner.receive_all(), expected);
}

#[test]
fn a_large_snapshot_goes_on_as_updates() {
    let mut world = World::new(
        2,
        Limits {
            group_state_bytes: 200 << 10,
            ..Limits::default()
        },
        &TickBudget::default(),
    );
    let value = "v".repeat(120 << 10);
    let entries = [("k", &value[..])];
    let owners: Vec<_> = (0..5)
        .map(|_| {
            world.pass(1);
            let owner = member(&mut world);
            request(&mut world, &owner, &set("room", Some(&entries), None));
            owner
        })
        .collect();
    let mut client = member(&mut world);
    request(&mut world, &client, &subscribe(None));
    let items: Vec<_> = (1..)
        .zip(&owners)
        .map(|(time, owner)| Item::new(owner, Some(&entries[..]), time))
        .collect();
    let expected = [
        json_told(Kind::Snapshot, None, &items[..2]),
        json_told(Kind::Update, None, &items[2..4]),
        json_told(Kind::Update, None, &items[4..]),
    ];
    assert!(client.receive_all() == expected, "three messages, in order");
}
