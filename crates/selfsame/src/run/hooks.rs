//! The work between steps: logs, evaluations, the doctor, checkpoints.

use selfsame_eval::{Diagnosis, Level, Watch};
use selfsame_kernels::{Precision, autocast, together};
use selfsame_trainers::{Flow, Hooks, Method, StepReport, Trainer};

use super::plan::Plan;
use super::progress::Progress;
use super::saver::Saver;
use super::session::Session;
use crate::clock::{Clock, Phase};
use crate::evaluation::checkup::{self, Examination};
use crate::evaluation::doctor::Doctor;
use crate::evaluation::judge::Judge;
use crate::folder::judged::Evaluation;
use crate::folder::metrics::Metrics;
use crate::folder::peak_rss_bytes;
use crate::folder::record::{EvaluationLine, StepLine};
use crate::folder::state::RunState;
use crate::observer::{Evaluated, Voice};
use crate::words::advice;

/// What a run does between its steps.
pub struct RunHooks<'a> {
    pub session: &'a Session<'a>,
    pub judge: &'a Judge,
    pub doctor: &'a Doctor,
    pub plan: Plan,
    pub saver: Saver<'a>,
    pub metrics: Metrics,
    pub progress: Progress,
    pub clock: Clock,
    pub state: RunState,
}

impl<M: Method> Hooks<M> for RunHooks<'_> {
    /// Whether the figures are read after this step. Other work after a step needs the figures of
    /// all steps before it.
    fn reads(&self, step: u64) -> bool {
        self.plan.reads(step)
            || self.stops_at(step)
            || self.plan.ended_epoch(step).is_some()
            || self.saver.due()
    }

    fn after_step(
        &mut self,
        trainer: &Trainer<M>,
        report: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>> {
        self.step(trainer, report).map_err(Into::into)
    }
}

impl RunHooks<'_> {
    fn step<M: Method>(
        &mut self,
        trainer: &Trainer<M>,
        report: &StepReport,
    ) -> anyhow::Result<Flow> {
        self.state.add_loss(report.loss);
        self.state.embedding_std = report.embedding_std;
        self.state.images += report.images as u64;
        self.state.waited_seconds += report.waited.as_secs_f64();
        let line = StepLine {
            step: report.step,
            epoch: self.plan.epochs(report.step),
            loss: report.loss,
            learning_rate: report.learning_rate,
            embedding_std: report.embedding_std,
            terms: report.terms.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        self.metrics.step(&line)?;
        self.progress.step(report, self.clock.of(Phase::Training));

        // The trainer is further on. A step with due work is read at once, see `reads`.
        if report.step < trainer.steps_done() {
            return Ok(Flow::Continue);
        }
        let stop = self.stops_at(report.step);
        let ended = self.plan.ended_epoch(report.step);
        self.state.epoch_ended = ended.is_some();
        let settings = &self.session.config;
        let every = settings.eval.every;
        self.state.evaluation_due =
            every > 0 && ended.is_some_and(|epoch| epoch.is_multiple_of(every));
        self.keep(trainer);
        // The caller saves a run that stops here. An evaluation could take too long.
        let collapsed = !stop && self.evaluate_if_due(trainer)?;
        let checkpoint_every = settings.train.checkpoint_every;
        let epoch_due = ended.is_some_and(|epoch| epoch.is_multiple_of(checkpoint_every));
        if !stop && (epoch_due || self.saver.due()) {
            self.save(trainer)?;
        }
        Ok(if stop || collapsed { Flow::Stop } else { Flow::Continue })
    }

    fn voice(&self) -> &Voice {
        &self.session.place.voice
    }

    fn stops_at(&self, step: u64) -> bool {
        self.session.place.interrupt.told() || step >= self.plan.last_step
    }

    /// Saves everything that a resumed run needs, as of the last step.
    pub fn save<M: Method>(&mut self, trainer: &Trainer<M>) -> anyhow::Result<()> {
        let before = self.clock.enter(Phase::Saving);
        let state = self.now();
        self.saver.save(trainer, state, self.metrics.history()?)?;
        self.clock.enter(before);
        Ok(())
    }

    /// Keeps the state after the last step in memory, for the case that the next never ends.
    fn keep<M: Method>(&self, trainer: &Trainer<M>) {
        self.saver.keep(trainer, || (self.now(), self.metrics.so_far()));
    }

    /// The state, with the time and the memory so far.
    pub fn now(&self) -> RunState {
        let mut state = self.state.clone();
        state.seconds = self.clock.seconds();
        state.peak_rss_bytes = state.peak_rss_bytes.max(peak_rss_bytes());
        state
    }

    /// Evaluates if it is due. Returns whether the result should end training.
    pub fn evaluate_if_due<M: Method>(&mut self, trainer: &Trainer<M>) -> anyhow::Result<bool> {
        if !self.state.evaluation_due {
            return Ok(false);
        }
        self.evaluate(trainer)
    }
}

