//! What a checkpoint keeps of a run besides the trainer.

use selfsame_data::Splits;
use selfsame_eval::Watch;
use selfsame_trainers::RunRecord;
use serde::{Deserialize, Serialize};

use crate::clock::{Phase, Seconds};
use crate::hex::hex;
use crate::settings::RunConfig;

/// The attachment of a checkpoint that holds the lines of `metrics.jsonl` up to it.
pub const HISTORY: &str = "metrics.jsonl.gz";

/// What a checkpoint keeps of the run besides the trainer and the metrics.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    pub state: RunState,
    /// The run's settings, as TOML.
    pub config: String,
    /// Of those settings that decide the result, see
    /// [`RunConfig::sha256`](crate::settings::RunConfig::sha256).
    pub settings_sha256: String,
    /// Of the training images' files, see [`images_key`].
    #[serde(default)]
    pub images_sha256: Option<String>,
}

/// Hash of the paths, sizes and times of change of the training images' files, where there are such
/// files.
pub fn images_key(data: &Splits) -> Option<String> {
    data.train.content_key().map(|key| hex(&key.0))
}

/// How far the run has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunState {
    /// Over the epoch so far.
    pub loss_sum: f64,
    pub loss_count: u64,
    pub epoch_ended: bool,
    pub embedding_std: f32,
    pub images: u64,
    /// By phase.
    #[serde(default)]
    pub seconds: Seconds,
    /// What checkpoints kept before they kept all phases.
    #[serde(default, skip_serializing)]
    train_seconds: f64,
    pub waited_seconds: f64,
    /// Of the largest of the processes so far.
    #[serde(default)]
    pub peak_rss_bytes: Option<u64>,
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
    /// The run was stopped where an evaluation was to come.
    #[serde(default)]
    pub evaluation_due: bool,
}

impl RunState {
    pub fn add_loss(&mut self, loss: f32) {
        if std::mem::take(&mut self.epoch_ended) {
            (self.loss_sum, self.loss_count) = (0.0, 0);
        }
        self.loss_sum += f64::from(loss);
        self.loss_count += 1;
    }

    /// By phase, also of a state that knows only how long it trained.
    pub fn spent(&self) -> Seconds {
        let mut seconds = self.seconds.clone();
        seconds.entry(Phase::Training).or_insert(self.train_seconds);
        seconds
    }

    /// Over the last epoch.
    pub fn mean_loss(&self) -> f64 {
        self.loss_sum / self.loss_count.max(1) as f64
    }
}

/// What a checkpoint keeps of a run in `state`; `history`: see [`HISTORY`].
pub fn run_record(
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
