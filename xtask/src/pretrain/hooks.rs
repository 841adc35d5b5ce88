use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use selfsame_eval::{Level, Watch};
use selfsame_trainers::{Checkpoint, Flow, Hooks, Method, StepReport, Trainer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::evaluate::Judge;
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::run_folder::{BEST_CHECKPOINT, LAST_CHECKPOINT, RunFolder};

use super::session::{Doctor, Session};

/// What a checkpoint keeps of the run besides the trainer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunState {
    /// Over the epoch so far.
    pub loss_sum: f64,
    pub loss_count: u64,
    pub epoch_ended: bool,
    pub embedding_std: f32,
    pub images: u64,
    pub train_seconds: f64,
    pub waited_seconds: f64,
    pub best_knn: Option<f64>,
    /// Of collapsed diagnoses.
    #[serde(default)]
    pub watch: Option<Watch>,
    /// The doctor's last headline, so that it is not said again.
    #[serde(default)]
    pub said: Option<String>,
    /// The doctor ended the run here.
    #[serde(default)]
    pub collapsed: bool,
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
    pub fn mean_loss(&self) -> f64 {
        self.loss_sum / self.loss_count.max(1) as f64
    }

    pub fn save<M: Method>(&self, trainer: &Trainer<M>, folder: &RunFolder) -> anyhow::Result<()> {
        let state = serde_json::to_value(self)?;
        Ok(Checkpoint::save(trainer, &state, &folder.file(LAST_CHECKPOINT))?)
    }
}

pub struct RunHooks<'a> {
    pub session: &'a Session<'a>,
    pub judge: &'a Judge,
    pub doctor: &'a Doctor,
    pub metrics: Metrics,
    pub progress: Progress,
    pub steps_per_epoch: f64,
    pub last_step: u64,
    pub interrupted: Arc<AtomicBool>,
    /// When this part of the run began.
    pub began: Instant,
    /// Time since then that was not training.
    pub evaluating: Duration,
    pub state: RunState,
}

impl<M: Method> Hooks<M> for RunHooks<'_> {
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
        let epoch = report.step as f64 / self.steps_per_epoch;
        let mut line = json!({
            "step": report.step, "epoch": epoch, "loss": report.loss,
            "learning_rate": report.learning_rate, "embedding_std": report.embedding_std,
        });
        for (name, value) in &report.terms {
            line[*name] = json!(value);
        }
        self.metrics.step(&line)?;
        self.progress.step(report);

        let stop = self.interrupted.load(Ordering::Relaxed) || report.step >= self.last_step;
        // The end of an epoch is the last step that does not go beyond it.
        let whole = epoch.floor() as u64;
        let ended = whole > ((report.step - 1) as f64 / self.steps_per_epoch).floor() as u64;
        self.state.epoch_ended = ended;
        let mut collapsed = false;
        if ended && !stop {
            let settings = &self.session.config;
            let every = settings.eval.every;
            if every > 0 && whole.is_multiple_of(every) {
                collapsed = self.evaluate(trainer, report.step, whole)?;
            }
            if whole.is_multiple_of(settings.train.checkpoint_every) {
                self.state.save(trainer, self.session.folder)?;
            }
        }
        Ok(if stop || collapsed { Flow::Stop } else { Flow::Continue })
    }
}

impl RunHooks<'_> {
    /// Scores the encoder and has the doctor look; whether training should end because of what was found.
    fn evaluate<M: Method>(
        &mut self,
        trainer: &Trainer<M>,
        step: u64,
        epoch: u64,
    ) -> anyhow::Result<bool> {
        let start = Instant::now();
        let trained = start.duration_since(self.began).saturating_sub(self.evaluating);
        let method = trainer.method().valid();
        // What is measured does not depend on how it was trained.
        let (evaluation, examination) =
            selfsame_kernels::autocast(selfsame_kernels::Precision::F32, || {
                let features = self.judge.features(method.encoder())?;
                let evaluation = self.judge.evaluate(&features, false)?;
                anyhow::Ok((evaluation, self.doctor.checkup.examine(&method)?))
            })?;
        let spread = &evaluation.spread;
        self.progress.evaluated(epoch, evaluation.knn_top1, spread.mean_std, spread.effective_rank);
        let diagnosis = self.doctor.diagnose(&examination, &evaluation);
        if diagnosis.level >= Level::Warning
            && self.state.said.as_deref() != Some(&*diagnosis.headline)
        {
            self.progress.say(&format!("  doctor: {}", diagnosis.headline));
            self.state.said = Some(diagnosis.headline.clone());
        }
        let mut line = json!({
            "step": step, "epoch": epoch, "knn_top1": evaluation.knn_top1,
            "train_seconds": self.state.train_seconds + trained.as_secs_f64(),
            "feature_std": spread.mean_std, "effective_rank": spread.effective_rank,
            "diagnosis": diagnosis.headline,
        });
        if let (Some(line), Value::Object(figures)) = (line.as_object_mut(), examination.figures())
        {
            line.extend(figures);
        }
        self.metrics.evaluation(&line)?;
        if evaluation.knn_top1 > self.state.best_knn {
            self.state.best_knn = evaluation.knn_top1;
            let state = serde_json::to_value(&self.state)?;
            Checkpoint::save(trainer, &state, &self.session.folder.file(BEST_CHECKPOINT))?;
        }
        self.evaluating += start.elapsed();
        let patience = self.session.config.doctor.stop_after.unwrap_or(0);
        let watch = self.state.watch.get_or_insert(Watch::new(patience, 1));
        self.state.collapsed = watch.observe(&diagnosis);
        if self.state.collapsed {
            self.progress.say(&format!("stopped after epoch {epoch}: {}", diagnosis.headline));
            for advice in diagnosis.findings.iter().filter_map(|f| f.advice.as_deref()).take(1) {
                self.progress.say(&format!("  {advice}"));
            }
        }
        Ok(self.state.collapsed)
    }
}
