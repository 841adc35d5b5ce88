use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use selfsame_data::{Shard, Skipped, Splits, write_skipped};
use selfsame_eval::{Diagnosis, LabelledImages};
use selfsame_models::weights::{state_dict, to_safetensors};
use selfsame_trainers::{Method, TrainError, Trainer};
use serde_json::json;

use super::Summary;
use super::follower::all_skipped;
use super::hooks::{Pace, RunHooks, RunState, images_key};
use super::interrupt::{self, Interrupted};
use super::saved::Saved;
use super::training::{OnDevice, Place, Training, loader, source};
use crate::checkup::{Checkup, Examination, Untrained};
use crate::config::RunConfig;
use crate::evaluate::{Evaluation, Judge};
use crate::failure::Failure;
use crate::methods::MethodTask;
use crate::metrics::Metrics;
use crate::preprocessing::Preprocessing;
use crate::progress::Progress;
use crate::report::{self, Material};
use crate::run_folder::{ENCODER, RunFolder, SKIPPED, SUMMARY, git_commit, peak_rss_bytes};
use crate::words::{pasted, reasons};

/// One call of `pretrain`: from the first step, or the one that a resumed run stands at, to the report.
pub struct Session<'a> {
    pub config: &'a RunConfig,
    pub data: &'a Splits,
    pub folder: &'a RunFolder,
    /// Where to go on from.
    pub saved: Option<Saved>,
    pub place: Place,
}

/// Watches a run for collapse, with the untrained networks to compare with.
pub struct Doctor {
    pub checkup: Checkup,
    pub untrained: (Examination, Evaluation),
}

impl Doctor {
    fn new<M: Method>(
        config: &RunConfig,
        data: &Splits,
        judge: &Judge,
        method: &M,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let images = data.test.as_ref().unwrap_or(&data.train);
        let checkup = Checkup::new(config, &**images, config.doctor.images, device)?;
        let method = method.valid();
        let evaluation = judge.evaluate(&judge.features(method.encoder())?, false)?;
        let untrained = (checkup.examine(&method)?, evaluation);
        Ok(Self { checkup, untrained })
    }

    /// The verdict on a visit.
    pub fn diagnose(&self, examination: &Examination, evaluation: &Evaluation) -> Diagnosis {
        let (before, features) = &self.untrained;
        let untrained = Untrained {
            features: Some(&features.spread),
            projections: Some(&before.projections),
            knn_top1: features.knn_top1,
        };
        examination.diagnose(evaluation, &untrained)
    }
}

impl MethodTask for Session<'_> {
    type Output = Summary;

    fn run<M: Method>(mut self, method: M) -> anyhow::Result<Summary> {
        self.train(method)
    }
}

