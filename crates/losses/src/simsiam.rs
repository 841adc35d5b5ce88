//! SimSiam: one view's prediction meets the other's projection.

use burn::tensor::Tensor;

use crate::normalize::l2_normalize;
use crate::sums;

/// SimSiam's symmetric loss (Chen & He, 2021, eq. 1–4): negative cosine with stop-gradient.
///
/// `L = ½ D(p1, sg(z2)) + ½ D(p2, sg(z1))`, with [`D`](negative_cosine) the negative cosine.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use selfsame_losses::SimSiamLoss;
///
/// let device = Device::flex();
/// let random = || Tensor::<2>::random([8, 4], Distribution::Default, &device);
/// let loss = SimSiamLoss.symmetric((random(), random()), (random(), random()));
/// assert!((-1.0..=1.0).contains(&loss.into_scalar::<f32>()));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimSiamLoss;

impl SimSiamLoss {
    /// The mean over both directions.
    ///
    /// - `predictions`: `(p1, p2)`, after the predictor, of view 1 and view 2, `[batch, dim]`.
    /// - `projections`: `(z1, z2)`, before it, `[batch, dim]`; detached here, which is the paper's
    ///   stop-gradient.
    /// - returns a scalar `[1]` in `[-1, 1]`, differentiable in the predictions only.
    ///
    /// Swapping the views (both pairs at once) leaves it unchanged, and so does a positive scale of
    /// any row.
    pub fn symmetric(
        &self,
        predictions: (Tensor<2>, Tensor<2>),
        projections: (Tensor<2>, Tensor<2>),
    ) -> Tensor<1> {
        let (p1, p2) = predictions;
        let (z1, z2) = projections;
        (negative_cosine(p1, z2.detach()) + negative_cosine(p2, z1.detach())).mul_scalar(0.5)
    }
}

/// `D(a, b) = −mean_i ⟨a_i, b_i⟩ / (‖a_i‖·‖b_i‖)` (Chen & He, 2021, eq. 1), differentiable in
/// **both**.
///
/// By itself it is the loss without stop-gradient that collapses in the paper's section 4.1. No
/// method should minimise it; it is public for that experiment. It equals half of
/// [`normalized_distance`](crate::normalized_distance) minus 1, except that a zero vector has the
/// cosine 0.
///
/// - `a`, `b`: `[batch, dim]`, any float type; computed in f32 at least.
/// - returns a scalar `[1]` in `[-1, 1]`, up to rounding.
pub fn negative_cosine(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    let a = l2_normalize(a);
    let b = l2_normalize(b);
    // −2⟨a, b⟩ = ‖a − b‖² − ‖a‖² − ‖b‖². The lengths are fixed, so only the first term has a
    // gradient. Nearly parallel vectors have a small difference and so a small gradient. Without
    // this form a gradient of length 1 would have to cancel.
    let squares = |z: Tensor<2>| sums::sum_dim(z.square(), 1);
    let lengths = squares(a.clone().detach()) + squares(b.clone().detach());
    sums::mean(squares(a - b) - lengths).mul_scalar(0.5)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn known_angles() {
        let device = Device::flex();
        let a = Tensor::<2>::from_floats([[3.0, 0.0], [0.0, 2.0], [1.0, 0.0], [0.0, 0.0]], &device);
        let b =
            Tensor::<2>::from_floats([[5.0, 0.0], [1.0, 0.0], [-7.0, 0.0], [1.0, 0.0]], &device);
        // −1 (parallel), 0 (orthogonal), 1 (opposite), 0 (no direction) in the mean.
        let row = |i: usize| {
            let pick = |t: &Tensor<2>| t.clone().narrow(0, i, 1);
            negative_cosine(pick(&a), pick(&b)).into_scalar::<f32>()
        };
        assert_eq!([row(0), row(1), row(2), row(3)], [-1.0, 0.0, 1.0, 0.0]);
        assert_eq!(negative_cosine(a, b).into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn without_stop_gradient_both_sides_learn() {
        let device = Device::flex().autodiff();
        let a = Tensor::<2>::from_floats([[1.0, 2.0]], &device).require_grad();
        let b = Tensor::<2>::from_floats([[2.0, -1.0]], &device).require_grad();
        let gradients = negative_cosine(a.clone(), b.clone()).backward();
        assert!(a.grad(&gradients).is_some() && b.grad(&gradients).is_some());
        let pair = || (a.clone(), a.clone());
        let gradients = SimSiamLoss.symmetric(pair(), (b.clone(), b.clone())).backward();
        assert!(a.grad(&gradients).is_some() && b.grad(&gradients).is_none());
    }
}
