use burn::tensor::Tensor;

use super::{Update, check_positive, check_unit};
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

    pub(super) fn update(&self, update: Update<'_>) -> Tensor<1> {
        let Update { parameter, gradient, state, learning_rate, weight_decay, step, .. } = update;
        let (mut first, mut second) = (
            gradient.clone().mul_scalar(1.0 - self.beta1),
            gradient.square().mul_scalar(1.0 - self.beta2),
        );
        if let (Some(v), Some(m)) = (state.pop(), state.pop()) {
            first = first + m.mul_scalar(self.beta1);
            second = second + v.mul_scalar(self.beta2);
        }
        state.extend([first.clone(), second.clone()]);
        let t = (step + 1) as f64;
        let first = first.div_scalar(1.0 - self.beta1.powf(t));
        let second = second.div_scalar(1.0 - self.beta2.powf(t));
        let direction = first / second.sqrt().add_scalar(self.epsilon);
        parameter.mul_scalar(1.0 - learning_rate * weight_decay)
            - direction.mul_scalar(learning_rate)
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
