//! Which tokens are believed (protocol notes: client tokens, REST tokens). Case numbers are those
//! of the notes' black-box cases.
#![expect(clippy::expect_used, reason = "a broken fixture must fail its test")]

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubwire_proto::token::{
    AccessKey, Claims, DEFAULT_SKEW, MAX_TOKEN_LEN, NewToken, TokenError, UnixSeconds, sign, verify,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const KEY: &str = "c2VjcmV0LWtleS10aGF0LWxvb2tzLWxpa2UtYmFzZTY0IQ==";
const NOW: i64 = 1_800_000_000;
const SKEW: i64 = 300;

fn key(text: &str) -> AccessKey {
    AccessKey::new(text).expect("not empty")
}

fn check_with(token: &str, keys: &[&AccessKey]) -> Result<Claims, TokenError> {
    verify(token, keys, UnixSeconds(NOW), DEFAULT_SKEW)
}

fn check(token: &str) -> Result<Claims, TokenError> {
    check_with(token, &[&key(KEY)])
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token with any header and payload, rightly signed by any HMAC.
fn forge_with(sign: Sign, header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", b64(header), b64(payload));
    let tag = sign(signed.as_bytes());
    format!("{signed}.{}", b64(tag))
}

type Sign = fn(&[u8]) -> Vec<u8>;

fn mac<M: Mac + KeyInit>(message: &[u8]) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(KEY.as_bytes()).expect("a key of any length");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

const HMAC_SHA256: Sign = mac::<Hmac<Sha256>>;
const HMAC_SHA384: Sign = mac::<Hmac<Sha384>>;
const HMAC_SHA512: Sign = mac::<Hmac<Sha512>>;

fn forge(payload: &Value) -> String {
    forge_with(
        HMAC_SHA256,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        &payload.to_string(),
    )
}

fn good() -> Value {
    json!({ "aud": "http://h/client/hubs/chat", "exp": NOW + 60 })
}

fn with(claim: &str, value: Value) -> String {
    let mut payload = good();
    payload[claim] = value;
    forge(&payload)
}

/// Case 3: the key is not base64-decoded.
#[test]
fn claims_are_read() {
    let token = forge(&json!({
        "aud": ["a", "b"], "sub": "ann", "role": ["r1", "r2"], "webpubsub.group": "g1",
        "exp": NOW + 60, "nbf": NOW, "iat": "nonsense", "iss": 5, "custom": { "deep": [1] },
    }));
    let claims = check(&token).expect("valid");
    assert_eq!(claims.audiences, ["a", "b"]);
    assert_eq!(claims.subject.as_deref(), Some("ann"));
    assert_eq!(claims.roles, ["r1", "r2"]);
    assert_eq!(claims.groups, ["g1"]);
    assert_eq!(claims.expires_at, UnixSeconds(NOW + 60));
    assert_eq!(claims.not_before, Some(UnixSeconds(NOW)));
    let payload: Value = serde_json::from_str(&claims.payload).expect("the payload is JSON");
    assert_eq!(payload["custom"]["deep"][0], 1);
}

#[test]
fn lists_may_be_one_string_and_most_claims_may_be_absent() {
    let claims = check(&forge(&json!({ "exp": NOW }))).expect("valid");
    assert!(claims.audiences.is_empty() && claims.roles.is_empty() && claims.groups.is_empty());
    assert_eq!((claims.subject, claims.not_before), (None, None));

    let list = |claim: &str, value| {
        let claims = check(&with(claim, value)).expect("valid");
        [claims.audiences, claims.roles, claims.groups].concat()
    };
    let aud = "http://h/client/hubs/chat".to_owned();
    assert_eq!(list("role", json!("r")), [aud.clone(), "r".into()]);
    assert_eq!(list("role", json!(null)), [aud.as_str()]);
    assert_eq!(
        list("webpubsub.group", json!(["a", "b"])),
        [aud, "a".into(), "b".into()]
    );
    assert_eq!(list("aud", json!("x\u{e9}\"")), ["xé\""]);
    assert_eq!(check(&with("sub", json!(""))).expect("valid").subject, None);
    assert_eq!(
        check(&with("sub", json!(null))).expect("valid").subject,
        None
    );
}

/// Case 7.
#[test]
fn initial_groups_must_be_possible() {
    for (group, ok) in [("g", true), (" ", false), ("", false)] {
        let claims = check(&with("webpubsub.group", json!(["x", group]))).expect("valid");
        assert_eq!(claims.check_groups().is_ok(), ok, "{group:?}");
    }
    let claims = check(&with("webpubsub.group", json!(" "))).expect("valid");
    let error = claims.check_groups().expect_err("blank");
    assert_eq!(
        error.to_string(),
        "The token contains an invalid group name."
    );
}

#[test]
fn lifetime_is_checked_with_skew() {
    for (exp, nbf, expect) in [
        (json!(NOW + 1), json!(null), None),
        (json!(NOW - SKEW + 1), json!(null), None),
        (json!(NOW - SKEW), json!(null), Some(TokenError::Expired)),
        (json!(NOW - 3600), json!(null), Some(TokenError::Expired)),
        (json!(-1), json!(null), Some(TokenError::Expired)),
        (json!(0), json!(null), Some(TokenError::Expired)),
        (json!(1e300), json!(null), None),
        (json!(u64::MAX), json!(null), None),
        (json!(-1e300), json!(null), Some(TokenError::Expired)),
        (json!(NOW as f64 + 0.5), json!(NOW as f64 + 0.5), None),
        (json!(NOW + 1), json!(NOW + SKEW), None),
        (
            json!(NOW + 1),
            json!(NOW + SKEW + 1),
            Some(TokenError::NotYetValid),
        ),
        (
            json!(NOW + 1),
            json!(i64::MAX),
            Some(TokenError::NotYetValid),
        ),
        (json!(NOW + 1), json!(i64::MIN), None),
        (json!(null), json!(null), Some(TokenError::NoExpiry)),
        (
            json!((NOW + 1).to_string()),
            json!(null),
            Some(TokenError::ClaimType("exp")),
        ),
        (json!(true), json!(null), Some(TokenError::ClaimType("exp"))),
        (
            json!(NOW + 1),
            json!("now"),
            Some(TokenError::ClaimType("nbf")),
        ),
    ] {
        let result = check(&forge(&json!({ "exp": exp, "nbf": nbf })));
        assert_eq!(result.err(), expect, "exp {exp} nbf {nbf}");
    }
    let strict = |exp| {
        verify(
            &forge(&json!({ "exp": exp })),
            &[&key(KEY)],
            UnixSeconds(NOW),
            Duration::ZERO,
        )
    };
    assert!(strict(NOW + 1).is_ok());
    assert_eq!(strict(NOW), Err(TokenError::Expired));
    assert_eq!(check(&forge(&json!({}))), Err(TokenError::NoExpiry));
}

#[test]
fn claims_must_have_their_types() {
    for (claim, value) in [
        ("aud", json!(1)),
        ("aud", json!(["a", 1])),
        ("aud", json!({})),
        ("sub", json!(1)),
        ("sub", json!(["a"])),
        ("role", json!(true)),
        ("role", json!([["a"]])),
        ("webpubsub.group", json!({ "a": 1 })),
    ] {
        assert_eq!(
            check(&with(claim, value.clone())),
            Err(TokenError::ClaimType(claim)),
            "{value}"
        );
    }
}

/// Case 2, and every other way to forge a signature.
#[test]
fn forgeries_are_refused() {
    let payload = good().to_string();
    let hs256 = |header: &str| forge_with(HMAC_SHA256, header, &payload);
    let valid = forge(&good());
    assert!(check(&valid).is_ok());
    let (signed, signature) = valid.rsplit_once('.').expect("three parts");
    let none = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(&payload));
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    flipped[0] ^= 1;
    let other = forge(&json!({ "exp": NOW + 61 }));
    let other_payload = other.split('.').nth(1).expect("three parts");
    let swapped = valid.replace(valid.split('.').nth(1).expect("three parts"), other_payload);

    for (token, expect) in [
        // Other algorithms, or none.
        (none.clone(), TokenError::Algorithm),
        (format!("{none}{signature}"), TokenError::Algorithm),
        (hs256(r#"{"alg":"None"}"#), TokenError::Algorithm),
        (hs256(r#"{"alg":"hs256"}"#), TokenError::Algorithm),
        (hs256(r#"{"alg":"RS256"}"#), TokenError::Algorithm),
        (hs256(r#"{"alg":"ES256"}"#), TokenError::Algorithm),
        (hs256(r#"{"alg":null}"#), TokenError::Algorithm),
        (hs256(r#"{"typ":"JWT"}"#), TokenError::Algorithm),
        (hs256(r#"{"alg":["HS256"]}"#), TokenError::ClaimType("alg")),
        (hs256(r#"{"alg":"HS256","alg":"none"}"#), TokenError::Format),
        (
            forge_with(HMAC_SHA384, r#"{"alg":"HS384"}"#, &payload),
            TokenError::Algorithm,
        ),
        (
            forge_with(HMAC_SHA512, r#"{"alg":"HS512"}"#, &payload),
            TokenError::Algorithm,
        ),
        (
            forge_with(HMAC_SHA512, r#"{"alg":"HS256"}"#, &payload),
            TokenError::Signature,
        ),
        (
            hs256(r#"{"alg":"HS256","crit":["exp"]}"#),
            TokenError::Critical,
        ),
        (hs256(r#"{"alg":"HS256","crit":[]}"#), TokenError::Critical),
        // Damaged signatures.
        (format!("{signed}."), TokenError::Signature),
        (format!("{signed}.{}", &signature[..41]), TokenError::Format),
        (
            format!("{signed}.{}", &signature[..40]),
            TokenError::Signature,
        ),
        (format!("{signed}.{}", b64(&flipped)), TokenError::Signature),
        (format!("{signed}.{signature}AAAA"), TokenError::Signature),
        (format!("{signed}.{signature}="), TokenError::Format),
        (swapped, TokenError::Signature),
        // Damaged form.
        (String::new(), TokenError::Format),
        (".".into(), TokenError::Format),
        ("..".into(), TokenError::Format),
        ("a.b".into(), TokenError::Format),
        (signed.into(), TokenError::Format),
        (format!("{valid}."), TokenError::Format),
        (format!(".{valid}"), TokenError::Format),
        (format!("{valid}.{signature}"), TokenError::Format),
        (format!("Bearer {valid}"), TokenError::Format),
        (format!("{valid} "), TokenError::Format),
        (valid.replace('.', "%2E"), TokenError::Format),
        (hs256("HS256"), TokenError::Format),
        (hs256(r#"["HS256",null]"#), TokenError::Format),
        (
            forge_with(
                HMAC_SHA256,
                r#"{"alg":"HS256"}"#,
                "[null,null,null,null,9999999999,null]",
            ),
            TokenError::Format,
        ),
        (
            forge_with(HMAC_SHA256, r#"{"alg":"HS256"}"#, "exp"),
            TokenError::Format,
        ),
        (
            forge_with(HMAC_SHA256, r#"{"alg":"HS256"}"#, ""),
            TokenError::Format,
        ),
        (
            forge_with(
                HMAC_SHA256,
                r#"{"alg":"HS256"}"#,
                r#"{"exp":1,"exp":9999999999}"#,
            ),
            TokenError::Format,
        ),
        ("x".repeat(MAX_TOKEN_LEN + 1), TokenError::TooLong),
        (
            with("big", json!("x".repeat(MAX_TOKEN_LEN))),
            TokenError::TooLong,
        ),
        (
            forge_with(HMAC_SHA256, &"[".repeat(9000), "{}"),
            TokenError::Format,
        ),
    ] {
        assert_eq!(
            check(&token),
            Err(expect),
            "{}",
            &token[..token.len().min(300)]
        );
    }
    for wrong in ["other", &KEY[1..], &format!("{KEY}=")] {
        assert_eq!(
            check_with(&valid, &[&key(wrong)]),
            Err(TokenError::Signature)
        );
    }
    assert_eq!(check_with(&valid, &[]), Err(TokenError::Signature));
}

#[test]
fn a_big_but_bounded_token_is_read() {
    assert!(check(&with("big", json!("x".repeat(MAX_TOKEN_LEN / 2)))).is_ok());
    let deep = format!(
        r#"{{"exp":{NOW},"deep":{}{}}}"#,
        "[".repeat(9000),
        "]".repeat(9000)
    );
    assert!(check(&forge_with(HMAC_SHA256, r#"{"alg":"HS256"}"#, &deep)).is_ok());
}

#[test]
fn either_key_will_do() {
    let (primary, secondary) = (key("primary"), key(KEY));
    assert!(check_with(&forge(&good()), &[&primary, &secondary]).is_ok());
    assert!(check_with(&forge(&good()), &[&secondary, &primary]).is_ok());
}

#[test]
fn header_extras_are_ignored() {
    let token = forge_with(
        HMAC_SHA256,
        r#"{"kid":"x","typ":5,"alg":"HS256","zip":null}"#,
        &good().to_string(),
    );
    assert!(check(&token).is_ok());
}

#[test]
fn secrets_do_not_show() {
    let key = key("a-very-secret-key");
    assert_eq!(format!("{key:?} {key}"), "AccessKey(redacted) (redacted)");
    assert_eq!(key.expose(), "a-very-secret-key");
    assert!(AccessKey::new("").is_err() && AccessKey::new("k").is_ok());
    let claims = check(&with("sub", json!("secret-user"))).expect("valid");
    assert!(!format!("{claims:?}").contains("secret"), "{claims:?}");
}

#[test]
fn keys_compare_by_content() {
    assert_eq!(key("abc"), key("abc").clone());
    assert_ne!(key("abc"), key("abd"));
    assert_ne!(key("abc"), key("abcd"));
}

#[test]
fn signed_tokens_leave_out_what_is_absent() {
    let token = NewToken {
        audience: "http://h/client/hubs/chat",
        issued_at: UnixSeconds(NOW),
        expires_at: UnixSeconds(NOW).plus(Duration::from_secs(3600)),
        subject: None,
        roles: &[],
        groups: &[],
    };
    let claims = check(&sign(&token, &key(KEY))).expect("valid");
    let expect = format!(
        r#"{{"aud":"http://h/client/hubs/chat","iat":{NOW},"exp":{}}}"#,
        NOW + 3600
    );
    assert_eq!(claims.payload, expect);
}

proptest! {
    #[test]
    fn signed_tokens_verify(
        audience in any::<String>(),
        subject in prop::option::of("\\PC{1,20}"),
        roles in prop::collection::vec(any::<String>(), 0..4),
        groups in prop::collection::vec(any::<String>(), 0..4),
        secret in "\\PC{1,80}",
    ) {
        let key = key(&secret);
        let token = NewToken {
            audience: &audience,
            issued_at: UnixSeconds(NOW),
            expires_at: UnixSeconds(NOW + 1),
            subject: subject.as_deref(),
            roles: &roles,
            groups: &groups,
        };
        let claims = check_with(&sign(&token, &key), &[&key]);
        let claims = claims.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(claims.audiences, [audience]);
        prop_assert_eq!(claims.subject, subject);
        prop_assert_eq!(claims.roles, roles);
        prop_assert_eq!(claims.groups, groups);
    }

    #[test]
    fn no_damaged_token_is_believed(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9._-]") {
        let valid = forge(&good());
        let at = at.index(valid.len());
        let mut damaged = valid.clone();
        damaged.replace_range(at..=at, &with);
        prop_assert_eq!(check(&damaged).is_ok(), damaged == valid);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "[A-Za-z0-9._\\-=é]{0,200}") {
        prop_assert!(check(&text).is_err());
    }
}
