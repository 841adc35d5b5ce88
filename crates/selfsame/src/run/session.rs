//! A run from its first or resumed step to its report.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Device;
use selfsame_data::{Shard, Skipped, Splits, write_skipped};
use selfsame_eval::{Diagnosis, LabelledImages};
use selfsame_models::weights::{state_dict, to_safetensors};
use selfsame_trainers::{Method, TrainError, Trainer};
use serde_json::json;

use super::Summary;
use super::clock::{Clock, Phase, Seconds};
use super::folder::judged::{After, Baselines, Ended, Judged};
use super::folder::saved::Saved;
use super::folder::state::{RunState, images_key};
use super::follower::all_skipped;
use super::hooks::RunHooks;
use super::pace::Pace;
use super::plan::Plan;
use super::progress::Progress;
use super::saver::Saver;
use super::training::{OnDevice, Place, Training, loader, source};
use crate::error::Interrupted;
use crate::evaluation::checkup::{Checkup, Examination, Untrained};
use crate::evaluation::judge::{Evaluation, Judge};
use crate::features::cache::FeatureCache;
use crate::features::preprocessing::Preprocessing;
use crate::methods::MethodTask;
use crate::page::{self, Material};
use crate::run::folder::failure::Failure;
use crate::run::folder::metrics::Metrics;
use crate::run::folder::{ENCODER, RunFolder, SKIPPED, git_commit, peak_rss_bytes};
use crate::settings::RunConfig;
use crate::words::{count, pasted, reasons};

/// One call of `pretrain`: from the first step, or the step of a resumed run, to the report.
pub struct Session<'a> {
    pub config: &'a RunConfig,
    pub data: &'a Splits,
    pub folder: &'a RunFolder,
    /// The state to resume from.
    pub saved: Option<Saved>,
    pub place: Place,
    pub clock: Clock,
    /// The command of the run, as typed.
    pub command: Option<&'a str>,
}

/// Watches a run for collapse. It compares with the untrained networks.
pub struct Doctor {
    pub checkup: Checkup,
    pub untrained: (Examination, Evaluation),
}

impl Doctor {
    /// `untrained`: a validation snapshot.
    fn new<M: Method>(
        config: &RunConfig,
        data: &Splits,
        untrained: &M,
        evaluation: Evaluation,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let images = data.test.as_ref().unwrap_or(&data.train);
        let checkup = Checkup::new(config, &**images, config.doctor.images, device)?;
        let untrained = (checkup.examine(untrained)?, evaluation);
        Ok(Self { checkup, untrained })
    }

    /// The verdict on a visit after this much training.
    pub fn diagnose(
        &self,
        examination: &Examination,
        evaluation: &Evaluation,
        training: selfsame_eval::Training,
    ) -> Diagnosis {
        let (before, features) = &self.untrained;
        let untrained = Untrained {
            features: Some(&features.spread),
            projections: Some(&before.projections),
            knn_top1: features.knn_top1,
        };
        examination.diagnose(evaluation, &untrained, training)
    }
}

/// The figures at the end.
struct Found {
    /// k-NN on raw pixels.
    pixels: Option<f64>,
    evaluation: Evaluation,
    examination: Examination,
    diagnosis: Diagnosis,
}

impl MethodTask for Session<'_> {
    type Output = Summary;

    fn run<M: Method>(mut self, method: M) -> anyhow::Result<Summary> {
        self.train(method)
    }
}

