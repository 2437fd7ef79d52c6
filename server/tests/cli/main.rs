//! The `hubwire` command, run as a process: configuration, commands, exit codes.

mod commands;
mod config;
mod process;
