//! Second moments of a batch, for the losses that are made of them.

use burn::tensor::{Bool, Tensor};

use crate::sums;

/// Rows of a product of features that are computed at a time.
const BLOCK: usize = 1024;

/// `z` minus its mean over the batch, `[batch, dim]`.
///
/// If features lie far from 0, the rounding of their mean is large beside their spread. So the
/// rounded mean is subtracted first, as a constant, and then the small mean of the rest.
pub(crate) fn centre(z: Tensor<2>) -> Tensor<2> {
    let near = z.clone() - sums::mean_dim(z.detach(), 0);
    near.clone() - sums::mean_dim(near, 0)
}

/// `Σ z_j² / (batch − 1)` of centred features `[batch, dim]`: their unbiased variance, `[1, dim]`.
pub(crate) fn variance(centred: Tensor<2>) -> Tensor<2> {
    let divisor = degrees_of_freedom(&centred);
    sums::sum_dim(centred.square(), 0).div_scalar(divisor)
}

/// `Zᵀ Z / (batch − 1)` of centred features `[batch, dim]`: their unbiased covariance,
/// `[dim, dim]`.
pub(crate) fn covariance(centred: Tensor<2>) -> Tensor<2> {
    let divisor = degrees_of_freedom(&centred);
    centred.clone().transpose().matmul(centred).div_scalar(divisor)
}

/// `batch − 1`, or 1 for a single row: its moments are then 0 and not 0/0.
pub(crate) fn degrees_of_freedom(centred: &Tensor<2>) -> f32 {
    (centred.dims()[0].max(2) - 1) as f32
}

/// `Σ_i Σ_{j≠i} C_ij²` of `C = aᵀ b / divisor`, a scalar `[1]`, at least 0.
///
/// `a`, `b`: `[batch, dim]`. C is never held more than once, forward and backward: for 8192
/// dimensions it takes 256 MB. A batch smaller than its dimensions does not need C at all.
pub(crate) fn off_diagonal_squares(a: Tensor<2>, b: Tensor<2>, divisor: f32) -> Tensor<1> {
    let [batch, dim] = a.dims();
    if batch < dim { by_images(a, b, divisor) } else { by_blocks(a, b, divisor) }
}

/// `Σ_ij C_ij² − Σ_i C_ii²` by products of images instead of dimensions:
/// `‖aᵀ b‖² = Σ_nm (a aᵀ)_nm (b bᵀ)_nm`, `[batch, batch]` each.
///
/// C has at most `batch` directions, so its mass lies off the diagonal and little cancels. If very
/// few features vary, only rounding is left, and it is clamped at 0.
fn by_images(a: Tensor<2>, b: Tensor<2>, divisor: f32) -> Tensor<1> {
    let diagonal = sums::sum_dim(a.clone() * b.clone(), 0).div_scalar(divisor);
    let gram = |z: Tensor<2>| z.clone().matmul(z.transpose()).div_scalar(divisor);
    (sums::sum(gram(a) * gram(b)) - sums::sum(diagonal.square())).clamp_min(0.0)
}

/// The same from some rows of C at a time, with the diagonal masked. For a nearly diagonal C a
/// difference would cancel to noise.
fn by_blocks(a: Tensor<2>, b: Tensor<2>, divisor: f32) -> Tensor<1> {
    let [_, dim] = a.dims();
    let a = a.transpose().div_scalar(divisor);
    let blocks = (0..dim).step_by(BLOCK).map(|first| {
        let rows = BLOCK.min(dim - first);
        let block = a.clone().narrow(0, first, rows).matmul(b.clone());
        let diagonal = Tensor::<2, Bool>::diag_mask([rows, dim], first as i64, &block.device());
        sums::sum(block.mask_fill(diagonal.bool_not(), 0.0).square())
    });
    sums::sum(Tensor::cat(blocks.collect(), 0))
}

/// False on the diagonal of a square matrix, true elsewhere.
pub(crate) fn off_diagonal_mask(matrix: &Tensor<2>) -> Tensor<2, Bool> {
    Tensor::<2, Bool>::diag_mask(matrix.dims(), 0, &matrix.device())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tensor, Tolerance};

    use super::*;

    /// Both ways, and blocks that the dimensions do not divide into.
    #[test]
    fn off_diagonal_squares_of_the_whole_matrix() {
        let device = Device::flex().autodiff();
        for (batch, dim) in [(8, 24), (24, 8), (5, BLOCK + 3), (BLOCK + 70, BLOCK + 3)] {
            let noise = || Tensor::<2>::random([batch, dim], Distribution::Default, &device);
            let (a, b) = (noise().into_data(), noise());
            let value_and_gradient = |f: &dyn Fn(Tensor<2>) -> Tensor<1>| {
                let a = Tensor::<2>::from_data(a.clone(), &device).require_grad();
                let value = f(a.clone());
                let gradient = a.grad(&value.backward()).unwrap().into_data();
                (value.into_data(), gradient)
            };
            let got = value_and_gradient(&|a| off_diagonal_squares(a, b.clone(), 7.0));
            let expected = value_and_gradient(&|a| {
                let c = a.transpose().matmul(b.clone()).div_scalar(7.0);
                let mask = off_diagonal_mask(&c).bool_not();
                c.mask_fill(mask, 0.0).square().sum()
            });
            let tolerance = Tolerance::relative(1e-4).set_absolute(1e-5);
            got.0.assert_approx_eq::<f32>(&expected.0, tolerance);
            got.1.assert_approx_eq::<f32>(&expected.1, tolerance);
        }
    }

    /// One feature that varies has nothing off the diagonal, however the rest rounds.
    #[test]
    fn off_diagonal_squares_do_not_fall_below_zero() {
        let device = Device::flex();
        for seed in 0..20 {
            device.seed(seed);
            let one = Tensor::<2>::random([8, 1], Distribution::Default, &device);
            let z = Tensor::cat(vec![one, Tensor::zeros([8, 30], &device)], 1);
            let off = off_diagonal_squares(z.clone(), z, 7.0).into_scalar::<f32>();
            assert!((0.0..1e-6).contains(&off), "{off}");
        }
    }

    /// Far from 0 the rounded mean is off by 3e-5; what is left of it after centring is not.
    #[test]
    fn centring_is_not_rounded_to_the_mean() {
        let device = Device::flex();
        device.seed(5);
        let z = Tensor::<2>::random([300, 4], Distribution::Default, &device) + 1000.0;
        let means = sums::mean_dim(centre(z), 0).abs().max().into_scalar::<f32>();
        assert!(means < 1e-6, "{means}");
    }
}
