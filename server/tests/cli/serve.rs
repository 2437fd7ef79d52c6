//! `hubwire serve` where it cannot start.

use std::net::TcpListener;

use crate::process::{Workspace, hubwire};

/// Runs `serve` with `file` and `args`, in which `TAKEN` stands for an address in use, and compares
/// the whole of what it says.
fn check(file: &str, args: &[&str], environment: Option<(&str, &str)>, expect: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let fill_in = |text: &str| text.replace("TAKEN", &taken);
    let workspace = Workspace::new();
    workspace.write("hubwire.toml", &fill_in(file));
    let args = ["--config", "hubwire.toml"].iter().chain(args);
    let mut run = hubwire(&workspace)
        .args(["serve"])
        .args(args.map(|arg| fill_in(arg)));
    if let Some((name, value)) = environment {
        run = run.env(name, &fill_in(value));
    }
    let finished = run.finish();
    assert_eq!(
        (finished.code, finished.stdout.as_str()),
        (2, ""),
        "{finished:?}"
    );
    let reason = std::io::Error::from_raw_os_error(rustix::io::Errno::ADDRINUSE.raw_os_error());
    let expect = fill_in(expect);
    assert_eq!(finished.stderr, format!("{expect}: {reason}\n"));
}

#[test]
fn an_address_in_use_is_named_with_the_place_that_gave_it() {
    let free = "listen = '127.0.0.1:0'\n";
    check(
        free,
        &["--listen", "TAKEN"],
        None,
        "--listen: listen: cannot listen on TAKEN",
    );
    check(
        "listen = 'TAKEN'\n",
        &[],
        None,
        "hubwire.toml:1: listen: cannot listen on TAKEN",
    );
    check(
        free,
        &[],
        Some(("HUBWIRE_LISTEN", "TAKEN")),
        "HUBWIRE_LISTEN: listen: cannot listen on TAKEN",
    );
    check(
        &format!("{free}admin_listen = 'TAKEN'\n"),
        &[],
        None,
        "hubwire.toml:2: admin_listen: cannot listen on TAKEN",
    );
    check(
        free,
        &["--admin-listen", "TAKEN"],
        None,
        "--admin-listen: admin_listen: cannot listen on TAKEN",
    );
}

#[test]
fn a_data_dir_in_use_is_named_with_the_place_that_gave_it() {
    let workspace = Workspace::new();
    workspace.write(
        "hubwire.toml",
        "listen = '127.0.0.1:0'\ndata_dir = 'data'\n",
    );
    let serve = || hubwire(&workspace).args(["serve", "--config", "hubwire.toml"]);
    let running = serve().start();
    // It says that it is ready once everything is its own.
    running.hear();
    let second = serve().finish();
    let expected = "hubwire.toml:2: data_dir: another process uses data; every server needs one of \
                    its own\n";
    assert_eq!((second.code, second.stderr.as_str()), (2, expected));
    running.interrupt();
    assert_eq!(running.finish().code, 0);
    let next = serve().start();
    next.hear();
    next.interrupt();
    assert_eq!(next.finish().code, 0);
}

#[test]
fn a_data_dir_that_cannot_be_locked_is_used_with_a_warning() {
    let workspace = Workspace::new();
    workspace.write(
        "hubwire.toml",
        "listen = '127.0.0.1:0'\ndata_dir = 'data'\n",
    );
    // Where the file of the lock belongs.
    std::fs::create_dir_all(workspace.path().join("data/lock")).unwrap();
    let running = hubwire(&workspace)
        .args(["serve", "--config", "hubwire.toml"])
        .start();
    running.hear();
    running.interrupt();
    let finished = running.finish();
    assert_eq!(finished.code, 0);
    assert!(
        finished.stderr.contains("cannot lock data_dir"),
        "{finished:?}"
    );
}
