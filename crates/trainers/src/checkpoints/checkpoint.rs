//! One checkpoint: a file with everything to resume a run.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use selfsame_models::weights::{
    Attachments, StateDict, contents, load_state_dict, read_bytes, state_dict, to_safetensors_with,
};
use serde::{Deserialize, Serialize};

use crate::checkpoints::seal::{self, intact};
use crate::{Method, Snapshot, TrainError, Trainer};

/// Increased when an older program could misread a newer file.
const FORMAT: u32 = 2;
const METHOD_PREFIX: &str = "method.";
const OPTIMIZER_PREFIX: &str = "optimizer.";
const CALLER_PREFIX: &str = "run.";
/// The prefix of incomplete files. A killed process leaves such files.
pub const UNFINISHED: &str = ".unfinished-";

/// The header of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointHeader {
    /// Version of the file's layout.
    pub format: u32,
    /// Checksum of the whole file, with zeros in its own place: 64 hexadecimal digits.
    #[serde(default)]
    pub sha256: String,
    /// Optimiser steps done.
    pub step: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// The caller's own state and settings, kept word for word.
    pub run: serde_json::Value,
}

/// The caller's data next to a trainer's state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunRecord {
    /// State and settings, kept word for word.
    pub state: serde_json::Value,
    /// Longer data, by name.
    pub attachments: Attachments,
}

/// A trainer's state as read from a file: weights of all networks, optimiser state, position.
///
/// One safetensors file holds everything. So it is replaced as a whole or not at all. Its metadata
/// is the [`CheckpointHeader`], with a checksum of the file.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The header.
    pub header: CheckpointHeader,
    /// The caller's data.
    pub attachments: Attachments,
    tensors: StateDict,
}

impl Checkpoint {
    /// Writes `state` to `path`: first to a temporary file beside it, which is flushed to disk and
    /// then renamed. So `path` is never half written.
    ///
    /// # Errors
    /// An error of the file system, with the path. The old file at `path` is then still there.
    pub fn save<M: Method>(
        state: &Snapshot<M>,
        run: &RunRecord,
        path: &Path,
    ) -> Result<(), TrainError> {
        replace_file(path, &Self::to_bytes(state, run)?).map_err(|e| failed(path, &e))
    }

    /// The file that [`save`](Self::save) writes.
    ///
    /// # Errors
    /// The weights cannot be read from their device.
    pub fn to_bytes<M: Method>(
        state: &Snapshot<M>,
        run: &RunRecord,
    ) -> Result<Vec<u8>, TrainError> {
        let mut tensors = StateDict::new();
        for (name, array) in state_dict(&state.method)? {
            tensors.insert(format!("{METHOD_PREFIX}{name}"), array);
        }
        for (name, array) in state.optimizer.state_dict()? {
            tensors.insert(format!("{OPTIMIZER_PREFIX}{name}"), array);
        }
        let attachments = run.attachments.iter();
        let attachments =
            attachments.map(|(name, bytes)| (format!("{CALLER_PREFIX}{name}"), bytes.clone()));
        let header = CheckpointHeader {
            format: FORMAT,
            sha256: seal::PLACE.to_owned(),
            step: state.step(),
            steps: state.steps,
            run: run.state.clone(),
        };
        let unsealed = |reason: &dyn std::fmt::Display| failed(Path::new("in memory"), reason);
        let header = serde_json::to_string(&header).map_err(|e| unsealed(&e))?;
        let mut bytes = to_safetensors_with(&tensors, &attachments.collect(), &header)?;
        if !seal::seal(&mut bytes) {
            return Err(unsealed(&"the file has no place for its checksum"));
        }
        Ok(bytes)
    }

    /// Reads a checkpoint without knowing the model.
    ///
    /// # Errors
    /// The file cannot be read, is no checkpoint, or has another format. [`TrainError::Damaged`] if
    /// the file has changed.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        Self::parse(read_bytes(path).map_err(|e| failed(path, &e))?, path)
    }

    /// [`read`](Self::read) for bytes in memory. `path` is for error messages.
    ///
    /// # Errors
    /// As there.
    pub fn parse(bytes: Vec<u8>, path: &Path) -> Result<Self, TrainError> {
        let damaged = |reason: &dyn std::fmt::Display| TrainError::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        };
        let read = contents(&bytes).map_err(|e| damaged(&e))?;
        let metadata = read.metadata.ok_or_else(|| damaged(&"not a checkpoint of a run"))?;
        let header: CheckpointHeader = serde_json::from_str(&metadata).map_err(|e| damaged(&e))?;
        // Format 1 had no checksum. All later formats have this one. So a flipped bit in the format
        // number is recognised as damage.
        let first = header.format == 1 && header.sha256.is_empty();
        if !first && !intact(bytes, &header.sha256) {
            return Err(damaged(&"its checksum does not match its bytes"));
        }
        if header.format != FORMAT {
            let reason = format!(
                "format {} cannot be read by this version (it reads {FORMAT})",
                header.format
            );
            return Err(failed(path, &reason));
        }
        let named = read.attachments.into_iter();
        let attachments = named
            .filter_map(|(name, bytes)| Some((name.strip_prefix(CALLER_PREFIX)?.to_owned(), bytes)))
            .collect();
        Ok(Self { header, attachments, tensors: read.arrays })
    }

    /// Puts the state into a freshly built trainer of the same settings.
    ///
    /// # Errors
    /// The architecture, the optimiser or the length of the run differs. The trainer is then
    /// unchanged.
    pub fn restore<M: Method>(&self, trainer: &mut Trainer<M>) -> Result<(), TrainError> {
        if self.header.steps != trainer.steps() {
            return Err(TrainError::config(
                "train.epochs",
                format!(
                    "the checkpoint is from a run of {} steps, but this run has {}; the schedules \
                     would not fit",
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

/// Replaces `path` by `bytes` as a whole or not at all: writes a temporary file beside it, flushes
/// it to disk, and renames it.
///
/// # Errors
/// An error of the file system. The old file at `path` is then still there.
pub fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // With the usual permissions of a new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The rename is part of the folder's data.
    File::open(folder)?.sync_all()
}

/// Deletes incomplete files of killed processes in `folder`. No other process may write there.
///
/// # Errors
/// An error of the file system.
pub fn remove_unfinished(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn failed(path: &Path, reason: &dyn std::fmt::Display) -> TrainError {
    TrainError::Checkpoint { path: path.to_owned(), reason: reason.to_string() }
}
