//! A run trains an encoder on images without their labels, evaluates it, and writes it to a folder.

mod conclusion;
mod follower;
mod hooks;
mod interrupt;
mod pace;
mod plan;
mod progress;
mod replay;
mod request;
mod rescue;
mod saver;
mod session;
mod stopped;
mod training;

use std::sync::Arc;

use burn::tensor::Device;
use selfsame_data::Splits;
use selfsame_kernels::{Ranks, Together};

use crate::clock::Clock;
use crate::device::job::Job;
use crate::device::ranks_on;
use crate::device::threads::bounded;
use crate::error::{Error, Interrupted, usage};
use crate::folder::origin::Origin;
use crate::folder::saved::{self, Saved};
use crate::folder::{self, RunFolder, SKIPPED, find};
use crate::images::{Sides, tell_left_out};
use crate::methods::with_method;
use crate::observer::{Event, Voice};
use crate::settings::RunConfig;
use crate::words::count;
use follower::Follower;
use rescue::{Rescue, or_lost};
use session::Session;

pub use interrupt::{Asked, Interrupt};
pub use replay::{Replayed, replay};
pub use request::{Finished, Run, Start};

pub use training::{Place, Training, loader};

/// Trains as `run` asks, on one device or on several.
///
/// `None` at ranks of an MPI job that are not the first.
fn start(run: &Run, voice: &Voice) -> anyhow::Result<Option<Finished>> {
    let (clock, interrupt) = (Clock::start(), run.interrupt.clone());
    let config = settings(run, voice)?;
    let mut devices = crate::device::parse_all(&config.device)?;
    let job = Job::join(voice)?;
    if devices.len() > 1 {
        if job.ranks().is_some() {
            return Err(usage(
                "--device: several processes were started together; give each process one device",
            ));
        }
        return on_devices(run, &config, devices, clock, voice);
    }
    let (ranks, device) = (job.ranks(), devices.remove(0));
    let voice = voice.clone();
    let result = match &ranks {
        None => {
            let rank = Rank { ranks, device, threads: None, rescue: None, interrupt, clock, voice };
            run_rank(run, config, rank)
        }
        Some(together) => {
            let (number, rescue) = (together.rank(), Arc::<Rescue>::default());
            if number == 0 {
                rescue.clone().watch(&interrupt, voice.clone());
            }
            let (kept, told) = (Some(rescue.clone()), voice.clone());
            let rank = Rank { ranks, device, threads: None, rescue: kept, interrupt, clock, voice };
            or_lost(number, &rescue, &told, || run_rank(run, config, rank))
        }
    };
    match &result {
        Err(error) if !error.is::<Interrupted>() => job.desert(),
        _ => job.end(),
    }
    result
}

/// The settings of a new or a resumed run.
fn settings(run: &Run, voice: &Voice) -> anyhow::Result<RunConfig> {
    let given = run.overrides.given(run.method)?;
    let (out, data) = (run.out.as_deref(), given.data_name());
    let old = run.resume.then(|| find(out, run.method, &data)).flatten();
    let mut config = match old.and_then(|old| Some((saved::settings(&old)?, old))) {
        Some((own, old)) => given.over(&own, &old)?,
        None => given.fresh()?,
    };
    config.data.threads = config.data.threads.map(|n| bounded(n, "data.threads", voice));
    Ok(config)
}

/// A rank for each device, all in this process.
fn on_devices(
    run: &Run,
    config: &RunConfig,
    devices: Vec<Device>,
    clock: Clock,
    voice: &Voice,
) -> anyhow::Result<Option<Finished>> {
    let threads = Some((rayon::current_num_threads() / devices.len()).max(1));
    let rescue = Arc::<Rescue>::default();
    let ranks = ranks_on(&config.device, &devices, config.train.nccl, voice)?;
    let mut ranks = ranks.into_iter().zip(devices).map(|(ranks, device)| Rank {
        ranks: Some(ranks),
        device,
        threads,
        rescue: Some(rescue.clone()),
        interrupt: run.interrupt.clone(),
        clock: clock.clone(),
        voice: voice.clone(),
    });
    let first = ranks.next().ok_or_else(|| usage("--device: name a device"))?;
    for (number, rank) in (1..).zip(ranks) {
        let (run, config, rescue) = (run.clone(), config.clone(), rescue.clone());
        let voice = voice.clone();
        // They end with the process. Nobody waits for them if the first one fails.
        std::thread::spawn(move || {
            let done = or_lost(number, &rescue, &voice, || run_rank(&run, config, rank));
            if let Err(error) = done {
                voice.tell(&Event::Lost(&Error::from(error)));
            }
        });
    }
    or_lost(0, &rescue, voice, || run_rank(run, config.clone(), first))
}