impl RunHooks<'_> {
    /// Scores the encoder and calls the doctor. Returns whether the result should end training.
    fn evaluate<M: Method>(&mut self, trainer: &Trainer<M>) -> anyhow::Result<bool> {
        let before = self.clock.enter(Phase::Evaluation);
        let method = trainer.method().valid();
        // The measurement does not depend on the precision of training, nor on other ranks.
        let (evaluation, examination) = together(None, || {
            autocast(Precision::F32, || {
                let features = self.judge.features(method.encoder())?;
                let evaluation = self.judge.evaluate(&features, false)?;
                anyhow::Ok((evaluation, self.doctor.checkup.examine(&method)?))
            })
        })?;
        // Only now. A failed evaluation, for example because images are missing, stays due.
        self.state.evaluation_due = false;
        let epoch = self.plan.whole_epochs(trainer.steps_done());
        let diagnosis = self.found(trainer, epoch as f64, &evaluation, &examination)?;
        self.keep_best(trainer, &evaluation)?;
        if diagnosis.level >= Level::Warning
            && self.state.said.as_deref() != Some(&*diagnosis.headline)
        {
            self.voice().note(format_args!("  doctor: {}", diagnosis.headline));
            self.state.said = Some(diagnosis.headline.clone());
        }
        let patience = self.session.config.doctor.stop_after.unwrap_or(0);
        let watch = self.state.watch.get_or_insert(Watch::new(patience, 1));
        self.state.collapsed = watch.observe(&diagnosis);
        if self.state.collapsed {
            self.voice().note(format_args!("stopped after epoch {epoch}: {}", diagnosis.headline));
            // The headline already tells the first finding.
            for finding in diagnosis.findings.iter().take(1) {
                self.voice().note(advice(finding, "").trim_end());
            }
        }
        self.keep(trainer);
        self.clock.enter(before);
        Ok(self.state.collapsed)
    }

    /// Reports and logs the evaluation of `trainer` after this many epochs.
    pub fn found<M: Method>(
        &mut self,
        trainer: &Trainer<M>,
        epoch: f64,
        evaluation: &Evaluation,
        examination: &Examination,
    ) -> anyhow::Result<Diagnosis> {
        let step = trainer.steps_done();
        let training = checkup::training(self.session.config, step, self.plan.steps);
        let diagnosis = self.doctor.diagnose(examination, evaluation, training);
        let spread = &evaluation.spread;
        self.progress.evaluated(Evaluated {
            epoch,
            knn_top1: evaluation.knn_top1,
            feature_std: spread.mean_std,
            effective_rank: spread.effective_rank,
        });
        let line = EvaluationLine {
            step,
            epoch,
            knn_top1: evaluation.knn_top1,
            linear_top1: evaluation.linear_top1,
            train_seconds: self.clock.of(Phase::Training),
            feature_std: spread.mean_std,
            effective_rank: spread.effective_rank,
            diagnosis: diagnosis.headline.clone(),
            doctor: examination.figures(),
        };
        self.metrics.evaluation(&line)?;
        Ok(diagnosis)
    }

    /// Saves `trainer` if it is the best so far.
    pub fn keep_best<M: Method>(
        &mut self,
        trainer: &Trainer<M>,
        evaluation: &Evaluation,
    ) -> anyhow::Result<()> {
        if evaluation.knn_top1 > self.state.best_knn {
            self.state.best_knn = evaluation.knn_top1;
            let state = self.now();
            self.saver.save_best(trainer, state, self.metrics.history()?)?;
        }
        Ok(())
    }
}
