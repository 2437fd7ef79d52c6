//! The `hubwire` command, run as a process: configuration, commands, exit codes.

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

mod commands;
mod config;
mod config_hubs;
mod config_reload;
mod config_secrets;
mod process;
#[cfg(unix)]
mod serve;
mod tls;
