//! Writes checkpoints, and has the newest state at hand for the case that a rank is lost.

use selfsame_trainers::{Checkpoints, Method, Trainer};

use super::pace::Pace;
use super::rescue::Rescue;
use crate::folder::metrics::SoFar;
use crate::folder::state::{RunState, run_record};
use crate::settings::RunConfig;

/// Where a run is saved.
pub struct Saver<'a> {
    pub config: &'a RunConfig,
    pub checkpoints: Checkpoints,
    pub pace: Pace,
    pub rescue: Option<&'a Rescue>,
    /// Of the training images' files.
    pub images_sha256: Option<String>,
}

impl Saver<'_> {
    /// Whether a checkpoint is due by the clock.
    pub fn due(&self) -> bool {
        self.pace.due()
    }

    /// Writes a checkpoint of `trainer`. `history`: the lines of the log so far, compressed.
    pub fn save<M: Method>(
        &mut self,
        trainer: &Trainer<M>,
        state: RunState,
        history: Vec<u8>,
    ) -> anyhow::Result<()> {
        let record = run_record(state, self.config, self.images_sha256.clone(), history)?;
        self.checkpoints.save(&trainer.snapshot(), &record)?;
        self.pace.saved();
        if let Some(rescue) = self.rescue {
            rescue.forget();
        }
        Ok(())
    }

    /// Keeps `trainer` as the best so far.
    pub fn save_best<M: Method>(
        &self,
        trainer: &Trainer<M>,
        state: RunState,
        history: Vec<u8>,
    ) -> anyhow::Result<()> {
        let record = run_record(state, self.config, self.images_sha256.clone(), history)?;
        Ok(self.checkpoints.save_best(&trainer.snapshot(), &record)?)
    }

    /// Keeps in memory what [`save`](Self::save) would write now, where another rank may be lost in
    /// the next step. `so_far`: the run's state and its log.
    pub fn keep<M: Method>(
        &self,
        trainer: &Trainer<M>,
        so_far: impl FnOnce() -> (RunState, SoFar),
    ) {
        let Some(rescue) = self.rescue else { return };
        let (snapshot, checkpoints) = (trainer.snapshot(), self.checkpoints.clone());
        let (config, images_sha256) = (self.config.clone(), self.images_sha256.clone());
        let (state, log) = so_far();
        rescue.keep(move || {
            let record = run_record(state, &config, images_sha256, log.packed()?)?;
            checkpoints.save(&snapshot, &record)?;
            Ok(snapshot.step())
        });
    }
}
