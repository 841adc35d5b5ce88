//! `cargo xtask bench`: how fast this machine trains and augments.

mod augment;
mod kernels;
mod step;

use clap::{Args, Subcommand};

/// Measure how fast this machine trains and augments.
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
}

pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Step(args) => step::run(args),
        What::Kernels(args) => kernels::run(args),
        What::Augment(args) => augment::run(args),
    }
}
