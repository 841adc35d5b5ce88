//! The settings of a trainer.

use selfsame_trainers::{LearningRate, TrainerConfig};

use super::RunConfig;

impl RunConfig {
    /// The trainer's settings besides the method, for a run of `steps` optimiser steps.
    pub(crate) fn trainer(&self, steps: u64) -> TrainerConfig {
        let train = &self.train;
        let steps_per_epoch = steps as f64 / train.epochs as f64;
        TrainerConfig {
            optimizer: self.optimizer.config(),
            learning_rate: LearningRate {
                peak: self.optimizer.peak(train.batch_size),
                warmup_steps: (train.warmup_epochs * steps_per_epoch).round() as u64,
                steps,
                final_fraction: self.optimizer.final_fraction,
            },
            accumulation: train.accumulation,
        }
    }
}
