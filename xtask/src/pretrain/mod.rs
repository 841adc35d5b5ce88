//! `cargo xtask pretrain`: everything wired together.

mod clock;
mod follower;
mod hooks;
mod interrupt;
mod judged;
mod rescue;
mod saved;
mod session;
mod summary;
mod training;

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use clap::Args;
use selfsame_data::Splits;
use selfsame_kernels::{Ranks, Together};

use crate::config::{Overrides, RunConfig};
use crate::data::{Sides, say_left_out};
use crate::device::ranks_on;
use crate::methods::{Method, with_method};
use crate::origin::Origin;
use crate::ranks::Job;
use crate::run_folder::{RunFolder, SKIPPED, find};
use crate::threads::bounded;
use crate::usage::{status, usage};
use crate::words::{count, reasons};
use clock::Clock;
use follower::Follower;
use rescue::{Rescue, or_lost};
use saved::Saved;
use session::Session;

pub use interrupt::{Interrupt, Interrupted};
pub use session::Doctor;
pub use summary::Summary;
pub use training::{Place, Training, loader, trainer_config};

/// Train an encoder on images without their labels.
///
/// Trains on the data set that comes with the repository unless --dataset or --images says
/// otherwise, evaluates on images never trained on, and leaves weights, metrics and a report in
/// the run's folder.
///
/// Ctrl-C, SIGTERM, SIGHUP (a closed terminal) and SIGUSR1 (what SLURM sends ahead with --signal=USR1@60) finish the step,
/// save everything and end with status 75, before and after training at once; a second one ends at once. `--resume auto --out RUN` goes on from there, to the
/// same weights bit for bit, and after a crash or a power cut from the newest checkpoint that is intact. The settings are
/// in the run and need not be given again. Status 1 is an error, 2 a request that cannot work.
///
/// Several devices (--device cuda:0,cuda:1), and several processes that mpirun or srun starts in a build with --features
/// mpi, divide every batch among them and train what one would.
#[derive(Args, Clone)]
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
    pub threads: Option<usize>,
    /// Print the summary as JSON on stdout.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &PretrainArgs) -> anyhow::Result<()> {
    let (clock, interrupt) = (Clock::start(), Interrupt::watch()?);
    let config = settings(args)?;
    let mut devices = crate::device::parse_all(&config.device)?;
    let job = Job::join()?;
    if devices.len() > 1 {
        if job.ranks().is_some() {
            return Err(usage(
                "--device: several processes were started together; give each of them one device",
            ));
        }
        return on_devices(args, &config, devices, clock, interrupt);
    }
    let (ranks, device) = (job.ranks(), devices.remove(0));
    let result = match &ranks {
        None => {
            let rank = Rank { ranks, device, threads: None, rescue: None, interrupt, clock };
            run_rank(args, config, rank)
        }
        Some(together) => {
            let (number, rescue) = (together.rank(), Arc::<Rescue>::default());
            if number == 0 {
                rescue.clone().watch()?;
            }
            let kept = Some(rescue.clone());
            let rank = Rank { ranks, device, threads: None, rescue: kept, interrupt, clock };
            or_lost(number, &rescue, || run_rank(args, config, rank))
        }
    };
    match &result {
        Err(error) if !error.is::<Interrupted>() => job.desert(),
        _ => job.end(),
    }
    result
}

/// The settings of a new run, or of the one that goes on.
fn settings(args: &PretrainArgs) -> anyhow::Result<RunConfig> {
    let given = args.overrides.given(args.method)?;
    let run = args.resume.as_ref();
    let run = run.and_then(|_| find(args.out.as_deref(), args.method, &given.data_name()));
    let mut config = match run.and_then(|run| Some((saved::settings(&run)?, run))) {
        Some((own, run)) => given.over(&own, &run)?,
        None => given.fresh()?,
    };
    config.data.threads = config.data.threads.map(|n| bounded(n, "data.threads"));
    Ok(config)
}

