//! Every committed input through its target, on the stable compiler.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use hubwire_fuzz::{
    filter, json_decode, pattern, protobuf, rest_path, session, token_verify, ws_decode,
};

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        assert!(
            catch_unwind(|| run(&input)).is_ok(),
            "{} fails",
            path.display()
        );
        inputs += 1;
    }
    assert!(inputs > 0, "no corpus in {}", folder.display());
}

#[test]
fn filter_corpus() {
    replay("filter", filter);
}

#[test]
fn json_decode_corpus() {
    replay("json_decode", json_decode);
}

#[test]
fn pattern_corpus() {
    replay("pattern", pattern);
}

#[test]
fn protobuf_corpus() {
    replay("protobuf", protobuf);
}

#[test]
fn rest_path_corpus() {
    replay("rest_path", rest_path);
}

#[test]
fn session_corpus() {
    replay("session", session);
}

#[test]
fn token_verify_corpus() {
    replay("token_verify", token_verify);
}

#[test]
fn ws_decode_corpus() {
    replay("ws_decode", ws_decode);
}
