//! Protobuf clients: the same rules as for json clients, in other bytes.

use hubwire_core::command::{Action, Selection, Target};
use hubwire_core::handler::Reply;
use hubwire_core::publication::{Origin, Publication};
use hubwire_core::session::Protocol;
use hubwire_core::settings::{HubSettings, HubTable, Limits};
use hubwire_proto::message::DataType;
use hubwire_proto::metadata::Metadata;
use hubwire_proto::protobuf::JsonField;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::Opcode;

use super::{close, deliver, world};
use crate::support::client::{Client, Seen};
use crate::support::protobuf::{self, Data, Group, Request, SendToGroup};
use crate::support::world::{Joining, World};

/// Connects a protobuf client and takes its greeting.
fn connect(world: &mut World, joining: Joining<'_>) -> Client {
    let user = joining.user.unwrap_or_default().to_owned();
    let mut client = world.connect(&Joining {
        protocol: Protocol::PubSub(Subprotocol::Protobuf),
        ..joining
    });
    world.run();
    let greeting = protobuf::connected(&client.id.to_string(), &user);
    assert_eq!(client.receive_all(), [greeting]);
    client
}

fn send(world: &mut World, client: &mut Client, request: &[u8]) -> Vec<Seen> {
    client.frame(Opcode::Binary, request);
    world.run();
    client.receive_all()
}

fn text(text: &str) -> Data {
    Data::Text(text.to_owned())
}

#[test]
fn requests_are_carried_out_and_acknowledged() {
    let mut world = world(Limits::default());
    let user = Some("ann");
    let mut ann = connect(
        &mut world,
        Joining {
            user,
            ..Joining::default()
        },
    );
    let hello = || protobuf::message(Some("room"), text("hello"));
    let seen = send(&mut world, &mut ann, &protobuf::join("room", Some(1)));
    assert_eq!(seen, [protobuf::acked(1)]);
    let publish = protobuf::publish("room", text("hello"), Some(0));
    let seen = send(&mut world, &mut ann, &publish);
    assert_eq!(seen, [hello(), protobuf::acked(0)]);
    // Case 23, in other bytes.
    let seen = send(&mut world, &mut ann, &publish);
    let message = "Message with ack-id: 0 has been processed";
    assert_eq!(seen, [protobuf::refused(0, "Duplicate", message)]);
    let publish = protobuf::publish("room", text("hello"), None);
    assert_eq!(send(&mut world, &mut ann, &publish), [hello()]);
    let no_echo = Request::SendToGroup(SendToGroup {
        group: "room".to_owned(),
        ack_id: Some(3),
        data: Some(protobuf::MessageData {
            data: Some(text("hello")),
        }),
        no_echo: Some(true),
        ..SendToGroup::default()
    });
    let seen = send(&mut world, &mut ann, &protobuf::request(no_echo));
    assert_eq!(seen, [protobuf::acked(3)]);
    let leave = Request::LeaveGroup(Group {
        group: "room".to_owned(),
        ack_id: Some(4),
    });
    let seen = send(&mut world, &mut ann, &protobuf::request(leave));
    assert_eq!(seen, [protobuf::acked(4)]);
    assert_eq!(send(&mut world, &mut ann, &publish), []);
    let seen = send(&mut world, &mut ann, &protobuf::ping());
    assert_eq!(seen, [protobuf::pong()]);
}

#[test]
fn what_is_forbidden_is_refused_or_silent() {
    let mut world = world(Limits::default());
    let roles: &[&str] = &[];
    let mut client = connect(
        &mut world,
        Joining {
            roles,
            ..Joining::default()
        },
    );
    let seen = send(&mut world, &mut client, &protobuf::join("room", Some(1)));
    let message = "The client does not have permission to join group 'room'.";
    assert_eq!(seen, [protobuf::refused(1, "Forbidden", message)]);
    let seen = send(&mut world, &mut client, &protobuf::join("room", None));
    assert_eq!(seen, []);
}

