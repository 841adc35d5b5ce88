//! `selfsame ablate`

use std::path::PathBuf;

use clap::Args;
use selfsame::settings::Method;
use selfsame::{AblateOptions, Jobs, ablate};

use super::compare::{show, study};
use super::settings::SettingsArgs;
use crate::Terminal;

/// Remove the parts of a method, one at a time, and measure what each part does.
///
/// Trains the complete method, then the method without each part. The parts of BYOL: predictor,
/// stop-gradient, momentum and batch norm of the heads. The parts of Barlow Twins: λ,
/// standardisation and projector. The parts of the other methods: those that prevent collapse. Each
/// augmentation is a part, too.
///
/// Writes a page, Markdown and JSON, with the collapse doctor's verdict on each run. The same
/// command resumes an interrupted study. The exit status is 1 if every run failed.
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
    /// Remove the parts of this group only: mechanism, momentum, loss, heads or augmentation. May
    /// be repeated.
    #[arg(long, value_name = "GROUP")]
    only: Vec<String>,
    /// Runs of each variant, with the seeds from --seed on. One run of each is quick but decides
    /// nothing.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// The study's folder [default: runs/ablate-METHOD-DATASET].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Runs at a time, each on its share of the cores. This makes a study of small networks
    /// faster. The measured speed is then that of the share.
    #[arg(long, value_name = "N", default_value = "1", value_parser = Jobs::parse)]
    jobs: Jobs,
    /// Print the figures of all runs as JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// Makes the runs and prints the results.
pub fn run(args: &AblateArgs, terminal: Terminal) -> anyhow::Result<()> {
    let options = AblateOptions {
        method: args.method,
        overrides: args.settings.overrides(),
        only: args.only.clone(),
        study: study(args.seeds, args.out.as_ref(), args.jobs)?,
    };
    show(&ablate(&options, terminal.observer())?, args.json)
}
