//! Streams between clients of every kind, with every type of data.

use hubwire_core::session::Protocol;
use hubwire_core::settings::{Limits, TickBudget};
use hubwire_proto::simple::SimpleMode;
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::ws::Opcode;
use prost::Message as _;

use super::stream;
use crate::support::client::{Client, Seen};
use crate::support::protobuf::{
    self, Any, Data, DataMessage, Request, Response, SendToGroup, StreamAck, StreamClosed,
    StreamData, StreamEnd, StreamEndError, StreamError, StreamInfo, StreamStart,
};
use crate::support::world::{Joining, World};

const PUBLISHERS: [Subprotocol; 4] = [
    Subprotocol::Json,
    Subprotocol::JsonReliable,
    Subprotocol::Protobuf,
    Subprotocol::ProtobufReliable,
];

/// One part as the kinds of clients write it, and as simple ones see it.
struct Sample {
    /// The values of `dataType` and `data`.
    in_json: (&'static str, &'static str),
    in_protobuf: Data,
    in_simple: Seen,
}

fn samples() -> [Sample; 4] {
    let any = Any {
        type_url: "type.googleapis.com/demo.Point".to_owned(),
        value: vec![8, 1],
    };
    [
        Sample {
            in_json: ("text", r#""a \"b\" é""#),
            in_protobuf: Data::Text("a \"b\" é".to_owned()),
            in_simple: Seen::text("a \"b\" é"),
        },
        Sample {
            in_json: ("json", r#"{"a":[1.0,"x"]}"#),
            in_protobuf: Data::Json(r#"{"a":[1.0,"x"]}"#.to_owned()),
            in_simple: Seen::text(r#"{"a":[1.0,"x"]}"#),
        },
        Sample {
            in_json: ("binary", r#""AAH/""#),
            in_protobuf: Data::Binary(vec![0, 1, 255]),
            in_simple: Seen::Binary(vec![0, 1, 255]),
        },
        Sample {
            in_json: (
                "protobuf",
                r#""Ch50eXBlLmdvb2dsZWFwaXMuY29tL2RlbW8uUG9pbnQSAggB""#,
            ),
            in_simple: Seen::Binary(any.encode_to_vec()),
            in_protobuf: Data::Protobuf(any),
        },
    ]
}

/// What a publisher sends, in its own words.
enum Say<'a> {
    Start,
    Part(u64, &'a Sample),
    End,
}

fn is_json(protocol: Subprotocol) -> bool {
    matches!(protocol, Subprotocol::Json | Subprotocol::JsonReliable)
}

fn say(client: &Client, protocol: Subprotocol, what: &Say<'_>) {
    let stream_id = || "a".to_owned();
    if is_json(protocol) {
        return client.text(&match what {
            Say::Start => stream::start("a"),
            Say::Part(sequence_id, sample) => {
                let (data_type, data) = sample.in_json;
                format!(
                    r#"{{"type":"streamData","streamId":"a","streamSequenceId":{sequence_id},"dataType":"{data_type}","data":{data}}}"#
                )
            }
            Say::End => {
                r#"{"type":"streamEnd","streamId":"a","error":{"message":"enough","userErrorCode":"E7"}}"#
                    .to_owned()
            }
        });
    }
    let request = match what {
        Say::Start => Request::SendToGroup(SendToGroup {
            group: "room".to_owned(),
            stream: Some(StreamStart {
                stream_id: stream_id(),
                idle_timeout_ms: Some(1000),
            }),
            ..SendToGroup::default()
        }),
        Say::Part(sequence_id, sample) => Request::StreamData(StreamData {
            stream_id: stream_id(),
            stream_sequence_id: Some(*sequence_id),
            data: protobuf::message_data(sample.in_protobuf.clone()),
        }),
        Say::End => Request::StreamEnd(StreamEnd {
            stream_id: stream_id(),
            error: Some(StreamEndError {
                message: Some("enough".to_owned()),
                user_error_code: Some("E7".to_owned()),
            }),
        }),
    };
    client.frame(Opcode::Binary, &protobuf::request(request));
}

fn seen_acked(protocol: Subprotocol, expected_sequence_id: u64) -> Seen {
    if is_json(protocol) {
        return Seen::Text(stream::acked("a", expected_sequence_id));
    }
    protobuf::seen(Response::StreamAck(StreamAck {
        stream_id: "a".to_owned(),
        expected_sequence_id,
    }))
}

fn seen_closed(protocol: Subprotocol) -> Seen {
    if is_json(protocol) {
        return Seen::Text(stream::closed("a"));
    }
    protobuf::seen(Response::StreamClosed(StreamClosed {
        stream_id: "a".to_owned(),
        error: None,
    }))
}

/// Part `sequence_id` of the stream as a member sees it; the end if there is no sample. A reliable
/// member has the same numbers in this test.
fn seen_by(kind: &Protocol, sequence_id: u64, sample: Option<&Sample>) -> Option<Seen> {
    let Protocol::PubSub(protocol) = kind else {
        return sample.map(|sample| sample.in_simple.clone());
    };
    let number = protocol.is_reliable().then_some(sequence_id);
    if is_json(*protocol) {
        let (data_type, data) = sample.map_or(("text", r#""""#), |sample| sample.in_json);
        let end = match sample {
            Some(_) => "",
            None => {
                r#","endOfStream":true,"error":{"name":"UserError","message":"enough","userErrorCode":"E7"}"#
            }
        };
        let number = number.map(|number| format!(r#""sequenceId":{number},"#));
        return Some(Seen::Text(format!(
            r#"{{{}"type":"message","from":"group","group":"room","dataType":"{data_type}","data":{data},"stream":{{"streamId":"a","streamSequenceId":{sequence_id}{end}}}}}"#,
            number.unwrap_or_default()
        )));
    }
    let data = match sample {
        Some(sample) => sample.in_protobuf.clone(),
        None => Data::Text(String::new()),
    };
    Some(protobuf::seen(Response::Data(DataMessage {
        from: "group".to_owned(),
        group: Some("room".to_owned()),
        data: protobuf::message_data(data),
        sequence_id: number,
        stream: Some(StreamInfo {
            stream_id: "a".to_owned(),
            stream_sequence_id: sequence_id,
            end_of_stream: sample.is_none().then_some(true),
            error: sample.is_none().then(|| StreamError {
                name: "UserError".to_owned(),
                message: "enough".to_owned(),
                user_error_code: "E7".to_owned(),
            }),
        }),
        ..DataMessage::default()
    })))
}

/// Compares messages by their meaning where that is protobuf.
fn plain(seen: Seen) -> String {
    match seen {
        Seen::Binary(bytes) => match protobuf::Downstream::decode(&*bytes) {
            Ok(message) if message.message.is_some() => format!("{message:?}"),
            _ => format!("{bytes:?}"),
        },
        other => format!("{other:?}"),
    }
}

#[test]
fn every_kind_of_member_gets_every_type_of_part_from_every_kind_of_publisher() {
    for (shards, publisher) in [1, 3]
        .into_iter()
        .flat_map(|shards| PUBLISHERS.map(|publisher| (shards, publisher)))
    {
        let mut world = World::new(shards, Limits::default(), &TickBudget::default());
        let mut kinds = vec![Protocol::Simple(SimpleMode::SendEvent)];
        kinds.extend(PUBLISHERS.map(Protocol::PubSub));
        let mut members = Vec::new();
        for kind in kinds.iter().cycle().take(kinds.len() * shards) {
            let joining = Joining {
                protocol: kind.clone(),
                groups: &["room"],
                ..Joining::default()
            };
            members.push((kind, world.connect(&joining)));
        }
        let mut client = world.connect(&Joining {
            protocol: Protocol::PubSub(publisher),
            ..Joining::default()
        });
        world.run();
        for (_, member) in &mut members {
            member.receive_all();
        }
        client.receive_all();

        let samples = samples();
        say(&client, publisher, &Say::Start);
        for (sequence_id, sample) in (1..).zip(&samples) {
            say(&client, publisher, &Say::Part(sequence_id, sample));
        }
        say(&client, publisher, &Say::End);
        world.run();
        let answers = [
            seen_acked(publisher, 1),
            seen_acked(publisher, 5),
            seen_closed(publisher),
        ];
        let context = format!("{publisher:?}, {shards} shards");
        assert_eq!(client.receive_all(), answers, "{context}");
        for (kind, member) in &mut members {
            let parts = samples.iter().map(Some).chain([None]);
            let expected: Vec<_> = (1..)
                .zip(parts)
                .filter_map(|(sequence_id, sample)| seen_by(kind, sequence_id, sample))
                .map(plain)
                .collect();
            let seen: Vec<_> = member.receive_all().into_iter().map(plain).collect();
            assert_eq!(seen, expected, "{context}, to {kind:?}");
        }
    }
}

#[test]
fn an_empty_part_is_a_message_for_simple_members_too() {
    let mut world = super::world(Limits::default());
    let mut simple = world.connect(&Joining {
        protocol: Protocol::Simple(SimpleMode::SendEvent),
        groups: &["room"],
        ..Joining::default()
    });
    let publisher = stream::publisher(&mut world, &["a"]);
    publisher.text(&stream::part("a", 1, ""));
    publisher.text(&stream::end("a"));
    world.run();
    assert_eq!(simple.receive_all(), [Seen::text("")]);
}
