//! What must hold for any protobuf message, in both directions. The judge is prost.

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

#[path = "protobuf_reference/expected.rs"]
mod expected;
#[path = "protobuf_reference/schema.rs"]
mod schema;

use expected::{expected, type_and_bytes};
use hubwire_proto::ack::AckErrorName;
use hubwire_proto::group_state::{GroupState, GroupStateItem};
use hubwire_proto::message::{ClientMessage, DataType, StreamError, StreamInfo};
use hubwire_proto::protobuf::{self, JsonField};
use hubwire_proto::stream::{StreamClosedName, StreamErrorName, StreamNackName};
use proptest::prelude::*;
use prost::Message as _;
use schema::{Downstream, Request, Response, System, Upstream};

fn data() -> impl Strategy<Value = schema::Data> {
    prop_oneof![
        ".{0,20}".prop_map(schema::Data::Text),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(schema::Data::Binary),
        ("[a-z./]{0,9}", prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(type_url, value)| schema::Data::Protobuf(schema::Any { type_url, value })),
        prop::collection::vec(any::<i64>(), 0..9)
            .prop_map(|values| schema::Data::Json(format!("{values:?}"))),
    ]
}

fn some_data() -> impl Strategy<Value = Option<schema::MessageData>> {
    data().prop_map(|data| Some(schema::MessageData { data: Some(data) }))
}

fn request() -> impl Strategy<Value = Request> {
    let ack_id = || prop::option::of(any::<u64>());
    let metadata = || prop::collection::btree_map("[a-z]{1,3}", "[a-z]{0,3}", 0..3);
    let group =
        || ("x.{0,20}", ack_id()).prop_map(|(group, ack_id)| schema::Group { group, ack_id });
    prop_oneof![
        (
            "x.{0,20}",
            ack_id(),
            some_data(),
            prop::option::of(any::<bool>()),
            prop::option::of(0..=300_u32),
            metadata()
        )
            .prop_map(|(group, ack_id, data, no_echo, ttl_seconds, metadata)| {
                Request::SendToGroup(schema::SendToGroup {
                    group,
                    ack_id,
                    data,
                    no_echo,
                    ttl_seconds,
                    metadata,
                    stream: None,
                })
            }),
        (
            "x.{0,20}",
            ack_id(),
            prop::option::of(any::<bool>()),
            stream_start()
        )
            .prop_map(|(group, ack_id, no_echo, stream)| {
                Request::SendToGroup(schema::SendToGroup {
                    group,
                    ack_id,
                    no_echo,
                    stream: Some(stream),
                    ..schema::SendToGroup::default()
                })
            }),
        (".{0,9}", any::<u64>(), some_data()).prop_map(|(stream_id, number, data)| {
            Request::StreamData(schema::StreamData {
                stream_id,
                stream_sequence_id: Some(number),
                data,
            })
        }),
        ".{0,9}".prop_map(|stream_id| {
            Request::StreamData(schema::StreamData {
                stream_id,
                ..schema::StreamData::default()
            })
        }),
        (".{0,9}", prop::option::of((text(), text()))).prop_map(|(stream_id, error)| {
            let error = error.map(|(message, user_error_code)| schema::StreamEndError {
                message,
                user_error_code,
            });
            Request::StreamEnd(schema::StreamEnd { stream_id, error })
        }),
        ("x.{0,20}", ack_id(), prop::option::of(state())).prop_map(|(group, ack_id, state)| {
            Request::SetGroupState(schema::SetGroupState {
                group,
                ack_id,
                state,
            })
        }),
        group().prop_map(Request::SubscribeGroupState),
        group().prop_map(Request::UnsubscribeGroupState),
        ("x[a-z0-9]{0,20}", ack_id(), some_data(), metadata()).prop_map(
            |(event, ack_id, data, metadata)| {
                Request::Event(schema::Event {
                    event,
                    data,
                    ack_id,
                    metadata,
                    stream: None,
                })
            }
        ),
        group().prop_map(Request::JoinGroup),
        group().prop_map(Request::LeaveGroup),
        any::<u64>()
            .prop_map(|sequence_id| Request::SequenceAck(schema::SequenceAck { sequence_id })),
        Just(Request::Ping(schema::Empty {})),
    ]
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(".{0,20}")
}

fn stream_start() -> impl Strategy<Value = schema::StreamStart> {
    ("x.{0,20}", prop::option::of(1..=u32::MAX)).prop_map(|(stream_id, idle_timeout_ms)| {
        schema::StreamStart {
            stream_id,
            idle_timeout_ms,
        }
    })
}

