use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use burn::module::Module;
use burn::tensor::Device;
use clap::Args;
use selfsame_augment::ViewPair;
use selfsame_data::{LoaderConfig, Shard, Skipped, Splits, ViewLoader, write_skipped};
use selfsame_models::weights::{state_dict, to_safetensors};
use selfsame_trainers::{
    Checkpoint, Flow, Hooks, LearningRate, StepReport, Trainer, TrainerConfig,
};
use serde::Serialize;
use serde_json::json;

use crate::bridge::LoaderSource;
use crate::config::{Method, Overrides, RunConfig};
use crate::evaluate::{Evaluation, Judge};
use crate::progress::Progress;
use crate::report;
use crate::run_folder::{
    BEST_CHECKPOINT, ENCODER, LAST_CHECKPOINT, Metrics, RunFolder, SKIPPED, SUMMARY, git_commit,
    peak_rss_bytes,
};
use crate::usage::usage;

/// Train an encoder on images without their labels.
///
/// Trains on the data set that comes with the repository unless --dataset or --images says
/// otherwise, evaluates on images never trained on, and leaves weights, metrics and a report in
/// the run's folder. Ctrl-C finishes the step, saves and exits; `--resume auto` goes on from there.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask pretrain byol
  cargo xtask pretrain barlow-twins --images my-photos/ --out runs/photos
  cargo xtask pretrain byol --dataset cifar10 --set train.epochs=200 --set encoder.base_width=64
  cargo xtask pretrain byol --out runs/photos --resume auto")]
pub struct PretrainArgs {
    /// byol or barlow-twins.
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

