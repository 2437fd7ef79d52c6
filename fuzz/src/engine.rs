//! What the engine's own tests stand on: a transport in memory, a client that speaks frames, and a
//! node whose clock and threads are ours.

#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../core/tests/engine/support/client.rs"]
pub(crate) mod client;
#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../core/tests/engine/support/pipe.rs"]
pub(crate) mod pipe;
#[expect(dead_code, reason = "the engine's tests need more of it")]
#[path = "../../core/tests/engine/support/world.rs"]
pub(crate) mod world;
