//! W-MSE: the views agree after whitening.

use std::iter;
use std::ops::Range;

use burn::tensor::{Tensor, TensorData};

use crate::cholesky::inverse_cholesky;
use crate::normalize::l2_normalize;
use crate::statistics::{centre, covariance};
use crate::{JointEmbeddingLoss, at_least_f32, sums};

/// W-MSE (Ermolov et al., 2021): distance of the views after whitening.
///
/// With V the embeddings of all views, `Whitening(v) = W (v − μ_V)` where `Wᵀ W = Σ_V⁻¹`
/// ([`whiten`]), and ẑ the whitened embedding at unit length, `L = mean_i ‖ẑ_a,i − ẑ_b,i‖²`
/// (`2 − 2 cos`). Whitening scatters the batch, so nothing can collapse. The method needs neither
/// negatives nor a second network.
///
/// The batch is cut into contiguous slices of `sub_batch` images, and each slice is whitened by
/// itself. This makes W noisy on purpose (the paper's "batch slicing"). Batches are shuffled
/// already, so slices are not drawn at random. The remainder joins the last slice, since a smaller
/// slice might not span the space. A `sub_batch` of the batch or more makes one slice of all.
///
/// The paper slices the **views** apart as well (batch slicing, and in the authors' code: each
/// V_i^j holds one view and gets its own W and μ). Here both views of a slice are whitened
/// together. With one map for both, the loss is invariant to any invertible linear map of the
/// features and compares the views in one coordinate system. W also comes from twice as many
/// vectors.
///
/// - `z_a`, `z_b`: `[batch, dim]`, any float type; computed in f32 at least, the factorisation in
///   f64 on the host. A slice should hold at least `dim` images (2·dim vectors). Whitening turns
///   dim + 1 vectors or fewer into a regular simplex, whatever they were, and nothing can be
///   learned.
/// - returns a scalar `[1]` in `[0, 4]`, differentiable in both, through the whitening. Not finite
///   where an embedding is not.
///
/// Symmetric in its views; invariant to a permutation within a slice, and, as far as `epsilon` is
/// small beside the smallest variance, to an invertible linear map and a shift common to all
/// embeddings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WMseLoss {
    /// Images in a slice, at least 1 (0 counts as 1): 128 in the authors' code for CIFAR-10, of 64
    /// dimensions.
    pub sub_batch: usize,
    /// ε ≥ 0, added to every variance before whitening, see [`whiten`]: 0 in the authors' code.
    pub epsilon: f32,
}

impl WMseLoss {
    /// Contiguous ranges of images.
    fn slices(&self, batch: usize) -> impl Iterator<Item = Range<usize>> {
        let size = self.sub_batch.clamp(1, batch.max(1));
        let count = (batch / size).max(1);
        (0..count).map(move |i| i * size..if i + 1 == count { batch } else { (i + 1) * size })
    }
}

