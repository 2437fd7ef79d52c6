//! The configuration: layers, and every way in which it can be wrong.

use std::ffi::OsString;
use std::time::Duration;

use crate::process::{Workspace, hubwire};
use hubwire::config::{Config, ConfigError, Flag, LogFormat, Sources, UrlTemplate};

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn load(
    workspace: &Workspace,
    file: Option<&str>,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &[&str])],
) -> Result<Config, ConfigError> {
    Config::load(&Sources {
        file: file.map(|source| workspace.write("hubwire.toml", source)),
        environment: environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
        flags: flags
            .iter()
            .map(|(name, key, values)| Flag {
                name,
                key,
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            })
            .collect(),
        dev_tls: false,
    })
}

/// The binary refuses `file` with exit code 2 and exactly `hubwire.toml:` + `expected`.
pub(crate) fn refused(file: &str, expected: &str) {
    let workspace = Workspace::new();
    workspace.write("hubwire.toml", file);
    for command in ["check-config", "serve"] {
        let run = hubwire(&workspace)
            .args([command, "--config", "hubwire.toml"])
            .finish();
        assert_eq!(
            run.stderr,
            format!("hubwire.toml:{expected}\n"),
            "{command}: {file}"
        );
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (2, ""),
            "{command}: {file}"
        );
    }
}

#[test]
fn without_anything_it_is_the_development_server() {
    let config = load(&Workspace::new(), None, &[], &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        config.endpoints(8080).unwrap()[0].to_string(),
        "http://localhost:8080"
    );
    assert_eq!(
        config.endpoints(4711).unwrap()[0].to_string(),
        "http://localhost:4711"
    );
    assert!(config.access_keys.is_development());
    assert_eq!(config.access_keys.secondary, None);
    assert_eq!(config.admin_listen, None);
    let any = config.hub("whatever");
    assert!(!any.allow_anonymous);
    assert_eq!(any.keep_alive_interval, Duration::from_secs(20));
    assert_eq!(any.event_handlers[0].url_template, UrlTemplate::BuiltinEcho);
    assert_eq!(any.event_handlers[0].user_event_pattern, "*");
    assert_eq!(config.limits.connections, None);
    assert_eq!(config.limits.message_bytes, 1 << 20);
    assert_eq!(config.limits.header_bytes, 48 << 10);
    assert_eq!(config.limits.ask_timeout, Duration::from_secs(5));
}

#[test]
fn an_empty_file_configures_no_event_handler() {
    let config = load(&Workspace::new(), Some(""), &[], &[]).unwrap();
    assert!(config.hub("chat").event_handlers.is_empty());
    assert!(config.access_keys.is_development());
}

#[test]
fn a_later_layer_wins() {
    let workspace = Workspace::new();
    let check = |file, environment: &[_], flags: &[_], expected: &str| {
        let config = load(&workspace, file, environment, flags).unwrap();
        assert_eq!(config.listen.to_string(), expected);
    };
    let file = Some("listen = '127.0.0.1:1'");
    let variable = ("HUBWIRE_LISTEN", "127.0.0.1:2");
    let flag: (_, _, &[&str]) = ("--listen", "listen", &["localhost:3"]);
    check(None, &[], &[], "127.0.0.1:8080");
    check(file, &[], &[], "127.0.0.1:1");
    check(file, &[variable], &[], "127.0.0.1:2");
    check(file, &[variable], &[flag], "127.0.0.1:3");
    check(file, &[], &[flag], "127.0.0.1:3");
    check(None, &[variable], &[], "127.0.0.1:2");
    check(file, &[("HUBWIRE_LISTEN", "")], &[], "127.0.0.1:1");
    check(None, &[("HUBWIRE_LISTEN", "[::1]:9")], &[], "[::1]:9");
}

