//! What a running node takes of a configuration, and what it leaves.

use std::path::Path;

use hubwire::config::Config;

use crate::config::KEY;

fn parse(file: &str) -> Config {
    Config::parse(Path::new("hubwire.toml"), file).unwrap()
}

/// A node that runs with `running` is asked to take `wanted`.
fn check(running: &str, wanted: &str, changed: &[&str], needs_restart: &[&str]) {
    let (running, wanted) = (parse(running), parse(wanted));
    let reloaded = running.reloaded(wanted.clone()).unwrap();
    assert_eq!(reloaded.changed, changed);
    assert_eq!(reloaded.needs_restart, needs_restart);
    // The rest of it is as it was, so that asking again gives the same answer.
    let again = reloaded.config.reloaded(wanted).unwrap();
    assert_eq!(again.changed, [] as [&str; 0]);
    assert_eq!(again.needs_restart, needs_restart);
    assert_eq!(again.config, reloaded.config);
}

#[test]
fn hubs_keys_and_the_log_level_are_taken() {
    check("", "", &[], &[]);
    check(
        "",
        &format!("access_keys.primary = '{KEY}'"),
        &["access_keys"],
        &[],
    );
    check(
        "",
        "hub_defaults.anonymous_connect_policy = 'allow'",
        &["hub_defaults"],
        &[],
    );
    check(
        "[hubs.chat]\n[hubs.gone]",
        "[hubs.CHAT]\nwebSocketKeepAliveIntervalInSeconds = 5\n[hubs.new]",
        &["hubs"],
        &[],
    );
    check("", "log.level = 'debug'", &["log.level"], &[]);
    // Another spelling of the same is no change.
    check(
        "[hubs.chat]\nanonymous_connect_policy = 'allow'",
        "hubs.Chat.properties = { anonymousConnectPolicy = 'Allow' }",
        &[],
        &[],
    );
}

#[test]
fn the_files_of_a_certificate_are_taken_and_whether_there_is_one_is_not() {
    let tls = |name: &str| format!("tls = {{ certificate = '{name}', key = 'key' }}");
    let one = tls("one");
    check(&one, &one, &[], &[]);
    check(&one, &format!("\n\n{one}"), &[], &[]);
    check(&one, &tls("two"), &["tls"], &[]);
    check("", &one, &[], &["tls"]);
    check(&one, "", &[], &["tls"]);
}

#[test]
fn everything_else_needs_a_restart() {
    for (wanted, key) in [
        ("listen = '127.0.0.1:1'", "listen"),
        ("endpoint = 'http://localhost:1'", "endpoint"),
        ("data_dir = 'here'", "data_dir"),
        ("admin_listen = '127.0.0.1:2'", "admin_listen"),
        ("log.format = 'json'", "log.format"),
        ("auth.check_audience_host = false", "auth"),
        ("rest.token_generation = 'deny'", "rest"),
        ("limits.connections = 5", "limits.connections"),
        ("limits.message_bytes = 2048", "limits.message_bytes"),
        ("limits.shutdown_seconds = 99", "limits.shutdown_seconds"),
    ] {
        check("", wanted, &[], &[key]);
    }
    check("shards = 1", "shards = 2", &[], &["shards"]);
    check(
        "listen = '127.0.0.1:1'\nlimits.list_page = 5",
        "log = { level = 'off', format = 'json' }\n[hubs.chat]",
        &["hubs", "log.level"],
        &["listen", "log.format", "limits.list_page"],
    );
}

#[test]
fn the_public_key_stays_on_this_machine_though_the_file_moves_it_there() {
    let advice = "the public development key is for loopback only; `hubwire init` writes a \
                  configuration with keys of your own";
    for (listen, problem) in [
        ("listen = '0.0.0.0:80'", "0.0.0.0:80 is not loopback"),
        (
            "endpoint = 'https://wps.example.com'",
            "https://wps.example.com is not local",
        ),
    ] {
        let running = parse(&format!("{listen}\naccess_keys.primary = '{KEY}'"));
        let refused = running.reloaded(parse("")).unwrap_err();
        let expected = format!("hubwire.toml: access_keys: {problem}: {advice}");
        assert_eq!(refused.to_string(), expected);
    }
}
