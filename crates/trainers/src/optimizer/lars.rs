//! LARS.

use burn::tensor::{Device, Tensor};
use selfsame_kernels::{SgdJob, SgdStep, sgd_all, update_norms_all};
use serde::{Deserialize, Serialize};

use super::{Update, Updated, check_positive, check_unit};
use crate::TrainError;

/// LARS (You et al., 2017): every layer's step is scaled to a share η of the layer's norm.
///
/// `u = r · (g + λ w)`, `v ← μ v + u`, `w ← w − lr · v`, with the trust ratio `r` of
/// [`TrustRatio`]; `r = 1` if a norm is zero. Excluded parameters (biases, batch norm) have `r = 1`
/// and `λ = 0`: plain SGD with momentum. A parameter is excluded because of its number of
/// dimensions, not because of its weight decay. So a decay of 0 does not turn off the scaling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lars {
    /// μ
    pub momentum: f64,
    /// η, the trust coefficient: 0.001 in the paper and in BYOL and Barlow Twins.
    pub eta: f64,
    /// Which of the two common ratios to use.
    pub trust_ratio: TrustRatio,
    /// Limit the ratio so that no step is larger than that of plain SGD: `r ← min(r / lr, 1)`
    /// ("LARC", as in solo-learn's CIFAR recipes).
    pub clip: bool,
}

/// LARS' trust ratio. Published codes have two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustRatio {
    /// `η ‖w‖ / ‖g + λ w‖`: the original codes of BYOL and Barlow Twins.
    Combined,
    /// `η ‖w‖ / (‖g‖ + λ ‖w‖ + ε)`, ε = 1e-8: Lightning Bolts, solo-learn, lightly.
    Separate,
}

impl Default for Lars {
    fn default() -> Self {
        Self { momentum: 0.9, eta: 0.001, trust_ratio: TrustRatio::Combined, clip: false }
    }
}

impl Lars {
    const EPSILON: f64 = 1e-8;

    pub(super) fn validate(&self) -> Result<(), TrainError> {
        check_unit("optimizer.momentum", self.momentum)?;
        check_positive("optimizer.eta", self.eta)
    }

    pub(super) fn update(
        &self,
        device: &Device,
        updates: Vec<Update>,
        learning_rate: f64,
    ) -> Vec<Updated> {
        let scaled = || updates.iter().filter(|update| !update.excluded);
        let norms = scaled()
            .map(|update| (update.parameter.clone(), update.gradient.clone(), update.weight_decay));
        let norms: Vec<_> = norms.collect();
        let ratios = scaled()
            .next()
            .map(|first| first.weight_decay)
            .map(|decay| self.trust_ratio(update_norms_all(device, norms), decay, learning_rate));
        let Self { momentum, .. } = *self;
        let mut numbers = 0..;
        let jobs = updates.into_iter().map(|mut update| {
            let weight_decay = update.weight_decay;
            SgdJob {
                velocity: update.state.pop(),
                parameter: update.parameter,
                gradient: update.gradient,
                scale: if update.excluded { None } else { numbers.next() },
                step: SgdStep { momentum, nesterov: false, weight_decay, learning_rate },
            }
        });
        let updated = sgd_all(device, jobs.collect(), ratios).into_iter();
        updated.map(|(parameter, velocity)| (parameter, Vec::from_iter(velocity))).collect()
    }

    /// From `‖w‖`, `‖g‖` and `‖g + λ w‖` of every parameter, `[n]` each.
    fn trust_ratio(
        &self,
        [weight, gradient, decayed]: [Tensor<1>; 3],
        decay: f64,
        learning_rate: f64,
    ) -> Tensor<1> {
        let (denominator, live) = match self.trust_ratio {
            TrustRatio::Combined => (decayed.clone(), decayed),
            TrustRatio::Separate => {
                let sum = gradient.clone() + weight.clone().mul_scalar(decay);
                (sum.add_scalar(Self::EPSILON), gradient)
            }
        };
        let undefined =
            weight.clone().lower_equal_scalar(0.0).bool_or(live.lower_equal_scalar(0.0));
        let mut ratio = weight.mul_scalar(self.eta) / denominator;
        if self.clip {
            // At a learning rate of 0 (the first warm-up step) any ratio takes a step of 0.
            ratio = ratio.div_scalar(learning_rate.max(f64::MIN_POSITIVE)).clamp_max(1.0);
        }
        ratio.mask_fill(undefined, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::tests::{run, tensor};
    use crate::{OptimizerConfig, Rule};

    fn config(trust_ratio: TrustRatio, weight_decay: f64) -> OptimizerConfig {
        OptimizerConfig {
            rule: Rule::Lars(Lars { trust_ratio, eta: 0.01, ..Lars::default() }),
            weight_decay,
            exclude_bias_and_norm: true,
        }
    }

    #[test]
    fn the_two_trust_ratios_by_hand() {
        // ‖w‖ = 5, g orthogonal to w with ‖g‖ = 10, λ = 2: ‖g + λw‖ = √200, ‖g‖ + λ‖w‖ = 20.
        let (w, g) = (tensor(&[3.0, 4.0], [1, 2]), tensor(&[-8.0, 6.0], [1, 2]));
        for (trust, denominator) in
            [(TrustRatio::Combined, 200f32.sqrt()), (TrustRatio::Separate, 20.0)]
        {
            let moved = run(&config(trust, 2.0), w.clone(), &g, 1.0, 1);
            let ratio = 0.01 * 5.0 / denominator;
            for (moved, (w, u)) in moved.iter().zip([(3.0, -2.0), (4.0, 14.0)]) {
                assert!((moved - (w - ratio * u)).abs() < 1e-5, "{trust:?}: {moved:?}");
            }
        }
    }

    #[test]
    fn the_gradients_scale_does_not_matter_without_decay() {
        let w = tensor(&[0.3, -0.4], [1, 2]);
        let step = |scale: f32| {
            let g = tensor(&[0.6 * scale, 0.1 * scale], [1, 2]);
            run(&config(TrustRatio::Combined, 0.0), w.clone(), &g, 0.5, 3)
        };
        for (a, b) in step(1.0).iter().zip(step(1e3)) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn rank_one_and_zero_norms_take_plain_steps() {
        let config = config(TrustRatio::Combined, 0.5);
        let vector = run(&config, tensor(&[3.0, 4.0], [2]), &tensor(&[1.0, 0.0], [2]), 0.1, 1);
        assert_eq!(vector, [2.9, 4.0]);
        let zero = run(&config, tensor(&[0.0, 0.0], [1, 2]), &tensor(&[1.0, 0.0], [1, 2]), 0.1, 1);
        assert!((zero[0] + 0.1).abs() < 1e-7 && zero[1] == 0.0, "{zero:?}");
    }
}
