//! `cargo xtask`: every command of the program `selfsame`, and commands for its development.

#[macro_use(eprintln, print, println)]
extern crate selfsame_cli;

mod bench;
mod check;
mod dist;
mod fidelity;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A training step allocates and frees the same megabytes again and again. The system's allocator
/// would return them to the kernel each time, and the kernel would zero them again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Self-supervised visual representation learning: pretrain an image encoder without labels,
/// evaluate it, and use it. From a checkout.
///
/// Start with `cargo xtask pretrain byol`. It needs no download, trains for a few minutes on a CPU,
/// and writes weights and a report under runs/. The installed program is called `selfsame`. The
/// commands bench, check, dist, fidelity and torture are for work on Selfsame itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Selfsame(Box<selfsame_cli::Command>),
    Check(check::CheckArgs),
    Dist(dist::DistArgs),
    Fidelity(fidelity::FidelityArgs),
    Torture(torture::TortureArgs),
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    selfsame_cli::main("cargo xtask", |cli: Cli| match &cli.command {
        Command::Selfsame(command) => command.run(),
        Command::Check(args) => check::run(args),
        Command::Dist(args) => dist::run(args),
        Command::Fidelity(args) => fidelity::run(args),
        Command::Torture(args) => torture::run(args),
        Command::Bench(args) => bench::run(args),
    })
}
