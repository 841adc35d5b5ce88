//! The work between steps: logs, evaluations, the doctor, checkpoints.

use selfsame_data::Splits;
use selfsame_eval::{Diagnosis, Level, Watch};
use selfsame_kernels::{Precision, autocast, together};
use selfsame_trainers::{Checkpoints, Flow, Hooks, Method, RunRecord, StepReport, Trainer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::evaluation::checkup::{self, Examination};
use crate::evaluation::judge::{Evaluation, Judge};
use crate::hex::hex;
use crate::observer::{Evaluated, Voice};
use crate::run::folder::metrics::Metrics;
use crate::run::folder::peak_rss_bytes;
use crate::settings::RunConfig;

use super::clock::{Clock, Phase, Seconds};
use super::pace::Pace;
use super::progress::Progress;
use super::session::{Doctor, Session};

/// The attachment of a checkpoint with the lines of `metrics.jsonl` so far.
pub const HISTORY: &str = "metrics.jsonl.gz";

/// What a checkpoint keeps of the run besides the trainer and the metrics.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    pub state: RunState,
    /// The run's settings, as TOML.
    pub config: String,
    /// Hash of the settings that decide the result, see
    /// [`RunConfig::sha256`](crate::settings::RunConfig::sha256).
    pub settings_sha256: String,
    /// Hash of the files of the training images, see [`images_key`].
    #[serde(default)]
    pub images_sha256: Option<String>,
}

/// Hash of the paths, sizes and modification times of the training images, if they are files.
pub fn images_key(data: &Splits) -> Option<String> {
    data.train.content_key().map(|key| hex(&key.0))
}

/// The progress of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunState {
    /// Sums over the epoch so far.
    pub loss_sum: f64,
    pub loss_count: u64,
    pub epoch_ended: bool,
    pub embedding_std: f32,
    pub images: u64,
    /// Seconds by phase.
    #[serde(default)]
    pub seconds: Seconds,
    /// The time in checkpoints of earlier versions, which did not keep all phases.
    #[serde(default, skip_serializing)]
    train_seconds: f64,
    pub waited_seconds: f64,
    /// Peak memory of the largest process so far.
    #[serde(default)]
    pub peak_rss_bytes: Option<u64>,
    pub best_knn: Option<f64>,
    /// Collapsed diagnoses in a row.
    #[serde(default)]
    pub watch: Option<Watch>,
    /// The doctor's last headline. It is not repeated.
    #[serde(default)]
    pub said: Option<String>,
    /// The step at which the doctor ended the run.
    #[serde(default)]
    pub collapsed: bool,
    /// Whether the run was stopped before a due evaluation.
    #[serde(default)]
    pub evaluation_due: bool,
}

impl RunState {
    fn add_loss(&mut self, loss: f32) {
        if std::mem::take(&mut self.epoch_ended) {
            (self.loss_sum, self.loss_count) = (0.0, 0);
        }
        self.loss_sum += f64::from(loss);
        self.loss_count += 1;
    }

    /// Seconds by phase. Also works for a state with only the training time.
    pub fn spent(&self) -> Seconds {
        let mut seconds = self.seconds.clone();
        seconds.entry(Phase::Training).or_insert(self.train_seconds);
        seconds
    }

    /// Mean over the last epoch.
    pub fn mean_loss(&self) -> f64 {
        self.loss_sum / self.loss_count.max(1) as f64
    }
}

pub struct RunHooks<'a> {
    pub session: &'a Session<'a>,
    pub judge: &'a Judge,
    pub doctor: &'a Doctor,
    pub metrics: Metrics,
    pub progress: Progress,
    /// Steps of the whole run.
    pub steps: u64,
    pub last_step: u64,
    /// The number of steps between reads from the device.
    pub read_every: u64,
    pub clock: Clock,
    /// Seconds of training before this part of the run.
    pub trained_before: f64,
    pub state: RunState,
    pub checkpoints: &'a Checkpoints,
    pub pace: Pace,
    pub images_sha256: Option<String>,
}

/// An epoch in a log: 3, or 3.5 in the middle of the fourth.
fn whole_or_part(epoch: f64) -> Value {
    if epoch.fract() == 0.0 { json!(epoch as u64) } else { json!(epoch) }
}

impl<M: Method> Hooks<M> for RunHooks<'_> {
    /// Whether the figures are read after this step. Other work after a step needs the figures of
    /// all steps before it.
    fn reads(&self, step: u64) -> bool {
        step.is_multiple_of(self.read_every)
            || self.stops_at(step)
            || self.ended_epoch(step).is_some()
            || self.pace.due()
    }

    fn after_step(
        &mut self,
        trainer: &Trainer<M>,
        report: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>> {
        self.step(trainer, report).map_err(Into::into)
    }
}

