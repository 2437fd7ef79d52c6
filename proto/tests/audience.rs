//! Which requests a token is meant for (protocol notes: token audience). Case numbers are those of
//! the notes' black-box cases.
#![expect(clippy::expect_used, reason = "a broken fixture must fail its test")]

use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::token::audience::{Authorities, accepts_client, accepts_rest};

fn endpoints(urls: &[&str]) -> Vec<Endpoint> {
    urls.iter()
        .map(|url| Endpoint::parse(url).expect(url))
        .collect()
}

#[track_caller]
fn client(audience: &str, hub: &str, expect: bool) {
    let endpoints = endpoints(&["https://pub.example", "http://gate:9000/base"]);
    let authorities = Authorities::new(Some("h:8080"), &endpoints);
    let other = "http://elsewhere/client/hubs/x".to_owned();
    let got = accepts_client(&[other, audience.to_owned()], hub, &authorities);
    assert_eq!(got, expect, "{audience} for {hub}");
}

#[test]
fn client_audiences() {
    for audience in [
        "http://h:8080/client/hubs/chat",
        "https://h:8080/client/hubs/chat",
        "ws://h:8080/client/hubs/chat",
        "WSS://H:8080/client/hubs/chat",
        "http://h:8080/client/hubs/chat/",
        "http://h:8080/client/hubs/chat?x=y",
        "http://h:8080/client/hubs/ch%61t",
        "http://h:8080/client/hubs/CHAT",
        "https://pub.example/client/hubs/chat",
        "https://pub.example:443/client/hubs/chat",
        "http://pub.example:80/client/hubs/chat",
        "http://gate:9000/base/client/hubs/chat",
        "http://gate:9000/client/hubs/chat",
        "http://h:8080/client?hub=chat",
        "http://h:8080/client/?hub=Chat",
        "http://h:8080/client/?x=1&hub=ch%61t",
    ] {
        client(audience, "chat", true);
        // Case 5.
        client(audience, "CHAT", true);
        client(audience, "chat2", false);
    }
    client("http://h:8080/client/hubs/a%5B1%5D", "a[1]", true);
    client("http://h:8080/client/hubs/a[1]", "a[1]", true);
    for audience in [
        "",
        "chat",
        "h:8080/client/hubs/chat",
        "//h:8080/client/hubs/chat",
        "ftp://h:8080/client/hubs/chat",
        "http://h/client/hubs/chat",
        "http://h:8081/client/hubs/chat",
        "http://user@h:8080/client/hubs/chat",
        "http:///client/hubs/chat",
        "http://h:8080.evil/client/hubs/chat",
        "http://pub.example:8443/client/hubs/chat",
        "http://h:8080/base/client/hubs/chat",
        "http://gate:9000/basement/client/hubs/chat",
        "http://h:8080/client/hubs/chat/child",
        "http://h:8080/client/hubs/chat//",
        "http://h:8080/client/hubs/chat%2F",
        "http://h:8080/client/hubs/ch%2561t",
        "http://h:8080/client/hubs/",
        "http://h:8080/client/hubs",
        "http://h:8080/Client/hubs/chat",
        "http://h:8080/clients/mqtt/hubs/chat",
        "http://h:8080/api/hubs/chat",
        "http://h:8080/client",
        "http://h:8080/client?xhub=chat",
        "http://h:8080/client/x?hub=chat",
        "http://h:8080/client#?hub=chat",
        "http://h:8080",
        "https://webpubsub.azure.com",
    ] {
        client(audience, "chat", false);
    }
}

#[track_caller]
fn rest(audience: &str, path: &str, expect: bool) {
    let authorities = Authorities::new(Some("h"), &[]);
    assert_eq!(
        accepts_rest(&[audience.to_owned()], path, &authorities),
        expect,
        "{audience} {path}"
    );
}

