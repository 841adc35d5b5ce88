//! The program `selfsame`.

use std::process::ExitCode;

use selfsame_cli::Selfsame;

/// A training step allocates and frees the same megabytes again and again. The system's allocator
/// would return them to the kernel each time, and the kernel would zero them again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    selfsame_cli::main("selfsame", |cli: Selfsame| cli.command.run())
}
