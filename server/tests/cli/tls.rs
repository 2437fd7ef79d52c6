//! The certificate in the configuration, and the one that `--dev-tls` makes.

use crate::process::{Finished, Workspace, hubwire};

/// A certificate and its key, as PEM.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn workspace_with_pair() -> Workspace {
    let workspace = Workspace::new();
    let (certificate, key) = pair();
    workspace.write("cert.pem", &certificate);
    workspace.write("key.pem", &key);
    workspace.write("other.pem", &pair().1);
    workspace.write("empty.pem", "");
    #[cfg(unix)]
    workspace.set_mode("key.pem", 0o600);
    workspace
}

const GOOD: &str = "[tls]\ncertificate = 'cert.pem'\nkey = 'key.pem'\n";

#[test]
fn a_wrong_certificate_is_named_with_its_line() {
    let check = |file: &str, expected: &str| {
        let workspace = workspace_with_pair();
        workspace.write("hubwire.toml", file);
        for command in ["check-config", "serve"] {
            let run = hubwire(&workspace)
                .args([
                    command,
                    "--config",
                    "hubwire.toml",
                    "--listen",
                    "127.0.0.1:0",
                ])
                .finish();
            assert_eq!(run.code, 2, "{command}: {file}: {}", run.stderr);
            let told = run.stderr.lines().last().unwrap_or_default();
            assert!(
                told.starts_with(&format!("hubwire.toml:{expected}")),
                "{command}: {file}: {}",
                run.stderr
            );
        }
    };
    check(
        "[tls]\ncertificate = 'cert.pem'\n",
        "2: tls.certificate: needs tls.key too",
    );
    check(
        "[tls]\nkey = 'key.pem'\n",
        "2: tls.key: needs tls.certificate too",
    );
    check(
        "[tls]\ncertificate = ''\nkey = 'key.pem'\n",
        "2: tls.certificate: must name a file",
    );
    check(
        "[tls]\ncertificate = 'none.pem'\nkey = 'key.pem'\n",
        "2: tls.certificate: cannot read none.pem: ",
    );
    check(
        "[tls]\ncertificate = 'cert.pem'\nkey = 'none.pem'\n",
        "3: tls.key: cannot read none.pem: ",
    );
    check(
        "[tls]\ncertificate = 'empty.pem'\nkey = 'key.pem'\n",
        "2: tls.certificate: empty.pem holds no certificate in PEM form",
    );
    check(
        "[tls]\ncertificate = 'cert.pem'\nkey = 'cert.pem'\n",
        "3: tls.key: cert.pem holds no unencrypted private key in PEM form",
    );
    check(
        "[tls]\ncertificate = 'cert.pem'\nkey = 'other.pem'\n",
        "3: tls.key: other.pem does not hold the key of the certificate",
    );
    check(
        "[tls]\ncertificat = 'cert.pem'\n",
        "2: tls.certificat: unknown key (did you mean certificate?)",
    );
}

#[test]
fn a_certificate_that_is_not_valid_now_is_warned_about() {
    let workspace = workspace_with_pair();
    workspace.write("hubwire.toml", GOOD);
    let check = |(from, to): (i32, i32), expected: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        workspace.write("cert.pem", &params.self_signed(&key).unwrap().pem());
        workspace.write("key.pem", &key.serialize_pem());
        let run = hubwire(&workspace)
            .args(["check-config", "--config", "hubwire.toml"])
            .finish();
        assert_eq!(run.code, 0, "{run:?}");
        let begins = "hubwire.toml:2: tls.certificate: the certificate in cert.pem ";
        let told = run.stderr.strip_prefix(begins).unwrap_or(&run.stderr);
        assert!(
            told.starts_with(expected) && told.is_empty() == expected.is_empty(),
            "{run:?}"
        );
    };
    check((1990, 2020), "expired ");
    check((2999, 3000), "is not valid for another ");
    check((1990, 3000), "");
}

#[test]
fn with_a_certificate_the_endpoint_is_https() {
    let workspace = workspace_with_pair();
    workspace.write("hubwire.toml", GOOD);
    let run = |args: &[&str]| {
        hubwire(&workspace)
            .args(args)
            .args(["--config", "hubwire.toml"])
            .finish()
            .success()
    };
    let shown = run(&["check-config"]);
    assert!(
        shown.contains("endpoint = [\"https://localhost:8080\"]"),
        "{shown}"
    );
    assert!(shown.contains("certificate = \"cert.pem\""), "{shown}");
    let connection = run(&["connection-string"]);
    assert!(
        connection.starts_with("Endpoint=https://localhost:8080;"),
        "{connection}"
    );
    let url = run(&["token", "--hub", "chat"]);
    assert!(
        url.starts_with("wss://localhost:8080/client/hubs/chat?"),
        "{url}"
    );
    // Only a server has to be able to read the key.
    workspace.write("key.pem", "nothing");
    run(&["token", "--hub", "chat"]);
}

#[test]
fn dev_tls_is_for_this_machine_and_makes_nothing_until_it_serves() {
    let workspace = workspace_with_pair();
    let run = |args: &[&str]| -> Finished {
        let home = workspace.path().to_string_lossy().into_owned();
        hubwire(&workspace).env("HOME", &home).args(args).finish()
    };
    let connection = run(&["connection-string", "--dev-tls"]).success();
    assert!(
        connection.starts_with("Endpoint=https://localhost:8080;"),
        "{connection}"
    );
    let shown = run(&["check-config", "--dev-tls"]).success();
    assert!(
        shown.contains("--dev-tls: a certificate for this machine"),
        "{shown}"
    );
    assert!(!workspace.path().join(".local").exists());

    let refused = |args: &[&str], expected: &str| {
        let run = run(args);
        assert_eq!(run.code, 2, "{args:?}");
        assert!(run.stderr.contains(expected), "{args:?}: {}", run.stderr);
    };
    refused(
        &["serve", "--dev-tls", "--listen", "0.0.0.0:0"],
        "listen: 0.0.0.0:0 is not loopback: --dev-tls is for this machine only",
    );
    workspace.write("hubwire.toml", GOOD);
    refused(
        &["serve", "--dev-tls", "--config", "hubwire.toml"],
        "tls: given beside --dev-tls",
    );
    // Its folder must be one.
    workspace.write("file", "");
    refused(
        &[
            "serve",
            "--dev-tls",
            "--data-dir",
            "file",
            "--listen",
            "127.0.0.1:0",
        ],
        "file is not a directory",
    );
}