/// One of several ranks, or the only one.
struct Rank {
    ranks: Option<Arc<dyn Ranks>>,
    device: Device,
    /// Threads to compute with on a CPU; `None` for all.
    threads: Option<usize>,
    rescue: Option<Arc<Rescue>>,
    interrupt: Interrupt,
    /// Measures the time since the command began.
    clock: Clock,
    voice: Voice,
}

/// The result of the run; `None` except at the first rank.
fn run_rank(run: &Run, mut config: RunConfig, rank: Rank) -> anyhow::Result<Option<Finished>> {
    let Rank { ranks, device, threads, rescue, interrupt, clock, voice } = rank;
    if let Some(threads) = threads.or(run.threads) {
        config.data.threads.get_or_insert(threads);
    }
    let together = ranks.map(|ranks| Together { ranks, batch_norm: config.train.sync_batch_norm });
    let place = Place { device, together, threads, rescue, interrupt, voice: voice.clone() };
    training::check(&config, &place)?;
    check_out(run, &config)?;
    let views_chosen = config.views.size.is_none();
    let data = crate::images::open(&mut config, &voice)?;
    let ranks = place.together.as_ref().map_or(1, |together| together.ranks.count());
    let batches = crate::images::settle_batch(&mut config, &data, ranks)?;
    let (encoder, seed) = (config.encoder.resnet(), config.seed);
    let autodiff = place.device.clone().autodiff();
    if place.rank() > 0 {
        let follower = Follower { config: &config, data: &data, place };
        with_method(&config.settings, &encoder, seed, &autodiff, follower)?;
        return Ok(None);
    }

    let (folder, saved) = open_folder(run, &config, &data, &voice)?;
    voice.note(opening_line(&config, &data, &folder));
    if views_chosen {
        let size = config.views.view(0).size;
        voice.note(format_args!("views of {size}×{size}: {}", Sides::of(&data)?.reason()));
    }
    if let Some(line) = batches {
        voice.note(line);
    }
    tell_left_out(&data, Some(&folder.file(SKIPPED)), &voice);
    if let Some(cause) = data.untested() {
        voice.note(format_args!("no accuracy: {cause}"));
    }
    Origin::of(&data).write(&folder)?;
    if let Some(Together { ranks, .. }) = &place.together {
        let over_nccl = if ranks.device_sums().is_some() { "; they sum over NCCL" } else { "" };
        let ranks = count(ranks.count(), "rank");
        voice.note(format_args!("{ranks}, each with a part of every batch{over_nccl}"));
    }

    let command = run.command.as_deref();
    let (config, data, folder_of_run) = (&config, &data, &folder);
    let session = Session { config, data, folder: folder_of_run, saved, place, clock, command };
    let summary = with_method(&config.settings, &encoder, seed, &autodiff, session)?;
    Ok(Some(Finished::new(summary, folder.path().to_owned())))
}

/// # Errors
/// The run's folder is the folder of its images, or holds other files.
fn check_out(run: &Run, config: &RunConfig) -> anyhow::Result<()> {
    let Some(out) = &run.out else { return Ok(()) };
    let is_out = |images| {
        std::fs::canonicalize(out)
            .is_ok_and(|out| std::fs::canonicalize(images).is_ok_and(|images| images == out))
    };
    if config.data.images.as_ref().is_some_and(is_out) {
        return Err(usage("--out is the folder of the images; give the run another folder"));
    }
    folder::check_out(out)
}

/// The folder of a new run, or the folder and the state of a run to resume.
fn open_folder(
    run: &Run,
    config: &RunConfig,
    data: &Splits,
    voice: &Voice,
) -> anyhow::Result<(RunFolder, Option<Saved>)> {
    let out = run.out.as_deref();
    let existing = match run.resume {
        true => RunFolder::existing(out, config, voice)?,
        false => None,
    };
    if let (true, None, Some(out)) = (run.resume, &existing, out) {
        let out = out.display();
        voice.note(format_args!("there is no run in {out} to resume: the run starts anew"));
    }
    match existing {
        Some(folder) => {
            let saved = Saved::recover(&folder, config, data, voice)?;
            Ok((folder, saved))
        }
        None => Ok((RunFolder::create(out, config, run.force, voice)?, None)),
    }
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