impl Session<'_> {
    fn train<M: Method>(&mut self, method: M) -> anyhow::Result<Summary> {
        let wall = Instant::now();
        let config = self.config;
        // Also known where training is cut short.
        self.write_skipped(&BTreeMap::new())?;
        Preprocessing::of(config).write(self.folder)?;
        let train = &config.train;
        let mut training = Training::new(method, config, self.data, &self.place)?;
        let device = &self.place.device;
        let (steps, steps_per_epoch) = (training.steps, training.steps_per_epoch);

        let judge = Judge::new(config, self.data, device)?;
        let pixels = judge.pixels()?;
        // Also when resuming: the initial weights follow from the seed.
        let doctor = Doctor::new(config, self.data, &judge, training.trainer.method(), device)?;
        let untrained = training.trainer.method().encoder().valid();
        let random_init = doctor.untrained.1.knn_top1;
        if let (Some(pixels), Some(random)) = (pixels, random_init) {
            eprintln!(
                "baselines: k-NN on raw pixels {:.2} %, on the untrained encoder {:.2} %",
                100.0 * pixels,
                100.0 * random
            );
        }

        let (mut state, mut history) = (RunState::default(), Vec::new());
        if let Some(saved) = self.saved.take() {
            saved.checkpoint.restore(&mut training.trainer)?;
            (state, history) = (saved.state, saved.history);
            eprintln!("resumed after step {} of {steps}", training.trainer.steps_done());
        }
        training.start_as_rank_0()?;

        let first_step = training.trainer.steps_done();
        let last_step = training.last_step;
        let checkpoints = self.folder.checkpoints(train.keep_checkpoints);
        let mut hooks = RunHooks {
            session: self,
            judge: &judge,
            doctor: &doctor,
            metrics: Metrics::open(self.folder, first_step, history, steps_per_epoch)?,
            progress: Progress::new(first_step, steps, steps_per_epoch.round() as u64),
            steps_per_epoch,
            last_step,
            read_every: config.read_every(),
            interrupted: interrupt::flag()?,
            began: Instant::now(),
            evaluating: Duration::ZERO,
            state,
            checkpoints: &checkpoints,
            pace: Pace::new(train.checkpoint_minutes),
            images_sha256: images_key(self.data),
        };
        let mut skipped = BTreeMap::new();
        let due = first_step < last_step && !hooks.evaluate_if_due(&training.trainer)?;
        if training.as_rank_0(due) {
            let result = training.fit(&mut hooks);
            skipped = all_skipped(&self.place, training.loader.skipped());
            if let Err(error) = result {
                hooks.progress.finish();
                return Err(self.stopped(error, &training.trainer, &mut hooks));
            }
            hooks.save(&training.trainer)?;
        }
        hooks.progress.finish();
        self.write_skipped(&skipped)?;
        let trainer = &training.trainer;
        // By a signal, here or at another rank.
        if trainer.steps_done() < last_step && !hooks.state.collapsed {
            return Err(Interrupted(format!(
                "interrupted after step {} of {steps}; everything is saved, go on with\n  {}",
                trainer.steps_done(),
                self.go_on()
            ))
            .into());
        }

        let state = hooks.now();
        let method = trainer.method().valid();
        let encoder = method.encoder();
        self.write_encoder(encoder)?;
        let features = judge.features(encoder)?;
        let evaluation = judge.evaluate(&features, config.eval.linear_probe)?;
        let examination = doctor.checkup.examine(&method)?;
        let diagnosis = doctor.diagnose(&examination, &evaluation);
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
            test_images: judge.test.as_ref().map_or(0, LabelledImages::len),
            skipped_images: self.data.skipped.len() + skipped.len(),
            untested: self.data.untested().map(|cause| cause.to_string()),
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
            feature_std: evaluation.spread.mean_std,
            effective_rank: evaluation.spread.effective_rank,
            effective_rank_share: evaluation.spread.effective_rank_share(),
            projection_std: examination.projections.mean_std,
            projection_directions: examination.projections.directions,
            projection_dim: examination.projections.dim,
            stopped_by_doctor: state.collapsed,
            diagnosis,
            git_commit: git_commit(),
        };
        self.folder.write(SUMMARY, serde_json::to_string_pretty(&summary)?.as_bytes())?;
        let material = Material {
            folder: self.folder,
            config,
            data: self.data,
            summary: &summary,
            doctor: &doctor,
            examination: &examination,
            evaluation: &evaluation,
            device,
        };
        let gallery = report::write(&material, &untrained, encoder)?;
        hooks.metrics.picture("neighbours", summary.steps, &gallery)?;
        Ok(summary)
    }

    /// Saves what there is to save when training cannot go on, and says how it can.
    fn stopped<M: Method>(
        &self,
        error: TrainError,
        trainer: &Trainer<M>,
        hooks: &mut RunHooks,
    ) -> anyhow::Error {
        let run = pasted(self.folder.path());
        let step = trainer.steps_done();
        if let Some(failure) = Failure::of(&error).filter(|failure| failure.step < step) {
            let newest = self.folder.checkpoints(1).newest_file();
            let newest = newest.map_or("nothing was saved yet".to_owned(), |newest| {
                format!("{} is intact", newest.display())
            });
            let said = format!(
                "training stopped after step {step}, when the figures of step {} were read: the state before it is gone; \
                 {newest}; to have it saved with its batch, go on with `{}` and --set train.read_every=1",
                failure.step + 1,
                self.go_on()
            );
            return anyhow::Error::from(error).context(said);
        }
        if let Some(failure) = Failure::of(&error) {
            let accumulation = self.config.train.accumulation as u64;
            let first = failure.step * accumulation;
            let saved = loader(self.config, self.data, Shard::default()).and_then(|whole| {
                let on_device = OnDevice::of(self.config, &self.place.device)?;
                let mut batch = source(&whole, first..first + accumulation, on_device.as_ref());
                failure.save(trainer, &mut *batch, self.folder)
            });
            let said = match saved {
                Ok(()) => format!(
                    "training stopped; the batch and the state are saved, see them again with `cargo xtask replay {run}`"
                ),
                Err(saving) => {
                    let why = reasons(&saving);
                    format!("training stopped, and the state could not be saved ({why})")
                }
            };
            return anyhow::Error::from(error).context(said);
        }
        // A batch that cannot be made leaves the trainer as it was after the last step, and so does an evaluation that
        // cannot read its images. What else a hook fails at may have been half done: then the checkpoint before it
        // stands.
        let saved = match error {
            TrainError::Source(_) | TrainError::OtherRank { .. } => hooks.save(trainer),
            TrainError::Hook(_) if hooks.state.evaluation_due => hooks.save(trainer),
            _ => Ok(()),
        };
        let said = match (saved, self.folder.checkpoints(1).newest_file()) {
            (Err(saving), _) => {
                let why = reasons(&saving);
                format!("training stopped after step {step}; saving failed too ({why})")
            }
            (Ok(()), None) => format!("training stopped after step {step}; nothing was saved yet"),
            (Ok(()), Some(newest)) => format!(
                "training stopped after step {step}; {} is intact; once the cause is gone, go on with `{}`",
                newest.display(),
                self.go_on()
            ),
        };
        anyhow::Error::from(error).context(said)
    }

    fn go_on(&self) -> String {
        format!(
            "cargo xtask pretrain {} --out {} --resume auto",
            self.config.method.name(),
            pasted(
                &std::path::absolute(self.folder.path())
                    .unwrap_or_else(|_| self.folder.path().to_owned())
            )
        )
    }

    fn write_encoder(&self, encoder: &impl Module) -> anyhow::Result<()> {
        let config = &self.config.encoder.resnet();
        let views = self.config.views.view(0);
        let about = json!({
            "role": "encoder", "encoder": config, "method": self.config.method,
            "input": {"size": views.size, "mean": views.mean, "std": views.std},
            "preprocessing": Preprocessing::of(self.config),
        });
        self.folder.write(ENCODER, &to_safetensors(&state_dict(encoder)?, &about.to_string())?)
    }

    /// Those that were skipped when the data were opened, and `later` ones by their index.
    fn write_skipped(&self, later: &BTreeMap<usize, String>) -> anyhow::Result<()> {
        let mut skipped = self.data.skipped.clone();
        skipped.extend(later.iter().map(|(index, reason)| Skipped {
            path: self.data.train.name(*index),
            reason: reason.clone(),
        }));
        let mut lines = Vec::new();
        write_skipped(&skipped, &mut lines)?;
        if lines.is_empty() { Ok(()) } else { self.folder.write(SKIPPED, &lines) }
    }
}
