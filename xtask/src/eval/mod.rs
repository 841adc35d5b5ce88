//! `cargo xtask eval`: is the representation any good?

mod bounds;
mod course;
mod finetuning;
mod outcome;
mod phases;
mod probes;
mod reading;
mod representation;
mod robustness;
mod show;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Args;
use selfsame_data::Splits;
use selfsame_eval::{Diagnosis, Evidence, Training};
use selfsame_models::ResNet;
use selfsame_models::init::WeightInit;
use selfsame_models::weights::load_state_dict;
use selfsame_trainers::{Checkpoint, Method};

use crate::checkup::{Checkup, Examination, Untrained, training};
use crate::config::{RunConfig, images_at};
use crate::evaluate::{Evaluation, Judge};
use crate::feature_cache::FeatureCache;
use crate::methods::{MethodTask, with_method};
use crate::origin::Origin;
use crate::report;
use crate::run_folder::{CONFIG, EVALUATION, REPORT_DATA, newest_checkpoint, replace};
use crate::usage::usage;
use crate::weights::load_encoder;

use bounds::Bounds;

pub use outcome::Outcome;

/// Say how good the encoder of a run is, beside what it has to be better than.
///
/// Scores its frozen features on images never trained on: weighted k-NN with the run's k and T and with those
/// chosen on held-out training images, a linear probe, linear probes that know few labels, and k-means; beside raw
/// pixels, their principal components, the untrained encoder, and the same encoder trained on the labels. Then fine-tuning,
/// the fifteen corruptions of CIFAR-10-C, and what the features are invariant to. Test images are looked at once,
/// everything is chosen on training images. Features are kept in the run's folder, the figures go to eval.json and into
/// the run's report.
///
/// The first figure, k-NN of the trained encoder, rests on all images. Of larger sets the rest takes some, evenly over
/// the classes: 10,000 training and 5,000 test images for the table of frozen features, 10,000 labels for training
/// whole networks. With --quick a large encoder sees fewer, as many as it can in some seconds on two cores, and pixels are
/// those of 16×16. All tables say how many. --limit chooses instead.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask eval runs/byol-fashion-mini
  cargo xtask eval runs/photos --quick                       # below a minute on two cores
  cargo xtask eval runs/photos --limit 50000                 # every part on so many images
  cargo xtask eval runs/photos --dataset cifar10 --quick     # transfer to other images
  cargo xtask eval runs/byol-shapes                          # of shapes, also which factors can be read")]
pub struct EvalArgs {
    /// The run's folder.
    run: PathBuf,
    /// Judge on another data set: probes are trained and tested there, the encoder stays as it is.
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    dataset: Option<String>,
    /// Judge on a folder of images with class sub-folders.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Leave out what takes minutes: fine-tuning, the supervised encoder, corruptions.
    #[arg(long)]
    quick: bool,
    /// Use up to N training and N test images, evenly over the classes, for every part, however long that takes.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How often what depends on a draw is repeated: few labels, k-means, fine-tuning on few labels.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Another weight file than the run's own: a checkpoint, or weights in torchvision's names.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where to compute [default: as the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What all parts of an evaluation share.
pub struct Setting<'a> {
    /// Of the run, with the data that it is judged on.
    pub config: &'a RunConfig,
    pub judge: &'a Judge,
    pub cache: &'a FeatureCache,
    /// A plain one.
    pub device: &'a Device,
    pub seeds: u64,
    pub bounds: Bounds,
}

pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
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
    let data = crate::data::open(&mut config)?;
    crate::data::say_left_out(&data, None);
    // Some of the images are not those that the run was made with.
    if !transfer
        && args.limit.is_none()
        && let Some(difference) = Origin::difference(&args.run, &data)
    {
        eprintln!("warning: {difference}");
    }
    let bounds = match args.limit {
        Some(limit) => Bounds::limit(limit),
        None => Bounds::new(&config, args.quick),
    };
    let judge = Judge::new(&config, &data, &device)?.at_most(bounds.all, &config)?;
    let cache = FeatureCache::new(&args.run, &config, &device);
    let setting = Setting {
        config: &config,
        judge: &judge,
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
        let mut page = report::load(&args.run)?;
        report::add_evaluation(&mut page, &outcome);
        report::save(&args.run, &page)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{}", outcome.text());
        if own {
            println!("\n  figures {}", path.display());
        }
        if page {
            println!("  report  {}", args.run.join(crate::run_folder::REPORT).display());
        }
    }
    Ok(())
}

/// The same encoder and views on other images: all of them, with the run's statistics.
fn transfer_to(config: &mut RunConfig, args: &EvalArgs) -> anyhow::Result<()> {
    config.data.dataset.clone_from(&args.dataset);
    config.data.images = args.images.as_deref().map(images_at).transpose()?;
    (config.data.limit, config.data.test_limit, config.data.fraction) = (None, None, None);
    config.data.validation = None;
    Ok(())
}

/// The doctor's verdict: on the features alone, or on the projections too where the run's own networks are judged and
/// still there.
fn diagnose(
    args: &EvalArgs,
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
        let (examination, training) = with_method(config, &device.clone().autodiff(), task)?;
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
            "{} is not the folder of a run: it has no {CONFIG}",
            folder.display()
        )));
    }
    RunConfig::read(&path)
}
