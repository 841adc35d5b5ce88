//! SGD with momentum.

use burn::tensor::Device;
use selfsame_kernels::{SgdJob, SgdStep, sgd_all};

use super::{Update, Updated, check_unit};
use crate::TrainError;

/// SGD with momentum as in PyTorch: the learning rate is outside the velocity.
///
/// `g ← g + λ w`, `v ← μ v + g`, `w ← w − lr · v` (Nesterov: `w ← w − lr · (g + μ v)`). The first
/// velocity is the first gradient. With μ = 0 there is no velocity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// μ
    pub momentum: f64,
    /// Look ahead along the velocity (Nesterov, 1983).
    pub nesterov: bool,
}

impl Sgd {
    pub(super) fn validate(&self) -> Result<(), TrainError> {
        if self.nesterov && self.momentum == 0.0 {
            return Err(TrainError::config("optimizer.nesterov", "needs a momentum above 0"));
        }
        check_unit("optimizer.momentum", self.momentum)
    }

    pub(super) fn update(
        &self,
        device: &Device,
        updates: Vec<Update>,
        learning_rate: f64,
    ) -> Vec<Updated> {
        let Self { momentum, nesterov } = *self;
        let jobs = updates.into_iter().map(|mut update| {
            let weight_decay = update.weight_decay;
            SgdJob {
                velocity: update.state.pop(),
                parameter: update.parameter,
                gradient: update.gradient,
                scale: None,
                step: SgdStep { momentum, nesterov, weight_decay, learning_rate },
            }
        });
        let updated = sgd_all(device, jobs.collect(), None).into_iter();
        updated.map(|(parameter, velocity)| (parameter, Vec::from_iter(velocity))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::tests::{run, tensor};
    use crate::{OptimizerConfig, Rule};

    fn config(momentum: f64, nesterov: bool, weight_decay: f64) -> OptimizerConfig {
        OptimizerConfig {
            rule: Rule::Sgd(Sgd { momentum, nesterov }),
            weight_decay,
            exclude_bias_and_norm: weight_decay > 0.0,
        }
    }

    #[test]
    fn two_steps_by_hand() {
        let (w, g) = (tensor(&[1.0], [1, 1]), tensor(&[0.5], [1, 1]));
        // v: 0.5, then 0.9 · 0.5 + 0.5 = 0.95.
        let plain = run(&config(0.9, false, 0.0), w.clone(), &g, 0.1, 2)[0];
        assert!((plain - (1.0 - 0.05 - 0.095)).abs() < 1e-6, "{plain}");
        // Steps of 0.5 + 0.9 · 0.5 and 0.5 + 0.9 · 0.95.
        let nesterov = run(&config(0.9, true, 0.0), w, &g, 0.1, 2)[0];
        assert!((nesterov - (1.0 - 0.095 - 0.1355)).abs() < 1e-6, "{nesterov}");
    }

    #[test]
    fn weight_decay_skips_rank_one() {
        let decay = config(0.0, false, 0.1);
        let matrix = run(&decay, tensor(&[1.0], [1, 1]), &tensor(&[0.0], [1, 1]), 0.5, 1)[0];
        assert!((matrix - 0.95).abs() < 1e-6, "{matrix}");
        let vector = run(&decay, tensor(&[1.0], [1]), &tensor(&[0.0], [1]), 0.5, 1)[0];
        assert_eq!(vector, 1.0);
    }
}
