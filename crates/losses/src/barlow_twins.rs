//! Barlow Twins: the views' cross-correlation becomes the identity.

use burn::tensor::Tensor;

use crate::statistics::{centre, off_diagonal_squares};
use crate::{JointEmbeddingLoss, at_least_f32, sums};

/// Added to the batch variance; PyTorch's batch-norm default, which the original code relies on.
const VARIANCE_EPSILON: f32 = 1e-5;

/// Barlow Twins loss (Zbontar et al., 2021, eq. 1).
///
/// With both views standardised over the batch, `C = ẑ_aᵀ ẑ_b / N`, and
/// `L = Σ_i (1 − C_ii)² + λ Σ_i Σ_{j≠i} C_ij²`.
///
/// - `z_a`, `z_b`: `[batch, dim]`, batch ≥ 2, any float type; computed in f32 at least.
/// - returns a scalar `[1]`, differentiable in both.
///
/// Symmetric in its views; invariant to a permutation of the batch and to any positive
/// per-dimension scale and shift of either view. 0 on a batch whose standardised features are
/// identical and uncorrelated. (All of these hold up to the `1e-5` that keeps the variance of a
/// constant feature away from zero.)
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BarlowTwinsLoss {
    /// λ, the weight of the redundancy-reduction term: 0.0051 in the paper.
    pub lambda: f32,
}

impl Default for BarlowTwinsLoss {
    fn default() -> Self {
        Self { lambda: 0.0051 }
    }
}

/// The two terms of [`BarlowTwinsLoss`], scalars `[1]` each.
#[derive(Debug, Clone)]
pub struct BarlowTwinsTerms {
    /// Invariance: `Σ_i (1 − C_ii)²`, 0 when the views agree in every dimension.
    pub invariance: Tensor<1>,
    /// Redundancy reduction: `Σ_i Σ_{j≠i} C_ij²`, **not** yet multiplied by λ.
    pub redundancy: Tensor<1>,
}

impl BarlowTwinsLoss {
    /// Both terms apart, for logging; the loss is `invariance + λ · redundancy`.
    pub fn terms(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> BarlowTwinsTerms {
        Self::terms_of(standardize(z_a), standardize(z_b))
    }

    /// Both terms of `C = z_aᵀ z_b / N` without standardising the embeddings, for experiments.
    ///
    /// - `z_a`, `z_b`: `[batch, dim]`, any float type; computed in f32 at least.
    ///
    /// C is never held more than once, forward and backward: for a projector of width 8192 it takes
    /// 256 MB. A batch smaller than its dimensions does not need C at all.
    pub fn terms_of(z_a: Tensor<2>, z_b: Tensor<2>) -> BarlowTwinsTerms {
        let (z_a, z_b) = (at_least_f32(z_a), at_least_f32(z_b));
        let [batch, _] = z_a.dims();
        let diagonal = sums::mean_dim(z_a.clone() * z_b.clone(), 0);
        BarlowTwinsTerms {
            invariance: sums::sum(diagonal.neg().add_scalar(1.0).square()),
            redundancy: off_diagonal_squares(z_a, z_b, batch as f32),
        }
    }
}

impl JointEmbeddingLoss for BarlowTwinsLoss {
    fn forward(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> Tensor<1> {
        let terms = self.terms(z_a, z_b);
        terms.invariance + terms.redundancy.mul_scalar(self.lambda)
    }
}

/// Batch standardisation without affine: `(z − mean) / √(var + ε)` per dimension, with the
/// **biased** variance (division by N), as batch norm in training mode does.
///
/// With the unbiased variance the diagonal of C would end at `(N − 1)/N` instead of 1, and
/// loss(x, x) would not reach 0.
///
/// `z`: `[batch, dim]` → `[batch, dim]`, f32 at least.
pub fn standardize(z: Tensor<2>) -> Tensor<2> {
    let centred = centre(at_least_f32(z));
    let variance = sums::mean_dim(centred.clone().square(), 0);
    centred / variance.add_scalar(VARIANCE_EPSILON).sqrt()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    /// Rows of a Hadamard matrix without its constant column: zero mean, unit variance,
    /// mutually uncorrelated.
    fn uncorrelated(device: &Device) -> Tensor<2> {
        Tensor::from_floats(
            [[1.0, 1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]],
            device,
        )
    }

    #[test]
    fn zero_on_identical_uncorrelated_views() {
        let z = uncorrelated(&Device::flex());
        let loss = BarlowTwinsLoss::default().forward(z.clone(), z).into_scalar::<f32>();
        assert!(loss.abs() < 1e-8, "{loss}");
    }

    #[test]
    fn terms_of_a_hand_computed_case() {
        let device = Device::flex();
        let a = uncorrelated(&device);
        // Dimension 0 flips its sign, dimensions 1 and 2 change places:
        // C = diag(-1) ⊕ [[0, 1], [1, 0]].
        let b = Tensor::cat(
            vec![
                a.clone().narrow(1, 0, 1).neg(),
                a.clone().narrow(1, 2, 1),
                a.clone().narrow(1, 1, 1),
            ],
            1,
        );
        let terms = BarlowTwinsLoss::default().terms(a, b);
        assert!((terms.invariance.into_scalar::<f32>() - 6.0).abs() < 1e-3);
        assert!((terms.redundancy.into_scalar::<f32>() - 2.0).abs() < 1e-3);
    }

    #[test]
    fn standardize_uses_the_biased_variance() {
        let device = Device::flex();
        let z = Tensor::<2>::from_floats(
            [[4.0, -1.0, 6.5], [2.0, 0.5, 7.0], [7.5, 3.0, 1.0], [4.5, -2.5, 2.0], [1.0, 5.0, 9.0]],
            &device,
        );
        let variance = standardize(z).square().mean_dim(0).into_data().try_to_vec::<f32>().unwrap();
        assert!(variance.iter().all(|v| (v - 1.0).abs() < 1e-4), "{variance:?}");
    }

    #[test]
    fn constant_features_stay_finite() {
        let device = Device::flex().autodiff();
        let z = Tensor::<2>::ones([4, 3], &device).require_grad();
        let loss = BarlowTwinsLoss::default().forward(z.clone(), z.clone());
        let grads = loss.backward();
        let grad = z.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        assert!(grad.iter().all(|g| g.is_finite()), "{grad:?}");
    }
}