    let resumed =
        args.resume.as_ref().and_then(|_| RunFolder::existing(args.out.as_deref(), &config));
    let folder = match resumed {
        Some(folder) => {
            let saved = RunConfig::read(&folder.file(crate::run_folder::CONFIG))?;
            check_same(&saved, &config)?;
            folder
        }
        None => RunFolder::create(args.out.as_deref(), &config)?,
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

    let session = Session { config: &config, data: &data, folder: &folder, device: &device };
    let autodiff = device.clone().autodiff();
    let encoder = config.encoder.resnet();
    let summary = match (&config.byol, &config.barlow_twins) {
        (Some(byol), _) => session.train(byol.init(&encoder, config.seed, &autodiff)?)?,
        (None, Some(barlow)) => session.train(barlow.init(&encoder, config.seed, &autodiff)?)?,
        (None, None) => return Err(usage("the settings name no method")),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print!("{}", summary.table(&folder));
    }
    Ok(())
}

/// A run can only go on under the settings it began with; where and how fast may change.
fn check_same(saved: &RunConfig, asked: &RunConfig) -> anyhow::Result<()> {
    let mut saved = saved.clone();
    saved.device.clone_from(&asked.device);
    saved.data.threads = asked.data.threads;
    saved.data.prefetch = asked.data.prefetch;
    saved.train.stop_after = asked.train.stop_after;
    saved.train.checkpoint_every = asked.train.checkpoint_every;
    if saved == *asked {
        return Ok(());
    }
    let (a, b) = (toml::to_string(&saved)?, toml::to_string(asked)?);
    let differing = a.lines().zip(b.lines()).find(|(a, b)| a != b);
    let (was, is) = differing.unwrap_or(("a setting", "none"));
    anyhow::bail!(
        "the run to resume has other settings ({was}; now {is}); give it the same ones, or start anew with another --out"
    )
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

struct Session<'a> {
    config: &'a RunConfig,
    data: &'a Splits,
    folder: &'a RunFolder,
    device: &'a Device,
}

impl Session<'_> {
    fn train<M: selfsame_trainers::Method>(&self, method: M) -> anyhow::Result<Summary> {
        let wall = Instant::now();
        let config = self.config;
        let train = &config.train;
        let pair = ViewPair::new(config.views.view(0), config.views.view(1))?;
        let loader = ViewLoader::new(
            self.data.train.clone(),
            Arc::new(pair),
            &LoaderConfig {
                batch_size: train.batch_size / train.accumulation,
                seed: config.seed,
                prefetch: config.data.prefetch,
                threads: config.data.threads,
                shard: Shard::default(),
            },
        )?;
        let accumulation = train.accumulation as u64;
        let steps = train.epochs * loader.batches_per_epoch() / accumulation;
        anyhow::ensure!(steps > 0, "the training images do not fill a single step");
        let steps_per_epoch = steps as f64 / train.epochs as f64;
        let learning_rate = LearningRate {
            peak: config.optimizer.peak(train.batch_size),
            warmup_steps: (train.warmup_epochs * steps_per_epoch).round() as u64,
            steps,
            final_fraction: config.optimizer.final_fraction,
        };
        let trainer_config = TrainerConfig {
            optimizer: config.optimizer.config(),
            learning_rate,
            accumulation: train.accumulation,
        };
        let autodiff = self.device.clone().autodiff();
        let mut trainer = Trainer::new(method, trainer_config, &autodiff)?;

        let judge = Judge::new(config, self.data, self.device)?;
        let pixels = judge.pixels()?;
        // Also when resuming: the initial weights follow from the seed.
        let random_init = judge.knn(&judge.features(&trainer.method().encoder().valid())?)?;
        if let (Some(pixels), Some(random)) = (pixels, random_init) {
            eprintln!(
                "baselines: k-NN on raw pixels {:.2} %, on the untrained encoder {:.2} %",
                100.0 * pixels,
                100.0 * random
            );
        }

        let mut state = RunState::default();
        let last = self.folder.file(LAST_CHECKPOINT);
        if last.is_file() {
            let checkpoint = Checkpoint::read(&last)?;
            checkpoint.restore(&mut trainer)?;
            state = serde_json::from_value(checkpoint.header.run.clone())
                .with_context(|| format!("{}: the run's state", last.display()))?;
            eprintln!("resumed after step {} of {steps}", trainer.steps_done());
        }

        let first_step = trainer.steps_done();
        let last_step = match train.stop_after {
            Some(epochs) => (epochs as f64 * steps_per_epoch).round() as u64,
            None => steps,
        };
        let mut hooks = RunHooks {
            session: self,
            judge: &judge,
            metrics: self.folder.metrics(first_step)?,
            progress: Progress::new(first_step, steps, steps_per_epoch.round() as u64),
            steps_per_epoch,
            last_step,
            interrupted: interrupt_flag()?,
            evaluating: Duration::ZERO,
            state,
        };
        let mut source =
            LoaderSource(loader.stream(first_step * accumulation, last_step * accumulation));
        let start = Instant::now();
        if first_step < last_step {
            let precision = config.precision.into();
            selfsame_kernels::autocast(precision, || trainer.fit(&mut source, &mut hooks))?;
        }
        hooks.state.train_seconds += (start.elapsed() - hooks.evaluating).as_secs_f64();
        hooks.state.waited_seconds += source.0.waited().as_secs_f64();
        drop(source);
        hooks.progress.finish();
        self.write_skipped(&loader)?;
        hooks.state.save(&trainer, self.folder)?;
        let interrupted = hooks.interrupted.load(Ordering::Relaxed);
        if interrupted {
            eprintln!(
                "interrupted after step {} of {steps}; everything is saved, go on with\n  cargo xtask pretrain {} --out {} --resume auto (and the settings of this run)",
                trainer.steps_done(),
                config.method.name(),
                self.folder.path().display()
            );
        }

        let encoder = trainer.method().encoder().valid();
        self.write_encoder(&encoder)?;
        let features = judge.features(&encoder)?;
        let evaluation = judge.evaluate(&features, config.eval.linear_probe && !interrupted)?;
        let state = hooks.state;
        let summary = Summary {
            method: config.method.name(),
            dataset: self.data.name.clone(),
            device: config.device.clone(),
            seed: config.seed,
            epochs: trainer.steps_done() as f64 / steps_per_epoch,
            epochs_planned: train.epochs,
            steps: trainer.steps_done(),
            steps_planned: steps,
            finished: trainer.steps_done() == steps,
            train_images: self.data.train.len(),
            test_images: judge.test.as_ref().map_or(0, |_| evaluation.test_images),
            skipped_images: self.data.skipped.len() + loader.skipped().len(),
            images_per_second: state.images as f64 / state.train_seconds.max(1e-9),
            train_seconds: state.train_seconds,
            data_wait_seconds: state.waited_seconds,
            wall_seconds: wall.elapsed().as_secs_f64(),
            peak_rss_bytes: peak_rss_bytes(),
            final_loss: state.mean_loss(),
            knn_top1: evaluation.knn_top1,
            knn_top1_random_init: random_init,
            knn_top1_pixels: pixels,
            linear_top1: evaluation.linear_top1,
            embedding_std: state.embedding_std,
            feature_std: evaluation.collapse.std,
            effective_rank: evaluation.collapse.effective_rank,
            effective_rank_share: evaluation.collapse.effective_rank_share,
            git_commit: git_commit(),
        };
        self.folder.write(SUMMARY, serde_json::to_string_pretty(&summary)?.as_bytes())?;
        report::write(self.folder, config, &summary, &judge, &features)?;
        Ok(summary)
    }

