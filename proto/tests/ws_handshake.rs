//! Which requests are WebSocket upgrades, and what is read from them.

use hubwire_proto::ws::handshake::{
    MAX_OFFERED_SUBPROTOCOLS, UpgradeError, UpgradeRequest, accept_key, check_upgrade,
    offered_subprotocols,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const GOOD: [(&str, &str); 5] = [
    ("Host", "example.com"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
];

fn upgrade(
    method: &str,
    http_version: (u8, u8),
    headers: &[(&str, &str)],
) -> Result<String, UpgradeError> {
    let headers = headers
        .iter()
        .map(|&(name, value)| (name, value.as_bytes()));
    check_upgrade(UpgradeRequest {
        method,
        http_version,
        headers,
    })
    .map(str::to_owned)
}

/// A good request in which the header `name` has these values, one per line.
fn with(name: &str, values: &[&str]) -> Result<String, UpgradeError> {
    let mut headers: Vec<_> = GOOD
        .into_iter()
        .filter(|(other, _)| *other != name)
        .collect();
    headers.extend(values.iter().map(|value| (name, *value)));
    upgrade("GET", (1, 1), &headers)
}

#[track_caller]
fn check(name: &str, values: &[&str], expect: Result<(), UpgradeError>) {
    assert_eq!(with(name, values).map(|_| ()), expect, "{name}: {values:?}");
}

#[test]
fn a_good_request_gives_its_key() {
    assert_eq!(upgrade("GET", (1, 1), &GOOD), Ok(KEY.to_owned()));
    let shouted = GOOD.map(|(name, value)| (name.to_ascii_uppercase(), value));
    let shouted: Vec<_> = shouted
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    assert_eq!(upgrade("GET", (1, 1), &shouted), Ok(KEY.to_owned()));
}

#[test]
fn the_request_line_must_fit() {
    for method in ["POST", "HEAD", "CONNECT", "get", ""] {
        let refused = UpgradeError::NotAnUpgrade("the method is not GET");
        assert_eq!(upgrade(method, (1, 1), &GOOD), Err(refused));
    }
    for version in [(0, 9), (1, 0), (2, 0), (3, 0)] {
        let refused = UpgradeError::NotAnUpgrade("the HTTP version is not 1.1");
        assert_eq!(upgrade("GET", version, &GOOD), Err(refused));
    }
}

#[test]
fn connection_and_upgrade_are_lists() {
    let connection = Err(UpgradeError::NotAnUpgrade(
        "Connection does not list Upgrade",
    ));
    check("Connection", &["keep-alive, Upgrade"], Ok(()));
    check("Connection", &["keep-alive", ",\t uPGRADE ,"], Ok(()));
    check("Connection", &[], connection);
    check("Connection", &["keep-alive", "close"], connection);
    check("Connection", &["Upgrades"], connection);
    check("Connection", &["keep-alive Upgrade"], connection);

    let upgrade = Err(UpgradeError::NotAnUpgrade(
        "Upgrade does not list websocket",
    ));
    check("Upgrade", &["h2c, WebSocket"], Ok(()));
    check("Upgrade", &["h2c", "WEBSOCKET"], Ok(()));
    check("Upgrade", &[], upgrade);
    check("Upgrade", &["h2c"], upgrade);
    check("Upgrade", &["websocket/13"], upgrade);
}

#[test]
fn the_version_is_13_once() {
    check("Sec-WebSocket-Version", &[" 13 "], Ok(()));
    for values in [&[][..], &["8"], &["13, 8"], &["013"], &["13", "13"], &[""]] {
        check(
            "Sec-WebSocket-Version",
            values,
            Err(UpgradeError::UnsupportedVersion),
        );
    }
}

#[test]
fn the_key_is_16_bytes_once() {
    check("Sec-WebSocket-Key", &[" AAAAAAAAAAAAAAAAAAAAAA== "], Ok(()));
    check("Sec-WebSocket-Key", &["AAAAAAAAAAAAAAAAAAAAAB=="], Ok(()));
    let bad: [&[&str]; 9] = [
        &[],
        &[""],
        &[KEY, KEY],
        &["AAAAAAAAAAAAAAAAAAAAAA"],
        &["AAAAAAAAAAAAAAAAAAAAAAA="],
        &["AAAAAAAAAAAAAAAAAAAAAAAA"],
        &["AAAAAAAAAAAAAAAAAAAAAA==AAAA"],
        &["AAAAAAAAAAAAAAAAAAAAA_=="],
        &["AAAAAAAAAAAAAAAAAAAA"],
    ];
    for values in bad {
        check("Sec-WebSocket-Key", values, Err(UpgradeError::BadKey));
    }
}

#[test]
fn whether_it_is_an_upgrade_comes_first() {
    let refused = UpgradeError::NotAnUpgrade("Connection does not list Upgrade");
    assert_eq!(upgrade("GET", (1, 1), &[]), Err(refused));
    assert_eq!(refused.status(), 400);
    assert_eq!(UpgradeError::UnsupportedVersion.status(), 426);
    assert_eq!(UpgradeError::BadKey.status(), 400);
}

#[test]
fn the_answer_to_the_key_of_the_rfc() {
    // RFC 6455 §1.3.
    assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn subprotocols_come_in_the_order_of_the_client() {
    let check = |lines: &[&str], expect: &[&str]| {
        let offered = offered_subprotocols(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(offered, expect, "{lines:?}");
    };
    check(&[], &[]);
    check(&[""], &[]);
    check(&["json.webpubsub.azure.v1"], &["json.webpubsub.azure.v1"]);
    check(&["b, a", " c\t,d"], &["b", "a", "c", "d"]);
    check(&[",, a ,"], &["a"]);
    check(
        &["a b, c\"d, e/f, g=h, (i), ü, ok!#$%&'*+-.^_`|~"],
        &["ok!#$%&'*+-.^_`|~"],
    );

    let many: Vec<String> = (0..1000).map(|n| format!("p{n}")).collect();
    let line = many.join(",");
    let offered = offered_subprotocols([line.as_bytes()]);
    assert_eq!(offered, many[..MAX_OFFERED_SUBPROTOCOLS]);
}
