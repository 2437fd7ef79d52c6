//! Names, percent-encoding, subprotocols, simple clients' parameters and roles. Case numbers are
//! those of the protocol notes' black-box cases.

use std::borrow::Cow;

use hubwire_proto::message::{ClientMessage, DataType};
use hubwire_proto::name::{self, HubName, NameError};
use hubwire_proto::percent;
use hubwire_proto::simple::{ModeError, SimpleMode, message_kind};
use hubwire_proto::subprotocol::{Selection, Subprotocol, select};
use hubwire_proto::ws::MessageKind;
use proptest::prelude::*;

#[test]
fn hub_names() {
    let longest = "a".repeat(128);
    for good in ["a", "Chat", "c1", "a_`,.[]", &longest] {
        assert_eq!(
            HubName::new(good).map(|hub| hub.raw().to_owned()),
            Ok(good.to_owned())
        );
    }
    let too_long = "a".repeat(129);
    // The fourth from the end is case 68.
    for bad in [
        "", "_a", ".a", "a-b", "a b", "a/b", "ä", "aä", "a\n", "1invalid", "a%20", &too_long,
    ] {
        assert_eq!(HubName::new(bad), Err(NameError::Hub), "{bad:?}");
    }
}

/// Case 5.
#[test]
fn hub_names_are_equal_in_any_letter_case() -> Result<(), NameError> {
    let (upper, lower) = (HubName::new("CHAT")?, HubName::new("chat")?);
    assert_eq!(upper, lower);
    assert_eq!(
        (upper.raw(), upper.key(), lower.key()),
        ("CHAT", "chat", "chat")
    );
    Ok(())
}

#[test]
fn group_names() {
    let longest = "é".repeat(1024);
    // Two UTF-16 units each.
    let longest_pairs = "😀".repeat(512);
    for good in [
        "g",
        " g ",
        "a/b",
        "%2F",
        "\u{0}",
        "a\nb",
        ".",
        &longest,
        &longest_pairs,
    ] {
        assert_eq!(name::check_group(good), Ok(()), "{good:?}");
    }
    let (too_long, pairs) = ("é".repeat(1025), "😀".repeat(513));
    for bad in ["", " ", "\t\n", "\u{a0}\u{3000}", &too_long, &pairs] {
        assert_eq!(name::check_group(bad), Err(NameError::Group), "{bad:?}");
    }
}

#[test]
fn event_names() {
    let longest = "e".repeat(128);
    for good in ["e", "E", "message", "a1_.-", &longest] {
        assert_eq!(name::check_event(good), Ok(()), "{good:?}");
    }
    let too_long = "e".repeat(129);
    for bad in ["", "1", "_e", "a b", "a/b", "é", "a\n", &too_long] {
        assert_eq!(name::check_event(bad), Err(NameError::Event), "{bad:?}");
    }
}

#[test]
fn ids_are_not_blank() {
    assert_eq!(
        (name::check_user_id(" u "), name::check_connection_id("?")),
        (Ok(()), Ok(()))
    );
    for blank in ["", " ", "\t"] {
        assert_eq!(name::check_user_id(blank), Err(NameError::UserId));
        assert_eq!(
            name::check_connection_id(blank),
            Err(NameError::ConnectionId)
        );
    }
}

#[test]
fn name_errors_have_the_texts_of_rest() {
    let texts = [
        NameError::Hub,
        NameError::Group,
        NameError::UserId,
        NameError::ConnectionId,
    ]
    .map(|error| error.to_string());
    let expect = [
        "Invalid hub name.",
        "Invalid group name.",
        "Invalid user ID.",
        "Invalid connection ID.",
    ];
    assert_eq!(texts, expect);
}

#[test]
fn percent_decoding_happens_once() {
    for (input, path, query) in [
        ("alice%20smith", "alice smith", "alice smith"),
        ("alice+bob", "alice+bob", "alice bob"),
        ("a%2Bb+", "a+b+", "a+b "),
        ("a%2fb%252F", "a/b%2F", "a/b%2F"),
        ("%C3%A9", "é", "é"),
        ("100%", "100%", "100%"),
        ("%4", "%4", "%4"),
        ("%zz%%41", "%zz%A", "%zz%A"),
        ("%+1", "%+1", "% 1"),
        ("", "", ""),
    ] {
        assert_eq!(percent::decode(input).as_deref(), Ok(path), "{input}");
        assert_eq!(
            percent::decode_query(input).as_deref(),
            Ok(query),
            "{input}"
        );
    }
    for input in ["%ff", "%C3", "a%80+"] {
        assert_eq!(percent::decode(input), Err(percent::NotUtf8));
        assert_eq!(percent::decode_query(input), Err(percent::NotUtf8));
    }
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(text in any::<String>()) {
        let encoded = percent::encode(&text);
        prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        prop_assert_eq!(percent::decode(&encoded), Ok(Cow::Borrowed(text.as_str())));
        prop_assert_eq!(percent::decode_query(&encoded), Ok(Cow::Borrowed(text.as_str())));
    }

    #[test]
    fn decoding_never_panics(text in "[%0-9a-g+é]{0,20}") {
        let _ = percent::decode(&text);
        let _ = percent::decode_query(&text);
    }
}

