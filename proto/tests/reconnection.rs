//! Reconnection tokens (protocol notes: recovery).

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubwire_proto::reconnection::{ReconnectionTokenError, issue, verify};
use hubwire_proto::subprotocol::Subprotocol;
use hubwire_proto::token::{AccessKey, UnixSeconds};
use proptest::prelude::*;

const ISSUED_AT: UnixSeconds = UnixSeconds(1_700_000_000);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn key(text: &str) -> AccessKey {
    AccessKey::new(text).unwrap()
}

fn token(subprotocol: Subprotocol) -> String {
    issue(&key("k"), "conn", "chat", subprotocol, ISSUED_AT)
}

fn verified(text: &str, now: i64) -> Result<Subprotocol, ReconnectionTokenError> {
    verify(&key("k"), text, "conn", "chat", UnixSeconds(now), WEEK)
}

#[test]
fn a_token_gives_its_subprotocol_back() {
    for subprotocol in Subprotocol::ALL {
        let text = token(subprotocol);
        assert_eq!(verified(&text, ISSUED_AT.0), Ok(subprotocol));
        // It goes into a query as it is.
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(text.len() == 56 && text.bytes().all(is_safe), "{text}");
    }
}

/// Made with another implementation: Python's `hmac` and `base64`.
#[test]
fn the_format_does_not_change() {
    assert_eq!(
        token(Subprotocol::JsonReliable),
        "AQIAAAAAZVPxAITprli05GC-jNmYvtMOcC5opRMB0Hqhrh1JOpVSrLA-"
    );
}

#[test]
fn a_token_lives_as_long_as_it_was_promised() {
    let text = token(Subprotocol::JsonReliable);
    let week = 7 * 24 * 3600;
    for (age, expect) in [
        (0, Ok(Subprotocol::JsonReliable)),
        (week, Ok(Subprotocol::JsonReliable)),
        (week + 1, Err(ReconnectionTokenError::Expired)),
        // The clock was set back.
        (-week, Ok(Subprotocol::JsonReliable)),
    ] {
        assert_eq!(verified(&text, ISSUED_AT.0 + age), expect, "{age}");
    }
    for (issued_at, now, expect) in [
        (i64::MAX, 0, Ok(Subprotocol::Json)),
        (i64::MAX, i64::MAX, Ok(Subprotocol::Json)),
        (i64::MIN, i64::MAX, Err(ReconnectionTokenError::Expired)),
    ] {
        let at = UnixSeconds(issued_at);
        let text = issue(&key("k"), "conn", "chat", Subprotocol::Json, at);
        assert_eq!(verified(&text, now), expect, "{issued_at} at {now}");
    }
}

#[test]
fn a_token_is_for_one_connection() {
    let text = token(Subprotocol::ProtobufReliable);
    for (secret, connection_id, hub) in [
        ("l", "conn", "chat"),
        ("k", "conm", "chat"),
        ("k", "conn", "chau"),
        ("k", "", "chatconn"),
        ("k", "chatconn", ""),
        // What would be the same bytes without the length of the hub.
        ("k", "tconn", "cha"),
        ("k", "onn", "chatc"),
    ] {
        let result = verify(&key(secret), &text, connection_id, hub, ISSUED_AT, WEEK);
        let expect = Err(ReconnectionTokenError::Signature);
        assert_eq!(result, expect, "{secret} {connection_id} {hub}");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = URL_SAFE_NO_PAD
        .decode(token(Subprotocol::JsonReliable))
        .unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let result = verified(&URL_SAFE_NO_PAD.encode(changed), ISSUED_AT.0);
        assert!(result.is_err(), "bit {bit}: {result:?}");
    }
}

#[test]
fn every_changed_character_is_noticed() {
    let text = token(Subprotocol::JsonReliable);
    for at in 0..text.len() {
        for other in "AZaz09-_+/= .".chars() {
            let mut changed = text.clone();
            changed.replace_range(at..=at, &other.to_string());
            let expect = changed == text;
            assert_eq!(verified(&changed, ISSUED_AT.0).is_ok(), expect, "{changed}");
        }
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let text = token(Subprotocol::JsonReliable);
    for wrong in [
        "",
        "a",
        &text[..55],
        &text[4..],
        &format!("{text}A"),
        &format!("{text}AAAA"),
        &format!("{text}="),
        &format!("é{}", &text[2..]),
        &"A".repeat(56),
        &"A".repeat(1 << 20),
    ] {
        let result = verified(wrong, ISSUED_AT.0);
        assert_eq!(result, Err(ReconnectionTokenError::Format), "{wrong:.60}");
    }
}

proptest! {
    #[test]
    fn whoever_it_was_issued_for_can_show_it(
        (secret, id, hub) in ("k.{0,80}", ".{0,40}", ".{0,128}"),
        (other_id, other_hub) in (".{0,40}", ".{0,128}"),
        issued_at in any::<i64>(),
    ) {
        let (key, at) = (key(&secret), UnixSeconds(issued_at));
        let text = issue(&key, &id, &hub, Subprotocol::JsonReliable, at);
        prop_assert_eq!(verify(&key, &text, &id, &hub, at, WEEK), Ok(Subprotocol::JsonReliable));
        let is_same = (&id, &hub) == (&other_id, &other_hub);
        let shown = verify(&key, &text, &other_id, &other_hub, at, WEEK);
        prop_assert_eq!(shown.is_ok(), is_same);
    }

    #[test]
    fn nobody_guesses_one(text in "[A-Za-z0-9_-]{56}|.{0,60}") {
        prop_assert!(verified(&text, ISSUED_AT.0).is_err());
    }
}
