//! Connection strings, endpoints and client URLs (protocol notes: connection strings).

use hubwire_proto::connection_string::{
    ConnectionString, ConnectionStringError, Endpoint, EndpointError,
};
use hubwire_proto::name::HubName;
use hubwire_proto::token::AccessKey;
use proptest::prelude::*;

#[test]
fn connection_strings() {
    for (text, endpoint, key) in [
        (
            "Endpoint=http://localhost:8080;AccessKey=abc=;Version=1.0;",
            "http://localhost:8080",
            "abc=",
        ),
        ("accesskey=a==;ENDPOINT=https://h", "https://h", "a=="),
        ("Endpoint=https://h/;AccessKey=k", "https://h", "k"),
        (
            "Endpoint=https://h/base/;AccessKey=k;Unknown=x=y;;",
            "https://h/base",
            "k",
        ),
        ("Endpoint=h;AccessKey=k", "https://h", "k"),
        (
            "Endpoint=http://h;AccessKey=k;Port=8080",
            "http://h:8080",
            "k",
        ),
        (
            "Endpoint=http://h:1/b;Port=8080;AccessKey=k",
            "http://h:8080/b",
            "k",
        ),
        (" Endpoint = http://h ; AccessKey = k ; ", "http://h", "k"),
    ] {
        let parsed = ConnectionString::parse(text).expect(text);
        assert_eq!(parsed.endpoint.to_string(), endpoint, "{text}");
        assert_eq!(parsed.access_key.expose(), key, "{text}");
    }
    for (text, expect) in [
        ("", ConnectionStringError::Missing("Endpoint")),
        (
            "Endpoint=http://h",
            ConnectionStringError::Missing("AccessKey"),
        ),
        (
            "Endpoint=http://h;AccessKey=",
            ConnectionStringError::Missing("AccessKey"),
        ),
        (
            "Endpoint=;AccessKey=k",
            ConnectionStringError::Missing("Endpoint"),
        ),
        (
            "Endpoint=http://h;AuthType=azure.msi",
            ConnectionStringError::Missing("AccessKey"),
        ),
        ("AccessKey=k", ConnectionStringError::Missing("Endpoint")),
        ("Endpoint=http://h;secret", ConnectionStringError::Pair),
        (
            "Endpoint=http://h;endpoint=http://i",
            ConnectionStringError::Repeated("Endpoint"),
        ),
        ("Endpoint=ftp://h;AccessKey=k", EndpointError::Scheme.into()),
        (
            "Endpoint=http://h;AccessKey=k;Port=",
            EndpointError::Port.into(),
        ),
        (
            "Endpoint=http://h;AccessKey=k;Port=0",
            EndpointError::Port.into(),
        ),
        (
            "Endpoint=http://h;AccessKey=k;Port=65536",
            EndpointError::Port.into(),
        ),
        (
            "Endpoint=http://h;AccessKey=k;Port=+80",
            EndpointError::Port.into(),
        ),
    ] {
        assert_eq!(ConnectionString::parse(text), Err(expect), "{text}");
    }
}

#[test]
fn hosts_and_ports() {
    for (url, host, port) in [
        ("http://localhost:8080/base", "localhost", 8080),
        ("http://h", "h", 80),
        ("https://h", "h", 443),
        ("https://[2001:db8::1]", "2001:db8::1", 443),
        ("http://[::1]:1", "::1", 1),
    ] {
        let endpoint = Endpoint::parse(url).expect(url);
        assert_eq!((endpoint.host(), endpoint.port()), (host, port), "{url}");
    }
}

#[test]
fn endpoints() {
    for (url, text, authority, base_path, secure) in [
        (
            "http://localhost:8080",
            "http://localhost:8080",
            "localhost:8080",
            "",
            false,
        ),
        (
            "HTTPS://Example.com//",
            "https://Example.com",
            "Example.com",
            "",
            true,
        ),
        ("http://h/a/b/", "http://h/a/b", "h", "/a/b", false),
        ("http://[::1]:80/", "http://[::1]:80", "[::1]:80", "", false),
        (
            "https://[2001:db8::1]",
            "https://[2001:db8::1]",
            "[2001:db8::1]",
            "",
            true,
        ),
    ] {
        let endpoint = Endpoint::parse(url).expect(url);
        assert_eq!(endpoint.to_string(), text);
        assert_eq!(
            (
                endpoint.authority(),
                endpoint.base_path(),
                endpoint.is_secure()
            ),
            (authority, base_path, secure)
        );
    }
    for (url, expect) in [
        ("", EndpointError::Scheme),
        ("localhost:8080", EndpointError::Scheme),
        ("ws://h", EndpointError::Scheme),
        ("http://", EndpointError::Host),
        ("http:///x", EndpointError::Host),
        ("http://user@h", EndpointError::Host),
        ("http://::1", EndpointError::Host),
        ("http://[::1", EndpointError::Host),
        ("http://[x]", EndpointError::Host),
        ("http://:8080", EndpointError::Host),
        ("http://h:", EndpointError::Port),
        ("http://h:x", EndpointError::Port),
        ("http://h:99999", EndpointError::Port),
        ("http://h?x", EndpointError::Extra),
        ("http://h/#x", EndpointError::Extra),
        ("http://h /x", EndpointError::Extra),
        ("http://h;x", EndpointError::Extra),
    ] {
        assert_eq!(Endpoint::parse(url), Err(expect), "{url}");
    }
}

#[test]
fn client_urls() {
    let hub = HubName::new("Chat[1]").expect("valid");
    for (endpoint, url, audience) in [
        (
            "http://localhost:8080",
            "ws://localhost:8080/client/hubs/Chat%5B1%5D?access_token=a.b-c_d",
            "http://localhost:8080/client/hubs/Chat%5B1%5D",
        ),
        (
            "https://h/base/",
            "wss://h/base/client/hubs/Chat%5B1%5D?access_token=a.b-c_d",
            "https://h/base/client/hubs/Chat%5B1%5D",
        ),
    ] {
        let endpoint = Endpoint::parse(endpoint).expect(endpoint);
        assert_eq!(endpoint.client_url(&hub, "a.b-c_d"), url);
        assert_eq!(endpoint.client_audience(&hub), audience);
    }
}

proptest! {
    #[test]
    fn what_is_built_parses(key in "\\PC{1,60}", host in "[a-z][a-z0-9.-]{0,20}", port in 1_u16..) {
        let built = ConnectionString {
            endpoint: Endpoint::parse(&format!("http://{host}:{port}"))?,
            access_key: AccessKey::new(key.as_str())?,
        };
        match built.expose() {
            Some(text) => prop_assert_eq!(ConnectionString::parse(&text), Ok(built)),
            None => prop_assert!(key.contains(';') || key.trim() != key),
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), rest in "[:/\\[\\]0-9a=;.]{0,30}") {
        let _ = ConnectionString::parse(&text);
        let _ = ConnectionString::parse(&format!("Endpoint=http://{rest};AccessKey=k"));
        let _ = Endpoint::parse(&format!("http://{rest}"));
    }
}
