//! Protobuf clients, whose words are written and read by prost, and what they and the others see
//! of each other.

#[path = "../../../proto/tests/protobuf_reference/schema.rs"]
mod schema;

use prost::Message as _;
use schema::{
    Ack, Any, Connected, Data, DataMessage, Disconnected, Downstream, Empty, Event, Group,
    MessageData, Request, Response, SendToGroup, SequenceAck, StreamStart, System, Upstream,
};

use crate::support::{self, Client, Connect, Server, Token, on_one_and_four_shards};

const PROTOBUF: &str = "protobuf.webpubsub.azure.v1";
const RELIABLE: &str = "protobuf.reliable.webpubsub.azure.v1";

/// A protobuf client that may do everything, and its id.
fn connect(server: &Server, hub: &str, user: &str) -> (Client, String) {
    let token = Token::client(server, hub)
        .role("webpubsub.joinLeaveGroup")
        .role("webpubsub.sendToGroup")
        .user(user);
    let (client, connected) = greeted(Connect::to(hub, &token), server, PROTOBUF);
    let Connected {
        connection_id,
        user_id,
        reconnection_token,
    } = connected;
    assert_eq!((&*user_id, &*reconnection_token), (user, ""));
    assert_eq!(connection_id.len(), 32);
    (client, connection_id)
}

fn greeted(connect: Connect, server: &Server, subprotocol: &str) -> (Client, Connected) {
    let mut client = connect.offering(subprotocol).open(server).unwrap();
    assert_eq!(client.subprotocol.as_deref(), Some(subprotocol));
    match system(&mut client) {
        Some(System::Connected(connected)) => (client, connected),
        other => panic!("{other:?}"),
    }
}

fn send(client: &mut Client, request: Request) {
    let message = Some(request);
    client.send_bytes(Upstream { message }.encode_to_vec());
}

fn receive(client: &mut Client) -> Response {
    let message = Downstream::decode(&*client.bytes()).unwrap();
    message.message.unwrap()
}

fn system(client: &mut Client) -> Option<System> {
    match receive(client) {
        Response::System(system) => system.message,
        other => panic!("{other:?}"),
    }
}

fn acked(ack_id: u64) -> Response {
    Response::Ack(Ack {
        ack_id,
        success: true,
        error: None,
    })
}

fn join(client: &mut Client, group: &str, ack_id: u64) {
    let group = group.to_owned();
    let ack = Some(ack_id);
    send(client, Request::JoinGroup(Group { group, ack_id: ack }));
    assert_eq!(receive(client), acked(ack_id));
}

fn some(data: Data) -> Option<MessageData> {
    Some(MessageData { data: Some(data) })
}

fn publish(client: &mut Client, group: &str, data: Data, ack_id: Option<u64>) {
    let publish = SendToGroup {
        group: group.to_owned(),
        ack_id,
        data: some(data),
        ..SendToGroup::default()
    };
    send(client, Request::SendToGroup(publish));
}

fn delivered(group: Option<&str>, data: Data) -> Response {
    Response::Data(DataMessage {
        from: group.map_or("server", |_| "group").to_owned(),
        group: group.map(str::to_owned),
        data: some(data),
        ..DataMessage::default()
    })
}

fn rest(server: &Server, path: &str, content_type: &str, body: &str) {
    let request = support::Request::new("POST", path)
        .body(content_type, body)
        .authorized(server);
    assert_eq!(server.send(request).status, 202, "{path}");
}

