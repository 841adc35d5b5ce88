//! The program `selfsame`.

use std::process::ExitCode;

use clap::Parser;
use selfsame_cli::Command;

/// A training step takes and frees the same megabytes again and again; the system's allocator would
/// hand them back to the kernel each time and have them zeroed anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Self-supervised visual representation learning: pretrain an image encoder without labels,
/// evaluate it, and use it.
///
/// Start with `selfsame pretrain byol`: it needs no download and no GPU, trains for a few minutes,
/// and leaves weights and a report under runs/.
#[derive(Parser)]
#[command(name = "selfsame", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    selfsame_cli::main("selfsame", |cli: Cli| cli.command.run())
}
