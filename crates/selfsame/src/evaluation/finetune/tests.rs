//! Tests of fine-tuning.

use std::sync::atomic::{AtomicUsize, Ordering};

use image::RgbImage;
use selfsame_data::{DataError, Labels, ShapesDataset, Subset};
use selfsame_models::weights::state_dict;

use super::*;
use crate::observer::Voice;
use crate::settings::Method;
use crate::settings::Overrides;

fn config(threads: usize) -> RunConfig {
    let threads = format!("data.threads={threads}");
    let set = ["encoder.base_width=2", "views.size=8", "eval.batch_size=7", &threads];
    let set = set.into_iter().map(str::to_owned).collect();
    Overrides { set, ..Overrides::default() }.resolve(Method::Byol).unwrap()
}

fn settings() -> FinetuneSettings {
    FinetuneSettings { epochs: 2, min_steps: 5, batch_size: 16, ..FinetuneSettings::default() }
}

/// One shape of each of the ten classes, so the batch is larger than the set.
fn one_of_each() -> Arc<dyn ImageDataset> {
    let shapes = Arc::new(ShapesDataset::new(0, 0, 200));
    Arc::new(Subset::labelled(shapes, Labels::PerClass(1), 0).unwrap())
}

fn finetune<'a>(
    config: &'a RunConfig,
    device: &'a Device,
    test: Arc<dyn ImageDataset>,
) -> Finetune<'a> {
    Finetune { config, train: one_of_each(), test, settings: settings(), device }
}

fn go_on(_: &SupervisedReport) -> Flow {
    Flow::Continue
}

#[test]
fn the_same_seed_ends_in_the_same_bits_on_any_number_of_threads() {
    let run = |threads: usize, seed: u64, pretrained: bool| {
        let (config, device) = (config(threads), Device::flex());
        let encoder = config.encoder.resnet().init(&mut WeightInit::new(9, 0, &device)).unwrap();
        let before = state_dict(&encoder).unwrap();
        let start = if pretrained { Start::Pretrained(&encoder) } else { Start::Scratch };
        let test = Arc::new(ShapesDataset::new(1, 0, 20));
        let mut losses = Vec::new();
        let mut note = |report: &SupervisedReport| {
            losses.push(report.loss.to_bits());
            Flow::Continue
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let tune = finetune(&config, &device, test);
        // The kernels compute in the pool that they are called from.
        let result = pool.install(|| tune.run(start, seed, &mut note)).unwrap();
        assert_eq!(state_dict(&encoder).unwrap(), before);
        assert_eq!((result.correct.len(), result.epochs, result.steps), (20, 5, 5));
        assert_eq!(settings().steps(tune.train.len()), 5);
        (losses, result.correct, state_dict(&result.encoder).unwrap())
    };
    let [scratch, pretrained] = [false, true].map(|pretrained| run(1, 3, pretrained));
    // Not `assert_eq`, which would print the weights.
    assert!(scratch == run(2, 3, false) && pretrained == run(2, 3, true));
    assert!(scratch.2 != run(1, 4, false).2 && scratch.2 != pretrained.2);
}

/// Counts how often an image is read, and leaves out every second label.
struct Watched(ShapesDataset, AtomicUsize);

impl ImageDataset for Watched {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.image(index)
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.0.label(index).filter(|_| index.is_multiple_of(2))
    }
    fn class_names(&self) -> &[String] {
        self.0.class_names()
    }
}

#[test]
fn test_images_are_read_once_and_last() {
    let (config, device) = (config(1), Device::flex());
    let test = Arc::new(Watched(ShapesDataset::new(1, 0, 20), AtomicUsize::new(0)));
    let mut unread = |report: &SupervisedReport| {
        assert_eq!(test.1.load(Ordering::Relaxed), 0, "before step {}", report.step);
        Flow::Continue
    };
    let tune = finetune(&config, &device, test.clone());
    let result = tune.run(Start::Scratch, 0, &mut unread).unwrap();
    assert_eq!(test.1.load(Ordering::Relaxed), 20);
    assert_eq!(result.correct.len(), 10, "only what has a label is judged");
    let hits = result.correct.iter().filter(|c| **c).count();
    assert_eq!(result.top1, hits as f64 / 10.0);
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let (config, device) = (config(1), Device::flex());
    let shapes = |len| Arc::new(ShapesDataset::new(1, 0, len)) as Arc<dyn ImageDataset>;
    let unlabelled =
        || Arc::new(Watched(ShapesDataset::new(1, 0, 20), AtomicUsize::new(0))) as Arc<_>;
    let tune = || finetune(&config, &device, shapes(10));
    let error =
        |tune: Finetune<'_>| tune.run(Start::Scratch, 0, &mut go_on).unwrap_err().to_string();
    assert!(error(Finetune { train: unlabelled(), ..tune() }).contains("image 1"));
    let one = error(Finetune { train: shapes(1), ..tune() });
    assert!(one.contains("at least 2 images"), "{one}");
    let settings = FinetuneSettings { batch_size: 1, ..settings() };
    assert!(error(Finetune { settings, ..tune() }).contains("batch_size"));
    let mut stop = |_: &SupervisedReport| Flow::Stop;
    assert!(tune().run(Start::Scratch, 0, &mut stop).is_err());
}

/// The table of `docs/decisions/0010-finetuning.md`, with the encoder of the run that
/// `SELFSAME_RUN` names.
#[expect(clippy::print_stdout, reason = "a table for whoever runs it by hand")]
#[test]
#[ignore = "trains for minutes"]
fn figures() {
    let Some(run) = std::env::var_os("SELFSAME_RUN").map(std::path::PathBuf::from) else {
        panic!("SELFSAME_RUN: the folder of a run of `selfsame pretrain`");
    };
    let mut config = crate::evaluation::run_config(&run).unwrap();
    let device = crate::device::parse(&config.device).unwrap();
    let encoder = crate::features::weights::load_encoder(&run, &config, None, &device).unwrap();
    let data = crate::images::open(&mut config, &Voice::silent()).unwrap();
    for (labels, seeds) in [
        (Labels::PerClass(10), 3),
        (Labels::Share(0.01), 3),
        (Labels::Share(0.1), 2),
        (Labels::Share(1.0), 1),
    ] {
        for start in [Start::Pretrained(&encoder), Start::Scratch] {
            for seed in 0..seeds {
                let known = Subset::labelled(data.train.clone(), labels, seed).unwrap();
                let tune = Finetune {
                    config: &config,
                    train: Arc::new(known),
                    test: data.test.clone().unwrap(),
                    settings: FinetuneSettings::default(),
                    device: &device,
                };
                let result = tune.run(start, seed, &mut go_on).unwrap();
                let start = if matches!(start, Start::Scratch) { "scratch" } else { "pretrained" };
                println!(
                    "{labels:?}, {start}, seed {seed}: {:.4}, {} steps, {:.0} s",
                    result.top1, result.steps, result.train_seconds
                );
            }
        }
    }
}
