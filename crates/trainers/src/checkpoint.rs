use std::fs::File;
use std::io::Write;
use std::path::Path;

use selfsame_models::weights::{
    StateDict, load_state_dict, read_safetensors, state_dict, to_safetensors,
};
use serde::{Deserialize, Serialize};

use crate::{Method, TrainError, Trainer};

/// Raised whenever an older program could misread a newer file.
const FORMAT: u32 = 1;
const METHOD_PREFIX: &str = "method.";
const OPTIMIZER_PREFIX: &str = "optimizer.";

/// What a checkpoint says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointHeader {
    /// Of the file's layout.
    pub format: u32,
    /// Optimiser steps done.
    pub step: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// The caller's own state and settings, kept word for word.
    pub run: serde_json::Value,
}

/// A trainer's state as read from a file: weights of all networks, optimiser state, position.
///
/// One safetensors file holds everything, so that it is replaced as a whole or not at all; its
/// metadata is the [`CheckpointHeader`].
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// What it says about itself.
    pub header: CheckpointHeader,
    tensors: StateDict,
}

impl Checkpoint {
    /// Writes the state of `trainer` to `path`: to a temporary file beside it first, flushed to
    /// disk, then renamed, so that `path` is never half written.
    ///
    /// # Errors
    /// The file system's, with the path.
    pub fn save<M: Method>(
        trainer: &Trainer<M>,
        run: &serde_json::Value,
        path: &Path,
    ) -> Result<(), TrainError> {
        let mut tensors = StateDict::new();
        for (name, array) in state_dict(trainer.method())? {
            tensors.insert(format!("{METHOD_PREFIX}{name}"), array);
        }
        for (name, array) in trainer.optimizer().state_dict()? {
            tensors.insert(format!("{OPTIMIZER_PREFIX}{name}"), array);
        }
        let header = CheckpointHeader {
            format: FORMAT,
            step: trainer.steps_done(),
            steps: trainer.steps(),
            run: run.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|e| failed(path, &e))?;
        write_atomically(path, &to_safetensors(&tensors, &header)?)
    }

    /// Reads a checkpoint without knowing the model.
    ///
    /// # Errors
    /// A file that is unreadable, damaged, not a checkpoint or from a newer format.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let (tensors, metadata) = read_safetensors(path).map_err(|e| failed(path, &e))?;
        let metadata = metadata
            .ok_or_else(|| failed(path, &"a weight file, but not a checkpoint of a run"))?;
        let header: CheckpointHeader =
            serde_json::from_str(&metadata).map_err(|e| failed(path, &e))?;
        if header.format != FORMAT {
            let reason =
                format!("format {} is not the one this version reads ({FORMAT})", header.format);
            return Err(failed(path, &reason));
        }
        Ok(Self { header, tensors })
    }

    /// Puts the state into a freshly built trainer of the same settings.
    ///
    /// # Errors
    /// Another architecture, another optimiser or another length of run; the trainer is then
    /// unchanged.
    pub fn restore<M: Method>(&self, trainer: &mut Trainer<M>) -> Result<(), TrainError> {
        if self.header.steps != trainer.steps() {
            return Err(TrainError::config(
                "train.epochs",
                format!(
                    "the checkpoint belongs to a run of {} steps and this one has {}; its schedules \
                     would not continue",
                    self.header.steps,
                    trainer.steps()
                ),
            ));
        }
        let part = |prefix: &str| -> StateDict {
            self.tensors
                .iter()
                .filter_map(|(name, a)| Some((name.strip_prefix(prefix)?.to_owned(), a.clone())))
                .collect()
        };
        let method = load_state_dict(trainer.method().clone(), &part(METHOD_PREFIX))?;
        let mut optimizer = trainer.optimizer().clone();
        optimizer.load_state_dict(&method, &part(OPTIMIZER_PREFIX), self.header.step)?;
        trainer.restore(method, optimizer);
        Ok(())
    }

    /// The weights under `prefix` of the method (`online.encoder.`), with the prefix removed.
    pub fn weights(&self, prefix: &str) -> StateDict {
        let prefix = format!("{METHOD_PREFIX}{prefix}");
        self.tensors
            .iter()
            .filter_map(|(name, a)| Some((name.strip_prefix(&prefix)?.to_owned(), a.clone())))
            .collect()
    }
}

/// Replaces `path` by `bytes` as a whole or not at all.
fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        // The rename itself lies in the folder's data.
        File::open(folder)?.sync_all()
    };
    write().map_err(|e| failed(path, &e))
}

fn failed(path: &Path, reason: &dyn std::fmt::Display) -> TrainError {
    TrainError::Checkpoint { path: path.to_owned(), reason: reason.to_string() }
}
