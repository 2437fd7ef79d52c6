//! The commands that need no running server.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire::config::{Config, Sources};
use hubwire_proto::connection_string::ConnectionString;
use hubwire_proto::token::{AccessKey, Claims, UnixSeconds, verify};

use crate::process::{Workspace, hubwire};

const PUBLIC_KEY: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH";
const PRIMARY: &str = "primary-key-of-at-least-32-bytes";
const SECONDARY: &str = "secondary-key-of-at-least-32-bytes";

fn claims(token: &str, key: &str) -> Claims {
    let key = AccessKey::new(key).unwrap();
    verify(token, &[&key], now(), Duration::ZERO).unwrap()
}

fn now() -> UnixSeconds {
    UnixSeconds(0).plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

fn run(workspace: &Workspace, line: &[&str]) -> String {
    hubwire(workspace).args(line).finish().success()
}

fn with_two_keys() -> Workspace {
    let workspace = Workspace::new();
    workspace.write(
        "hubwire.toml",
        &format!(
            "endpoint = ['https://wps.example.com/base/', 'http://localhost:1']\n\
             [access_keys]\nprimary = '{PRIMARY}'\nsecondary = '{SECONDARY}'\n"
        ),
    );
    workspace
}

#[test]
fn version_and_usage() {
    let workspace = Workspace::new();
    let version = format!("hubwire {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&workspace, &["--version"]), version);
    for wrong in [
        &["frobnicate"][..],
        &["--no-such-flag"],
        &["token"],
        &["token", "--hub", "chat", "--minutes", "0"],
        &["token", "--hub", "chat", "--rest", "/api/health"],
        &["--listen", "127.0.0.1:0", "check-config"],
    ] {
        let run = hubwire(&workspace).args(wrong).finish();
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{wrong:?}");
        assert!(
            run.stderr.starts_with("error: "),
            "{wrong:?}: {}",
            run.stderr
        );
    }
}

#[test]
fn a_client_url_carries_a_token_that_verifies() {
    let url = run(&Workspace::new(), &["token", "--hub", "Chat"]);
    let (address, token) = url.split_once("?access_token=").unwrap();
    assert_eq!(address, "ws://localhost:8080/client/hubs/Chat");
    let claims = claims(token, PUBLIC_KEY);
    assert_eq!(claims.audiences, ["http://localhost:8080/client/hubs/Chat"]);
    assert_eq!(
        (claims.subject, claims.roles.len(), claims.groups.len()),
        (None, 0, 0)
    );
    let left = claims.expires_at.0 - now().0;
    assert!((3500..=3600).contains(&left), "{left} seconds left");
}

#[test]
fn a_token_says_what_was_asked_for() {
    let line = "token --config hubwire.toml --hub chat --user ann --role sendToGroup \
                --role webpubsub.joinLeaveGroup.a.b --group a.b --group c --minutes 5 \
                --key secondary --output json";
    let json = run(
        &with_two_keys(),
        &line.split_whitespace().collect::<Vec<_>>(),
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let token = json["token"].as_str().unwrap();
    let base = "wss://wps.example.com/base/client/hubs/chat";
    assert_eq!(json["baseUrl"], base);
    assert_eq!(json["url"], format!("{base}?access_token={token}"));
    let claims = claims(token, SECONDARY);
    assert_eq!(
        claims.audiences,
        ["https://wps.example.com/base/client/hubs/chat"]
    );
    assert_eq!(claims.subject.as_deref(), Some("ann"));
    assert_eq!(
        claims.roles,
        ["webpubsub.sendToGroup", "webpubsub.joinLeaveGroup.a.b"]
    );
    assert_eq!(claims.groups, ["a.b", "c"]);
    assert!((1..=300).contains(&(claims.expires_at.0 - now().0)));
}

#[test]
fn a_rest_token_names_its_path() {
    let line = [
        "token",
        "--config",
        "hubwire.toml",
        "--rest",
        "/api/hubs/chat/:send?a=b",
    ];
    let claims = claims(&run(&with_two_keys(), &line), PRIMARY);
    assert_eq!(
        claims.audiences,
        ["https://wps.example.com/base/api/hubs/chat/:send"]
    );
}

#[test]
fn tokens_that_would_not_work_are_refused() {
    let check = |line: &[&str], expected: &str| {
        let run = hubwire(&Workspace::new())
            .args(["token"])
            .args(line)
            .finish();
        assert_eq!((run.code, run.stderr), (2, format!("{expected}\n")));
    };
    check(
        &["--hub", "1"],
        "--hub: a hub name is a letter, then at most 127 letters, digits or _ ` , . [ ]",
    );
    check(
        &["--hub", "chat", "--role", "sendToGruop"],
        "--role: \"webpubsub.sendToGruop\" has no effect: unknown role",
    );
    check(
        &["--hub", "chat", "--group", " "],
        "--group: \" \" is no group name: 1 to 1024 characters, not all blank",
    );
    check(
        &["--hub", "chat", "--user", ""],
        "--user: must not be empty",
    );
    check(
        &["--rest", "api/health"],
        "--rest: must be a path that begins with /api/",
    );
    check(
        &["--hub", "chat", "--key", "secondary"],
        "--key: access_keys.secondary: not configured",
    );
    check(
        &["--hub", "chat", "--listen", "127.0.0.1:0"],
        "endpoint: must be given, since listen leaves the port to the system",
    );
}

#[test]
fn connection_strings() {
    assert_eq!(
        run(&Workspace::new(), &["connection-string"]),
        format!("Endpoint=http://localhost:8080;AccessKey={PUBLIC_KEY};Version=1.0;")
    );
    let workspace = with_two_keys();
    let line = [
        "connection-string",
        "--config",
        "hubwire.toml",
        "--key",
        "secondary",
    ];
    let text = run(&workspace, &line);
    assert_eq!(
        text,
        format!("Endpoint=https://wps.example.com/base;AccessKey={SECONDARY};Version=1.0;")
    );
    let json = run(&workspace, &[&line[..], &["--output", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["connectionString"], text);
    assert_eq!(json["endpoint"], "https://wps.example.com/base");
    assert_eq!(json["accessKey"], SECONDARY);
}

#[test]
fn the_variable_that_names_the_file() {
    let workspace = with_two_keys();
    let line = hubwire(&workspace)
        .args(["connection-string"])
        .env("HUBWIRE_CONFIG", "hubwire.toml");
    assert!(line.finish().success().contains(PRIMARY));
}

#[test]
fn init_writes_a_file_that_works() {
    let workspace = Workspace::new();
    let told = run(
        &workspace,
        &[
            "init",
            "--listen",
            "0.0.0.0:80",
            "--endpoint",
            "https://a.example",
        ],
    );
    assert!(told.contains("hubwire --config hubwire.toml\n"), "{told}");
    assert!(
        told.ends_with("hubwire token --hub chat --config hubwire.toml"),
        "{told}"
    );

    let first = workspace.read("hubwire.toml");
    let config = Config::parse(Path::new("hubwire.toml"), &first).unwrap();
    let keys: Vec<_> = config.access_keys.iter().map(AccessKey::expose).collect();
    assert!(keys.len() == 2 && keys[0] != keys[1] && keys.iter().all(|key| key.len() == 44));
    assert_eq!(config.listen.to_string(), "0.0.0.0:80");
    assert_eq!(config.hub_defaults.event_handlers.len(), 1);

    let effective = run(&workspace, &["check-config", "--config", "hubwire.toml"]);
    assert!(
        !keys.iter().any(|key| effective.contains(key)),
        "{effective}"
    );
    assert!(effective.contains("primary = \"(redacted)\"\nsecondary = \"(redacted)\"\n"));
    let string = run(
        &workspace,
        &["connection-string", "--config", "hubwire.toml"],
    );
    let string = ConnectionString::parse(&string).unwrap();
    assert_eq!(string.access_key.expose(), keys[0]);
    assert_eq!(string.endpoint.to_string(), "https://a.example");
}

#[test]
fn init_replaces_nothing_unless_told_to() {
    let workspace = Workspace::new();
    run(&workspace, &["init"]);
    let first = workspace.read("hubwire.toml");
    let again = hubwire(&workspace).args(["init"]).finish();
    let expected = "hubwire.toml: already exists; --force replaces it and its keys\n";
    assert_eq!((again.code, again.stderr.as_str()), (2, expected));
    assert_eq!(workspace.read("hubwire.toml"), first);

    run(&workspace, &["init", "--force"]);
    assert_ne!(workspace.read("hubwire.toml"), first);
    assert_eq!(std::fs::read_dir(workspace.path()).unwrap().count(), 1);
}

#[test]
fn init_refuses_what_the_server_would_refuse() {
    let workspace = Workspace::new();
    let run = hubwire(&workspace)
        .args(["init", "--listen", "nowhere"])
        .finish();
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains(": listen: must be an IP address"),
        "{}",
        run.stderr
    );
    let run = hubwire(&workspace)
        .args(["init", "--config", "none/hubwire.toml"])
        .finish();
    let expected = "none/hubwire.toml: cannot write the configuration: \
                    No such file or directory (os error 2)\n";
    assert_eq!((run.code, run.stderr.as_str()), (2, expected));
    assert_eq!(std::fs::read_dir(workspace.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_keys() {
    use std::os::unix::fs::PermissionsExt;

    let workspace = Workspace::new();
    let mode = || {
        let file = workspace.path().join("hubwire.toml");
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777
    };
    run(&workspace, &["init"]);
    assert_eq!(mode(), 0o600);
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(workspace.path().join("hubwire.toml"), open).unwrap();
    run(&workspace, &["init", "--force"]);
    assert_eq!(mode(), 0o600);
}

#[test]
fn the_effective_configuration_reads_back_as_itself() {
    let workspace = Workspace::new();
    let check = |source: &str| {
        let file = workspace.write("hubwire.toml", source);
        let sources = Sources {
            file: Some(file.clone()),
            ..Sources::default()
        };
        let first = Config::load(&sources).unwrap();
        let effective = first.effective();
        // Keys do not come back, so that of the file has to be the public one.
        let second = Config::parse(&file, &effective).unwrap();
        assert_eq!(second.effective(), effective, "{source}");
        assert_eq!(second.hubs, first.hubs);
        assert_eq!(second.limits, first.limits);
    };
    check("");
    check("listen = '127.0.0.1:0'\ndata_dir = 'a \"b\" \\ c'\nadmin_listen = '[::1]:0'");
    check(
        "[limits]\nconnections = 7\n[log]\nformat = 'json'\n[hubs.'A.b']\n\
         anonymous_connect_policy = 'Allow'\n[[hubs.'A.b'.event_handlers]]\n\
         url_template = 'builtin:echo'\nsystem_events = ['connected', 'disconnected']\n\
         [[hubs.'A.b'.event_handlers]]\nurl_template = 'builtin:echo'\nuser_event_pattern = 'x, y'",
    );
}
