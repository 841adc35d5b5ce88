//! `cargo xtask bench`: how fast this machine trains, augments and evaluates.

mod agree;
mod augment;
mod eval;
mod jpeg;
mod kernels;
mod photographs;
mod step;

use clap::{Args, Subcommand};

/// Measure how fast this machine trains, augments and evaluates.
#[derive(Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Step(step::StepArgs),
    Kernels(kernels::KernelArgs),
    Augment(augment::AugmentArgs),
    Agree(agree::AgreeArgs),
    Eval(eval::EvalArgs),
}

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Step(args) => step::run(args),
        What::Kernels(args) => kernels::run(args),
        What::Augment(args) => augment::run(args),
        What::Agree(args) => agree::run(args),
        What::Eval(args) => eval::run(args),
    }
}
