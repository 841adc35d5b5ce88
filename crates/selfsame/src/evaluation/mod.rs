//! Evaluation: frozen features next to their baselines.

mod bounds;
pub(crate) mod checkup;
mod course;
pub(crate) mod doctor;
pub(crate) mod finetune;
mod finetuning;
pub(crate) mod invariance;
pub(crate) mod judge;
mod outcome;
mod phases;
mod probes;
mod reading;
mod representation;
mod robustness;
mod show;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use selfsame_data::Splits;
use selfsame_eval::{Diagnosis, Evidence, Training};
use selfsame_models::ResNet;
use selfsame_models::init::WeightInit;
use selfsame_models::weights::load_state_dict;
use selfsame_trainers::{Checkpoint, Method};

use crate::error::usage;
use crate::evaluation::checkup::{Checkup, Examination, Untrained, training};
use crate::evaluation::judge::Judge;
use crate::features::cache::FeatureCache;
use crate::features::weights::load_encoder;
use crate::folder::judged::Evaluation;
use crate::folder::origin::Origin;
use crate::folder::{CONFIG, check_there, newest_checkpoint};
use crate::methods::{MethodTask, with_method};
use crate::observer::Voice;
use crate::settings::{RunConfig, images_at};

use bounds::Bounds;

pub use outcome::Outcome;

/// The settings of an evaluation.
#[derive(Debug, Clone)]
pub struct Options {
    /// The run's folder.
    pub run: PathBuf,
    /// Evaluate on another data set. Probes are trained and tested there. The encoder does not
    /// change.
    pub dataset: Option<String>,
    /// Evaluate on a folder of images with a sub-folder per class.
    pub images: Option<PathBuf>,
    /// Leave out the parts that take minutes: fine-tuning, the supervised encoder, corruptions.
    pub quick: bool,
    /// Use up to this many training and test images for every part, evenly over the classes.
    pub limit: Option<usize>,
    /// Repetitions of each part that depends on a random draw: few labels, k-means, fine-tuning on
    /// few labels.
    pub seeds: u64,
    /// A weight file, in place of the run's own.
    pub weights: Option<PathBuf>,
    /// Where to compute, if not on the device of the run.
    pub device: Option<String>,
}

impl Options {
    /// A whole evaluation of the run in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            run: folder.into(),
            dataset: None,
            images: None,
            quick: false,
            limit: None,
            seeds: 3,
            weights: None,
            device: None,
        }
    }
}

/// More repetitions than this are a slip of the finger.
pub(crate) const MOST_SEEDS: u64 = 1000;

/// The state that all parts of an evaluation share.
struct Setting<'a> {
    /// The settings of the run, with the data of the evaluation.
    pub config: &'a RunConfig,
    pub judge: &'a Judge,
    pub voice: &'a Voice,
    pub cache: &'a FeatureCache,
    /// A plain one.
    pub device: &'a Device,
    pub seeds: u64,
    pub bounds: Bounds,
}

/// All figures of the encoder of a run.
pub(crate) fn measure(args: &Options, voice: &Voice) -> anyhow::Result<Outcome> {
    if !(1..=MOST_SEEDS).contains(&args.seeds) {
        return Err(usage(format!("--seeds: from 1 to {MOST_SEEDS}")));
    }
    if args.limit.is_some_and(|limit| limit < 2) {
        return Err(usage("--limit: at least 2 images"));
    }
    let mut config = run_config(&args.run)?;
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    let transfer = args.dataset.is_some() || args.images.is_some();
    if transfer {
        transfer_to(&mut config, args)?;
    }
    if let Some(limit) = args.limit {
        for most in [&mut config.data.limit, &mut config.data.test_limit] {
            *most = Some(most.map_or(limit, |most| most.min(limit)));
        }
    }
    let device = crate::device::parse(&config.device)?;
    let trained = load_encoder(&args.run, &config, args.weights.as_deref(), &device)?;
    let untrained: ResNet =
        config.encoder.resnet().init(&mut WeightInit::new(config.seed, 0, &device))?;
    let data = crate::images::open(&mut config, voice)?;
    crate::images::tell_left_out(&data, None, voice);
    // Some of the images have changed since the run.
    if !transfer
        && args.limit.is_none()
        && let Some(difference) = Origin::difference(&args.run, &data)
    {
        voice.warn(difference);
    }
    let bounds = match args.limit {
        Some(limit) => Bounds::limit(limit),
        None => Bounds::new(&config, args.quick),
    };
    let judge = Judge::new(&config, &data, &device)?.at_most(bounds.all, &config)?;
    let cache = FeatureCache::new(&args.run, &config, &device, voice);
    let setting = Setting {
        config: &config,
        judge: &judge,
        voice,
        cache: &cache,
        device: &device,
        seeds: args.seeds,
        bounds,
    };
    course::evaluate(args, &setting, &data, transfer, [&trained, &untrained])
}

