//! `selfsame compare`

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use selfsame::settings::Method;
use selfsame::workshop::words::shown;
use selfsame::{CompareOptions, Jobs, Studied, StudyOptions, compare};

use super::command_line;
use super::settings::SettingsArgs;
use crate::Terminal;

/// Compare methods: accuracy, cost, dependence on the batch size, collapse.
///
/// Trains every method for each batch size and seed, with the same images, encoder and budget. Each
/// run has its own process. Writes one page, Markdown and JSON, with tables and curves. The page
/// names common claims about the methods, and says whether these runs confirm them. If the runs can
/// tell, it says which method to choose. The same command resumes an interrupted comparison. The
/// exit status is 1 if every run failed.
///
/// A method keeps its own heads and learning rate (`selfsame config METHOD`). The rate scales with
/// the square root of the batch size, unless optimizer.scaling says otherwise. A setting of one
/// method, such as `--set byol.tau_base=0.99`, does not change the others.
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
    /// Batch sizes to compare [default: that of each method].
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    batch_sizes: Vec<usize>,
    /// Runs of each method and batch size, with the seeds from --seed on.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Epochs of every run, as with --set train.epochs=N [default: 10].
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    epochs: Option<u64>,
    /// Train each run for about this many minutes, in place of --epochs. A short run first measures
    /// the speed of each.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<f64>,
    /// Report the time to this k-NN accuracy, from 0 to 1 [default: the highest accuracy that all
    /// methods above the untrained encoder reach].
    #[arg(long, value_name = "ACCURACY")]
    accuracy: Option<f64>,
    /// The comparison's folder [default: runs/compare-DATASET].
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

/// The options of a study. This same program makes its runs.
pub(super) fn study(seeds: u64, out: Option<&PathBuf>, jobs: Jobs) -> anyhow::Result<StudyOptions> {
    let program = std::env::current_exe()?;
    Ok(StudyOptions {
        seeds,
        out: out.cloned(),
        jobs,
        program,
        command: Some(command_line()),
        interrupt: crate::interrupt::watch()?,
    })
}

/// The place of the reasons of failed runs.
fn why(found: &Studied) -> String {
    let folder = found.page.with_file_name("runs");
    format!("{}/NAME.log has what each printed", shown(&folder))
}

pub(super) fn show(found: &Studied, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&found.json)?);
    } else {
        println!("{}\npage {}", found.text, found.page.display());
    }
    let Studied { runs, failed, .. } = found;
    match failed {
        0 => Ok(()),
        all if all == runs => bail!("every run failed: {}", why(found)),
        some => {
            eprintln!("warning: {some} of {runs} runs failed: {}", why(found));
            Ok(())
        }
    }
}