impl JointEmbeddingLoss for WMseLoss {
    fn forward(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> Tensor<1> {
        let (a, b) = (at_least_f32(z_a), at_least_f32(z_b));
        let [batch, _] = a.dims();
        let distances = self.slices(batch).map(|slice| {
            let views = [&a, &b].map(|z| z.clone().narrow(0, slice.start, slice.len()));
            let z = l2_normalize(whiten(Tensor::cat(views.to_vec(), 0), self.epsilon));
            let [a, b] = [0, slice.len()].map(|start| z.clone().narrow(0, start, slice.len()));
            sums::sum_dim((a - b).square(), 1)
        });
        sums::mean(Tensor::cat(distances.collect(), 0))
    }
}

/// Whitening (Ermolov et al., 2021): `Whitening(v) = W (v − μ)` with `W (Σ + εI) Wᵀ = I`, W lower
/// triangular (the inverse of the Cholesky factor) and Σ the unbiased covariance.
///
/// The features come out with mean 0 and, but for ε, covariance I.
///
/// - `z`: `[vectors, dim]`, any float type; computed in f32 at least.
/// - `epsilon`: ε ≥ 0. If Σ + εI is singular to working precision (a collapsed batch, fewer vectors
///   than dimensions), ε grows by `10·dim·(rounding error)·(mean variance)`, then by ten times
///   that, and so on, until it is regular. Without any variance W is the identity. A finite `z`
///   never gives NaN. A `z` that is not finite gives NaN everywhere.
/// - returns `[vectors, dim]`.
///
/// **Gradient.** W is factorised on the host, outside the graph, and enters as a constant W₀. Its
/// dependence on `z` is added to first order. Any W of a nearby Σ' is `R M^{-1/2} W₀`, where
/// `M = W₀ (Σ' + εI) W₀ᵀ` and R is a rotation, and to first order `M^{-1/2} = I − ½ (M − I)`. So
/// the result is `(I − ½ (C − sg(C))) y` with `y = W₀ (v − μ)`. C is the covariance of y and
/// differs from M by a constant. The value of the result is exactly y. Its gradient is exact for
/// every function that is invariant to a rotation of all vectors together: distances, cosines, and
/// so this module's loss. For others it differs by the rotation of the Cholesky factor.
///
/// Takes about `dim³ / 3` multiplications on one core of the host. Other devices wait until Σ is
/// there.
pub fn whiten(z: Tensor<2>, epsilon: f32) -> Tensor<2> {
    let centred = centre(at_least_f32(z));
    let [_, dim] = centred.dims();
    let options = (&centred.device(), centred.dtype());
    let rounding = if centred.dtype().size() < 8 { f32::EPSILON.into() } else { f64::EPSILON };

    let sigma = covariance(centred.clone().detach()).into_data_as::<f64>();
    let sigma: Vec<f64> = sigma.iter::<f64>().collect();
    let w = whitening_matrix(&sigma, dim, epsilon.into(), rounding);
    let w = Tensor::<2>::from_data(TensorData::new(w, [dim, dim]), options);

    let y = centred.matmul(w.transpose());
    let c = covariance(y.clone());
    let change = c.clone() - c.detach();
    y.clone() - y.matmul(change).mul_scalar(0.5)
}

/// The lower triangular W with `W (Σ + εI) Wᵀ = I`, row-major. [`whiten`] says what happens when Σ
/// is singular or not finite.
fn whitening_matrix(sigma: &[f64], dim: usize, epsilon: f64, rounding: f64) -> Vec<f64> {
    if !sigma.iter().all(|s| s.is_finite()) {
        return vec![f64::NAN; dim * dim];
    }
    // The rest of a variance after eliminating `dim` others is rounding if it is below this share.
    let tolerance = dim as f64 * rounding;
    let mean_variance = sigma.iter().step_by(dim + 1).sum::<f64>() / dim as f64;
    let first = 10.0 * tolerance * mean_variance;
    // 10³⁰ times rounding error exceeds the largest eigenvalue of any covariance.
    iter::once(0.0)
        .chain((0..30).map(|k| first * 10f64.powi(k)))
        .find_map(|extra| inverse_cholesky(sigma, dim, epsilon + extra, tolerance))
        .unwrap_or_else(|| identity(dim))
}

fn identity(dim: usize) -> Vec<f64> {
    (0..dim * dim).map(|i| if i % (dim + 1) == 0 { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Standard normal numbers.
    fn noise(shape: [usize; 2], device: &Device) -> Tensor<2> {
        let rng = ChaCha8Rng::seed_from_u64(shape[1] as u64);
        let values: Vec<f32> =
            StandardNormal.sample_iter(rng).take(shape.iter().product()).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    #[test]
    fn slices_cover_the_batch_and_the_rest_joins_the_last() {
        let slices = |sub_batch, batch| {
            WMseLoss { sub_batch, epsilon: 0.0 }.slices(batch).collect::<Vec<_>>()
        };
        assert_eq!(slices(4, 8), [0..4, 4..8]);
        assert_eq!(slices(4, 11), [0..4, 4..11]);
        assert_eq!(slices(8, 8), vec![0..8]);
        assert_eq!(slices(100, 8), vec![0..8]);
        assert_eq!(slices(0, 2), [0..1, 1..2]);
        assert_eq!(slices(5, 0), vec![0..0]);
    }

    /// Loss of `z` against itself in reverse order, and the gradient.
    fn loss_and_gradient(z: Tensor<2>, epsilon: f32) -> (f32, Vec<f32>) {
        let z = z.require_grad();
        let other = z.clone().detach().flip([0]);
        let loss = WMseLoss { sub_batch: 64, epsilon }.forward(z.clone(), other);
        let gradients = loss.backward();
        let gradient = z.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
        (loss.into_scalar::<f32>(), gradient)
    }

    #[test]
    fn singular_covariances_give_finite_losses_and_gradients() {
        let device = Device::flex().autodiff();
        let noise = |shape| noise(shape, &device);
        let line = noise([32, 1]).matmul(noise([1, 8]));
        let cases = [
            ("collapsed to a point", Tensor::zeros([32, 8], &device) + 0.3),
            ("collapsed to zero", Tensor::zeros([32, 8], &device)),
            ("collapsed to a line", line),
            (
                "a constant feature",
                Tensor::cat(vec![noise([32, 7]), noise([32, 1]) * 0.0 + 0.1], 1),
            ),
            ("fewer vectors than dimensions", noise([3, 8])),
            ("one image", noise([1, 8])),
            ("tiny", noise([32, 8]) * 1e-18),
            ("too tiny for a variance", noise([32, 8]) * 1e-30),
            ("large", noise([32, 8]) * 1e15),
        ];
        for (case, z) in cases {
            for epsilon in [0.0, 1e-4] {
                let (loss, gradient) = loss_and_gradient(z.clone(), epsilon);
                assert!((0.0..=4.0).contains(&loss), "{case}, {epsilon}: {loss}");
                assert!(gradient.iter().all(|g| g.is_finite()), "{case}, {epsilon}: {gradient:?}");
            }
        }
    }

    /// A feature that the others explain up to the rounding of its mean. Whitening would make a
    /// full feature of the rounding, with very steep gradients.
    #[test]
    fn rounding_is_not_whitened() {
        let device = Device::flex().autodiff();
        for vectors in 32..64 {
            let z = noise([vectors, 8], &device);
            let explained = z.clone().narrow(1, 0, 1) * 3.0 + z.clone().narrow(1, 1, 1);
            let z = Tensor::cat(vec![z, explained], 1) * 1e-3 + 1.0;
            let steepest = |z: Tensor<2>| {
                let (_, gradient) = loss_and_gradient(z, 0.0);
                gradient.into_iter().fold(0.0, |steepest: f32, g| steepest.max(g.abs()))
            };
            let with = steepest(z.clone());
            let without = steepest(z.narrow(1, 0, 8));
            assert!(with < 10.0 * without, "{vectors}: {with} {without}");
        }
    }

    #[test]
    fn what_is_not_finite_comes_out_as_nan() {
        let device = Device::flex().autodiff();
        for bad in [f32::NAN, f32::INFINITY] {
            let mut rows = [[1.0, 0.0], [0.0, 1.0], [2.0, 0.5]];
            rows[1][0] = bad;
            let (loss, _) = loss_and_gradient(Tensor::from_floats(rows, &device), 1e-4);
            assert!(!loss.is_finite(), "{bad}: {loss}");
        }
    }
}
