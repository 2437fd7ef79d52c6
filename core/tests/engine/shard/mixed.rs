//! Clients of every kind in one group: what each sends and what the others see of it, for every
//! type of data (protocol notes: mixed delivery).

use hubwire_core::command::{Action, Selection, Target};
use hubwire_core::publication::{Origin, Publication};
use hubwire_core::session::Protocol;
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_proto::message::DataType;
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::Opcode;
use prost::Message as _;

use super::send;
use crate::support::client::{Client, Seen, json};
use crate::support::protobuf::{self, Any, Data};
use crate::support::world::{Joining, World};

/// The kinds of clients.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Simple,
    Json,
    JsonReliable,
    Protobuf,
    ProtobufReliable,
}

const KINDS: [Kind; 5] = [
    Kind::Simple,
    Kind::Json,
    Kind::JsonReliable,
    Kind::Protobuf,
    Kind::ProtobufReliable,
];

/// One message as the kinds of clients write it, on the way in and on the way out.
struct Sample {
    data_type: DataType,
    bytes: Vec<u8>,
    /// The value of `data` in JSON, and of `dataType`.
    in_json: (&'static str, &'static str),
    in_protobuf: Data,
    /// How simple clients see it, and whether they can send it too.
    in_simple: Seen,
    simple_sends: bool,
}

