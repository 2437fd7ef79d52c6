//! What the engine's tests stand on: a transport in memory, a client that speaks frames, and a
//! node whose clock and threads are the test's.

pub(crate) mod client;
pub(crate) mod pipe;
pub(crate) mod protobuf;
pub(crate) mod world;
