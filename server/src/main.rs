//! The `hubwire` command: the allocator and the exit code. Everything else is in the library.

use std::process::ExitCode;

// Sockets upgraded from HTTP leave short-lived large buffers between long-lived small ones;
// this allocator gives that memory back where others keep it.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hubwire::cli::main()
}
