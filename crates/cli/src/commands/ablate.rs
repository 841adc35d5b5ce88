//! `selfsame ablate`

use std::path::PathBuf;

use clap::Args;
use selfsame::settings::Method;
use selfsame::{AblateOptions, Jobs, ablate};

use super::compare::{show, study};
use super::settings::SettingsArgs;
use crate::Terminal;

/// Take the parts of a method away, one at a time, and see what each is for.
///
/// Trains the method as it is, and without each of its parts: predictor, stop-gradient, momentum
/// and batch norm of the heads for BYOL; λ, standardisation and projector for Barlow Twins; what
/// stands against collapse in the other methods; and every augmentation. Writes a page, Markdown
/// and JSON with the collapse doctor's verdict on each. A study that was cut off goes on with the
/// same command.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame ablate byol
  selfsame ablate barlow-twins --only mechanism --only loss --seeds 3
  selfsame ablate byol --limit 4000 --set train.epochs=6 --out runs/ablation")]
pub struct AblateArgs {
    /// The method.
    #[arg(value_parser = Method::parse)]
    method: Method,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only what belongs to this: mechanism, momentum, loss, heads or augmentation; may be
    /// repeated.
    #[arg(long, value_name = "GROUP")]
    only: Vec<String>,
    /// Runs of each, with seeds that follow on --seed. One run of each is quick, and decides
    /// nothing.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// The study's folder [default: runs/ablate-METHOD-DATASET].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Runs at a time, each on its share of the cores. On small networks that is quicker as a
    /// whole, and the speed measured is that of the share.
    #[arg(long, value_name = "N", default_value = "1", value_parser = Jobs::parse)]
    jobs: Jobs,
    /// Print the figures of all runs as JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// Makes the runs, and prints what they show.
pub fn run(args: &AblateArgs, terminal: Terminal) -> anyhow::Result<()> {
    let options = AblateOptions {
        method: args.method,
        overrides: args.settings.overrides(),
        only: args.only.clone(),
        study: study(args.seeds, args.out.as_ref(), args.jobs)?,
    };
    show(&ablate(&options, terminal.observer())?, args.json)
}