/// The attachments of a checkpoint. `history`: see [`HISTORY`].
fn run_record(
    state: RunState,
    config: &RunConfig,
    images_sha256: Option<String>,
    history: Vec<u8>,
) -> anyhow::Result<RunRecord> {
    let record = Record {
        state,
        config: toml::to_string(config)?,
        settings_sha256: config.sha256()?,
        images_sha256,
    };
    let attachments = [(HISTORY.to_owned(), history)].into();
    Ok(RunRecord { state: serde_json::to_value(record)?, attachments })
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
        let mut line = json!({
            "step": report.step, "epoch": self.epochs(report.step), "loss": report.loss,
            "learning_rate": report.learning_rate, "embedding_std": report.embedding_std,
        });
        for (name, value) in &report.terms {
            line[*name] = json!(value);
        }
        self.metrics.step(&line)?;
        let trained = self.clock.of(Phase::Training) - self.trained_before;
        self.progress.step(report, trained);

        // The trainer is further on. A step with due work is read at once, see `reads`.
        if report.step < trainer.steps_done() {
            return Ok(Flow::Continue);
        }
        let stop = self.stops_at(report.step);
        let ended = self.ended_epoch(report.step);
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
        if !stop && (epoch_due || self.pace.due()) {
            self.save(trainer)?;
        }
        Ok(if stop || collapsed { Flow::Stop } else { Flow::Continue })
    }

    fn voice(&self) -> &Voice {
        &self.session.place.voice
    }

    fn stops_at(&self, step: u64) -> bool {
        self.session.place.interrupt.told() || step >= self.last_step
    }

    /// Epochs after `step`, with the fraction of the last one.
    pub fn epochs(&self, step: u64) -> f64 {
        step as f64 * self.session.config.train.epochs as f64 / self.steps as f64
    }

    /// Whole epochs after `step`.
    fn whole_epochs(&self, step: u64) -> u64 {
        let epochs = u128::from(step) * u128::from(self.session.config.train.epochs);
        (epochs / u128::from(self.steps)) as u64
    }

    /// The epoch, counted from 1, if `step` is its last complete step.
    fn ended_epoch(&self, step: u64) -> Option<u64> {
        let whole = |step| self.whole_epochs(step);
        Some(whole(step)).filter(|epoch| *epoch > whole(step - 1))
    }

    /// Saves everything that a resumed run needs, as of the last step.
    pub fn save<M: Method>(&mut self, trainer: &Trainer<M>) -> anyhow::Result<()> {
        let before = self.clock.enter(Phase::Saving);
        let record = self.record()?;
        self.checkpoints.save(&trainer.snapshot(), &record)?;
        self.pace.saved();
        self.clock.enter(before);
        if let Some(rescue) = &self.session.place.rescue {
            rescue.forget();
        }
        Ok(())
    }

    /// Prepares a checkpoint of this step, as [`save`](Self::save) would write it. It is saved if
    /// the next step fails.
    fn keep<M: Method>(&self, trainer: &Trainer<M>) {
        let Some(rescue) = &self.session.place.rescue else { return };
        let (snapshot, checkpoints) = (trainer.snapshot(), self.checkpoints.clone());
        let (log, config) = (self.metrics.so_far(), self.session.config.clone());
        let (state, images_sha256) = (self.now(), self.images_sha256.clone());
        rescue.keep(move || {
            let record = run_record(state, &config, images_sha256, log.packed()?)?;
            checkpoints.save(&snapshot, &record)?;
            Ok(snapshot.step())
        });
    }

    fn record(&mut self) -> anyhow::Result<RunRecord> {
        let history = self.metrics.history()?;
        run_record(self.now(), self.session.config, self.images_sha256.clone(), history)
    }

    /// The state, with the time and the memory so far.
    pub fn now(&self) -> RunState {
        RunState {
            seconds: self.clock.seconds(),
            peak_rss_bytes: self.state.peak_rss_bytes.max(peak_rss_bytes()),
            ..self.state.clone()
        }
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
        let epoch = self.whole_epochs(trainer.steps_done());
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
                self.voice().note(checkup::advice(finding, "").trim_end());
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
        let training = checkup::training(self.session.config, step, self.steps);
        let diagnosis = self.doctor.diagnose(examination, evaluation, training);
        let spread = &evaluation.spread;
        self.progress.evaluated(Evaluated {
            epoch,
            knn_top1: evaluation.knn_top1,
            feature_std: spread.mean_std,
            effective_rank: spread.effective_rank,
        });
        let mut line = json!({
            "step": step, "epoch": whole_or_part(epoch), "knn_top1": evaluation.knn_top1,
            "train_seconds": self.clock.of(Phase::Training),
            "feature_std": spread.mean_std, "effective_rank": spread.effective_rank,
            "diagnosis": diagnosis.headline,
        });
        if let Some(linear) = evaluation.linear_top1 {
            line["linear_top1"] = json!(linear);
        }
        if let (Some(line), Value::Object(figures)) = (line.as_object_mut(), examination.figures())
        {
            line.extend(figures);
        }
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
            let record = self.record()?;
            self.checkpoints.save_best(&trainer.snapshot(), &record)?;
        }
        Ok(())
    }
}
