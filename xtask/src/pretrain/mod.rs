//! `cargo xtask pretrain`: everything wired together.

mod hooks;
mod interrupt;
mod saved;
mod session;
mod summary;

use std::path::PathBuf;

use clap::Args;
use selfsame_data::Splits;

use crate::config::{Overrides, RunConfig};
use crate::methods::{Method, with_method};
use crate::run_folder::{RunFolder, SKIPPED};
use crate::usage::usage;
use saved::Saved;
use session::Session;

pub use interrupt::Interrupted;
pub use session::{Doctor, trainer_config};
pub use summary::Summary;

/// Train an encoder on images without their labels.
///
/// Trains on the data set that comes with the repository unless --dataset or --images says
/// otherwise, evaluates on images never trained on, and leaves weights, metrics and a report in
/// the run's folder.
///
/// Ctrl-C, SIGTERM and SIGUSR1 (what SLURM sends ahead with --signal=USR1@60) finish the step, save everything and end
/// with status 75; a second one ends at once. `--resume auto` goes on from there, to the same weights bit for bit, and
/// after a crash or a power cut from the newest checkpoint that is intact. Status 1 is an error, 2 a request that cannot
/// work.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask pretrain byol
  cargo xtask pretrain barlow-twins --images my-photos/ --out runs/photos
  cargo xtask pretrain byol --recipe cifar10-1000ep
  cargo xtask pretrain byol --dataset cifar10 --set train.epochs=200 --set encoder.base_width=64
  cargo xtask pretrain byol --out runs/photos --resume auto")]
pub struct PretrainArgs {
    /// byol, barlow-twins, simclr, moco-v3, simsiam, vicreg, w-mse, dino or lejepa.
    #[arg(value_parser = Method::parse)]
    method: Method,
    #[command(flatten)]
    overrides: Overrides,
    /// The run's folder [default: the next free runs/METHOD-DATASET].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with an interrupted run: the one in --out, or the latest of the default name. Starts
    /// anew where there is none.
    #[arg(long, value_name = "auto", value_parser = ["auto"])]
    resume: Option<String>,
    /// Delete the run that --out holds and start anew.
    #[arg(long, conflicts_with = "resume", requires = "out")]
    force: bool,
    /// Threads to compute with [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print the summary as JSON on stdout.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &PretrainArgs) -> anyhow::Result<()> {
    let mut config = args.overrides.resolve(args.method)?;
    if let Some(threads) = args.threads {
        if threads == 0 {
            return Err(usage("--threads: at least 1"));
        }
        config.data.threads.get_or_insert(threads);
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let data = crate::data::open(&mut config)?;
    let device = crate::device::parse(&config.device)?;

    let existing = match args.resume {
        Some(_) => RunFolder::existing(args.out.as_deref(), &config)?,
        None => None,
    };
    let (folder, saved) = match existing {
        Some(folder) => {
            let saved = Saved::recover(&folder, &config, &data)?;
            (folder, saved)
        }
        None => (RunFolder::create(args.out.as_deref(), &config, args.force)?, None),
    };
    eprintln!("{}", opening_line(&config, &data, &folder));
    for skipped in data.skipped.iter().take(5) {
        eprintln!("skipped {}: {}", skipped.path.display(), skipped.reason);
    }
    if data.skipped.len() > 5 {
        eprintln!(
            "… and {} more, all in {}",
            data.skipped.len() - 5,
            folder.file(SKIPPED).display()
        );
    }

    let session = Session { config: &config, data: &data, folder: &folder, saved, device: &device };
    let summary = with_method(&config, &device.clone().autodiff(), session)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print!("{}", summary.table(&folder));
    }
    Ok(())
}

fn opening_line(config: &RunConfig, data: &Splits, folder: &RunFolder) -> String {
    let test = data.test.as_ref().map_or(0, |t| t.len());
    let size = config.views.view(0).size;
    format!(
        "{} on {}: {} training images, {test} test images, views of {size}×{size}, {:?} of base width {}, {} → {}",
        config.method.name(),
        data.name,
        data.train.len(),
        config.encoder.architecture,
        config.encoder.base_width,
        config.device,
        folder.path().display()
    )
}