#[test]
fn every_kind_of_key_has_a_variable() {
    let file = "
        [access_keys]
        primary = 'this one is too short'
        [hubs.Chat]
        anonymousConnectPolicy = 'deny'
        [[hubs.Chat.eventHandlers]]
        urlTemplate = 'builtin:echo'
        userEventPattern = 'from_the_file'
    ";
    let workspace = Workspace::new();
    let config = load(
        &workspace,
        Some(file),
        &[
            ("HUBWIRE_ACCESS_KEYS__PRIMARY__ENV", "HUBWIRE_MY_SECRET"),
            ("HUBWIRE_MY_SECRET", KEY),
            (
                "HUBWIRE_ENDPOINT",
                "https://a.example, https://b.example/base/",
            ),
            ("HUBWIRE_LIMITS__CONNECTIONS", "5"),
            ("HUBWIRE_LIMITS__HANDSHAKE_TIMEOUT_SECONDS", "3"),
            ("HUBWIRE_LOG__LEVEL", "warn,hubwire=debug"),
            ("HUBWIRE_LOG__FORMAT", "JSON"),
            ("HUBWIRE_HUBS__CHAT__ANONYMOUS_CONNECT_POLICY", "allow"),
            (
                "HUBWIRE_HUBS__CHAT__EVENT_HANDLERS__1__URL_TEMPLATE",
                "builtin:echo",
            ),
            (
                "HUBWIRE_HUBS__CHAT__EVENT_HANDLERS__1__USER_EVENT_PATTERN",
                "a, b",
            ),
            (
                "HUBWIRE_HUBS__CHAT__EVENT_HANDLERS__0__SYSTEM_EVENTS",
                "connect,Connected",
            ),
            (
                "HUBWIRE_HUBS__TWO__WORDS__ANONYMOUS_CONNECT_POLICY",
                "allow",
            ),
            // Kubernetes' description of a service called hubwire.
            ("HUBWIRE_SERVICE_HOST", "10.0.0.1"),
            ("HUBWIRE_SERVICE_PORT", "80"),
            ("HUBWIRE_SERVICE_PORT_HTTP", "80"),
            ("HUBWIRE_PORT", "tcp://10.0.0.1:80"),
            ("HUBWIRE_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("HUBWIRE_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("OTHER", "ignored"),
        ],
        &[(
            "--endpoint",
            "endpoint",
            &["https://c.example", "https://d.example"],
        )],
    )
    .unwrap();
    assert_eq!(config.access_keys.primary.expose(), KEY);
    let endpoints: Vec<_> = config.endpoint.iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["https://c.example", "https://d.example"]);
    assert_eq!(config.limits.connections, Some(5));
    assert_eq!(config.limits.handshake_timeout, Duration::from_secs(3));
    assert_eq!(
        (config.log.level(), config.log.format),
        ("warn,hubwire=debug", LogFormat::Json)
    );
    let chat = config.hub("CHAT");
    assert!(chat.allow_anonymous);
    let patterns: Vec<_> = chat
        .event_handlers
        .iter()
        .map(|handler| handler.user_event_pattern.as_str())
        .collect();
    assert_eq!(patterns, ["from_the_file", "a,b"]);
    assert_eq!(chat.event_handlers[0].system_events.len(), 2);
    assert!(config.hub("two__words").allow_anonymous);
    assert!(!config.hub("two").allow_anonymous);
}

#[test]
fn a_file_that_cannot_be_read_or_parsed() {
    let workspace = Workspace::new();
    let run = hubwire(&workspace).args(["--config", "none.toml"]).finish();
    let expected =
        "none.toml: cannot read the configuration: No such file or directory (os error 2)\n";
    assert_eq!((run.code, run.stderr.as_str()), (2, expected));

    refused(
        "listen = '127.0.0.1:1'\n\nshards = = 2",
        "3: extra `=`, expected nothing",
    );
    refused("shards = 2\nshards = 3", "2: duplicate key");
}

#[test]
fn unknown_keys() {
    refused(
        "\n[limits]\nmesage_bytes = 5",
        "3: limits.mesage_bytes: unknown key (did you mean message_bytes?)",
    );
    refused(
        "limits.mesageBytes = 5",
        "1: limits.mesageBytes: unknown key (did you mean message_bytes?)",
    );
    refused("colour = 'red'", "1: colour: unknown key");
    refused(
        "[limit]\nmessage_bytes = 1",
        "1: limit: unknown key (did you mean limits?)",
    );
    refused(
        "[hubs.chat]\n[[hubs.chat.event_handlers]]\nurl = 'builtin:echo'",
        "3: hubs.chat.event_handlers[0].url: unknown key",
    );
    refused(
        "[hub_defaults]\nevent_handler = []",
        "2: hub_defaults.event_handler: unknown key (did you mean event_handlers?)",
    );
    refused(
        "[limits]\nmessage_bytes = 2048\nmessageBytes = 2048",
        "3: limits.messageBytes: already given as message_bytes at hubwire.toml:2",
    );
}

