//! A run from its first or resumed step to its report.

use std::collections::BTreeMap;

use burn::module::Module;
use selfsame_data::{Skipped, Splits, write_skipped};
use selfsame_models::weights::{state_dict, to_safetensors};
use selfsame_trainers::{Method, Trainer};
use serde_json::json;

use super::follower::all_skipped;
use super::hooks::RunHooks;
use super::pace::Pace;
use super::plan::Plan;
use super::progress::Progress;
use super::saver::Saver;
use super::training::{Place, Training};
use crate::clock::{Clock, Phase, Seconds};
use crate::error::Interrupted;
use crate::evaluation::doctor::Doctor;
use crate::evaluation::judge::Judge;
use crate::features::cache::FeatureCache;
use crate::features::preprocessing::Preprocessing;
use crate::folder::judged::Evaluation;
use crate::folder::judged::{Baselines, Judged};
use crate::folder::metrics::Metrics;
use crate::folder::saved::Saved;
use crate::folder::state::{RunState, images_key};
use crate::folder::summary::Summary;
use crate::folder::{ENCODER, RunFolder, SKIPPED, resume_command};
use crate::methods::MethodTask;
use crate::settings::RunConfig;
use crate::words::{count, percent};

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
            hooks.save(&training.trainer).map_err(|error| self.not_saved(error))?;
        }
        hooks.progress.finish();
        self.write_skipped(&skipped)?;
        self.go_on_if_not_told(&training.trainer, &hooks)?;
        self.write_encoder(training.trainer.method().valid().encoder())?;
        self.place.interrupt.training_is_saved(self.go_on());
        let summary = self.conclude(&training, &untrained, hooks, judged, skipped.len());
        summary.map_err(|error| self.not_saved(error))
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
                percent(pixels),
                percent(random)
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

    pub(super) fn go_on(&self) -> String {
        resume_command(self.config.method, self.folder.path())
    }

    /// Starts a phase that a person waits for.
    fn begin(&mut self, phase: Phase) {
        self.clock.enter(phase);
        self.tell_phase(phase);
    }

    pub(super) fn tell_phase(&self, phase: Phase) {
        self.place.voice.note(format_args!("{} …", phase.title()));
    }

    pub(super) fn cache(&self) -> FeatureCache {
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