#[test]
fn an_event_is_answered_before_its_ack_and_pings_need_not_wait() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world, Joining::default());
    let seen = send(
        &mut world,
        &mut client,
        &protobuf::event("question", Some(1)),
    );
    assert_eq!(seen, []);
    let seen = send(&mut world, &mut client, &protobuf::ping());
    assert_eq!(seen, [protobuf::pong()]);
    let seen = send(&mut world, &mut client, &protobuf::join("room", Some(2)));
    assert_eq!(seen, []);
    let call = world.calls.borrow_mut().pop().unwrap();
    assert_eq!(
        (call.data_type, &*call.data),
        (DataType::Text, &b"question"[..])
    );
    call.ticket.answer(Ok(Some(Reply {
        data_type: DataType::Json,
        bytes: b"{}".as_slice().into(),
        metadata: Metadata::default(),
    })));
    world.run();
    let answer = protobuf::message(None, Data::Json("{}".to_owned()));
    let expected = [answer, protobuf::acked(1), protobuf::acked(2)];
    assert_eq!(client.receive_all(), expected);
}

#[test]
fn what_cannot_be_read_ends_the_connection_with_the_reason() {
    let check = |opcode: Opcode, payload: &[u8], message: &str, code: u16, reason: &str| {
        let mut world = world(Limits::default());
        let mut client = connect(&mut world, Joining::default());
        client.frame(opcode, payload);
        world.run();
        let close = Seen::Close(Some(code), reason.to_owned());
        let expected = [protobuf::disconnected(message), close];
        assert_eq!(client.receive_all(), expected);
        // Nothing more of the client counts.
        client.frame(Opcode::Binary, &protobuf::ping());
        world.pass(Limits::default().close_timeout_ms + 200);
        assert_eq!(client.receive_all(), []);
        world.assert_empty();
    };
    let reason = "The client message is not a valid protobuf.webpubsub.azure.v1 protocol message";
    let truncated = &protobuf::join("room", None)[..3];
    let check_bytes = |payload: &[u8], fault: &str| {
        let message = format!("{reason}: {fault}.");
        check(
            Opcode::Binary,
            payload,
            &message,
            1007,
            &format!("{reason}."),
        );
    };
    check_bytes(truncated, "it ends within a field");
    check_bytes(b"", "it holds no known request");
    let bad = protobuf::publish("room", Data::Json("{".to_owned()), Some(1));
    check_bytes(&bad, "`json_data` must be one JSON value");
    // Case 52.
    let reason = "The protobuf.webpubsub.azure.v1 subprotocol requires binary messages.";
    check(Opcode::Text, b"", reason, 1003, reason);
    check(Opcode::Text, br#"{"type":"ping"}"#, reason, 1003, reason);
}

#[test]
fn a_close_by_the_server_says_why() {
    let mut world = world(Limits::default());
    let mut client = connect(&mut world, Joining::default());
    close(&world, Target::Connection(client.id), Some("lunch"));
    world.run();
    let reason = "Application server closed the connection. Reason: lunch";
    let expected = [
        protobuf::disconnected(reason),
        Seen::Close(Some(1000), String::new()),
    ];
    assert_eq!(client.receive_all(), expected);
}

#[test]
fn where_json_goes_is_the_hubs_setting_when_a_client_connects() {
    let mut world = world(Limits::default());
    let mut before = connect(&mut world, Joining::default());
    let settings = HubSettings {
        protobuf_json: JsonField::TextData,
        ..HubSettings::default()
    };
    world.node.replace_hubs(HubTable::new(settings, []));
    let mut after = connect(&mut world, Joining::default());
    let payload = b"{}".as_slice().into();
    let publication =
        Publication::new(Origin::Server, DataType::Json, payload, world.node.memory());
    let action = Action::Deliver { publication };
    super::send(&world, Target::All, Selection::default(), action);
    deliver(&world, Target::All, "text");
    world.run();
    let plain = protobuf::message(None, text("text"));
    let json = protobuf::message(None, Data::Json("{}".to_owned()));
    assert_eq!(before.receive_all(), [json, plain.clone()]);
    assert_eq!(
        after.receive_all(),
        [protobuf::message(None, text("{}")), plain]
    );
}
