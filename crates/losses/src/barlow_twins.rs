use burn::tensor::{Bool, Tensor};

use crate::{JointEmbeddingLoss, at_least_f32};

/// Added to the batch variance; PyTorch's batch-norm default, which the original code relies on.
const VARIANCE_EPSILON: f32 = 1e-5;
/// Rows of the cross-correlation that are made at a time.
const BLOCK: usize = 1024;

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

    /// Both terms of `C = z_aᵀ z_b / N` as the embeddings are, for experiments without standardisation or with another.
    ///
    /// - `z_a`, `z_b`: `[batch, dim]`, any float type; computed in f32 at least.
    ///
    /// C is never held more than once, forward and backward, and not at all where the batch is smaller than its
    /// dimensions: an 8192-wide projector's takes 256 MB.
    pub fn terms_of(z_a: Tensor<2>, z_b: Tensor<2>) -> BarlowTwinsTerms {
        let (z_a, z_b) = (at_least_f32(z_a), at_least_f32(z_b));
        let [batch, dim] = z_a.dims();
        let diagonal = (z_a.clone() * z_b.clone()).mean_dim(0);
        let redundancy = if batch < dim {
            redundancy_by_images(z_a, z_b, diagonal.clone())
        } else {
            redundancy_by_blocks(z_a, z_b)
        };
        BarlowTwinsTerms { invariance: diagonal.neg().add_scalar(1.0).square().sum(), redundancy }
    }
}

/// `Σ_ij C_ij² − Σ_i C_ii²` by products of images instead of dimensions:
/// `‖z_aᵀ z_b‖² = Σ_nm (z_a z_aᵀ)_nm (z_b z_bᵀ)_nm`, `[batch, batch]` each.
///
/// Nothing cancels that matters: C has no more than `batch` directions, so that off its diagonal there is more
/// than on it.
fn redundancy_by_images(z_a: Tensor<2>, z_b: Tensor<2>, diagonal: Tensor<2>) -> Tensor<1> {
    let [batch, _] = z_a.dims();
    let gram = |z: Tensor<2>| z.clone().matmul(z.transpose()).div_scalar(batch as f32);
    (gram(z_a) * gram(z_b)).sum() - diagonal.square().sum()
}

/// `Σ_i Σ_{j≠i} C_ij²`, some rows of C at a time.
fn redundancy_by_blocks(z_a: Tensor<2>, z_b: Tensor<2>) -> Tensor<1> {
    let [batch, dim] = z_a.dims();
    let z_a = z_a.transpose().div_scalar(batch as f32);
    let blocks = (0..dim).step_by(BLOCK).map(|first| {
        let rows = BLOCK.min(dim - first);
        let block = z_a.clone().narrow(0, first, rows).matmul(z_b.clone());
        let diagonal = Tensor::<2, Bool>::diag_mask([rows, dim], first as i64, &block.device());
        block.mask_fill(diagonal.bool_not(), 0.0).square().sum()
    });
    Tensor::cat(blocks.collect(), 0).sum()
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
    let z = at_least_f32(z);
    let centred = z.clone() - z.mean_dim(0);
    let variance = centred.clone().square().mean_dim(0);
    centred / variance.add_scalar(VARIANCE_EPSILON).sqrt()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tensor, Tolerance};

    use super::*;
    use crate::statistics::off_diagonal;

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

    /// As the equation has it: invariance and redundancy of `C = z_aᵀ z_b / N`.
    fn as_written(a: Tensor<2>, b: Tensor<2>) -> [Tensor<1>; 2] {
        let [batch, _] = a.dims();
        let c = a.transpose().matmul(b).div_scalar(batch as f32);
        let off = off_diagonal(c.clone());
        let invariance = (c - off.clone()).sum_dim(1).neg().add_scalar(1.0).square().sum();
        [invariance, off.square().sum()]
    }

    /// Both ways, and blocks that the dimensions do not divide into.
    #[test]
    fn redundancy_is_the_sum_off_the_diagonal() {
        let device = Device::flex().autodiff();
        for (batch, dim) in [(8, 24), (24, 8), (5, BLOCK + 3), (BLOCK + 70, BLOCK + 3)] {
            let noise = || Tensor::<2>::random([batch, dim], Distribution::Default, &device);
            let (a, b) = (noise().into_data(), noise());
            let tolerance = Tolerance::relative(1e-4).set_absolute(1e-5);
            for term in 0..2 {
                let value_and_gradient = |terms: &dyn Fn(Tensor<2>) -> [Tensor<1>; 2]| {
                    let a = Tensor::<2>::from_data(a.clone(), &device).require_grad();
                    let [invariance, redundancy] = terms(a.clone());
                    let value = if term == 0 { invariance } else { redundancy };
                    let gradient = a.grad(&value.backward()).unwrap().into_data();
                    (value.into_data(), gradient)
                };
                let got = value_and_gradient(&|a| {
                    let terms = BarlowTwinsLoss::terms_of(a, b.clone());
                    [terms.invariance, terms.redundancy]
                });
                let expected = value_and_gradient(&|a| as_written(a, b.clone()));
                got.0.assert_approx_eq::<f32>(&expected.0, tolerance);
                got.1.assert_approx_eq::<f32>(&expected.1, tolerance);
            }
        }
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