#[test]
fn subprotocols() {
    const JSON: &str = "json.webpubsub.azure.v1";
    let accept = |subprotocol, answer| Selection {
        subprotocol,
        answer,
    };
    let (json, simple) = (Some(Subprotocol::Json), None);
    let check =
        |offered: &[&'static str], expect| assert_eq!(select(offered), expect, "{offered:?}");

    check(&[], accept(simple, None));
    check(&[JSON], accept(json, Some(JSON)));
    check(
        &["JSON.WebPubSub.Azure.v1"],
        accept(json, Some("JSON.WebPubSub.Azure.v1")),
    );
    // Case 8.
    check(&["x.custom", JSON], accept(json, Some(JSON)));
    check(&["x.custom"], accept(simple, Some("x.custom")));
    check(&["x.custom", "y"], accept(simple, Some("x.custom")));
    check(
        &["json.webpubsub.azure.v2"],
        accept(simple, Some("json.webpubsub.azure.v2")),
    );
    for (name, subprotocol) in [
        (
            "json.reliable.webpubsub.azure.v1",
            Subprotocol::JsonReliable,
        ),
        (
            "Protobuf.Reliable.webpubsub.azure.v1",
            Subprotocol::ProtobufReliable,
        ),
    ] {
        let reliable = accept(Some(subprotocol), Some(name));
        check(&[name], reliable);
        check(&["x.custom", name], reliable);
        check(&[name, JSON], reliable);
        check(&[JSON, name], accept(json, Some(JSON)));
    }
}

#[test]
fn simple_modes() {
    let check = |modes: &[&str],
                 groups: &[&str],
                 no_echo: &[&str],
                 expect: Result<SimpleMode, ModeError>| {
        assert_eq!(
            SimpleMode::from_query(modes, groups, no_echo),
            expect,
            "{modes:?} {groups:?}"
        );
    };
    let to_group = |group: &str, no_echo| {
        Ok(SimpleMode::SendToGroup {
            group: group.into(),
            no_echo,
        })
    };

    check(&[], &[], &[], Ok(SimpleMode::SendEvent));
    check(&[""], &["g"], &["maybe"], Ok(SimpleMode::SendEvent));
    // Case 37.
    check(
        &["invalid", "SENDEVENT"],
        &[""],
        &["invalid"],
        Ok(SimpleMode::SendEvent),
    );
    // Case 13: also with a JSON offer, since modes are read for every new connection.
    check(&["bogus"], &["g"], &[], Err(ModeError::Mode));
    check(&["sendEvent", "bogus"], &[], &[], Err(ModeError::Mode));
    check(&["SendToGroup"], &["g"], &[], to_group("g", false));
    check(
        &["sendToGroup"],
        &["", "g"],
        &["x", "TRUE"],
        to_group("g", true),
    );
    check(&["sendToGroup"], &["g"], &[""], to_group("g", false));
    check(&["sendToGroup"], &["g"], &["False"], to_group("g", false));
    check(&["sendToGroup"], &[], &[], Err(ModeError::Group));
    check(&["sendToGroup"], &["g", " "], &[], Err(ModeError::Group));
    check(&["sendToGroup"], &["g"], &["1"], Err(ModeError::NoEcho));

    for (error, text) in [
        (
            ModeError::Mode,
            "Invalid webpubsub_mode. Valid modes are sendToGroup and sendEvent.",
        ),
        (
            ModeError::Group,
            "The raw sendToGroup group name is invalid.",
        ),
        (
            ModeError::NoEcho,
            "Invalid noEcho. Valid values are true and false.",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn simple_messages() {
    let ClientMessage::Event {
        event,
        data,
        ack_id,
        ..
    } = SimpleMode::SendEvent.decode(MessageKind::Text, b"hi")
    else {
        panic!("not an event");
    };
    assert_eq!(
        (&*event, data.data_type, &*data.bytes, ack_id),
        ("message", DataType::Text, &b"hi"[..], None)
    );

    let mode = SimpleMode::SendToGroup {
        group: "g".into(),
        no_echo: true,
    };
    let ClientMessage::SendToGroup {
        group,
        data,
        no_echo,
        ack_id,
        ..
    } = mode.decode(MessageKind::Binary, &[0xff])
    else {
        panic!("not a publication");
    };
    assert_eq!((&*group, no_echo, ack_id), ("g", true, None));
    assert_eq!(
        (data.data_type, &*data.bytes),
        (DataType::Binary, &[0xff][..])
    );

    for (data_type, kind) in [
        (DataType::Text, MessageKind::Text),
        (DataType::Json, MessageKind::Text),
        (DataType::Binary, MessageKind::Binary),
        (DataType::Protobuf, MessageKind::Binary),
    ] {
        assert_eq!(message_kind(data_type), kind);
    }
}
