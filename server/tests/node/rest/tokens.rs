//! Tokens that the server makes for clients.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hubwire_proto::token::{self, AccessKey, TokenError, UnixSeconds};
use serde_json::{Value, json};

use super::HUB;
use crate::support::{
    Connect, JSON, PRIMARY_KEY, Request, SECONDARY_KEY, Server, on_one_and_four_shards,
};

fn generate(server: &Server, query: &str) -> String {
    let path = format!("{HUB}/:generateToken?api-version=2024-12-01{query}");
    let response = server.rest("POST", &path);
    assert_eq!(response.status, 200, "{query}");
    assert_eq!(
        response.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    let body = response.json();
    assert_eq!(body.as_object().unwrap().len(), 1);
    body["token"].as_str().unwrap().to_owned()
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn a_client_gets_in_with_what_was_asked_for() {
    on_one_and_four_shards("", |server| {
        let token = generate(
            server,
            "&userId=ann%2Fb&role=webpubsub.sendToGroup.room&role=webpubsub.joinLeaveGroup\
             &group=room&group=a%2Bb",
        );
        let at = format!("/client/hubs/chat?access_token={token}");
        let mut client = Connect::at(&at).offering(JSON).open(server).unwrap();
        let connected = client.connected();
        assert_eq!(connected["userId"], "ann/b");
        for (group, status) in [("room", 200), ("a%2Bb", 200), ("a%20b", 404)] {
            let path = format!("{HUB}/groups/{group}");
            assert_eq!(server.rest("HEAD", &path).status, status, "{group}");
        }
        let id = connected["connectionId"].as_str().unwrap();
        for (permission, group, status) in [
            ("sendToGroup", "room", 200),
            ("sendToGroup", "other", 404),
            ("joinLeaveGroup", "other", 200),
        ] {
            let path =
                format!("{HUB}/permissions/{permission}/connections/{id}?targetName={group}");
            assert_eq!(server.rest("HEAD", &path).status, status, "{path}");
        }
        // It is for this hub alone.
        let other = format!("/client/hubs/other?access_token={token}");
        assert_eq!(Connect::at(&other).open(server).err(), Some(401));
    });
}

#[test]
fn claims_are_those_asked_for() {
    let endpoints = "endpoint = [\"https://wps.example.com/base\", \"http://other.example\"]";
    on_one_and_four_shards(endpoints, |server| {
        let check = |query: &str, expect: &Value, minutes: i64| {
            let mut claims = claims(&generate(server, query));
            let claims = claims.as_object_mut().unwrap();
            let mut time = |name: &str| claims.remove(name).unwrap().as_i64().unwrap();
            assert_eq!(time("exp") - time("iat"), minutes * 60, "{query}");
            assert_eq!(Value::Object(claims.clone()), *expect, "{query}");
        };
        let audience = |path: &str| json!(format!("https://wps.example.com/base/{path}"));
        let plain = json!({ "aud": audience("client/hubs/chat") });
        check("", &plain, 60);
        check("&userId=&minutesToExpire=0", &plain, 60);
        check("&clientType=default&minutesToExpire=1", &plain, 1);
        let everything = json!({
            "aud": audience("clients/mqtt/hubs/chat"),
            "sub": "u",
            "role": ["r", "s"],
            "webpubsub.group": ["g"]
        });
        let query = "&clientType=MQTT&userId=u&role=r&role=s&group=g";
        check(query, &everything, 60);
        let socket_io = json!({ "aud": audience("clients/socketio/hubs/chat") });
        let query = "&clientType=socketio&minutesToExpire=2147483647";
        check(query, &socket_io, 2_147_483_647);
    });
}

#[test]
fn the_key_is_nobody_elses() {
    on_one_and_four_shards("", |server| {
        let token = generate(server, "");
        let keys = [PRIMARY_KEY, SECONDARY_KEY].map(|key| AccessKey::new(key).unwrap());
        let keys: Vec<&AccessKey> = keys.iter().collect();
        let issued_at = UnixSeconds(claims(&token)["iat"].as_i64().unwrap());
        assert_eq!(
            token::verify(&token, &keys, issued_at, Duration::ZERO).err(),
            Some(TokenError::Signature)
        );
        // Nor is it good for REST.
        let request = Request::new("POST", &format!("{HUB}/:send"));
        assert_eq!(server.send(request.bearer(&token)).status, 401);
    });
}

#[test]
fn what_cannot_be_is_refused() {
    on_one_and_four_shards("", |server| {
        let long = format!("userId={}", "u".repeat(30_000));
        let minutes = "Invalid minutesToExpire.";
        for (query, target, message) in [
            ("minutesToExpire=-1", "minutesToExpire", minutes),
            ("minutesToExpire=2147483648", "minutesToExpire", minutes),
            ("minutesToExpire=1.5", "minutesToExpire", minutes),
            ("clientType=Other", "clientType", "Invalid clientType."),
            ("group=g&group=%20", "group", "Invalid group name."),
            (
                &long,
                "Request",
                "The token would be longer than 32768 bytes.",
            ),
        ] {
            // The path alone is the audience, so that a long query makes no long token.
            let path = format!("{HUB}/:generateToken");
            let audience = format!("http://{}{path}", server.authority());
            let token = crate::support::Token::new(&audience).sign();
            let request = Request::new("POST", &format!("{path}?{query}")).bearer(&token);
            let response = server.send(request);
            assert_eq!(
                (response.status, response.code().as_str()),
                (400, "Error.BadRequest")
            );
            let body = response.json();
            assert_eq!(
                (&body["target"], &body["message"]),
                (&target.into(), &message.into())
            );
        }
        let path = format!("{HUB}/:generateToken");
        assert_eq!(server.rest("GET", &path).status, 405);
        assert_eq!(server.send(Request::new("POST", &path)).status, 401);
    });
}

#[test]
fn access_keys_can_be_shut_out() {
    on_one_and_four_shards("[rest]\ntoken_generation = \"deny\"", |server| {
        let response = server.rest("POST", &format!("{HUB}/:generateToken"));
        assert_eq!(response.status, 401);
        let challenge = response.header("www-authenticate").unwrap();
        assert!(challenge.contains("invalid_token"), "{challenge}");
    });
}
