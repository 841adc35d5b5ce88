//! BYOL: one view's prediction meets the other's target.

use burn::tensor::Tensor;

use crate::normalize::l2_normalize;
use crate::{JointEmbeddingLoss, sums};

/// BYOL's normalised regression loss (Grill et al., 2020, eq. 2), for one direction.
///
/// `L = mean_i ‖q̂_i − ẑ'_i‖² = mean_i (2 − 2·⟨q_i, z'_i⟩ / (‖q_i‖·‖z'_i‖))`
///
/// - `prediction` (q, online) and `target` (z'): `[batch, dim]`, any float type, computed in f32 at
///   least.
/// - returns a scalar `[1]` in `[0, 4]`, differentiable in `prediction` only: the target is
///   detached here, which is the paper's stop-gradient.
///
/// 0 for parallel vectors, 4 for opposite ones; invariant to a positive scaling of either side.
pub fn regression_loss(prediction: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    normalized_distance(prediction, target.detach())
}

/// `mean_i ‖â_i − b̂_i‖²`, [`regression_loss`] without its stop-gradient: differentiable in both.
///
/// Networks collapse under it (Chen & He, 2021, section 4.1), so no method should minimise it. It
/// is here for that experiment.
///
/// - `a`, `b`: `[batch, dim]`, any float type, computed in f32 at least.
/// - returns a scalar `[1]` in `[0, 4]`.
pub fn normalized_distance(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    let q = l2_normalize(a);
    let z = l2_normalize(b);
    // ‖q̂ − ẑ'‖² and 2 − 2·cos are the same number; the difference form keeps its precision
    // where training ends, at cos → 1, and cannot fall below zero.
    sums::mean(sums::sum_dim((q - z).square(), 1))
}

/// BYOL's symmetric loss (Grill et al., 2020, section 3.1): both directions **summed**.
///
/// `L = L(q(v), z'(v')) + L(q(v'), z'(v))`, each as in [`regression_loss`], so in `[0, 8]`. An
/// average would halve every gradient. For parameters that LARS does not scale this means half the
/// learning rate.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use selfsame_losses::ByolLoss;
///
/// let device = Device::flex();
/// let random = || Tensor::<2>::random([8, 4], Distribution::Default, &device);
/// let loss = ByolLoss.symmetric((random(), random()), (random(), random()));
/// assert!((0.0..=8.0).contains(&loss.into_scalar::<f32>()));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByolLoss;

impl ByolLoss {
    /// The sum over both directions.
    ///
    /// - `predictions`: `(q(v), q(v'))`, online predictions of view 1 and view 2, `[batch, dim]`.
    /// - `targets`: `(z'(v), z'(v'))`, target projections of view 1 and view 2, `[batch, dim]`;
    ///   they receive no gradient.
    /// - returns a scalar `[1]` in `[0, 8]`.
    ///
    /// Swapping the views (both pairs at once) leaves it unchanged.
    pub fn symmetric(
        &self,
        predictions: (Tensor<2>, Tensor<2>),
        targets: (Tensor<2>, Tensor<2>),
    ) -> Tensor<1> {
        regression_loss(predictions.0, targets.1) + regression_loss(predictions.1, targets.0)
    }
}

impl JointEmbeddingLoss for ByolLoss {
    /// One direction: `z_a` are predictions, `z_b` targets; see [`regression_loss`].
    fn forward(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> Tensor<1> {
        regression_loss(z_a, z_b)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn known_angles() {
        let device = Device::flex();
        let q = Tensor::<2>::from_floats([[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]], &device);
        let z = Tensor::<2>::from_floats([[5.0, 0.0], [1.0, 0.0], [-7.0, 0.0]], &device);
        // 0 (parallel), 2 (orthogonal) and 4 (opposite) in the mean.
        let loss = regression_loss(q, z).into_scalar::<f32>();
        assert!((loss - 2.0).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn zero_vectors_give_finite_loss_and_gradient() {
        let device = Device::flex().autodiff();
        let q = Tensor::<2>::zeros([2, 3], &device).require_grad();
        let z = Tensor::<2>::ones([2, 3], &device);
        let loss = regression_loss(q.clone(), z);
        let grads = loss.backward();
        assert!((loss.into_scalar::<f32>() - 1.0).abs() < 1e-6);
        let grad = q.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        assert!(grad.iter().all(|g| g.is_finite()), "{grad:?}");
    }

    #[test]
    fn no_gradient_reaches_the_target() {
        let device = Device::flex().autodiff();
        let q = Tensor::<2>::from_floats([[1.0, 2.0]], &device).require_grad();
        let z = Tensor::<2>::from_floats([[2.0, -1.0]], &device).require_grad();
        let grads = regression_loss(q.clone(), z.clone()).backward();
        assert!(q.grad(&grads).is_some());
        assert!(z.grad(&grads).is_none());
    }
}
