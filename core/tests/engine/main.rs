//! The engine from outside: real frames through real shards, over transports in memory and under
//! a virtual clock. `simulator` plays whole nodes at random against a model; `shard` pins down
//! one behaviour at a time; `support` is what both stand on. `stream` needs no shard.

#[cfg(test)]
mod shard;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod support;