impl Session<'_> {
    fn train<M: Method>(&mut self, method: M) -> anyhow::Result<Summary> {
        let (config, folder) = (self.config, self.folder);
        // Also known if training is stopped early.
        self.write_skipped(&BTreeMap::new())?;
        Preprocessing::of(config).write(folder)?;
        let mut training = Training::new(method, config, self.data, &self.place)?;
        // Also for a resumed run: the initial weights follow from the seed.
        let untrained = training.trainer.method().valid();
        let mut judged = Judged::read(folder, config, self.data)?;
        let (state, history) = self.restore(&mut training, &judged)?;
        if let Some(summary) = self.ended(&training, &judged) {
            training.start_as_rank_0()?;
            training.as_rank_0(false);
            return Ok(summary);
        }

        let judge = Judge::new(config, self.data, &self.place.device)?;
        self.begin(Phase::Baselines);
        let baselines = self.baselines(&judge, &untrained, &mut judged)?;
        let voice = self.place.voice.clone();
        judged.keep(folder, training.trainer.steps_done(), self.clock.seconds(), &voice);
        let doctor = Doctor::new(config, self.data, &untrained, baselines, &self.place.device)?;
        training.start_as_rank_0()?;

        self.clock.enter(Phase::Training);
        let first_step = training.trainer.steps_done();
        let mut hooks = self.hooks(&training, &judge, &doctor, state, history)?;
        let mut skipped = BTreeMap::new();
        self.place.interrupt.training_begins();
        let due = first_step < training.last_step && !hooks.evaluate_if_due(&training.trainer)?;
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
        self.go_on_if_not_told(&training.trainer, &hooks)?;
        self.write_encoder(training.trainer.method().valid().encoder())?;
        self.place.interrupt.training_is_saved(self.go_on());
        self.conclude(&training, &untrained, hooks, judged, skipped.len())
    }

    /// What happens between steps, from where the run stands.
    fn hooks<'a, M: Method>(
        &'a self,
        training: &Training<M>,
        judge: &'a Judge,
        doctor: &'a Doctor,
        state: RunState,
        history: Vec<u8>,
    ) -> anyhow::Result<RunHooks<'a>> {
        let (config, folder, place) = (self.config, self.folder, &self.place);
        let (first_step, steps) = (training.trainer.steps_done(), training.steps);
        let per_epoch = training.steps_per_epoch;
        let trained = self.clock.of(Phase::Training);
        let voice = place.voice.clone();
        Ok(RunHooks {
            session: self,
            judge,
            doctor,
            plan: Plan::new(config, steps, training.last_step),
            saver: Saver {
                config,
                checkpoints: folder.checkpoints(config.train.keep_checkpoints),
                pace: Pace::new(config.train.checkpoint_minutes),
                rescue: place.rescue.as_deref(),
                images_sha256: images_key(self.data),
            },
            metrics: Metrics::open(folder, first_step, history, per_epoch)?,
            progress: Progress::new(voice, first_step, steps, per_epoch.round() as u64, trained),
            clock: self.clock.clone(),
            state,
        })
    }

    /// Puts the trainer where the run was interrupted, if it was.
    fn restore<M: Method>(
        &mut self,
        training: &mut Training<M>,
        judged: &Judged,
    ) -> anyhow::Result<(RunState, Vec<u8>)> {
        let Some(saved) = self.saved.take() else {
            self.clock.add(&judged.seconds(0, Seconds::new()));
            return Ok(Default::default());
        };
        saved.checkpoint.restore(&mut training.trainer)?;
        let spent = judged.seconds(training.trainer.steps_done(), saved.state.spent());
        self.clock.add(&spent);
        let (done, steps) = (training.trainer.steps_done(), training.steps);
        let voice = &self.place.voice;
        match done == steps {
            true => voice.note(format_args!("all {} are done", count(steps, "step"))),
            false => voice.note(format_args!("resumed after step {done} of {steps}")),
        }
        Ok((saved.state, saved.history))
    }

    /// The summary of a run that is already complete.
    fn ended<M: Method>(&self, training: &Training<M>, judged: &Judged) -> Option<Summary> {
        let done = training.trainer.steps_done();
        let ended = judged.ended.as_ref().filter(|ended| ended.step == done)?;
        if done < training.last_step || !ended.stands(self.folder) {
            return None;
        }
        let summary = Summary::read(self.folder.path()).ok()?;
        let voice = &self.place.voice;
        voice.note("the run has ended and its report is written: nothing is left to do");
        Some(summary)
    }

    /// The baselines for the trained encoder.
    fn baselines<M: Method>(
        &self,
        judge: &Judge,
        untrained: &M,
        judged: &mut Judged,
    ) -> anyhow::Result<Evaluation> {
        let known = match judged.baselines.take() {
            Some(known) => known,
            None => Baselines {
                knn_top1_pixels: judge.pixels()?,
                untrained: {
                    let cache = self.cache();
                    let features = judge.kept_features(
                        untrained.encoder(),
                        &cache,
                        "the untrained encoder",
                    )?;
                    judge.evaluate(&features, false)?
                },
            },
        };
        let (pixels, random) = (known.knn_top1_pixels, known.untrained.knn_top1);
        if let (Some(pixels), Some(random)) = (pixels, random) {
            self.place.voice.note(format_args!(
                "baselines: k-NN on raw pixels {}, on the untrained encoder {}",
                page::percent(pixels),
                page::percent(random)
            ));
        }
        let untrained = known.untrained.clone();
        judged.baselines = Some(known);
        Ok(untrained)
    }

    /// # Errors
    /// The run was asked to end by a signal, here or at another rank.
    fn go_on_if_not_told<M: Method>(
        &self,
        trainer: &Trainer<M>,
        hooks: &RunHooks<'_>,
    ) -> anyhow::Result<()> {
        let (done, steps) = (trainer.steps_done(), hooks.plan.steps);
        let cut = done < hooks.plan.last_step && !hooks.state.collapsed;
        if !cut && !self.place.interrupt.told() {
            return Ok(());
        }
        Err(Interrupted(format!(
            "interrupted after step {done} of {steps}; everything is saved, go on with\n  {}",
            self.go_on()
        ))
        .into())
    }

    /// Evaluates the trained encoder and writes all files of the run.
    fn conclude<M: Method>(
        &self,
        training: &Training<M>,
        untrained: &M,
        mut hooks: RunHooks<'_>,
        mut judged: Judged,
        skipped: usize,
    ) -> anyhow::Result<Summary> {
        let (trainer, judge, doctor) = (&training.trainer, hooks.judge, hooks.doctor);
        let step = trainer.steps_done();
        let method = trainer.method().valid();
        hooks.clock.enter(Phase::FinalEvaluation);
        self.tell_phase(Phase::FinalEvaluation);
        let cache = self.cache();
        let features = judge.kept_features(method.encoder(), &cache, "the trained encoder")?;
        let evaluation = match judged.after(step) {
            Some(known) => known.clone(),
            None => judge.evaluate(&features, self.config.eval.linear_probe)?,
        };
        let examination = doctor.checkup.examine(&method)?;
        let epoch = hooks.plan.epochs(step);
        let diagnosis = hooks.found(trainer, epoch, &evaluation, &examination)?;
        // Not for a run that will go on. Its best comes from its regular evaluations.
        if step == training.steps {
            hooks.keep_best(trainer, &evaluation)?;
        }
        judged.trained = Some(After { step, evaluation: evaluation.clone() });
        judged.keep(self.folder, step, hooks.clock.seconds(), &self.place.voice);
        let pixels = judged.baselines.as_ref().and_then(|known| known.knn_top1_pixels);
        let found = Found { pixels, evaluation, examination, diagnosis };
        let mut summary = self.summary(training, &hooks, &found, skipped);
        summary.write(self.folder)?;

        hooks.clock.enter(Phase::Report);
        self.tell_phase(Phase::Report);
        // Also if the report is interrupted.
        let (kept, clock) = (RefCell::new(judged), hooks.clock.clone());
        let material = Material {
            folder: self.folder,
            config: self.config,
            data: self.data,
            summary: &summary,
            doctor,
            examination: &found.examination,
            evaluation: &found.evaluation,
            judge,
            features: &features,
            cache: &cache,
            advanced: &|| {
                let seconds = clock.seconds();
                kept.borrow_mut().keep(self.folder, step, seconds, &self.place.voice);
            },
            device: &self.place.device,
            command: self.command,
            voice: &self.place.voice,
        };
        let gallery = page::write(&material, untrained.encoder(), method.encoder())?;
        hooks.metrics.picture("neighbours", step, &gallery)?;
        summary.count_time(hooks.clock.seconds());
        summary.peak_rss_bytes = summary.peak_rss_bytes.max(peak_rss_bytes());
        summary.write(self.folder)?;
        let mut judged = kept.into_inner();
        judged.ended = Some(Ended::at(step, self.folder)?);
        judged.keep(self.folder, step, hooks.clock.seconds(), &self.place.voice);
        Ok(summary)
    }

    fn summary<M: Method>(
        &self,
        training: &Training<M>,
        hooks: &RunHooks<'_>,
        found: &Found,
        skipped: usize,
    ) -> Summary {
        let (config, state, steps) = (self.config, hooks.now(), training.steps);
        let Found { pixels, evaluation, examination, diagnosis } = found;
        let done = training.trainer.steps_done();
        let mut summary = Summary {
            method: config.method.name().into(),
            dataset: self.data.name.clone(),
            device: config.device.clone(),
            seed: config.seed,
            epochs: done as f64 / training.steps_per_epoch,
            epochs_planned: config.train.epochs,
            steps: done,
            steps_planned: steps,
            finished: done == steps,
            train_images: self.data.train.len(),
            test_images: hooks.judge.test.as_ref().map_or(0, LabelledImages::len),
            skipped_images: self.data.skipped.len() + skipped,
            untested: self.data.untested().map(|cause| cause.to_string()),
            images_per_second: 0.0,
            train_seconds: 0.0,
            data_wait_seconds: state.waited_seconds,
            wall_seconds: 0.0,
            seconds: Seconds::new(),
            peak_rss_bytes: state.peak_rss_bytes,
            final_loss: state.mean_loss(),
            knn_top1: evaluation.knn_top1,
            knn_top1_random_init: hooks.doctor.untrained.1.knn_top1,
            knn_top1_pixels: *pixels,
            linear_top1: evaluation.linear_top1,
            embedding_std: state.embedding_std,
            feature_std: evaluation.spread.mean_std,
            effective_rank: evaluation.spread.effective_rank,
            effective_rank_share: evaluation.spread.effective_rank_share(),
            projection_std: examination.projections.mean_std,
            projection_directions: examination.projections.directions,
            projection_dim: examination.projections.dim,
            stopped_by_doctor: state.collapsed,
            diagnosis: diagnosis.clone(),
            git_commit: git_commit(),
        };
        summary.count_time(state.seconds);
        summary.images_per_second = state.images as f64 / summary.train_seconds.max(1e-9);
        summary
    }

    /// Saves the state when training fails, and says how to go on.
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
                "training stopped after step {step}, when the figures of step {} were read: the \
                 state before that step is gone; {newest}; to save the state and the batch, go on \
                 with `{}` and --set train.read_every=1",
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
                    "training stopped; the batch and the state are saved, repeat the step with \
                     `selfsame replay {run}`"
                ),
                Err(saving) => {
                    let why = reasons(&saving);
                    format!("training stopped, and the state could not be saved ({why})")
                }
            };
            return anyhow::Error::from(error).context(said);
        }
        // If a batch cannot be made, or an evaluation cannot read its images, the trainer is still
        // in the state after the last step. Other failures of a hook may leave half-done work. Then
        // the checkpoint before it counts.
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
                "training stopped after step {step}; {} is intact; remove the cause, then go on \
                 with `{}`",
                newest.display(),
                self.go_on()
            ),
        };
        anyhow::Error::from(error).context(said)
    }

    fn go_on(&self) -> String {
        format!(
            "selfsame pretrain {} --out {} --resume auto",
            self.config.method.name(),
            pasted(
                &std::path::absolute(self.folder.path())
                    .unwrap_or_else(|_| self.folder.path().to_owned())
            )
        )
    }

    /// Starts a phase that a person waits for.
    fn begin(&mut self, phase: Phase) {
        self.clock.enter(phase);
        self.tell_phase(phase);
    }

    fn tell_phase(&self, phase: Phase) {
        self.place.voice.note(format_args!("{} …", phase.title()));
    }

    fn cache(&self) -> FeatureCache {
        let Place { device, voice, .. } = &self.place;
        FeatureCache::new(self.folder.path(), self.config, device, voice)
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

    /// The images skipped when the data were opened, and `later` ones by their index.
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
