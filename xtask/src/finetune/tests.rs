use std::sync::atomic::{AtomicUsize, Ordering};

use image::RgbImage;
use selfsame_data::{DataError, Labels, ShapesDataset, Subset};
use selfsame_models::weights::state_dict;

use super::*;
use crate::config::{Method, Overrides};

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
        (losses, result.correct)
    };
    for pretrained in [false, true] {
        assert_eq!(run(1, 3, pretrained), run(2, 3, pretrained));
    }
    assert_ne!(run(1, 3, false), run(1, 4, false));
    assert_ne!(run(1, 3, false), run(1, 3, true));
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

/// The sweep of the decision note; see there.
#[test]
#[ignore]
fn sweep() {
    let run = std::env::var("SWEEP_RUN").unwrap();
    let budgets = std::env::var("SWEEP_BUDGETS").unwrap();
    let starts = std::env::var("SWEEP_STARTS").unwrap();
    let variants = std::env::var("SWEEP_VARIANTS").unwrap();
    let seeds: u64 = std::env::var("SWEEP_SEEDS").unwrap().parse().unwrap();
    let mut config = crate::eval::run_config(std::path::Path::new(&run)).unwrap();
    let device = crate::device::parse(&config.device).unwrap();
    let encoder =
        crate::weights::load_encoder(std::path::Path::new(&run), &config, None, &device).unwrap();
    let data = crate::data::open(&mut config).unwrap();
    for budget in budgets.split(',') {
        let labels = match budget.strip_suffix('%') {
            Some(p) => Labels::Share(p.parse::<f64>().unwrap() / 100.0),
            None => Labels::PerClass(budget.parse().unwrap()),
        };
        for variant in variants.split(';') {
            let mut settings = serde_json::to_value(FinetuneSettings::default()).unwrap();
            for pair in variant.split(',').filter(|p| !p.is_empty()) {
                let (key, value) = pair.split_once('=').unwrap();
                settings[key] = serde_json::from_str(value).unwrap();
            }
            let f = |k: &str| settings[k].as_f64().unwrap();
            let settings = FinetuneSettings {
                epochs: f("epochs") as u64,
                min_steps: f("min_steps") as u64,
                batch_size: f("batch_size") as usize,
                learning_rate: f("learning_rate"),
                encoder_rate: f("encoder_rate"),
                weight_decay: f("weight_decay"),
                warmup: f("warmup"),
                label_smoothing: f("label_smoothing") as f32,
            };
            for start in starts.split(',') {
                let mut tops = Vec::new();
                let mut seconds = 0.0;
                let mut last = 0.0;
                let mut epochs = 0;
                for seed in 0..seeds {
                    let train =
                        Arc::new(Subset::labelled(data.train.clone(), labels, seed).unwrap());
                    let finetune = Finetune {
                        config: &config,
                        train,
                        test: data.test.clone().unwrap(),
                        settings: settings.clone(),
                        device: &device,
                    };
                    let start = match start {
                        "scratch" => Start::Scratch,
                        _ => Start::Pretrained(&encoder),
                    };
                    match finetune.run(start, seed, &mut |r| {
                        last = r.loss;
                        Flow::Continue
                    }) {
                        Ok(result) => {
                            tops.push((result.top1 * 10000.0).round() / 10000.0);
                            seconds += result.train_seconds;
                            epochs = result.epochs;
                        }
                        Err(error) => eprintln!("{error}"),
                    }
                }
                let mean = tops.iter().sum::<f64>() / tops.len() as f64;
                eprintln!(
                    "{budget:>5} {start:10} {variant:40} {mean:.4} {tops:?} epochs {epochs} loss {last:.3} {:.1} s",
                    seconds / seeds as f64
                );
            }
        }
    }
}
