//! Checks of settings without data.

use super::{DeviceName, RunConfig};
use crate::error::usage;

impl RunConfig {
    /// Checks everything that needs no data.
    pub fn validate(&self) -> anyhow::Result<()> {
        let wrong = |e: &dyn std::fmt::Display| usage(format!("settings: {e}"));
        DeviceName::all(&self.device)?;
        for view in 0..2 {
            self.views.view(view).validate().map_err(|e| wrong(&format!("views.{e}")))?;
        }
        self.encoder.resnet().validate().map_err(|e| wrong(&format!("encoder.{e}")))?;
        self.optimizer.config().validate().map_err(|e| wrong(&e))?;
        if self.settings.method() != self.method {
            let name = self.method.name();
            return Err(usage(format!(
                "settings: a run of {name} must have the section of its method and of no other \
                 method"
            )));
        }
        self.settings.validate().map_err(|e| wrong(&e))?;
        let train = &self.train;
        let micro = train.batch_size.checked_div(train.accumulation);
        let check = |ok: bool, message: String| match ok {
            true => Ok(()),
            false => Err(usage(format!("settings: {message}"))),
        };
        check(
            train.accumulation >= 1 && train.batch_size.is_multiple_of(train.accumulation.max(1)),
            format!(
                "train.accumulation: {} does not divide train.batch_size, {}",
                train.accumulation, train.batch_size
            ),
        )?;
        check(
            micro.is_some_and(|m| m >= 2),
            format!(
                "train.batch_size: {} in {} parts is too few; each part needs at least 2 images \
                 for its batch statistics",
                train.batch_size, train.accumulation
            ),
        )?;
        check(train.epochs >= 1, "train.epochs: at least 1".into())?;
        check(train.read_every != Some(0), "train.read_every: at least 1".into())?;
        check(
            train.stop_after.is_none_or(|n| n > 0.0 && n <= train.epochs as f64),
            format!("train.stop_after: above 0 and up to train.epochs, {}", train.epochs),
        )?;
        check(
            train.warmup_epochs >= 0.0 && train.warmup_epochs <= train.epochs as f64,
            format!(
                "train.warmup_epochs: {} is not from 0 to train.epochs, {}",
                train.warmup_epochs, train.epochs
            ),
        )?;
        let lr = self.optimizer.learning_rate;
        check(
            lr > 0.0 && lr.is_finite(),
            format!("optimizer.learning_rate: {lr} is not a finite number above 0"),
        )?;
        check(
            (0.0..=1.0).contains(&self.optimizer.final_fraction),
            format!(
                "optimizer.final_fraction: {} is outside [0, 1]",
                self.optimizer.final_fraction
            ),
        )?;
        check(self.eval.batch_size >= 1, "eval.batch_size: at least 1".into())?;
        check(self.doctor.images >= 2, "doctor.images: at least 2".into())?;
        check(
            self.doctor.stop_after != Some(0),
            "doctor.stop_after: at least 1; leave it out to train to the end".into(),
        )?;
        check(
            self.doctor.stop_after.is_none() || self.eval.every > 0,
            "doctor.stop_after: the doctor runs at evaluations, but eval.every = 0 has none".into(),
        )?;
        check(train.checkpoint_every >= 1, "train.checkpoint_every: at least 1 epoch".into())?;
        check(
            train.checkpoint_minutes > 0.0 && train.checkpoint_minutes.is_finite(),
            "train.checkpoint_minutes: more than 0".into(),
        )?;
        check(train.keep_checkpoints >= 1, "train.keep_checkpoints: at least 1".into())?;
        self.data.validate()?;
        self.eval.labels()?;
        self.eval.knn().validate().map_err(|e| wrong(&format!("eval: {e}")))?;
        Ok(())
    }
}
