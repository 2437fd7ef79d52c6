//! Names against rules that are told differently, and audiences in every spelling.

use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::name::{self, HubName};
use hubwire_proto::token::audience::{Authorities, accepts_client, accepts_rest};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Texts near the bound in length, of characters that count once or twice.
fn group() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ \t\u{a0}\u{2003}]{0,3}[a.*é]{0,1}[ \t]{0,3}",
        ("[aé😀]{1,3}", 330..1030_usize).prop_map(|(part, times)| part.repeat(times)),
    ]
}

proptest! {
    #[test]
    fn groups(name in group()) {
        let units: Vec<_> = name.encode_utf16().collect();
        let expect = (1..=1024).contains(&units.len()) && !name.trim().is_empty();
        prop_assert_eq!(name::check_group(&name).is_ok(), expect);
    }

    #[test]
    fn hubs(name in r"[a-zA-Z0-9_`,.\[\] é-]{0,5}([a-z_]{121,126})?") {
        let rest = "abcdefghijklmnopqrstuvwxyz0123456789_`,.[]";
        let lower = name.to_lowercase();
        let expect = name.is_ascii()
            && (1..=128).contains(&name.len())
            && lower.starts_with(|c: char| c.is_alphabetic())
            && lower.chars().all(|c| rest.contains(c));
        let hub = HubName::new(&name);
        prop_assert_eq!(hub.is_ok(), expect);
        if let Ok(hub) = hub {
            prop_assert_eq!((hub.raw(), hub.key()), (name.as_str(), lower.as_str()));
            prop_assert_eq!(Ok(hub), HubName::new(&name.to_uppercase()));
        }
    }

    #[test]
    fn events(name in "[a-zA-Z0-9_. é-]{0,5}([a-z-]{121,126})?") {
        let rest = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
        let lower = name.to_ascii_lowercase();
        let expect = (1..=128).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && lower.chars().all(|c| rest.contains(c));
        prop_assert_eq!(name::check_event(&name).is_ok(), expect);
    }
}

/// The text with some of its bytes escaped, the others as they are.
fn escaped(text: &str, which: &[bool]) -> String {
    let mut which = which.iter().cycle();
    text.bytes()
        .map(|byte| match (which.next(), byte) {
            (Some(true), _) => format!("%{byte:02x}"),
            (_, b'[' | b']' | b'%' | b'/' | b'?' | b'#' | 0x80..) => format!("%{byte:02X}"),
            _ => char::from(byte).to_string(),
        })
        .collect()
}

/// Beginnings of audiences that all mean this server.
fn ours() -> impl Strategy<Value = &'static str> {
    select(vec![
        "http://h:8080",
        "WS://H:8080",
        "https://pub.example",
        "wss://pub.example:443",
        "http://gate:9000/base",
    ])
}

/// Beginnings that do not.
fn foreign() -> impl Strategy<Value = &'static str> {
    select(vec![
        "http://h:8081",
        "http://h",
        "ftp://h:8080",
        "http://h:8080.example",
        "https://pub.example:444",
        "http://gate:9000/other",
        "http://a@h:8080",
    ])
}

fn accepted(audience: &str, hub: &str) -> bool {
    with_authorities(|authorities| accepts_client(&[audience.to_owned()], hub, authorities))
}

fn accepted_by_rest(audience: &str, path: &str) -> bool {
    with_authorities(|authorities| accepts_rest(&[audience.to_owned()], path, authorities))
}

fn with_authorities(check: impl FnOnce(&Authorities<'_>) -> bool) -> bool {
    let endpoints: Vec<_> = ["https://pub.example", "http://gate:9000/base"]
        .into_iter()
        .filter_map(|url| Endpoint::parse(url).ok())
        .collect();
    assert_eq!(endpoints.len(), 2);
    check(&Authorities::new(Some("h:8080"), &endpoints))
}

proptest! {
    #[test]
    fn a_client_audience_names_one_hub(
        start in ours(),
        stranger in foreign(),
        hub in r"[a-z][a-zA-Z0-9_`,.\[\]]{0,8}",
        other in r"[a-z][a-zA-Z0-9_`,.\[\]]{0,3}",
        which in vec(any::<bool>(), 1..9),
        end in select(vec!["", "/", "?x=/client/hubs/y", "#z"]),
    ) {
        let name = escaped(&hub, &which);
        for path in [format!("/client/hubs/{name}{end}"), format!("/client?a=b&hub={name}")] {
            let audience = format!("{start}{path}");
            prop_assert!(accepted(&audience, &hub), "{}", audience);
            prop_assert!(accepted(&audience, &hub.to_uppercase()), "{}", audience);
            let same = hub.eq_ignore_ascii_case(&other);
            prop_assert_eq!(accepted(&audience, &other), same, "{} {}", audience, other);
            prop_assert!(!accepted(&format!("{stranger}{path}"), &hub), "{} {}", stranger, path);
        }
    }

    #[test]
    fn a_rest_audience_extends_the_path(
        start in ours(),
        stranger in foreign(),
        segments in vec("[a-z/%?é]{1,4}", 1..4),
        which in vec(any::<bool>(), 1..9),
        also in vec(any::<bool>(), 1..9),
        child in select(vec!["", "/", "/child", "?query=1"]),
    ) {
        let path = |which: &[bool]| {
            let escaped: Vec<_> = segments.iter().map(|s| escaped(s, which)).collect();
            format!("/api/{}", escaped.join("/"))
        };
        let (path, spelled) = (path(&which), path(&also));
        let audience = format!("{start}{spelled}{child}");
        prop_assert!(accepted_by_rest(&audience, &path), "{} {}", audience, path);
        let below = format!("{path}/below");
        prop_assert!(!accepted_by_rest(&audience, &below), "{} {}", audience, below);
        for audience in [format!("{start}{spelled}x"), format!("{stranger}{spelled}")] {
            prop_assert!(!accepted_by_rest(&audience, &path), "{} {}", audience, path);
        }
    }

    #[test]
    fn any_text_is_an_audience_or_not(
        audience in "(http|ws|)(://|:)[h:%80/?#=a-z-]{0,20}",
        hub in "[a-z]{1,3}",
        path in "[/%a-z0-9]{0,9}",
    ) {
        let _ = (accepted(&audience, &hub), accepted_by_rest(&audience, &path));
    }
}