/// A rank for each device, all in this process.
fn on_devices(
    args: &PretrainArgs,
    config: &RunConfig,
    devices: Vec<Device>,
    clock: Clock,
    interrupt: Interrupt,
) -> anyhow::Result<()> {
    let threads = Some((rayon::current_num_threads() / devices.len()).max(1));
    let rescue = Arc::<Rescue>::default();
    let ranks = ranks_on(&config.device, &devices, config.train.nccl)?;
    let mut ranks = ranks.into_iter().zip(devices).map(|(ranks, device)| Rank {
        ranks: Some(ranks),
        device,
        threads,
        rescue: Some(rescue.clone()),
        interrupt: interrupt.clone(),
        clock: clock.clone(),
    });
    let Some(first) = ranks.next() else { return Ok(()) };
    for (number, rank) in (1..).zip(ranks) {
        let (args, config, rescue) = (args.clone(), config.clone(), rescue.clone());
        // They end with the process: there is nobody to wait for them where the first one fails.
        std::thread::spawn(move || {
            if let Err(error) = or_lost(number, &rescue, || run_rank(&args, config, rank)) {
                eprintln!("error: {}", reasons(&error));
                std::process::exit(i32::from(status(&error)));
            }
        });
    }
    or_lost(0, &rescue, || run_rank(args, config.clone(), first))
}

/// One of those that train together, or the only one.
struct Rank {
    ranks: Option<Arc<dyn Ranks>>,
    device: Device,
    /// To compute with on a CPU; `None` for all there are.
    threads: Option<usize>,
    rescue: Option<Arc<Rescue>>,
    interrupt: Interrupt,
    /// Runs since the command began.
    clock: Clock,
}

fn run_rank(args: &PretrainArgs, mut config: RunConfig, rank: Rank) -> anyhow::Result<()> {
    let Rank { ranks, device, threads, rescue, interrupt, clock } = rank;
    if let Some(threads) = threads.or(args.threads.map(|_| rayon::current_num_threads())) {
        config.data.threads.get_or_insert(threads);
    }
    let together = ranks.map(|ranks| Together { ranks, batch_norm: config.train.sync_batch_norm });
    let place = Place { device, together, threads, rescue, interrupt };
    training::check(&config, &place)?;
    if let (Some(out), Some(images)) = (&args.out, &config.data.images)
        && std::fs::canonicalize(out)
            .is_ok_and(|out| std::fs::canonicalize(images).is_ok_and(|i| i == out))
    {
        return Err(usage(
            "--out is the folder of images itself; give the run a folder of its own",
        ));
    }
    let views_chosen = config.views.size.is_none();
    let data = crate::data::open(&mut config)?;
    let ranks = place.together.as_ref().map_or(1, |together| together.ranks.count());
    let batches = crate::data::settle_batch(&mut config, &data, ranks)?;
    if place.rank() > 0 {
        let autodiff = place.device.clone().autodiff();
        let follower = Follower { config: &config, data: &data, place };
        return with_method(&config, &autodiff, follower);
    }

    let existing = match args.resume {
        Some(_) => RunFolder::existing(args.out.as_deref(), &config)?,
        None => None,
    };
    if let (Some(_), None, Some(out)) = (&args.resume, &existing, &args.out) {
        eprintln!("there is no run in {} to go on with: it starts anew", out.display());
    }
    let (folder, saved) = match existing {
        Some(folder) => {
            let saved = Saved::recover(&folder, &config, &data)?;
            (folder, saved)
        }
        None => (RunFolder::create(args.out.as_deref(), &config, args.force)?, None),
    };
    eprintln!("{}", opening_line(&config, &data, &folder));
    if views_chosen {
        let size = config.views.view(0).size;
        eprintln!("views of {size}×{size}: {}", Sides::of(&data)?.reason());
    }
    if let Some(line) = batches {
        eprintln!("{line}");
    }
    say_left_out(&data, Some(&folder.file(SKIPPED)));
    if let Some(cause) = data.untested() {
        eprintln!("no accuracy: {cause}");
    }
    Origin::of(&data).write(&folder)?;
    if let Some(Together { ranks, .. }) = &place.together {
        let over_nccl = if ranks.device_sums().is_some() { "; they sum over NCCL" } else { "" };
        let ranks = count(ranks.count(), "rank");
        eprintln!("{ranks}, each with its part of every batch{over_nccl}");
    }

    let autodiff = place.device.clone().autodiff();
    let session = Session { config: &config, data: &data, folder: &folder, saved, place, clock };
    let summary = with_method(&config, &autodiff, session)?;
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
        "{} on {}: {}, {}, views of {size}×{size}, {:?} of base width {}, {} → {}",
        config.method.name(),
        data.name,
        count(data.train.len(), "training image"),
        count(test, "test image"),
        config.encoder.architecture,
        config.encoder.base_width,
        config.device,
        folder.path().display()
    )
}
