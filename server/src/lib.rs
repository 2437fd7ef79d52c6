//! The Hubwire server as a library, so that tests can use its pieces; the binary is thin.
//!
//! Everything that knows about processes, sockets and HTTP is here: command line, configuration,
//! front door, REST, the shards' sockets. Wire formats are in `hubwire-proto`, the rules of the
//! engine in `hubwire-core`.

pub mod admin;
pub mod app;
pub mod cli;
mod clock;
pub mod config;
mod data_dir;
mod descriptors;
mod dispatch;
mod engine_settings;
pub mod front;
mod internal_key;
pub mod keys;
mod listener;
mod metrics;
mod private_file;
mod regular_file;
mod reload;
mod remote;
mod rest;
mod sealed;
mod sessions_file;
pub mod shards;
mod shutdown;
mod signals;
pub mod startup_screen;
pub mod telemetry;
pub mod tls;
