//! Secrets in the configuration: where they may come from, and what is said about them.

use crate::config::{KEY, load, refused};
use crate::process::{Workspace, hubwire};

#[test]
fn secrets_come_from_text_variable_or_file() {
    let workspace = Workspace::new();
    workspace.write("key.txt", &format!("{KEY}\r\n"));
    let environment = [("MY_KEY", KEY)];
    let absolute = workspace.path().join("key.txt").display().to_string();
    for given in [
        format!("'{KEY}'"),
        "{ env = 'MY_KEY' }".to_owned(),
        "{ file = 'key.txt' }".to_owned(),
        format!("{{ file = '{absolute}' }}"),
    ] {
        let file = format!("access_keys.secondary = {given}");
        let config = load(&workspace, Some(&file), &environment, &[]).unwrap();
        assert_eq!(
            config.access_keys.secondary.as_ref().unwrap().expose(),
            KEY,
            "{given}"
        );
        assert!(!format!("{config:?}").contains(KEY), "a secret in Debug");
    }
    let flag: (_, _, &[&str]) = (
        "--access-key-file",
        "access_keys.primary.file",
        &[&absolute],
    );
    let config = load(
        &workspace,
        Some("access_keys.primary = { env = 'NONE' }"),
        &[],
        &[flag],
    );
    assert_eq!(config.unwrap().access_keys.primary.expose(), KEY);
}

#[test]
fn bad_access_keys() {
    let key = |toml: &str, problem: &str| {
        refused(
            &format!("[access_keys]\nprimary = {toml}"),
            &format!("2: access_keys.primary: {problem}"),
        );
    };
    key("'short'", "an access key needs at least 32 bytes, not 5");
    key("''", "an access key needs at least 32 bytes, not 0");
    key(
        &format!("'{}'", "k".repeat(4097)),
        "an access key has at most 4096 bytes",
    );
    key(&format!("'{KEY};'"), "an access key must not contain ';'");
    key(
        &format!("'{KEY} '"),
        "an access key must not begin or end with a blank",
    );
    key(
        &format!("\"{KEY}\\u0007\""),
        "an access key must not contain control characters or line breaks",
    );
    key(
        "{ env = 'NO_SUCH_VARIABLE' }",
        "the environment variable NO_SUCH_VARIABLE is not set or empty",
    );
    key(
        "{ file = 'none' }",
        "cannot read none: No such file or directory (os error 2)",
    );
    key(
        "{ file = 'hubwire.toml' }",
        "an access key must not contain control characters or line breaks",
    );
}

#[test]
fn an_empty_secret_is_not_taken() {
    let workspace = Workspace::new();
    workspace.write("empty", "\n");
    workspace.write("short", "too short\n");
    for (secondary, problem) in [
        ("{ file = 'empty' }", "empty is empty"),
        (
            "{ file = 'short' }",
            "an access key needs at least 32 bytes, not 9",
        ),
        ("{ file = '.' }", "cannot read .: is a directory"),
        (
            "{ env = 'EMPTY' }",
            "the environment variable EMPTY is not set or empty",
        ),
    ] {
        let file = format!("\n\naccessKeys.secondary = {secondary}");
        workspace.write("hubwire.toml", &file);
        let run = hubwire(&workspace)
            .args(["check-config", "--config", "hubwire.toml"])
            .env("EMPTY", "")
            .finish();
        let expected = format!("hubwire.toml:3: accessKeys.secondary: {problem}\n");
        assert_eq!((run.code, run.stderr), (2, expected), "{secondary}");
    }
}

/// Warned about or not, the configuration holds, and no secret is shown.
#[cfg(unix)]
fn warned(workspace: &Workspace, environment: &[(&str, &str)], expected: &str) {
    let mut run = hubwire(workspace).args(["check-config", "--config", "hubwire.toml"]);
    for (name, value) in environment {
        run = run.env(name, value);
    }
    let run = run.finish();
    assert_eq!((run.code, run.stderr.as_str()), (0, expected));
    assert!(run.stdout.contains("secondary = \"(redacted)\""));
    assert!(!run.stdout.contains(KEY), "{}", run.stdout);
}

