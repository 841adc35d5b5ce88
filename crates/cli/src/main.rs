//! The program `selfsame`.

use std::process::ExitCode;

use selfsame_cli::Selfsame;

/// A training step takes and frees the same megabytes again and again; the system's allocator would
/// hand them back to the kernel each time and have them zeroed anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    selfsame_cli::main("selfsame", |cli: Selfsame| cli.command.run())
}