#[test]
fn rest_audiences() {
    let path = "/api/hubs/chat/connections";
    for audience in [
        // Case 69.
        "http://h/api/hubs/chat/connections",
        "https://h/api/hubs/chat/connections",
        "ws://h/api/hubs/chat/connections",
        "wss://h/api/hubs/chat/connections",
        // Case 71.
        "http://h/api/hubs/chat/connections?anything=else",
        "http://h/api/hubs/chat/connections#fragment",
        "http://h/api/hubs/chat/connections/",
        // Case 70.
        "http://h/api/hubs/chat/connections/child",
        "http://h/api/hubs/ch%61t/connections",
        "http://H:80/api/hubs/chat/connections",
    ] {
        rest(audience, path, true);
        rest(audience, "/api/hubs/chat/connections/", true);
    }
    for audience in [
        "ftp://h/api/hubs/chat/connections",
        "http://h/api/hubs/chat/connectionsSuffix",
        "http://h/api/hubs/chat/connections%253Fquery",
        "http://h/api/hubs/chat/connections%3Fquery",
        "http://h/api/hubs/chat/connections%2Fchild",
        "http://h/api/hubs/chat%2Fconnections",
        "http://h/api/hubs/other/connections",
        "http://h/api/hubs/chat",
        "http://h/",
        "http://h",
        "http://other/api/hubs/chat/connections",
        "https://webpubsub.azure.com",
        "/api/hubs/chat/connections",
        "",
    ] {
        rest(audience, path, false);
    }
    rest("http://h/anything", "/", false);
    rest("http://h/anything", "", false);
}

#[test]
fn rest_audiences_with_escapes() {
    let raw = "/api/hubs/chat%5B1%5D/groups/room%2Fpart/:send";
    rest(
        "http://h/api/hubs/chat%5B1%5D/groups/room%2Fpart/:send?api-version=x",
        raw,
        true,
    );
    rest(
        "http://h/api/hubs/chat[1]/groups/room%2Fpart/:send",
        raw,
        true,
    );
    rest(
        "http://h/api/hubs/chat[1]/groups/room%2fpart/%3Asend",
        raw,
        true,
    );
    // An escaped slash is part of a name, a bare one is a border.
    rest(
        "http://h/api/hubs/chat[1]/groups/room/part/:send",
        raw,
        false,
    );
    rest(
        "http://h/api/hubs/chat%5B1%5D/groups/room%252Fpart/:send",
        raw,
        false,
    );
    // Case is significant in groups, so a token for one is no token for the other.
    rest(
        "http://h/api/hubs/c/groups/Room",
        "/api/hubs/c/groups/room",
        false,
    );
    rest(
        "http://h/api/hubs/c/groups/room%3Fpart",
        "/api/hubs/c/groups/room%3Fpart",
        true,
    );
    rest(
        "http://h/api/hubs/c/groups/room",
        "/api/hubs/c/groups/room%3Fpart",
        false,
    );
    rest(
        "http://h/api/hubs/c/users/%ff",
        "/api/hubs/c/users/%FF",
        true,
    );
    rest(
        "http://h/api/hubs/c/users/%fe",
        "/api/hubs/c/users/%FF",
        false,
    );
}

#[test]
fn hosts() {
    let endpoints = endpoints(&["https://pub.example/base", "http://[::1]:80"]);
    let path = "/api/hubs/chat/:send";
    let accepts = |authorities: Authorities<'_>, prefix: &str| {
        accepts_rest(&[format!("{prefix}{path}")], path, &authorities)
    };
    for (prefix, with_host, without_host) in [
        ("https://pub.example", true, true),
        ("https://PUB.example:443/base", true, true),
        ("http://[::1]", true, true),
        ("http://[::1]:8080", false, false),
        ("http://me:8080", true, false),
        ("http://ME:8080", true, false),
        ("http://me", false, false),
        ("http://me:8080/base", false, false),
        ("http://other/base", false, false),
        ("http://other/based", false, false),
    ] {
        assert_eq!(
            accepts(Authorities::new(Some("me:8080"), &endpoints), prefix),
            with_host,
            "{prefix}"
        );
        assert_eq!(
            accepts(Authorities::new(None, &endpoints), prefix),
            without_host,
            "{prefix}"
        );
    }
}
