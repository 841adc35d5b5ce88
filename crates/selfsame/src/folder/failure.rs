//! What a run saves when its loss or a gradient is no longer finite: enough to repeat the step.

use std::path::Path;

use anyhow::{Context, bail};
use selfsame_models::weights::{Array, StateDict, read_safetensors, to_safetensors};
use selfsame_trainers::{
    Checkpoint, HostView, Method, RunRecord, TrainError, Trainer, ViewSource, Views,
};
use serde::{Deserialize, Serialize};

use crate::error::usage;
use crate::folder::{FAILED_BATCH, FAILED_STATE, FAILURE, RunFolder};

const FOLDER: &str = "failure";

/// The failed step, as in `failure.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The optimiser step, counted from 0.
    pub step: u64,
    /// The parameter with the gradient; `None` if the loss was not finite.
    pub parameter: Option<String>,
    /// The message of the run.
    pub message: String,
}

impl Failure {
    /// The failure of an error about a value that is not finite; `None` for any other error.
    pub fn of(error: &TrainError) -> Option<Self> {
        let message = error.to_string();
        match error {
            TrainError::NotFinite { step, .. } => {
                Some(Self { step: *step, parameter: None, message })
            }
            TrainError::GradientNotFinite { step, parameter, .. } => {
                Some(Self { step: *step, parameter: Some(parameter.clone()), message })
            }
            _ => None,
        }
    }

    /// Writes the failure, its batch, and the state of `trainer`. `source` rebuilds the batch. The
    /// parameters and the optimiser of `trainer` are those before the step.
    pub fn save<M: Method>(
        &self,
        trainer: &Trainer<M>,
        source: &mut dyn ViewSource,
        folder: &RunFolder,
    ) -> anyhow::Result<()> {
        let path = folder.file(FOLDER);
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        let mut batch = StateDict::new();
        let mut micro = 0;
        while let Some(views) = source.next_views() {
            let views = views.map_err(|e| anyhow::anyhow!("the batch cannot be rebuilt: {e}"))?;
            for (view, HostView { pixels, shape }) in views.into_host().into_iter().enumerate() {
                let array = Array { shape: shape.to_vec(), values: pixels };
                batch.insert(name(micro, view), array);
            }
            micro += 1;
        }
        folder.write(FAILED_BATCH, &to_safetensors(&batch, "{\"role\":\"batch\"}")?)?;
        Checkpoint::save(&trainer.snapshot(), &RunRecord::default(), &folder.file(FAILED_STATE))?;
        folder.write(FAILURE, serde_json::to_string_pretty(self)?.as_bytes())
    }
}

fn name(micro: usize, view: usize) -> String {
    format!("{micro}.view{}", view + 1)
}

/// A saved failure.
pub struct Saved {
    pub failure: Failure,
    pub state: Checkpoint,
    /// The micro-batches of the step.
    pub batch: Vec<Views>,
}

/// Reads the saved failure in `folder`.
pub fn read(folder: &Path) -> anyhow::Result<Saved> {
    let path = folder.join(FAILURE);
    if !path.is_file() {
        return Err(usage(format!(
            "{} has nothing to replay: no loss and no gradient of this run was NaN or infinite",
            folder.display()
        )));
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let failure = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let state = Checkpoint::read(&folder.join(FAILED_STATE))?;
    let path = folder.join(FAILED_BATCH);
    let (mut arrays, _) = read_safetensors(&path).with_context(|| path.display().to_string())?;
    let mut batch = Vec::new();
    while let Some(first) = arrays.remove(&name(batch.len(), 0)) {
        let second = arrays
            .remove(&name(batch.len(), 1))
            .filter(|second| second.shape == first.shape)
            .with_context(|| format!("{}: a pair of views is incomplete", path.display()))?;
        let shape = first.shape.as_slice().try_into().map_err(|_| {
            anyhow::anyhow!(
                "{}: the shape {:?} is not that of a batch",
                path.display(),
                first.shape
            )
        })?;
        batch.push(Views::on_host([first.values, second.values], shape));
    }
    if batch.is_empty() {
        bail!("{} holds no batch", path.display());
    }
    Ok(Saved { failure, state, batch })
}
