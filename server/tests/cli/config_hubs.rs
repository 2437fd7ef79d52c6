//! Hubs as the original's control plane shows them, and what of them this version refuses.

use crate::config::{load, refused};
use crate::process::Workspace;
use hubwire::config::{HubConfig, SystemEvent};
use hubwire_proto::protobuf::JsonField;
use std::time::Duration;

/// Every spelling means the same hub.
fn means_the_same(file: &str) {
    let config = load(&Workspace::new(), Some(file), &[], &[]).unwrap();
    let HubConfig {
        allow_anonymous,
        keep_alive_interval,
        event_handlers,
        protobuf_json,
    } = config.hub("chat");
    assert!(*allow_anonymous, "{file}");
    assert_eq!(*keep_alive_interval, Duration::from_secs(30), "{file}");
    assert_eq!(*protobuf_json, JsonField::JsonData, "{file}");
    let [handler] = event_handlers.as_slice() else {
        panic!("{event_handlers:?}");
    };
    assert_eq!(handler.user_event_pattern, "*", "{file}");
    assert_eq!(
        handler.system_events,
        [SystemEvent::Connect, SystemEvent::Connected],
        "{file}"
    );
}

#[test]
fn a_hub_may_be_pasted_as_the_control_plane_shows_it() {
    means_the_same(
        "[hubs.chat]
        anonymous_connect_policy = 'allow'
        web_socket_keep_alive_interval_in_seconds = 30
        [[hubs.chat.event_handlers]]
        url_template = 'builtin:echo'
        user_event_pattern = '*'
        system_events = ['connect', 'connected']",
    );
    means_the_same(
        "[hubs.chat]
        anonymousConnectPolicy = 'Allow'
        webSocketKeepAliveIntervalInSeconds = 30
        [[hubs.chat.eventHandlers]]
        urlTemplate = 'builtin:echo'
        userEventPattern = '*'
        systemEvents = ['CONNECT', 'connected']",
    );
    let settings = r#"{
        "anonymousConnectPolicy" = "allow",
        "eventHandlers" = [
          {
            "auth" = { "type" = "None" },
            "systemEvents" = ["connect", "connected"],
            "urlTemplate" = "builtin:echo",
            "userEventPattern" = "*"
          }
        ],
        "eventListeners" = [],
        "webSocketKeepAliveIntervalInSeconds" = 30
    }"#;
    means_the_same(&format!("[hubs]\nchat = {settings}"));
    means_the_same(&format!(
        r#"hubs = {{ "Chat" = {{
            "id" = "/subscriptions/s/resourceGroups/g/providers/p/webPubSub/w/hubs/Chat",
            "name" = "Chat",
            "properties" = {settings},
            "systemData" = {{ "createdBy" = "ann" }},
            "type" = "Microsoft.SignalRService/WebPubSub/hubs"
        }} }}"#
    ));
    means_the_same(&format!("hub_defaults = {{ properties = {settings} }}"));
}

#[test]
fn a_variable_wins_over_a_pasted_hub() {
    let config = load(
        &Workspace::new(),
        Some("hubs.chat.properties = { anonymousConnectPolicy = 'deny' }"),
        &[("HUBWIRE_HUBS__CHAT__ANONYMOUS_CONNECT_POLICY", "allow")],
        &[],
    );
    assert!(config.unwrap().hub("chat").allow_anonymous);
}

#[test]
fn errors_in_a_pasted_hub_name_its_lines() {
    refused(
        "[hubs.chat]\nanonymousConnectPolicy = 'allow'\nanonymous_connect_policy = 'deny'",
        "3: hubs.chat.anonymous_connect_policy: already given as anonymousConnectPolicy at \
         hubwire.toml:2",
    );
    refused(
        "[hubs.chat]\nanonymous_connect_policy = 'deny'\n[hubs.chat.properties]\n\
         anonymousConnectPolicy = 'allow'",
        "4: hubs.chat.properties.anonymousConnectPolicy: already given as \
         anonymous_connect_policy at hubwire.toml:2",
    );
    refused(
        "[hubs.chat.properties]\nanonymousConnectPolicy = 'allow'\n[hubs.chat]\n\
         anonymousConnectPolicy = 'allow'",
        "4: hubs.chat.anonymousConnectPolicy: already given as \
         properties.anonymousConnectPolicy at hubwire.toml:2",
    );
    refused(
        "[hubs.chat.properties]\n\nanonymousConectPolicy = 'allow'",
        "3: hubs.chat.properties.anonymousConectPolicy: unknown key (did you mean \
         anonymous_connect_policy?)",
    );
    refused(
        "[hubs]\nchat = { properties = {\n  eventHandlers = [\n    { url = 'x' },\n  ],\n} }",
        "4: hubs.chat.properties.eventHandlers[0].url: unknown key",
    );
    refused(
        "[hub_defaults]\nproperties = 'x'",
        "2: hub_defaults.properties: must be a table, not text",
    );
    // Alone these say nothing about a hub.
    refused(
        "[hubs.chat]\nname = 'chat'",
        "2: hubs.chat.name: unknown key",
    );
}

#[test]
fn what_this_version_cannot_do_is_refused_by_name() {
    let hub = |line: &str, expected: &str| {
        refused(
            &format!("[hubs.chat]\n{line}"),
            &format!("2: hubs.chat.{expected}"),
        );
        refused(
            &format!("[hubDefaults]\n{line}"),
            &format!("2: hubDefaults.{expected}"),
        );
    };
    hub(
        "eventListeners = [{ filter = { type = 'EventName' } }]",
        "eventListeners: event listeners are not supported in this version",
    );
    hub(
        "chat = { mode = 'x' }",
        "chat: chat is not supported in this version",
    );
    let handler = |line: &str, expected: &str| {
        refused(
            &format!("[[hubs.chat.eventHandlers]]\nurlTemplate = 'builtin:echo'\n{line}"),
            &format!("3: hubs.chat.eventHandlers[0].{expected}"),
        );
    };
    handler(
        "auth = { type = 'ManagedIdentity' }",
        "auth.type: managed identities are not supported; use None",
    );
    handler(
        "auth = { type = 'None', managedIdentity = { resource = 'r' } }",
        "auth.managedIdentity: managed identities are not supported",
    );
    handler(
        "auth = { type = 'Basic' }",
        "auth.type: must be None, not \"Basic\"",
    );
    handler(
        "groupPresenceEvents = { eventNames = ['joined'] }",
        "groupPresenceEvents: group presence events are not supported in this version",
    );
}
