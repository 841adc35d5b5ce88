//! AdamW.

use burn::tensor::Device;
use selfsame_kernels::{AdamWJob, AdamWStep, adamw_all};

use super::{Update, Updated, check_positive, check_unit};
use crate::TrainError;

/// AdamW (Loshchilov & Hutter, 2019, algorithm 2) in PyTorch's form.
///
/// `w ← w − lr · λ w`, `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`,
/// `w ← w − lr · m̂ / (√v̂ + ε)` with `m̂ = m / (1 − β₁ᵗ)`, `v̂ = v / (1 − β₂ᵗ)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// β₁
    pub beta1: f64,
    /// β₂
    pub beta2: f64,
    /// ε
    pub epsilon: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl AdamW {
    pub(super) fn validate(&self) -> Result<(), TrainError> {
        check_unit("optimizer.beta1", self.beta1)?;
        check_unit("optimizer.beta2", self.beta2)?;
        check_positive("optimizer.epsilon", self.epsilon)
    }

    /// `step`: optimiser steps done before this one.
    pub(super) fn update(
        &self,
        device: &Device,
        updates: Vec<Update>,
        learning_rate: f64,
        step: u64,
    ) -> Vec<Updated> {
        let Self { beta1, beta2, epsilon } = *self;
        let jobs = updates.into_iter().map(|update| {
            let weight_decay = update.weight_decay;
            AdamWJob {
                moments: update.state.try_into().ok(),
                parameter: update.parameter,
                gradient: update.gradient,
                step: AdamWStep { beta1, beta2, epsilon, weight_decay, learning_rate, t: step + 1 },
            }
        });
        let updated = adamw_all(device, jobs.collect()).into_iter();
        updated.map(|(parameter, moments)| (parameter, moments.into())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::tests::{run, tensor};
    use crate::{OptimizerConfig, Rule};

    #[test]
    fn a_constant_gradient_moves_by_the_learning_rate() {
        let config = OptimizerConfig {
            rule: Rule::AdamW(AdamW::default()),
            weight_decay: 0.0,
            exclude_bias_and_norm: false,
        };
        // m̂ = g and √v̂ = |g| at every step.
        let w = run(&config, tensor(&[1.0, 1.0], [1, 2]), &tensor(&[0.3, -7.0], [1, 2]), 0.01, 5);
        assert!((w[0] - 0.95).abs() < 1e-5 && (w[1] - 1.05).abs() < 1e-5, "{w:?}");
    }

    #[test]
    fn decay_is_decoupled_from_the_gradient() {
        let config = OptimizerConfig {
            rule: Rule::AdamW(AdamW::default()),
            weight_decay: 0.1,
            exclude_bias_and_norm: false,
        };
        let w = run(&config, tensor(&[2.0], [1]), &tensor(&[0.0], [1]), 0.5, 1)[0];
        assert!((w - 1.9).abs() < 1e-6, "{w}");
    }
}
