//! What is saved and said when training fails.

use selfsame_data::Shard;
use selfsame_trainers::{Method, TrainError, Trainer};

use super::hooks::RunHooks;
use super::session::Session;
use super::training::{OnDevice, loader, source};
use crate::folder::failure::Failure;
use crate::words::{pasted, reasons};

impl Session<'_> {
    /// Says which checkpoint is intact, and how to go on, when files cannot be written.
    pub(super) fn not_saved(&self, error: anyhow::Error) -> anyhow::Error {
        let newest = self.folder.checkpoints(1).newest_file();
        let said = newest.map_or("no checkpoint was written".to_owned(), |newest| {
            format!(
                "{} is intact; remove the cause, then go on with `{}`",
                newest.display(),
                self.go_on()
            )
        });
        error.context(format!("training is done, but the end of the run failed; {said}"))
    }

    /// Saves the state when training fails, and says how to go on.
    pub(super) fn stopped<M: Method>(
        &self,
        error: TrainError,
        trainer: &Trainer<M>,
        hooks: &mut RunHooks,
    ) -> anyhow::Error {
        let run = pasted(self.folder.path());
        let step = trainer.steps_done();
        if let Some(failure) = Failure::of(&error).filter(|failure| failure.step < step) {
            let newest = self.folder.checkpoints(1).newest_file();
            let newest = newest.map_or("nothing was saved yet".to_owned(), |newest| {
                format!("{} is intact", newest.display())
            });
            let said = format!(
                "training stopped after step {step}, when the figures of step {} were read: the \
                 state before that step is gone; {newest}; to save the state and the batch, go on \
                 with `{}` and --set train.read_every=1",
                failure.step + 1,
                self.go_on()
            );
            return anyhow::Error::from(error).context(said);
        }
        if let Some(failure) = Failure::of(&error) {
            let accumulation = self.config.train.accumulation as u64;
            let first = failure.step * accumulation;
            let saved = loader(self.config, self.data, Shard::default()).and_then(|whole| {
                let on_device = OnDevice::of(self.config, &self.place.device)?;
                let mut batch = source(&whole, first..first + accumulation, on_device.as_ref());
                failure.save(trainer, &mut *batch, self.folder)
            });
            let said = match saved {
                Ok(()) => format!(
                    "training stopped; the batch and the state are saved, repeat the step with \
                     `selfsame replay {run}`"
                ),
                Err(saving) => {
                    let why = reasons(&saving);
                    format!("training stopped, and the state could not be saved ({why})")
                }
            };
            return anyhow::Error::from(error).context(said);
        }
        // If a batch cannot be made, or an evaluation cannot read its images, the trainer is still
        // in the state after the last step. Other failures of a hook may leave half-done work. Then
        // the checkpoint before it counts.
        let saved = match error {
            TrainError::Source(_) | TrainError::OtherRank { .. } => hooks.save(trainer),
            TrainError::Hook(_) if hooks.state.evaluation_due => hooks.save(trainer),
            _ => Ok(()),
        };
        let said = match (saved, self.folder.checkpoints(1).newest_file()) {
            (Err(saving), _) => {
                let why = reasons(&saving);
                format!("training stopped after step {step}; saving failed too ({why})")
            }
            (Ok(()), None) => format!("training stopped after step {step}; nothing was saved yet"),
            (Ok(()), Some(newest)) => format!(
                "training stopped after step {step}; {} is intact; remove the cause, then go on \
                 with `{}`",
                newest.display(),
                self.go_on()
            ),
        };
        anyhow::Error::from(error).context(said)
    }
}
