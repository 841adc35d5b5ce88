//! Selfsame's command line. Every command is one module; this file only chooses.

// First: its macros take the place of the standard library's in all that follow.
#[macro_use]
mod output;

mod arguments;
mod augment;
mod bench;
mod bridge;
mod checkup;
mod config;
mod data;
mod dataset;
mod defaults;
mod device;
mod embed;
mod eval;
mod evaluate;
mod failure;
mod feature_cache;
mod fidelity;
mod finetune;
mod gallery;
#[cfg(any(feature = "cuda", feature = "wgpu", test))]
mod gpu;
mod hex;
mod invariance;
mod joined;
mod machine;
mod methods;
mod metrics;
mod names;
mod origin;
mod precision;
mod preprocessing;
mod pretrain;
mod progress;
mod ranks;
mod recipes;
mod replay;
mod report;
mod run_folder;
mod search;
mod search_index;
mod spread;
mod streamed;
mod study;
mod threads;
mod torture;
mod usage;
mod weights;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A training step takes and frees the same megabytes again and again; the system's allocator would
/// hand them back to the kernel each time and have them zeroed anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Self-supervised visual representation learning: pretrain an image encoder without labels,
/// evaluate it, and use it.
///
/// Start with `cargo xtask pretrain byol`: it needs no download, trains for a few minutes on a
/// CPU, and leaves weights and a report under runs/.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pretrain(pretrain::PretrainArgs),
    Eval(eval::EvalArgs),
    Compare(study::compare::CompareArgs),
    Ablate(study::ablate::AblateArgs),
    Embed(embed::EmbedArgs),
    Search(search::SearchArgs),
    Report(report::ReportArgs),
    Replay(replay::ReplayArgs),
    Dataset(dataset::DatasetArgs),
    Augment(augment::AugmentArgs),
    Config(config::ConfigArgs),
    Recipes(recipes::RecipesArgs),
    Fidelity(fidelity::FidelityArgs),
    Torture(torture::TortureArgs),
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    // A panic is a defect of ours; the user gets one line about it, not a backtrace.
    std::panic::set_hook(Box::new(|info| eprintln!("internal error: {info}")));
    let command = arguments::parse::<Cli>().command;
    match run(&command).and_then(|()| output::finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<pretrain::Interrupted>() => {
            eprintln!("{error}");
            ExitCode::from(pretrain::Interrupted::STATUS)
        }
        Err(error) => {
            eprintln!("error: {}", words::reasons(&error));
            ExitCode::from(usage::status(&error))
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    threads::start(match command {
        Command::Pretrain(args) => args.threads,
        _ => None,
    })?;
    match command {
        Command::Pretrain(args) => pretrain::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Compare(args) => study::compare::run(args),
        Command::Ablate(args) => study::ablate::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Search(args) => search::run(args),
        Command::Report(args) => report::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Dataset(args) => dataset::run(args),
        Command::Augment(args) => augment::run(args),
        Command::Config(args) => config::run(args),
        Command::Recipes(args) => recipes::run(args),
        Command::Fidelity(args) => fidelity::run(args),
        Command::Torture(args) => torture::run(args),
        Command::Bench(args) => bench::run(args),
    }
}