#[test]
fn wrong_types() {
    refused(
        "shards = '4'",
        "1: shards: must be a whole number, not text",
    );
    refused(
        "shards = 1.5",
        "1: shards: must be a whole number, not a fraction",
    );
    refused(
        "shards = true",
        "1: shards: must be a whole number, not a truth value",
    );
    refused(
        "shards = 1979-05-27",
        "1: shards: must be a whole number, not a date or time",
    );
    refused(
        "listen = 8080",
        "1: listen: must be text, not a whole number",
    );
    refused(
        "limits = 3",
        "1: limits: must be a table, not a whole number",
    );
    refused("hubs = []", "1: hubs: must be a table, not a list");
    refused(
        "[hubs]\nchat = 'deny'",
        "2: hubs.chat: must be a table, not text",
    );
    refused(
        "endpoint = 3",
        "1: endpoint: must be text or a list of texts, not a whole number",
    );
    refused(
        "endpoint = [\n  'http://a.example',\n  3,\n]",
        "3: endpoint[1]: must be text, not a whole number",
    );
    refused(
        "[hub_defaults.event_handlers]\nurl_template = 'builtin:echo'",
        "1: hub_defaults.event_handlers: must be a list of tables, not a table",
    );
    refused(
        "access_keys.primary = 3",
        "1: access_keys.primary: must be text, { env = \"…\" } or { file = \"…\" }, not a whole number",
    );
    refused(
        "access_keys.primary = { env = 'A', file = 'B' }",
        "1: access_keys.primary: must be text, { env = \"…\" } or { file = \"…\" }",
    );
}

#[test]
fn values_out_of_range() {
    refused("shards = 0", "1: shards: must be between 1 and 63, not 0");
    refused("shards = -1", "1: shards: must be between 1 and 63, not -1");
    refused(
        "shards = 99999999999999999999",
        "1: shards: must be between 1 and 63, not a larger number",
    );
    refused(
        "[hubs.chat]\n\nwebSocketKeepAliveIntervalInSeconds = 121",
        "3: hubs.chat.webSocketKeepAliveIntervalInSeconds: must be between 1 and 120, not 121",
    );
    refused(
        "[limits]\nmessage_bytes = 2_097_152\noutbound_queue_bytes = 1_048_576",
        "2: limits.message_bytes: limits.message_bytes (2097152) must not exceed \
         limits.outbound_queue_bytes (1048576)",
    );
}

#[test]
fn bad_values() {
    refused(
        "listen = 'example.com:80'",
        "1: listen: must be an IP address and a port such as 127.0.0.1:8080, not \"example.com:80\"",
    );
    refused(
        "listen = '127.0.0.1:65536'",
        "1: listen: must be an IP address and a port such as 127.0.0.1:8080, not \"127.0.0.1:65536\"",
    );
    refused(
        "admin_listen = '127.0.0.1:8080'",
        "1: admin_listen: the same address as listen",
    );
    refused(
        "endpoint = 'ftp://a.example'",
        "1: endpoint: \"ftp://a.example\" is no public address: The endpoint must start with http:// or https://.",
    );
    refused(
        "data_dir = 'hubwire.toml'",
        "1: data_dir: hubwire.toml is not a directory",
    );
    refused(
        "[log]\nlevel = 'verbose'",
        "2: log.level: must be off, error, warn, info, debug or trace, or a list of target=level, not \"verbose\"",
    );
    refused(
        "log.format = 'xml'",
        "1: log.format: must be text or json, not \"xml\"",
    );
    refused(
        "hub_defaults.anonymous_connect_policy = 'maybe'",
        "1: hub_defaults.anonymous_connect_policy: must be allow or deny, not \"maybe\"",
    );
    refused(
        "[hubs.'1st']",
        "1: hubs.1st: a hub name is a letter, then at most 127 letters, digits or _ ` , . [ ]",
    );
    refused(
        "[hubs.chat]\n[hubs.Chat]",
        "2: hubs.Chat: already given as chat at hubwire.toml:1; hub names differ in more than case",
    );
}

#[test]
fn bad_event_handlers() {
    let handler = |line: &str, expected: &str| {
        refused(
            &format!("[[hub_defaults.event_handlers]]\nurl_template = 'builtin:echo'\n{line}"),
            &format!("3: hub_defaults.event_handlers[0].{expected}"),
        );
    };
    handler(
        "user_event_pattern = 'chat.*'",
        "user_event_pattern: must be *, an event name or a comma list of names, not \"chat.*\"",
    );
    handler(
        "user_event_pattern = 'a,,b'",
        "user_event_pattern: must be *, an event name or a comma list of names, not \"a,,b\"",
    );
    handler(
        "system_events = ['joined']",
        "system_events[0]: must be connect, connected or disconnected, not \"joined\"",
    );
    for (url, problem) in [
        (
            "https://a.example/{event}",
            "event handlers over https are not supported in this version; use builtin:echo",
        ),
        (
            "http://a.example",
            "event handlers over http are not supported in this version; use builtin:echo",
        ),
        (
            "tunnel:///x",
            "event handlers over tunnel are not supported in this version; use builtin:echo",
        ),
        (
            "builtin:discard",
            "must be builtin:echo, not \"builtin:discard\"",
        ),
    ] {
        refused(
            &format!("[[hubs.chat.event_handlers]]\nurl_template = '{url}'"),
            &format!("2: hubs.chat.event_handlers[0].url_template: {problem}"),
        );
    }
    refused(
        "\n[[hubs.chat.event_handlers]]\nuser_event_pattern = '*'",
        "2: hubs.chat.event_handlers[0]: an event handler needs a url_template",
    );
}