    fn write_encoder(&self, encoder: &impl Module) -> anyhow::Result<()> {
        let config = &self.config.encoder.resnet();
        let views = self.config.views.view(0);
        let about = json!({
            "role": "encoder", "encoder": config, "method": self.config.method,
            "input": {"size": views.size, "mean": views.mean, "std": views.std},
        });
        self.folder.write(ENCODER, &to_safetensors(&state_dict(encoder)?, &about.to_string())?)
    }

    fn write_skipped(&self, loader: &ViewLoader) -> anyhow::Result<()> {
        let mut skipped = self.data.skipped.clone();
        skipped.extend(loader.skipped().into_iter().map(|(index, reason)| Skipped {
            path: self.data.train.path(index).unwrap_or_else(|| format!("image {index}").into()),
            reason,
        }));
        let mut lines = Vec::new();
        write_skipped(&skipped, &mut lines)?;
        if lines.is_empty() { Ok(()) } else { self.folder.write(SKIPPED, &lines) }
    }
}

/// Set by Ctrl-C or SIGTERM; a second one ends the process at once.
fn interrupt_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the first signal finds the flag unset and only sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(flag)
}

/// What a checkpoint keeps of the run besides the trainer.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
struct RunState {
    /// Over the epoch so far.
    loss_sum: f64,
    loss_count: u64,
    epoch_ended: bool,
    embedding_std: f32,
    images: u64,
    train_seconds: f64,
    waited_seconds: f64,
    best_knn: Option<f64>,
}

impl RunState {
    fn add_loss(&mut self, loss: f32) {
        if std::mem::take(&mut self.epoch_ended) {
            (self.loss_sum, self.loss_count) = (0.0, 0);
        }
        self.loss_sum += f64::from(loss);
        self.loss_count += 1;
    }

    /// Over the last epoch.
    fn mean_loss(&self) -> f64 {
        self.loss_sum / self.loss_count.max(1) as f64
    }

    fn save<M: selfsame_trainers::Method>(
        &self,
        trainer: &Trainer<M>,
        folder: &RunFolder,
    ) -> anyhow::Result<()> {
        let state = serde_json::to_value(self)?;
        Ok(Checkpoint::save(trainer, &state, &folder.file(LAST_CHECKPOINT))?)
    }
}

struct RunHooks<'a> {
    session: &'a Session<'a>,
    judge: &'a Judge,
    metrics: Metrics,
    progress: Progress,
    steps_per_epoch: f64,
    last_step: u64,
    interrupted: Arc<AtomicBool>,
    /// Time that was not training.
    evaluating: Duration,
    state: RunState,
}

impl<M: selfsame_trainers::Method> Hooks<M> for RunHooks<'_> {
    fn after_step(
        &mut self,
        trainer: &Trainer<M>,
        report: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>> {
        self.step(trainer, report).map_err(Into::into)
    }
}

impl RunHooks<'_> {
    fn step<M: selfsame_trainers::Method>(
        &mut self,
        trainer: &Trainer<M>,
        report: &StepReport,
    ) -> anyhow::Result<Flow> {
        self.state.add_loss(report.loss);
        self.state.embedding_std = report.embedding_std;
        self.state.images += report.images as u64;
        let epoch = report.step as f64 / self.steps_per_epoch;
        let mut line = json!({
            "step": report.step, "epoch": epoch, "loss": report.loss,
            "learning_rate": report.learning_rate, "embedding_std": report.embedding_std,
        });
        for (name, value) in &report.terms {
            line[*name] = json!(value);
        }
        self.metrics.log(&line)?;
        self.progress.step(report);

        let stop = self.interrupted.load(Ordering::Relaxed) || report.step >= self.last_step;
        // The end of an epoch is the last step that does not go beyond it.
        let whole = epoch.floor() as u64;
        let ended = whole > ((report.step - 1) as f64 / self.steps_per_epoch).floor() as u64;
        self.state.epoch_ended = ended;
        if ended && !stop {
            let settings = &self.session.config;
            let every = settings.eval.every;
            if every > 0 && whole.is_multiple_of(every) {
                self.evaluate(trainer, report.step, whole)?;
            }
            if whole.is_multiple_of(settings.train.checkpoint_every) {
                self.state.save(trainer, self.session.folder)?;
            }
        }
        Ok(if stop { Flow::Stop } else { Flow::Continue })
    }
}

