//! Is the representation any good? Frozen features beside everything that they have to beat.

mod bounds;
pub(crate) mod checkup;
mod course;
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
use std::sync::Arc;

use burn::tensor::Device;
use selfsame_data::Splits;
use selfsame_eval::{Diagnosis, Evidence, Training};
use selfsame_models::ResNet;
use selfsame_models::init::WeightInit;
use selfsame_models::weights::load_state_dict;
use selfsame_trainers::{Checkpoint, Method};

use crate::error::Result;
use crate::error::usage;
use crate::evaluation::checkup::{Checkup, Examination, Untrained, training};
use crate::evaluation::judge::{Evaluation, Judge};
use crate::features::cache::FeatureCache;
use crate::features::weights::load_encoder;
use crate::methods::{MethodTask, with_method};
use crate::observer::{Observer, Voice};
use crate::page;
use crate::run::folder::origin::Origin;
use crate::run::folder::{CONFIG, EVALUATION, REPORT_DATA, newest_checkpoint, replace};
use crate::settings::{RunConfig, images_at};

use bounds::Bounds;

pub use outcome::Outcome;

/// What an evaluation looks at, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// The run's folder.
    pub run: PathBuf,
    /// Judge on another data set: probes are trained and tested there, the encoder stays as it is.
    pub dataset: Option<String>,
    /// Judge on a folder of images with class sub-folders.
    pub images: Option<PathBuf>,
    /// Leave out what takes minutes: fine-tuning, the supervised encoder, corruptions.
    pub quick: bool,
    /// Use up to so many training and test images, evenly over the classes, for every part.
    pub limit: Option<usize>,
    /// How often what depends on a draw is repeated: few labels, k-means, fine-tuning on few
    /// labels.
    pub seeds: u64,
    /// Another weight file than the run's own.
    pub weights: Option<PathBuf>,
    /// Where to compute, if not as the run.
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

/// What an evaluation found, and where it was written.
#[derive(Debug)]
pub struct Evaluated {
    /// All figures.
    pub outcome: Outcome,
    /// The figures as JSON, where they are those of the run's own weights.
    pub figures: Option<PathBuf>,
    /// The run's page, where they were added to it.
    pub report: Option<PathBuf>,
}

/// Says how good the encoder of a run is, beside what it has to be better than.
///
/// # Errors
/// A folder that holds no run; images, weights or a device that cannot be used.
pub fn evaluate(options: &Options, observer: Arc<dyn Observer>) -> Result<Evaluated> {
    Ok(run(options, &Voice::new(observer))?)
}

/// What all parts of an evaluation share.
struct Setting<'a> {
    /// Of the run, with the data that it is judged on.
    pub config: &'a RunConfig,
    pub judge: &'a Judge,
    pub voice: &'a Voice,
    pub cache: &'a FeatureCache,
    /// A plain one.
    pub device: &'a Device,
    pub seeds: u64,
    pub bounds: Bounds,
}

fn run(args: &Options, voice: &Voice) -> anyhow::Result<Evaluated> {
    if args.seeds == 0 {
        return Err(usage("--seeds: at least 1"));
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
    // Some of the images are not those that the run was made with.
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
    let outcome = course::evaluate(args, &setting, &data, transfer, [&trained, &untrained])?;

    let name = if transfer { format!("eval-{}.json", data.name) } else { EVALUATION.into() };
    let path = args.run.join(name.replace(['/', '\\'], "-"));
    // Figures of other weights are not the run's.
    let own = args.weights.is_none();
    if own {
        replace(&path, serde_json::to_string_pretty(&outcome)?.as_bytes())?;
    }
    // A run that has been cut short has no report yet.
    let page = own && args.run.join(REPORT_DATA).is_file();
    if page {
        let mut page = page::load(&args.run)?;
        page::add_evaluation(&mut page, &outcome);
        page::save(&args.run, &page)?;
    }
    let report = page.then(|| args.run.join(crate::run::folder::REPORT));
    Ok(Evaluated { outcome, figures: own.then_some(path), report })
}

/// The same encoder and views on other images: all of them, with the run's statistics.
fn transfer_to(config: &mut RunConfig, args: &Options) -> anyhow::Result<()> {
    config.data.dataset.clone_from(&args.dataset);
    config.data.images = args.images.as_deref().map(images_at).transpose()?;
    (config.data.limit, config.data.test_limit, config.data.fraction) = (None, None, None);
    config.data.validation = None;
    Ok(())
}

/// The doctor's verdict: on the features alone, or on the projections too where the run's own
/// networks are judged and still there.
fn diagnose(
    args: &Options,
    config: &RunConfig,
    data: &Splits,
    evaluation: &Evaluation,
    before: &Evaluation,
    device: &Device,
) -> anyhow::Result<Diagnosis> {
    if args.weights.is_none()
        && let Some(checkpoint) = newest_checkpoint(&args.run)
    {
        let images = data.test.as_ref().unwrap_or(&data.train);
        let checkup = Checkup::new(config, &**images, config.doctor.images, device)?;
        let task = Visit { config, checkup: &checkup, checkpoint: &checkpoint };
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
        trained: args.weights.is_none().then(|| config.method.trained()),
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
    checkpoint: &'a Path,
}

impl MethodTask for Visit<'_> {
    type Output = (Examination, Training);

    fn run<M: Method>(self, method: M) -> anyhow::Result<(Examination, Training)> {
        let checkpoint = Checkpoint::read(self.checkpoint)?;
        let method = load_state_dict(method, &checkpoint.weights(""))?;
        let (done, steps) = (checkpoint.header.step, checkpoint.header.steps);
        Ok((self.checkup.examine(&method.valid())?, training(self.config, done, steps)))
    }
}

/// The settings of the run in `folder`.
pub fn run_config(folder: &Path) -> anyhow::Result<RunConfig> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        return Err(usage(format!(
            "{} is not the folder of a run: {CONFIG} is missing",
            folder.display()
        )));
    }
    RunConfig::read(&path)
}
