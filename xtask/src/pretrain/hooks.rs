use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use selfsame_trainers::{Checkpoint, Flow, Hooks, Method, StepReport, Trainer};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::evaluate::{Evaluation, Judge};
use crate::progress::Progress;
use crate::run_folder::{BEST_CHECKPOINT, LAST_CHECKPOINT, Metrics, RunFolder};

use super::session::Session;

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
    pub metrics: Metrics,
    pub progress: Progress,
    pub steps_per_epoch: f64,
    pub last_step: u64,
    pub interrupted: Arc<AtomicBool>,
    /// Time that was not training.
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
    fn evaluate<M: Method>(
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