impl RunHooks<'_> {
    fn evaluate<M: selfsame_trainers::Method>(
        &mut self,
        trainer: &Trainer<M>,
        step: u64,
        epoch: u64,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        // What is measured does not depend on how it was trained.
        let features = selfsame_kernels::autocast(selfsame_kernels::Precision::F32, || {
            self.judge.features(&trainer.method().encoder().valid())
        })?;
        let evaluation: Evaluation = self.judge.evaluate(&features, false)?;
        self.progress.evaluated(
            epoch,
            evaluation.knn_top1,
            evaluation.collapse.std,
            evaluation.collapse.effective_rank,
        );
        self.metrics.log(&json!({
            "step": step, "epoch": epoch, "knn_top1": evaluation.knn_top1,
            "feature_std": evaluation.collapse.std,
            "effective_rank": evaluation.collapse.effective_rank,
        }))?;
        if evaluation.knn_top1 > self.state.best_knn {
            self.state.best_knn = evaluation.knn_top1;
            let state = serde_json::to_value(&self.state)?;
            Checkpoint::save(trainer, &state, &self.session.folder.file(BEST_CHECKPOINT))?;
        }
        self.evaluating += start.elapsed();
        Ok(())
    }
}

/// `summary.json`. Accuracies are fractions of 1.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub method: &'static str,
    pub dataset: String,
    pub device: String,
    pub seed: u64,
    pub epochs: f64,
    pub epochs_planned: u64,
    pub steps: u64,
    pub steps_planned: u64,
    pub finished: bool,
    pub train_images: usize,
    pub test_images: usize,
    pub skipped_images: usize,
    pub images_per_second: f64,
    pub train_seconds: f64,
    pub data_wait_seconds: f64,
    pub wall_seconds: f64,
    pub peak_rss_bytes: Option<u64>,
    /// Mean over the last epoch.
    pub final_loss: f64,
    /// After the last step, which need not be the best.
    pub knn_top1: Option<f64>,
    pub knn_top1_random_init: Option<f64>,
    pub knn_top1_pixels: Option<f64>,
    pub linear_top1: Option<f64>,
    /// Of the projections of the last training batch, times √dim.
    pub embedding_std: f32,
    /// Of the frozen features, times √dim.
    pub feature_std: f64,
    pub effective_rank: f64,
    pub effective_rank_share: f64,
    pub git_commit: Option<String>,
}

impl Summary {
    /// Name and value of each line that people look for.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let percent = |v: Option<f64>| v.map_or("–".into(), |v| format!("{:.2} %", 100.0 * v));
        vec![
            ("k-NN top-1, trained encoder", percent(self.knn_top1)),
            ("k-NN top-1, untrained encoder", percent(self.knn_top1_random_init)),
            ("k-NN top-1, raw pixels", percent(self.knn_top1_pixels)),
            ("linear probe top-1", percent(self.linear_top1)),
            ("loss, last epoch", format!("{:.4}", self.final_loss)),
            ("embedding std (0 collapsed, 1 spread)", format!("{:.3}", self.embedding_std)),
            (
                "effective rank of the features",
                format!("{:.1} ({:.0} %)", self.effective_rank, 100.0 * self.effective_rank_share),
            ),
            (
                "training",
                format!(
                    "{} steps in {:.0} s, {:.0} images/s, {:.1} s ({:.1} %) waiting for data",
                    self.steps,
                    self.train_seconds,
                    self.images_per_second,
                    self.data_wait_seconds,
                    100.0 * self.data_wait_seconds / self.train_seconds.max(1e-9)
                ),
            ),
        ]
    }

    fn table(&self, folder: &RunFolder) -> String {
        let mut out = format!("\n{} on {}, seed {}\n", self.method, self.dataset, self.seed);
        for (name, value) in self.lines() {
            let pad = 40usize.saturating_sub(name.chars().count());
            out += &format!("  {name}{} {value}\n", " ".repeat(pad));
        }
        if self.knn_top1.is_none() {
            out += "  (no labels, so no accuracy: the collapse signals are all there is to judge by)\n";
        }
        out + &format!(
            "\n  weights {}\n  report  {}\n",
            folder.file(ENCODER).display(),
            folder.file(crate::run_folder::REPORT).display()
        )
    }
}