fn samples() -> [Sample; 4] {
    let any = Any {
        type_url: "type.googleapis.com/demo.Point".to_owned(),
        value: vec![8, 1],
    };
    [
        Sample {
            data_type: DataType::Text,
            bytes: "a \"b\" é".into(),
            in_json: ("text", r#""a \"b\" é""#),
            in_protobuf: Data::Text("a \"b\" é".to_owned()),
            in_simple: Seen::text("a \"b\" é"),
            simple_sends: true,
        },
        Sample {
            data_type: DataType::Json,
            bytes: br#"{"a":[1.0,"x"]}"#.to_vec(),
            in_json: ("json", r#"{"a":[1.0,"x"]}"#),
            in_protobuf: Data::Json(r#"{"a":[1.0,"x"]}"#.to_owned()),
            in_simple: Seen::text(r#"{"a":[1.0,"x"]}"#),
            simple_sends: false,
        },
        Sample {
            data_type: DataType::Binary,
            bytes: vec![0, 1, 255],
            in_json: ("binary", r#""AAH/""#),
            in_protobuf: Data::Binary(vec![0, 1, 255]),
            in_simple: Seen::Binary(vec![0, 1, 255]),
            simple_sends: true,
        },
        Sample {
            data_type: DataType::Protobuf,
            bytes: any.encode_to_vec(),
            in_json: (
                "protobuf",
                r#""Ch50eXBlLmdvb2dsZWFwaXMuY29tL2RlbW8uUG9pbnQSAggB""#,
            ),
            in_simple: Seen::Binary(any.encode_to_vec()),
            in_protobuf: Data::Protobuf(any),
            simple_sends: false,
        },
    ]
}

fn connect(world: &mut World, kind: Kind, groups: &[&str]) -> Client {
    let protocol = match kind {
        Kind::Simple => Protocol::Simple(SimpleMode::SendToGroup {
            group: "room".into(),
            no_echo: false,
        }),
        Kind::Json => Protocol::PubSub(Subprotocol::Json),
        Kind::JsonReliable => Protocol::PubSub(Subprotocol::JsonReliable),
        Kind::Protobuf => Protocol::PubSub(Subprotocol::Protobuf),
        Kind::ProtobufReliable => Protocol::PubSub(Subprotocol::ProtobufReliable),
    };
    let mut client = world.connect(&Joining {
        protocol,
        groups,
        ..Joining::default()
    });
    world.run();
    client.receive_all();
    client
}

impl Sample {
    /// Publishes it to the group; returns whether that kind of client can.
    fn publish(&self, kind: Kind, client: &Client) -> bool {
        match kind {
            Kind::Simple => match &self.in_simple {
                Seen::Text(text) if self.simple_sends => client.text(text),
                Seen::Binary(bytes) if self.simple_sends => client.frame(Opcode::Binary, bytes),
                _ => return false,
            },
            Kind::Json | Kind::JsonReliable => {
                let (data_type, data) = self.in_json;
                client.text(&format!(
                    r#"{{"type":"sendToGroup","group":"room","dataType":"{data_type}","data":{data}}}"#
                ));
            }
            Kind::Protobuf | Kind::ProtobufReliable => {
                let publish = protobuf::publish("room", self.in_protobuf.clone(), None);
                client.frame(Opcode::Binary, &publish);
            }
        }
        true
    }

    /// What a member sees, if it is the message with that number for it.
    fn seen_by(&self, kind: Kind, sequence_id: u64) -> Seen {
        let (data_type, data) = self.in_json;
        let in_json = format!(
            r#""type":"message","from":"group","group":"room","dataType":"{data_type}","data":{data}}}"#
        );
        let in_protobuf =
            |number| protobuf::numbered_message(Some("room"), self.in_protobuf.clone(), number);
        match kind {
            Kind::Simple => self.in_simple.clone(),
            Kind::Json => Seen::Text(format!("{{{in_json}")),
            Kind::JsonReliable => Seen::Text(format!(r#"{{"sequenceId":{sequence_id},{in_json}"#)),
            Kind::Protobuf => in_protobuf(None),
            Kind::ProtobufReliable => in_protobuf(Some(sequence_id)),
        }
    }
}

#[test]
fn every_kind_of_client_gets_every_type_of_data_from_every_kind() {
    // Case 55, and with several shards each sender has members near and far.
    for shards in [1, 4] {
        let mut world = World::new(shards, Limits::default(), &TickBudget::default());
        let kinds = KINDS.iter().copied().cycle().take(KINDS.len() * shards);
        let mut members: Vec<_> = kinds
            .map(|kind| (kind, connect(&mut world, kind, &["room"])))
            .collect();
        let senders = KINDS.map(|kind| (kind, connect(&mut world, kind, &[])));
        let mut sequence_id = 0;
        let mut check = |world: &mut World, sample: &Sample, from: &str| {
            world.run();
            sequence_id += 1;
            for (kind, member) in &mut members {
                let expected = sample.seen_by(*kind, sequence_id);
                let context = format!("{:?} from {from} to {kind:?}", sample.data_type);
                let seen = member.receive_all().into_iter().map(|seen| match kind {
                    Kind::ProtobufReliable => protobuf::in_field_order(&seen),
                    _ => seen,
                });
                assert_eq!(seen.collect::<Vec<_>>(), [expected], "{context}");
            }
        };
        for sample in samples() {
            for (kind, sender) in &senders {
                if sample.publish(*kind, sender) {
                    check(&mut world, &sample, &format!("{kind:?}"));
                }
            }
            let origin = Origin::Group {
                group: "room".into(),
                from_user: None,
            };
            let (payload, memory) = (sample.bytes.as_slice().into(), world.node.memory());
            let publication = Publication::new(origin, sample.data_type, payload, memory);
            let (target, action) = (
                Target::Group("room".into()),
                Action::Deliver { publication },
            );
            send(&world, target, Selection::default(), action);
            check(&mut world, &sample, "REST");
        }
    }
}

#[test]
fn what_would_break_its_receivers_is_not_taken() {
    // A json client whose protobuf data is none.
    let mut world = World::new(1, Limits::default(), &TickBudget::default());
    let mut member = connect(&mut world, Kind::Protobuf, &["room"]);
    let mut sender = connect(&mut world, Kind::Json, &[]);
    sender.text(r#"{"type":"sendToGroup","group":"room","dataType":"protobuf","data":"AQI="}"#);
    world.run();
    let text = "The client message is not a valid JSON protocol message";
    let reason = "`data` must hold a google.protobuf.Any when `dataType` is protobuf";
    let expected = [
        Seen::Text(json::disconnected(&format!("{text}: {reason}."))),
        Seen::Close(Some(1007), format!("{text}.")),
    ];
    assert_eq!(sender.receive_all(), expected);
    assert_eq!(member.receive_all(), []);
}
