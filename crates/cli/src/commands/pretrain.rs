//! `selfsame pretrain`

use std::path::PathBuf;

use clap::Args;
use selfsame::settings::Method;
use selfsame::{Run, Start};

use super::command_line;
use super::settings::SettingsArgs;
use crate::{Terminal, interrupt};

/// Train an encoder on images without their labels.
///
/// Trains on the data set that comes with the program, or on that of --dataset or --images.
/// Evaluates on images never trained on. Writes weights, metrics and a report to the run's folder.
/// The words of the report are explained in
/// https://github.com/selfsame-rs/selfsame/blob/main/docs/TERMS.md
///
/// Ctrl-C finishes the step, saves everything and ends with status 75. So do SIGTERM, SIGHUP (a
/// closed terminal) and SIGUSR1 (SLURM sends it early with --signal=USR1@60). Outside of
/// the training steps, and at a second signal, the run ends at once.
///
/// `--resume auto --out RUN` resumes the run, to the same weights bit for bit. After a crash or a
/// power cut it resumes from the newest intact checkpoint. The run's folder has the settings, so
/// they need not be given again. Status 1 is an error, 2 a request that cannot work.
///
/// Several devices (--device cuda:0,cuda:1) share every batch and train the same network as one
/// device. So do several processes of mpirun or srun, in a build with --features mpi.
#[derive(Args, Clone)]
#[command(after_help = "Examples:
  selfsame pretrain byol
  selfsame pretrain barlow-twins --images my-photos/ --out runs/photos
  selfsame pretrain byol --recipe cifar10-1000ep
  selfsame pretrain byol --dataset cifar10 --set train.epochs=200 --set encoder.base_width=64
  selfsame pretrain byol --out runs/photos --resume auto")]
pub struct PretrainArgs {
    #[arg(value_parser = Method::parse, help = methods())]
    method: Method,
    #[command(flatten)]
    settings: SettingsArgs,
    /// The run's folder, new or empty [default: the next free runs/METHOD-DATASET].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Resume an interrupted run: the one in --out, or the latest with the default name. If
    /// there is no such run, start a new one.
    #[arg(long, value_name = "auto", value_parser = ["auto"], num_args = 0..=1,
        default_missing_value = "auto")]
    resume: Option<String>,
    /// Delete the run in --out and start a new one. Other files there stay.
    #[arg(long, conflicts_with = "resume", requires = "out")]
    force: bool,
    /// Threads to compute with [default: one per core].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print the summary as JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// Trains and prints the summary.
pub fn run(args: &PretrainArgs, terminal: Terminal) -> anyhow::Result<()> {
    let interrupt = interrupt::watch()?;
    selfsame::workshop::end_with_study();
    let mut run = Run::of(args.method)
        .overrides(args.settings.overrides())
        .existing(match (&args.resume, args.force) {
            (Some(_), _) => Start::Resume,
            (None, true) => Start::Replace,
            (None, false) => Start::New,
        })
        .command(command_line())
        .interrupt(&interrupt)
        .observer(terminal);
    if let Some(out) = &args.out {
        run = run.out(out);
    }
    if args.threads.is_some() {
        run = run.threads(rayon::current_num_threads());
    }
    // Only the first rank prints the summary.
    let Some(finished) = run.start_rank()? else { return Ok(()) };
    if args.json {
        println!("{}", serde_json::to_string_pretty(finished.summary())?);
    } else {
        print!("{}", finished.table());
    }
    Ok(())
}

/// The names of all methods: `byol, barlow-twins or …`.
fn methods() -> String {
    let [others @ .., last] = Method::ALL.map(Method::name);
    format!("{} or {last}", others.join(", "))
}
