//! The work that is the same on all ranks of a run.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};
use selfsame_augment::ViewPair;
use selfsame_data::{LoaderConfig, Shard, Splits, ViewLoader};
use selfsame_kernels::{Precision, Together, autocast, together};
use selfsame_trainers::{
    Checkpoint, Hooks, Method, Outcome, RunRecord, TrainError, Trainer, ViewSource,
};

use super::interrupt::Interrupt;
use super::rescue::Rescue;
use crate::device::job::share;
use crate::device::threads::of_loader;
use crate::error::usage;
use crate::features::images::{DeviceSource, LoaderSource};
use crate::observer::Voice;
use crate::settings::RunConfig;

/// The device of a rank, and the other ranks.
#[derive(Clone)]
pub struct Place {
    /// A plain device, without autodiff.
    pub device: Device,
    /// The other ranks, if there are any.
    pub together: Option<Together>,
    /// Threads to compute with on a CPU, if this process has several ranks.
    pub threads: Option<usize>,
    /// Where rank 0 keeps its state in case another rank is lost.
    pub rescue: Option<Arc<Rescue>>,
    /// The handle to end the run.
    pub interrupt: Interrupt,
    /// The observer.
    pub voice: Voice,
}

impl Place {
    /// The number of the rank, counted from 0.
    pub fn rank(&self) -> usize {
        self.together.as_ref().map_or(0, |together| together.ranks.rank())
    }
}

/// A trainer and its batches: whole batches, or this rank's part of each.
pub struct Training<M: Method> {
    /// The method and its optimiser.
    pub trainer: Trainer<M>,
    /// Makes the batches.
    pub loader: ViewLoader,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps per epoch. Not a whole number if the last batch of an epoch is not full.
    pub steps_per_epoch: f64,
    /// The step at which this call of `pretrain` ends.
    pub last_step: u64,
    accumulation: u64,
    precision: Precision,
    together: Option<Together>,
    on_device: Option<OnDevice>,
    /// Threads of this rank alone. Ranks of one process wait for each other, so they cannot share a
    /// pool.
    pool: Option<ThreadPool>,
}

impl<M: Method> Training<M> {
    /// The trainer at the first step.
    ///
    /// # Errors
    /// The settings do not fit the images.
    pub fn new(
        method: M,
        config: &RunConfig,
        data: &Splits,
        place: &Place,
    ) -> anyhow::Result<Self> {
        let train = &config.train;
        let Place { device, together, threads, .. } = place.clone();
        let shard = match &together {
            Some(Together { ranks, .. }) => Shard { index: ranks.rank(), count: ranks.count() },
            None => Shard::default(),
        };
        let loader = loader(config, data, shard)?;
        let accumulation = train.accumulation as u64;
        let steps = train.epochs * loader.batches_per_epoch() / accumulation;
        if steps == 0 {
            return Err(usage("the training images do not fill one step"));
        }
        let steps_per_epoch = steps as f64 / train.epochs as f64;
        let last_step = match train.stop_after {
            Some(epochs) => ((epochs * steps_per_epoch).round() as u64).min(steps),
            None => steps,
        };
        let trainer = Trainer::new(method, config.trainer(steps), &device.autodiff())?;
        let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = threads.map(pool).transpose()?;
        let precision = config.precision.into();
        let training = Self {
            trainer,
            loader,
            steps,
            steps_per_epoch,
            last_step,
            accumulation,
            precision,
            together,
            on_device: OnDevice::of(config, &place.device)?,
            pool,
        };
        Ok(training)
    }

    /// Gives all ranks the weights, the optimiser state and the position of rank 0. Only rank 0
    /// reads a checkpoint.
    pub fn start_as_rank_0(&mut self) -> anyhow::Result<()> {
        let Some(Together { ranks, .. }) = &self.together else { return Ok(()) };
        if ranks.rank() == 0 {
            let state = Checkpoint::to_bytes(&self.trainer.snapshot(), &RunRecord::default())?;
            share(&**ranks, Some(state));
        } else {
            let state = share(&**ranks, None);
            Checkpoint::parse(state, "what rank 0 sent".as_ref())?.restore(&mut self.trainer)?;
        }
        Ok(())
    }

    /// Whether there is anything to train. Rank 0 decides.
    pub fn as_rank_0(&self, mine: bool) -> bool {
        let mut answer = [u8::from(mine)];
        if let Some(Together { ranks, .. }) = &self.together {
            ranks.broadcast(&mut answer);
        }
        answer == [1]
    }

    /// Trains from the current position of the trainer on.
    pub fn fit(&mut self, hooks: &mut (dyn Hooks<M> + Send)) -> Result<Outcome, TrainError> {
        let first = self.trainer.steps_done();
        let batches = first * self.accumulation..self.last_step * self.accumulation;
        let mut source = source(&self.loader, batches, self.on_device.as_ref());
        let Self { trainer, precision, together: ranks, pool, .. } = self;
        let mut fit = || {
            together(ranks.clone(), || autocast(*precision, || trainer.fit(&mut *source, hooks)))
        };
        match pool {
            Some(pool) => pool.install(fit),
            None => fit(),
        }
    }
}

/// The device that makes the views, if it is not the CPU.
pub struct OnDevice {
    views: ViewPair,
    /// Without autodiff.
    device: Device,
}

impl OnDevice {
    /// The views on the device, if the settings ask for them.
    pub fn of(config: &RunConfig, device: &Device) -> anyhow::Result<Option<Self>> {
        let pair = || ViewPair::new(config.views.view(0), config.views.view(1));
        let device = device.clone().inner();
        config.views.on_device.then(|| Ok(Self { views: pair()?, device })).transpose()
    }
}

/// These batches of a loader.
pub fn source(
    loader: &ViewLoader,
    batches: Range<u64>,
    on_device: Option<&OnDevice>,
) -> Box<dyn ViewSource + Send> {
    let Range { start, end } = batches;
    match on_device {
        Some(OnDevice { views, device }) => Box::new(DeviceSource {
            stream: loader.stream_drawn(start, end),
            views: views.clone(),
            device: device.clone(),
        }),
        None => Box::new(LoaderSource(loader.stream(start, end))),
    }
}

/// Checks the settings for several ranks, before the run starts.
pub fn check(config: &RunConfig, place: &Place) -> anyhow::Result<()> {
    let Some(Together { ranks, .. }) = &place.together else { return Ok(()) };
    let (train, ranks) = (&config.train, ranks.count());
    let micro_batch = train.batch_size / train.accumulation;
    if !micro_batch.is_multiple_of(ranks) || micro_batch / ranks < 2 {
        return Err(usage(format!(
            "train.batch_size: {} in {} parts cannot be divided among {ranks} ranks with at least 2 images each",
            train.batch_size, train.accumulation
        )));
    }
    Ok(())
}

/// The loader of one shard. All shards together have the batches of a single loader.
pub fn loader(config: &RunConfig, data: &Splits, shard: Shard) -> anyhow::Result<ViewLoader> {
    let train = &config.train;
    let micro_batch = train.batch_size / train.accumulation;
    let pair = ViewPair::new(config.views.view(0), config.views.view(1))?;
    let settings = LoaderConfig {
        batch_size: micro_batch / shard.count,
        seed: config.seed,
        prefetch: config.data.prefetch,
        threads: of_loader(config.data.threads),
        shard,
    };
    Ok(ViewLoader::new(data.train.clone(), Arc::new(pair), &settings)?)
}
