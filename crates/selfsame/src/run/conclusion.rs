//! The end of a run: the last evaluation, the figures and the page.

use std::cell::RefCell;

use selfsame_eval::{Diagnosis, LabelledImages};
use selfsame_trainers::Method;

use super::hooks::RunHooks;
use super::session::Session;
use super::training::Training;
use crate::clock::{Phase, Seconds};
use crate::evaluation::checkup::Examination;
use crate::folder::judged::{After, Ended, Evaluation, Judged};
use crate::folder::summary::Summary;
use crate::folder::{git_commit, peak_rss_bytes};
use crate::page::{self, Material};

/// The figures at the end.
struct Found {
    /// k-NN on raw pixels.
    pixels: Option<f64>,
    evaluation: Evaluation,
    examination: Examination,
    diagnosis: Diagnosis,
}

impl Session<'_> {
    /// Evaluates the trained encoder and writes all files of the run.
    pub(super) fn conclude<M: Method>(
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
}