#[test]
fn a_mixed_group_sees_every_type_of_data() {
    let echo = "[[hub_defaults.event_handlers]]\nurl_template = \"builtin:echo\"\n\
                user_event_pattern = \"*\"\n";
    on_one_and_four_shards(echo, |server| {
        let mut simple = Client::simple(server, "chat", &["room"]);
        let (mut json, _) = Client::json(server, "chat", None);
        json.join("room");
        let (mut ann, _) = connect(server, "chat", "ann");
        // Case 54.
        join(&mut ann, "room", 0);
        support::eventually("everybody is in", || {
            let page = server.rest("GET", "/api/hubs/chat/groups/room/connections");
            (page.text().matches("\"connectionId\"").count() == 3).then_some(())
        });
        let (mut bob, _) = connect(server, "chat", "bob");

        // Case 55.
        let any = Any {
            type_url: "type.googleapis.com/demo.Point".to_owned(),
            value: vec![8, 1],
        };
        publish(&mut bob, "room", Data::Protobuf(any.clone()), Some(1));
        assert_eq!(receive(&mut bob), acked(1));
        assert_eq!(
            json.text(),
            r#"{"type":"message","from":"group","group":"room","dataType":"protobuf","data":"Ch50eXBlLmdvb2dsZWFwaXMuY29tL2RlbW8uUG9pbnQSAggB","fromUserId":"bob"}"#
        );
        assert_eq!(simple.bytes(), any.encode_to_vec());
        let expected = delivered(Some("room"), Data::Protobuf(any));
        assert_eq!(receive(&mut ann), expected);

        // Case 56.
        let to_group = "/api/hubs/chat/groups/room/:send";
        rest(server, to_group, "application/json", r#"{"a":1}"#);
        let json_data = Data::Json(r#"{"a":1}"#.to_owned());
        assert_eq!(receive(&mut ann), delivered(Some("room"), json_data));
        assert_eq!(simple.text(), r#"{"a":1}"#);
        assert!(json.text().contains(r#""data":{"a":1}"#));

        // An event, echoed; its reply comes before its ack.
        let text = || Data::Text("hi".to_owned());
        let event = Event {
            event: "message".to_owned(),
            data: some(text()),
            ack_id: Some(2),
            ..Event::default()
        };
        send(&mut bob, Request::Event(event));
        assert_eq!(receive(&mut bob), delivered(None, text()));
        assert_eq!(receive(&mut bob), acked(2));
        send(&mut bob, Request::Ping(Empty {}));
        assert_eq!(receive(&mut bob), Response::Pong(Empty {}));
    });
}

#[test]
fn what_cannot_be_read_is_said_and_ends_the_connection() {
    on_one_and_four_shards("", |server| {
        let check = |send: &dyn Fn(&mut Client), code: u16, text: &str| {
            let (mut client, _) = connect(server, "chat", "ann");
            send(&mut client);
            let Some(System::Disconnected(Disconnected { reason })) = system(&mut client) else {
                panic!("{text}");
            };
            assert!(reason.contains(text), "{reason}");
            assert_eq!(client.closed().0, code, "{reason}");
        };
        // Case 52.
        check(
            &|client| client.send("{}"),
            1003,
            "requires binary messages",
        );
        check(
            &|client| client.send_bytes(vec![0xff]),
            1007,
            "it ends within a field",
        );
        // Case 53.
        let event = Event {
            event: "e".to_owned(),
            data: some(Data::Text(String::new())),
            stream: Some(StreamStart::default()),
            ..Event::default()
        };
        let event = Request::Event(event);
        check(
            &|client| send(client, event.clone()),
            1007,
            "an event cannot be a stream",
        );
        // Case 57.
        let no_data = Request::SendToGroup(SendToGroup {
            group: "room".to_owned(),
            ..SendToGroup::default()
        });
        check(
            &|client| send(client, no_data.clone()),
            1007,
            "`data` is missing",
        );
        // A close by REST.
        let (mut client, id) = connect(server, "chat", "ann");
        let path = format!("/api/hubs/chat/connections/{id}?reason=lunch");
        assert_eq!(server.rest("DELETE", &path).status, 204);
        let Some(System::Disconnected(Disconnected { reason })) = system(&mut client) else {
            panic!("no reason");
        };
        assert_eq!(
            reason,
            "Application server closed the connection. Reason: lunch"
        );
        assert_eq!(client.closed(), (1000, String::new()));
    });
}

#[test]
fn a_hub_may_send_json_as_text() {
    let settings = "[hubs.old]\nprotobuf_json = \"text_data\"\n";
    on_one_and_four_shards(settings, |server| {
        let check = |hub: &str, data: fn(String) -> Data| {
            let (mut client, id) = connect(server, hub, "ann");
            let path = format!("/api/hubs/{hub}/connections/{id}/:send");
            rest(server, &path, "application/json", "[1]");
            let data = data("[1]".to_owned());
            assert_eq!(receive(&mut client), delivered(None, data), "{hub}");
        };
        check("old", Data::Text);
        check("new", Data::Json);
    });
}

#[test]
fn metadata_of_rest_reaches_protobuf_clients() {
    on_one_and_four_shards("", |server| {
        let (mut client, id) = connect(server, "chat", "ann");
        let path = format!("/api/hubs/chat/connections/{id}/:send");
        let request = support::Request::new("POST", &path)
            .header("X-WebPubSub-Metadata-Trace", "7")
            .body("text/plain", "hi")
            .authorized(server);
        assert_eq!(server.send(request).status, 202);
        let Response::Data(message) = receive(&mut client) else {
            panic!("no message");
        };
        assert_eq!(message.data, some(Data::Text("hi".to_owned())));
        assert_eq!(message.metadata["trace"], "7");
    });
}

#[test]
fn a_reliable_client_gets_numbers_and_comes_back() {
    on_one_and_four_shards("", |server| {
        let token = Token::client(server, "chat").role("webpubsub.joinLeaveGroup.room");
        let (mut client, first) = greeted(Connect::to("chat", &token), server, RELIABLE);
        let numbered = |group: Option<&str>, data: &str, number: u64| {
            let Response::Data(message) = delivered(group, Data::Text(data.to_owned())) else {
                panic!("not data");
            };
            Response::Data(DataMessage {
                sequence_id: Some(number),
                ..message
            })
        };
        let path = format!("/api/hubs/chat/connections/{}/:send", first.connection_id);
        // Acks have no number.
        join(&mut client, "room", 1);
        rest(server, &path, "text/plain", "one");
        rest(
            server,
            "/api/hubs/chat/groups/room/:send",
            "text/plain",
            "two",
        );
        assert_eq!(receive(&mut client), numbered(None, "one", 1));
        assert_eq!(receive(&mut client), numbered(Some("room"), "two", 2));
        send(
            &mut client,
            Request::SequenceAck(SequenceAck { sequence_id: 1 }),
        );
        send(&mut client, Request::Ping(Empty {}));
        assert_eq!(receive(&mut client), Response::Pong(Empty {}));
        drop(client);
        // Case 50: what REST allows meanwhile holds.
        let grant = format!(
            "/api/hubs/chat/permissions/joinLeaveGroup/connections/{}?targetName=other",
            first.connection_id
        );
        assert_eq!(server.rest("PUT", &grant).status, 200);
        let recovery = format!(
            "/client/hubs/chat?awps_connection_id={}&awps_reconnection_token={}",
            first.connection_id, first.reconnection_token
        );
        let (mut client, again) = greeted(Connect::at(&recovery), server, RELIABLE);
        assert_eq!(again.connection_id, first.connection_id);
        assert!(!again.reconnection_token.is_empty());
        assert_eq!(receive(&mut client), numbered(Some("room"), "two", 2));
        join(&mut client, "other", 2);
        // Case 51.
        let group = "room".to_owned();
        let ack_id = Some(1);
        send(&mut client, Request::JoinGroup(Group { group, ack_id }));
        let Response::Ack(ack) = receive(&mut client) else {
            panic!("no ack");
        };
        assert_eq!(ack.error.unwrap().name, "Duplicate");
    });
}