fn state() -> impl Strategy<Value = schema::GroupState> {
    prop::collection::btree_map(".{0,3}", ".{0,200}", 0..4)
        .prop_map(|entries| schema::GroupState { entries })
}

fn parse(out: &[u8]) -> Result<Response, TestCaseError> {
    let message =
        Downstream::decode(out).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(message.encode_to_vec(), out, "not what prost would write");
    message.message.ok_or(TestCaseError::fail("no response"))
}

proptest! {
    #[test]
    fn requests_are_read_as_prost_wrote_them(request in request()) {
        let message = expected(&request);
        let bytes = Upstream { message: Some(request) }.encode_to_vec();
        prop_assert_eq!(protobuf::decode(&bytes), Ok(message));
    }

    /// A request is one field, so no part of it is a request.
    #[test]
    fn every_truncation_is_an_error(request in request()) {
        let bytes = Upstream { message: Some(request) }.encode_to_vec();
        for length in 0..bytes.len() {
            prop_assert!(protobuf::decode(&bytes[..length]).is_err(), "{} of {:02x?}", length, bytes);
        }
    }

    /// Behind a valid start, so that the noise gets far.
    #[test]
    fn no_bytes_break_the_decoder_and_what_it_reads_prost_reads_too(
        request in request(),
        at in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = Upstream { message: Some(request) }.encode_to_vec();
        let at = at.index(bytes.len() + 1);
        let end = bytes.len().min(at + noise.len());
        bytes.splice(at..end, noise);
        if let Ok(message) = protobuf::decode(&bytes) {
            let theirs = Upstream::decode(&*bytes);
            let theirs = theirs.map_err(|error| TestCaseError::fail(error.to_string()))?;
            match &message {
                // An Any may hold fields that prost forgets.
                ClientMessage::SendToGroup { data, .. }
                | ClientMessage::Event { data, .. }
                | ClientMessage::StreamData { data, .. }
                    if data.data_type == DataType::Protobuf => {}
                // The wire format does not know what is wrong with these.
                ClientMessage::InvalidStream { .. } => {}
                message => prop_assert_eq!(message, &expected(&theirs.message.unwrap())),
            }
        }
    }

    #[test]
    fn responses_are_written_as_prost_writes_them(
        texts in ("x.{0,200}", ".{0,200}", ".{0,20}"),
        ack_id in any::<u64>(),
        data in data(),
        group in prop::option::of("x.{0,20}"),
        metadata in prop::collection::btree_map("[a-z]{1,9}", "[a-z]{0,200}", 0..3),
    ) {
        let (first, second, third) = texts;
        let mut out = Vec::new();
        protobuf::ack_ok(&mut out, ack_id);
        prop_assert_eq!(parse(&out)?, Response::Ack(schema::Ack { ack_id, success: true, error: None }));

        out.clear();
        protobuf::ack_failed(&mut out, ack_id, AckErrorName::BadRequest, &second);
        let error = schema::AckError { name: "BadRequest".to_owned(), message: second.clone() };
        let ack = schema::Ack { ack_id, success: false, error: Some(error) };
        prop_assert_eq!(parse(&out)?, Response::Ack(ack));

        out.clear();
        protobuf::disconnected(&mut out, &second);
        let system = System::Disconnected(schema::Disconnected { reason: second });
        let system = schema::SystemMessage { message: Some(system) };
        prop_assert_eq!(parse(&out)?, Response::System(system));

        out.clear();
        let user = (!third.is_empty()).then_some(third.as_str());
        protobuf::connected(&mut out, &first, user, None);
        let system = System::Connected(schema::Connected {
            connection_id: first,
            user_id: third.clone(),
            reconnection_token: String::new(),
        });
        let system = schema::SystemMessage { message: Some(system) };
        prop_assert_eq!(parse(&out)?, Response::System(system));

        out.clear();
        let carried = expected::metadata(&metadata);
        let (data_type, bytes) = type_and_bytes(&data);
        let json = JsonField::JsonData;
        match &group {
            Some(group) => protobuf::group_message(&mut out, group, data_type, &bytes, json, Some(&carried), None),
            None => protobuf::server_message(&mut out, data_type, &bytes, json, Some(&carried)),
        }
        let from = if group.is_some() { "group" } else { "server" };
        let message = schema::DataMessage {
            from: from.to_owned(),
            group,
            data: Some(schema::MessageData { data: Some(data) }),
            sequence_id: None,
            metadata,
            stream: None,
        };
        // prost leaves out a value of a map that is empty.
        let message_again = Downstream::decode(&*out).unwrap().message;
        prop_assert_eq!(message_again, Some(Response::Data(message)));
    }

    #[test]
    fn stream_messages_are_written_as_prost_writes_them(
        stream_id in ".{0,200}",
        number in prop_oneof![Just(0), any::<u64>()],
        texts in (".{0,200}", prop::option::of(".{0,20}")),
        end_of_stream in any::<bool>(),
        has_error in any::<bool>(),
    ) {
        let (message, code) = texts;
        let mut out = Vec::new();
        protobuf::stream_ack(&mut out, &stream_id, number);
        let ack = schema::StreamAck { stream_id: stream_id.clone(), expected_sequence_id: number };
        prop_assert_eq!(parse(&out)?, Response::StreamAck(ack));

        out.clear();
        let name = StreamNackName::InvalidSequenceId;
        protobuf::stream_nack(&mut out, &stream_id, name, number, &message);
        let nack = schema::StreamNack {
            stream_id: stream_id.clone(),
            name: name.as_str().to_owned(),
            message: message.clone(),
            expected_sequence_id: number,
        };
        prop_assert_eq!(parse(&out)?, Response::StreamNack(nack));

        out.clear();
        let name = StreamClosedName::StreamNotFound;
        protobuf::stream_closed(&mut out, &stream_id, has_error.then_some((name, &*message)));
        let error = has_error.then(|| schema::StreamClosedError {
            name: name.as_str().to_owned(),
            message: message.clone(),
        });
        let closed = schema::StreamClosed { stream_id: stream_id.clone(), error };
        prop_assert_eq!(parse(&out)?, Response::StreamClosed(closed));

        out.clear();
        let name = StreamErrorName::UserError;
        let stream = StreamInfo {
            stream_id: stream_id.clone().into(),
            stream_sequence_id: number,
            end_of_stream,
            error: has_error.then(|| StreamError {
                name,
                message: Some(message.clone().into()),
                user_error_code: code.clone().map(Into::into),
            }),
        };
        let json = JsonField::JsonData;
        protobuf::group_message(&mut out, "g", DataType::Text, b"", json, None, Some(&stream));
        let data = schema::MessageData { data: Some(schema::Data::Text(String::new())) };
        let error = has_error.then(|| schema::StreamError {
            name: name.as_str().to_owned(),
            message,
            user_error_code: code.unwrap_or_default(),
        });
        let stream = schema::StreamInfo {
            stream_id,
            stream_sequence_id: number,
            end_of_stream: end_of_stream.then_some(true),
            error,
        };
        let message = schema::DataMessage {
            from: "group".to_owned(),
            group: Some("g".to_owned()),
            data: Some(data),
            stream: Some(stream),
            ..schema::DataMessage::default()
        };
        prop_assert_eq!(parse(&out)?, Response::Data(message));
    }

    #[test]
    fn group_states_are_written_so_that_prost_reads_them(
        group in "x.{0,200}",
        items in prop::collection::vec(
            (".{0,40}", text(), prop::option::of(state()), any::<i64>()),
            0..4,
        ),
    ) {
        let states: Vec<Option<GroupState>> = items
            .iter()
            .map(|(_, _, state, _)| Some(state.clone()?.entries.into_iter().collect()))
            .collect();
        let ours = || items.iter().zip(&states).map(|((id, user, _, updated_at), state)| {
            GroupStateItem {
                connection_id: id,
                user_id: user.as_deref(),
                state: state.as_ref(),
                updated_at: *updated_at,
            }
        });
        let theirs = schema::GroupStates {
            group: group.clone(),
            items: items
                .iter()
                .map(|(id, user, state, updated_at)| schema::GroupStateItem {
                    connection_id: id.clone(),
                    user_id: user.clone(),
                    state: state.clone(),
                    updated_at: *updated_at,
                })
                .collect(),
            sequence_id: None,
        };
        // prost leaves out a key or a value of a map that is empty.
        let mut out = Vec::new();
        protobuf::group_state_snapshot(&mut out, &group, ours());
        let message = Downstream::decode(&*out).unwrap().message;
        prop_assert_eq!(message, Some(Response::GroupStateSnapshot(theirs.clone())));
        out.clear();
        protobuf::group_state_update(&mut out, &group, ours());
        let message = Downstream::decode(&*out).unwrap().message;
        prop_assert_eq!(message, Some(Response::GroupStateUpdate(theirs)));
    }
}
