//! The state of an interrupted run.

use std::path::Path;

use anyhow::Context;
use selfsame_data::Splits;
use selfsame_trainers::Checkpoint;

use crate::folder::state::{HISTORY, Record, RunState, images_key};
use crate::folder::{CONFIG, RunFolder, newest_checkpoint};
use crate::observer::Voice;
use crate::settings::RunConfig;
use crate::words::reasons;

/// A state to resume from.
pub struct Saved {
    pub checkpoint: Checkpoint,
    pub state: RunState,
    /// `metrics.jsonl` up to this state, compressed.
    pub history: Vec<u8>,
}

/// The settings of the run in `folder`: those in its newest checkpoint, or else those in its file.
/// Somebody may have changed the file. `None` if neither can be read; [`Saved::recover`] says why.
pub fn settings(folder: &Path) -> Option<RunConfig> {
    let path = folder.join(CONFIG);
    let recorded = || {
        let mut checkpoint = Checkpoint::read(&newest_checkpoint(folder)?).ok()?;
        let record: Record = serde_json::from_value(checkpoint.header.run.take()).ok()?;
        RunConfig::from_toml(&record.config, &path).ok()
    };
    recorded().or_else(|| RunConfig::read(&path).ok())
}

impl Saved {
    /// The newest intact state of the run in `folder`. `None` if the run must start anew, because
    /// it has no checkpoint yet or none is intact. Restores the settings if they are lost.
    ///
    /// # Errors
    /// The run has other settings than `asked`.
    pub fn recover(
        folder: &RunFolder,
        asked: &RunConfig,
        data: &Splits,
        voice: &Voice,
    ) -> anyhow::Result<Option<Self>> {
        let (newest, damaged) = folder.checkpoints(asked.train.keep_checkpoints).recover()?;
        for found in &damaged {
            voice.warn(format_args!("{}; it is now {}", found.error, found.path.display()));
        }
        let path = folder.file(CONFIG);
        let Some(mut checkpoint) = newest else {
            if !damaged.is_empty() {
                voice.warn("no checkpoint of this run is intact; the run starts anew");
            }
            match RunConfig::read(&path) {
                Ok(config) => check_same(&config, asked)?,
                Err(error) => {
                    let why = reasons(&error);
                    voice
                        .warn(format_args!("{why}; nothing was saved yet, so the run starts anew"));
                }
            }
            folder.write(CONFIG, asked.to_commented_toml()?.as_bytes())?;
            return Ok(None);
        };
        let record: Record = serde_json::from_value(checkpoint.header.run.take())
            .context("the state of the run in its checkpoint")?;
        let config = RunConfig::from_toml(&record.config, &path)?;
        check_same(&config, asked)?;
        match RunConfig::read(&path) {
            Ok(found) if found.decisive() == config.decisive() => {}
            found => {
                let what = match found {
                    Ok(_) => "it differs from the settings of the run".to_owned(),
                    Err(error) => reasons(&error),
                };
                let path = path.display();
                voice.warn(format_args!("{path}: {what}; written again from the checkpoint"));
                folder.write(CONFIG, asked.to_commented_toml()?.as_bytes())?;
            }
        }
        if record.images_sha256 != images_key(data) {
            voice.warn(
                "the files of the training images have changed since; from here on the run is not \
                 the same",
            );
        }
        let mut state = record.state;
        if !folder.checkpoints(1).best().exists() {
            // It was damaged. The best of the later ones replaces it.
            state.best_knn = None;
        }
        let history = checkpoint.attachments.remove(HISTORY).unwrap_or_default();
        Ok(Some(Self { checkpoint, state, history }))
    }
}

/// A run can only resume with its original settings. Device and speed settings may change.
fn check_same(saved: &RunConfig, asked: &RunConfig) -> anyhow::Result<()> {
    let Some(what) = saved.difference(asked)? else { return Ok(()) };
    anyhow::bail!(
        "the run to resume has {what}; give the same settings, or start a new run with another \
         --out"
    )
}
