//! `selfsame compare`

use std::path::PathBuf;

use clap::Args;
use selfsame::settings::Method;
use selfsame::{CompareOptions, Jobs, Studied, StudyOptions, compare};

use super::command_line;
use super::settings::SettingsArgs;
use crate::Terminal;

/// Compare methods: accuracy, cost, dependence on the batch size, collapse.
///
/// Trains every method on the same images with the same encoder for the same budget, for each batch
/// size and seed, each run in a process of its own, and writes one page, Markdown and JSON: tables,
/// curves, what is said of the methods and whether these runs show it, and which to choose, if they
/// can tell. A comparison that was cut off goes on with the same command.
///
/// A method keeps its own heads and learning rate (`selfsame config METHOD`). The rate grows with
/// the square root of the batch size, from the batch size that it was chosen for, unless
/// optimizer.scaling says otherwise. A setting of one method, such as `--set byol.tau_base=0.99`,
/// leaves the others alone.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame compare byol barlow-twins
  selfsame compare byol barlow-twins simclr --batch-sizes 32,64,256 --seeds 3 --epochs 10
  selfsame compare byol barlow-twins --images my-photos/ --minutes 10 --out runs/mine")]
pub struct CompareArgs {
    /// Two or more methods.
    #[arg(value_parser = Method::parse, required = true, num_args = 1..)]
    methods: Vec<Method>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Images in a step, as many as are to be compared [default: each method's own].
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    batch_sizes: Vec<usize>,
    /// Runs of each, with seeds that follow on --seed.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Passes over the training images, the same for all, as --set train.epochs=N [default: 10].
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    epochs: Option<u64>,
    /// Train each run for about so many minutes instead; a short run first measures how fast each
    /// is.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<f64>,
    /// Report the time to this k-NN accuracy, from 0 to 1 [default: what every method reaches that
    /// beats the untrained encoder].
    #[arg(long, value_name = "ACCURACY")]
    accuracy: Option<f64>,
    /// The comparison's folder [default: runs/compare-DATASET].
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
pub fn run(args: &CompareArgs, terminal: Terminal) -> anyhow::Result<()> {
    let options = CompareOptions {
        methods: args.methods.clone(),
        overrides: args.settings.overrides(),
        batch_sizes: args.batch_sizes.clone(),
        epochs: args.epochs,
        minutes: args.minutes,
        accuracy: args.accuracy,
        study: study(args.seeds, args.out.as_ref(), args.jobs)?,
    };
    show(&compare(&options, terminal.observer())?, args.json)
}

/// A study whose runs this very program makes.
pub(super) fn study(seeds: u64, out: Option<&PathBuf>, jobs: Jobs) -> anyhow::Result<StudyOptions> {
    let program = std::env::current_exe()?;
    Ok(StudyOptions { seeds, out: out.cloned(), jobs, program, command: Some(command_line()) })
}

pub(super) fn show(found: &Studied, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&found.json)?);
    } else {
        print!("{}", found.markdown);
        println!("\n{}", found.page.display());
    }
    Ok(())
}
