//! A node from outside: the real binary, with one shard and with four, over real sockets.
//!
//! Case numbers are those of the protocol notes' black-box cases.

// A test target is all test, but the lints that spare tests look for the attribute.
#![cfg(test)]

mod clients;
mod front;
mod handshake;
mod hostile;
mod listing;
#[cfg(target_os = "linux")]
mod memory;
mod protobuf;
mod recovery;
mod reliable;
#[cfg(unix)]
mod reload;
mod rest;
#[cfg(unix)]
mod restart;
#[cfg(unix)]
mod shutdown;
mod slow;
mod support;
mod tls;
