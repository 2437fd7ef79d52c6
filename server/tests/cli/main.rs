//! The `hubwire` command, run as a process: configuration, commands, exit codes.

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

mod client;
mod commands;
mod config;
mod config_hubs;
mod config_reload;
mod config_secrets;
mod foreign;
mod node;
mod process;
#[cfg(unix)]
mod serve;
mod service;
mod tls;
