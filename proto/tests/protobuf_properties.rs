//! What must hold for any protobuf message, in both directions. The judge is prost.

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

#[path = "protobuf_reference/schema.rs"]
mod schema;

use hubwire_proto::ack::AckErrorName;
use hubwire_proto::message::{ClientMessage, Data, DataType};
use hubwire_proto::metadata::Metadata;
use hubwire_proto::protobuf::{self, JsonField};
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

fn type_and_bytes(data: &schema::Data) -> (DataType, Vec<u8>) {
    match data.clone() {
        schema::Data::Text(text) => (DataType::Text, text.into_bytes()),
        schema::Data::Binary(bytes) => (DataType::Binary, bytes),
        schema::Data::Protobuf(any) => (DataType::Protobuf, any.encode_to_vec()),
        schema::Data::Json(json) => (DataType::Json, json.into_bytes()),
    }
}

/// A request as we ought to read it.
fn expected(request: &Request) -> ClientMessage<'static> {
    let data = |data: &Option<schema::MessageData>| {
        let data = data.as_ref().and_then(|data| data.data.as_ref());
        let (data_type, bytes) = type_and_bytes(data.unwrap());
        let bytes = bytes.into();
        Data { data_type, bytes }
    };
    match request.clone() {
        Request::SendToGroup(send) => ClientMessage::SendToGroup {
            data: data(&send.data),
            group: send.group.into(),
            no_echo: send.no_echo.unwrap_or_default(),
            ack_id: send.ack_id,
        },
        Request::Event(event) => ClientMessage::Event {
            data: data(&event.data),
            event: event.event.into(),
            ack_id: event.ack_id,
        },
        Request::JoinGroup(join) => ClientMessage::JoinGroup {
            group: join.group.into(),
            ack_id: join.ack_id,
        },
        Request::LeaveGroup(leave) => ClientMessage::LeaveGroup {
            group: leave.group.into(),
            ack_id: leave.ack_id,
        },
        Request::SequenceAck(schema::SequenceAck { sequence_id }) => {
            ClientMessage::SequenceAck { sequence_id }
        }
        Request::Ping(_) => ClientMessage::Ping,
    }
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
            let request = match Upstream::decode(&*bytes) {
                Ok(theirs) => theirs.message.unwrap(),
                Err(error) => {
                    let text = error.to_string();
                    // We do not look into these.
                    let is_unread = text.contains("metadata") || text.contains("stream");
                    prop_assert!(is_unread, "{:02x?}: {}", bytes, text);
                    return Ok(());
                }
            };
            match &message {
                // An Any may hold fields that prost forgets.
                ClientMessage::SendToGroup { data, .. } | ClientMessage::Event { data, .. }
                    if data.data_type == DataType::Protobuf => {}
                message => prop_assert_eq!(message, &expected(&request)),
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
        let names: Vec<_> = metadata.keys().map(|key| format!("x-webpubsub-metadata-{key}")).collect();
        let values = metadata.values().map(String::as_bytes);
        let headers = names.iter().map(String::as_str).zip(values);
        let carried = Metadata::from_headers(headers).unwrap();
        let (data_type, bytes) = type_and_bytes(&data);
        let json = JsonField::JsonData;
        match &group {
            Some(group) => protobuf::group_message(&mut out, group, data_type, &bytes, json, Some(&carried)),
            None => protobuf::server_message(&mut out, data_type, &bytes, json, Some(&carried)),
        }
        let from = if group.is_some() { "group" } else { "server" };
        let message = schema::DataMessage {
            from: from.to_owned(),
            group,
            data: Some(schema::MessageData { data: Some(data) }),
            sequence_id: None,
            metadata,
        };
        // prost leaves out a value of a map that is empty.
        let message_again = Downstream::decode(&*out).unwrap().message;
        prop_assert_eq!(message_again, Some(Response::Data(message)));
    }
}
