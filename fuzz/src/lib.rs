//! What must hold for any input of a decoder, and for anything that happens to a node: one function
//! per fuzz target.
//!
//! The targets in `fuzz_targets` hand libFuzzer's inputs to these functions, and
//! `tests/replay.rs` hands them the committed corpora.

mod again;
#[path = "../../proto/tests/ws_reference/agreement.rs"]
mod agreement;
mod engine;
mod filter;
mod json;
#[path = "../../proto/tests/pattern_reference/naive.rs"]
mod naive;
mod pattern;
mod protobuf;
mod rest;
mod session;
mod token;
#[path = "../../proto/tests/ws_reference/trace.rs"]
mod trace;
mod ws;

pub use filter::filter;
pub use json::json_decode;
pub use pattern::pattern;
pub use protobuf::protobuf;
pub use rest::rest_path;
pub use session::session;
pub use token::token_verify;
pub use ws::ws_decode;
