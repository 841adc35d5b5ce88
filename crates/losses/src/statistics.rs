//! Second moments of a batch, for the losses that are about them.

use burn::tensor::{Bool, Tensor};

/// `z` minus its mean over the batch, `[batch, dim]`.
pub(crate) fn centre(z: Tensor<2>) -> Tensor<2> {
    z.clone() - z.mean_dim(0)
}

/// `Σ z_j² / (batch − 1)` of centred features `[batch, dim]`: their unbiased variance, `[1, dim]`.
pub(crate) fn variance(centred: Tensor<2>) -> Tensor<2> {
    let divisor = degrees_of_freedom(&centred);
    centred.square().sum_dim(0).div_scalar(divisor)
}

/// `Zᵀ Z / (batch − 1)` of centred features `[batch, dim]`: their unbiased covariance, `[dim, dim]`.
pub(crate) fn covariance(centred: Tensor<2>) -> Tensor<2> {
    let divisor = degrees_of_freedom(&centred);
    centred.clone().transpose().matmul(centred).div_scalar(divisor)
}

/// `batch − 1`; 1 for a single row, whose moments are 0 and not 0/0.
fn degrees_of_freedom(centred: &Tensor<2>) -> f32 {
    (centred.dims()[0].max(2) - 1) as f32
}

/// A square matrix with zeros on its diagonal.
///
/// Masking rather than subtracting the diagonal's squares from a total: the two are equal on paper, but near the
/// optimum of a loss the subtraction cancels to noise.
pub(crate) fn off_diagonal(matrix: Tensor<2>) -> Tensor<2> {
    let mask = off_diagonal_mask(&matrix).bool_not();
    matrix.mask_fill(mask, 0.0)
}

/// False on the diagonal of a square matrix, true elsewhere.
pub(crate) fn off_diagonal_mask(matrix: &Tensor<2>) -> Tensor<2, Bool> {
    Tensor::<2, Bool>::diag_mask(matrix.dims(), 0, &matrix.device())
}
