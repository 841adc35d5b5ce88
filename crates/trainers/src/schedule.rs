//! Schedules as pure functions of the optimiser step. So gradient accumulation and a resume cannot
//! shift them.

use std::f64::consts::PI;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Position, TrainError};

/// Linear warm-up, then half a cosine (Loshchilov & Hutter, 2017) down to a final share.
///
/// With `W = warmup_steps`, `S = steps`, `p = peak`, `f = final_fraction`:
/// `lr(s) = p · s / W` for `s < W`, then
/// `lr(s) = p · (f + (1 − f) · (1 + cos(π (s − W) / (S − W))) / 2)`.
/// It starts at 0 (at `p` without warm-up), reaches `p` at step `W`, and ends at `p · f`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// The highest value, reached when the warm-up ends.
    pub peak: f64,
    /// Optimiser steps of linear warm-up.
    pub warmup_steps: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// The last value over the peak: 0 in most recipes, 0.001 in Barlow Twins' original code.
    pub final_fraction: f64,
}

impl LearningRate {
    /// The learning rate of optimiser step `step`, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * step as f64 / self.warmup_steps as f64;
        }
        let length = self.steps.saturating_sub(self.warmup_steps).max(1);
        let progress = ((step - self.warmup_steps) as f64 / length as f64).min(1.0);
        let cosine = (1.0 + (PI * progress).cos()) / 2.0;
        self.peak * (self.final_fraction + (1.0 - self.final_fraction) * cosine)
    }
}

/// The schedule of BYOL's momentum τ from its base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TauSchedule {
    /// Up to 1 along half a cosine, as in the paper.
    #[default]
    Cosine,
    /// It stays.
    Constant,
}

/// The target's momentum, along a cosine `τ(s) = 1 − (1 − τ_base) · (cos(π s / S) + 1) / 2`
/// (Grill et al., 2020, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomentumTau {
    /// τ at step 0.
    pub base: f64,
    /// Its schedule.
    pub schedule: TauSchedule,
}

impl MomentumTau {
    /// # Errors
    /// The base is outside `[0, 1]`.
    pub fn new(base: f64, schedule: TauSchedule) -> Result<Self, TrainError> {
        if !(0.0..=1.0).contains(&base) {
            let reason = format!("{base} is outside [0, 1] (0.996 in the paper, 0.99 on CIFAR)");
            return Err(TrainError::config("tau_base", reason));
        }
        Ok(Self { base, schedule })
    }

    /// The τ for the target after the step at `at`, `[1]`, as a term to log.
    pub(crate) fn term(&self, at: Position, device: &Device) -> (&'static str, Tensor<1>) {
        ("tau", Tensor::from_floats([self.at(at.step + 1, at.steps) as f32], device))
    }

    /// τ after optimiser step `step` of `steps`.
    pub fn at(&self, step: u64, steps: u64) -> f64 {
        match self.schedule {
            TauSchedule::Constant => self.base,
            TauSchedule::Cosine => {
                let progress = (step as f64 / steps.max(1) as f64).min(1.0);
                1.0 - (1.0 - self.base) * ((PI * progress).cos() + 1.0) / 2.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warmup_peak_and_end() {
        let lr = LearningRate { peak: 0.4, warmup_steps: 10, steps: 110, final_fraction: 0.001 };
        assert_eq!(lr.at(0), 0.0);
        assert!((lr.at(5) - 0.2).abs() < 1e-12);
        assert!((lr.at(10) - 0.4).abs() < 1e-12);
        assert!((lr.at(60) - 0.4 * 0.5005).abs() < 1e-12);
        assert!((lr.at(110) - 0.4 * 0.001).abs() < 1e-12);
        assert_eq!(lr.at(110), lr.at(1000));
    }

    #[test]
    fn no_warmup_starts_at_the_peak() {
        let lr = LearningRate { peak: 0.4, warmup_steps: 0, steps: 10, final_fraction: 0.0 };
        assert_eq!(lr.at(0), 0.4);
        assert!(lr.at(10).abs() < 1e-12);
    }

    #[test]
    fn tau_rises_from_its_base_to_one() {
        let tau = MomentumTau::new(0.99, TauSchedule::Cosine).unwrap();
        assert!((tau.at(0, 100) - 0.99).abs() < 1e-12);
        assert!((tau.at(50, 100) - 0.995).abs() < 1e-12);
        assert_eq!(tau.at(100, 100), 1.0);
        for base in [1.01, -0.1, f64::NAN] {
            assert!(MomentumTau::new(base, TauSchedule::Cosine).is_err());
        }
        let constant = MomentumTau::new(0.5, TauSchedule::Constant).unwrap();
        assert_eq!([0, 50, 100].map(|step| constant.at(step, 100)), [0.5; 3]);
    }
}