#[cfg(unix)]
#[test]
fn a_secret_that_everybody_may_read_is_warned_about() {
    let workspace = Workspace::new();
    let warning = |place: &str, file: &str| {
        format!(
            "{place}: access_keys.secondary: every user of this machine may read {file} (mode \
             644); chmod 600 keeps it to its owner\n"
        )
    };
    workspace.write("key.txt", KEY);
    workspace.write(
        "hubwire.toml",
        "access_keys.secondary = { file = 'key.txt' }",
    );
    for (mode, expected) in [
        (0o644, warning("hubwire.toml:1", "key.txt")),
        (0o640, String::new()),
        (0o600, String::new()),
    ] {
        workspace.set_mode("key.txt", mode);
        warned(&workspace, &[], &expected);
    }
    // The file of the configuration is one too when the key stands in it.
    workspace.write("hubwire.toml", &format!("access_keys.secondary = '{KEY}'"));
    workspace.set_mode("hubwire.toml", 0o644);
    warned(&workspace, &[], &warning("hubwire.toml:1", "hubwire.toml"));
    workspace.set_mode("hubwire.toml", 0o600);
    warned(&workspace, &[], "");
    // What comes from elsewhere leaves the file without a secret.
    workspace.write("hubwire.toml", "");
    workspace.set_mode("hubwire.toml", 0o644);
    warned(&workspace, &[("HUBWIRE_ACCESS_KEYS__SECONDARY", KEY)], "");
    workspace.set_mode("key.txt", 0o644);
    let variable = "HUBWIRE_ACCESS_KEYS__SECONDARY__FILE";
    warned(
        &workspace,
        &[(variable, "key.txt")],
        &warning(variable, "key.txt"),
    );
}

/// A pipe would be waited for, at start and at every reload.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let workspace = Workspace::new();
    let pipe = std::process::Command::new("mkfifo")
        .arg(workspace.path().join("pipe"))
        .status();
    assert!(pipe.unwrap().success());
    std::os::unix::fs::symlink("pipe", workspace.path().join("link")).unwrap();
    let check = |args: &[&str], expected: &str| {
        let run = hubwire(&workspace).args(args).start().wait();
        assert_eq!(run.code, 2, "{args:?}: {run:?}");
        assert!(run.stderr.ends_with(expected), "{args:?}: {run:?}");
    };
    let no_file = "not a regular file\n";
    check(
        &["check-config", "--config", "pipe"],
        &format!("pipe: cannot read the configuration: {no_file}"),
    );
    check(
        &["check-config", "--access-key-file", "link"],
        &format!("--access-key-file: access_keys.primary: cannot read link: {no_file}"),
    );
    for name in ["pipe", "link", "/dev/zero"] {
        let file = format!("access_keys.secondary = {{ file = '{name}' }}");
        workspace.write("hubwire.toml", &file);
        check(
            &["check-config", "--config", "hubwire.toml"],
            &format!("hubwire.toml:1: access_keys.secondary: cannot read {name}: {no_file}"),
        );
    }
    workspace.write("pair.pem", "");
    let tls = |certificate: &str, key: &str| {
        let file = format!("[tls]\ncertificate = '{certificate}'\nkey = '{key}'\n");
        workspace.write("hubwire.toml", &file);
    };
    tls("link", "pair.pem");
    check(
        &[
            "serve",
            "--config",
            "hubwire.toml",
            "--listen",
            "127.0.0.1:0",
        ],
        &format!("hubwire.toml:2: tls.certificate: cannot read link: {no_file}"),
    );
    tls("pair.pem", "pipe");
    check(
        &["check-config", "--config", "hubwire.toml"],
        &format!("hubwire.toml:3: tls.key: cannot read pipe: {no_file}"),
    );
    // The secrets of Kubernetes are links.
    workspace.write("key.txt", KEY);
    workspace.set_mode("key.txt", 0o600);
    std::os::unix::fs::symlink("key.txt", workspace.path().join("key")).unwrap();
    workspace.write("hubwire.toml", "access_keys.secondary = { file = 'key' }");
    warned(&workspace, &[], "");
}

#[test]
fn a_damaged_internal_key_stops_the_start_and_is_kept() {
    let workspace = Workspace::new();
    workspace.write(
        "hubwire.toml",
        "listen = '127.0.0.1:0'\nendpoint = 'http://localhost:1'\ndata_dir = 'data'\n",
    );
    let run = |command: &str| {
        hubwire(&workspace)
            .args([command, "--config", "hubwire.toml"])
            .finish()
    };
    // To check is not to create.
    assert_eq!(run("check-config").code, 0);
    assert!(!workspace.path().join("data").exists());
    std::fs::create_dir(workspace.path().join("data")).unwrap();
    workspace.write("data/internal.key", "damaged");
    for command in ["check-config", "serve"] {
        let run = run(command);
        let expected = "hubwire.toml:3: data_dir: data/internal.key is no internal key; restore \
                        it, or delete it to get a new one, which ends the client tokens that this \
                        server has issued\n";
        assert_eq!((run.code, run.stderr.as_str()), (2, expected), "{command}");
    }
    assert_eq!(workspace.read("data/internal.key"), "damaged");
}