/// The same encoder and views on other images: all of them, with the run's statistics.
fn transfer_to(config: &mut RunConfig, args: &Options) -> anyhow::Result<()> {
    config.data.dataset.clone_from(&args.dataset);
    config.data.images = args.images.as_deref().map(images_at).transpose()?;
    (config.data.limit, config.data.test_limit, config.data.fraction) = (None, None, None);
    config.data.validation = None;
    Ok(())
}

/// The doctor's verdict on the features. It includes the projections if the run's own networks are
/// evaluated and still exist.
fn diagnose(
    args: &Options,
    config: &RunConfig,
    data: &Splits,
    evaluation: &Evaluation,
    before: &Evaluation,
    device: &Device,
    voice: &Voice,
) -> anyhow::Result<Diagnosis> {
    let checkpoint = newest_checkpoint(&args.run).filter(|_| args.weights.is_none());
    let checkpoint = checkpoint.and_then(|path| {
        let read = Checkpoint::read(&path);
        read.inspect_err(|error| {
            voice.warn(format_args!(
                "{error}; the doctor judges the features alone, without the projections"
            ));
        })
        .ok()
    });
    if let Some(checkpoint) = checkpoint {
        let images = data.test.as_ref().unwrap_or(&data.train);
        let checkup = Checkup::new(config, &**images, config.doctor.images, device)?;
        let task = Visit { config, checkup: &checkup, checkpoint };
        let (encoder, device) = (config.encoder.resnet(), device.clone().autodiff());
        let (examination, training) =
            with_method(&config.settings, &encoder, config.seed, &device, task)?;
        let untrained = Untrained {
            features: Some(&before.spread),
            projections: None,
            knn_top1: before.knn_top1,
        };
        return Ok(examination.diagnose(evaluation, &untrained, training));
    }
    let evidence = Evidence {
        trained: config.method.trained().filter(|_| args.weights.is_none()),
        features: Some(&evaluation.spread),
        untrained_features: Some(&before.spread),
        knn: evaluation.knn_gain(before.knn_top1),
        ..Evidence::default()
    };
    Ok(evidence.diagnose())
}

/// Examines the networks of a checkpoint.
struct Visit<'a> {
    config: &'a RunConfig,
    checkup: &'a Checkup,
    checkpoint: Checkpoint,
}

impl MethodTask for Visit<'_> {
    type Output = (Examination, Training);

    fn run<M: Method>(self, method: M) -> anyhow::Result<(Examination, Training)> {
        let method = load_state_dict(method, &self.checkpoint.weights(""))?;
        let (done, steps) = (self.checkpoint.header.step, self.checkpoint.header.steps);
        Ok((self.checkup.examine(&method.valid())?, training(self.config, done, steps)))
    }
}

/// The settings of the run in `folder`.
pub fn run_config(folder: &Path) -> anyhow::Result<RunConfig> {
    let path = folder.join(CONFIG);
    check_there(folder)?;
    if !path.is_file() {
        return Err(usage(format!(
            "{} is not the folder of a run: {CONFIG} is missing",
            folder.display()
        )));
    }
    RunConfig::read(&path)
}