#[test]
fn the_public_key_stays_on_this_machine() {
    let advice = "the public development key is for loopback only; `hubwire init` writes a \
                  configuration with keys of your own";
    refused(
        "listen = '0.0.0.0:8080'",
        &format!("1: listen: 0.0.0.0:8080 is not loopback: {advice}"),
    );
    refused(
        "\nendpoint = 'https://wps.example.com'",
        &format!("2: endpoint: https://wps.example.com is not local: {advice}"),
    );
    let workspace = Workspace::new();
    let run = hubwire(&workspace)
        .args(["--listen", "192.0.2.1:80"])
        .finish();
    let expected = format!("--listen: listen: 192.0.2.1:80 is not loopback: {advice}\n");
    assert_eq!((run.code, run.stderr), (2, expected));
    let run = hubwire(&workspace)
        .env("HUBWIRE_LISTEN", "[::]:80")
        .finish();
    let expected = format!("HUBWIRE_LISTEN: listen: [::]:80 is not loopback: {advice}\n");
    assert_eq!((run.code, run.stderr), (2, expected));

    let private = format!("listen = '0.0.0.0:8080'\naccess_keys.primary = '{KEY}'");
    assert!(load(&workspace, Some(&private), &[], &[]).is_ok());
    let local = "endpoint = ['http://[::1]:8080', 'http://127.0.0.5', 'http://wps.localhost:1']";
    assert!(load(&workspace, Some(local), &[], &[]).is_ok());
}

#[test]
fn bad_variables_and_flags_are_named() {
    let check = |environment: &[(&str, &str)], flags: &[&str], expected: &str| {
        let workspace = Workspace::new();
        let mut command = hubwire(&workspace).args(["check-config"]).args(flags);
        for (name, value) in environment {
            command = command.env(name, value);
        }
        let run = command.finish();
        assert_eq!((run.code, run.stderr), (2, format!("{expected}\n")));
    };
    check(
        &[("HUBWIRE_LIMITS__MESAGE_BYTES", "5")],
        &[],
        "HUBWIRE_LIMITS__MESAGE_BYTES: limits.mesage_bytes: unknown key (did you mean message_bytes?)",
    );
    check(
        &[("HUBWIRE_FOO", "5")],
        &[],
        "HUBWIRE_FOO: foo: unknown key",
    );
    check(
        &[("HUBWIRE_SHARDS", "many")],
        &[],
        "HUBWIRE_SHARDS: shards: must be a whole number, not \"many\"",
    );
    check(
        &[("HUBWIRE_LIMITS", "5")],
        &[],
        "HUBWIRE_LIMITS: limits: must be a table, not text",
    );
    check(
        &[(
            "HUBWIRE_HUB_DEFAULTS__EVENT_HANDLERS__2__URL_TEMPLATE",
            "builtin:echo",
        )],
        &[],
        "HUBWIRE_HUB_DEFAULTS__EVENT_HANDLERS__2__URL_TEMPLATE: \
         hub_defaults.event_handlers[2].url_template: element 1 is missing before it",
    );
    check(
        &[
            ("HUBWIRE_ACCESS_KEYS__PRIMARY", KEY),
            ("HUBWIRE_ACCESS_KEYS__PRIMARY__ENV", "X"),
        ],
        &[],
        "HUBWIRE_ACCESS_KEYS__PRIMARY__ENV: access_keys.primary: already given by \
         HUBWIRE_ACCESS_KEYS__PRIMARY",
    );
    check(
        &[],
        &["--shards", "65"],
        "--shards: shards: must be between 1 and 63, not 65",
    );
    check(
        &[],
        &["--access-key-file", "none"],
        "--access-key-file: access_keys.primary: cannot read none: No such file or directory (os error 2)",
    );
}

#[test]
fn the_committed_reference_is_the_current_one() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, page, current) in [
        ("LIMITS.md", "limits", hubwire::config::limits_reference()),
        (
            "docs/configuration.md",
            "configuration",
            hubwire::config::reference(),
        ),
    ] {
        let committed = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(
            committed == current,
            "{file} is out of date: hubwire print-reference {page} > {file}"
        );
    }
}
