//! Rows of unit length, for the losses that compare directions.

use burn::tensor::Tensor;

use crate::{at_least_f32, sums};

/// The least norm to divide by, so that a zero vector has a finite gradient.
///
/// PyTorch's `normalize` has the same value, and the reference runs rely on it.
const NORM_FLOOR: f32 = 1e-12;

/// Rows of unit length: `z_i / ‖z_i‖`; a zero row stays zero.
///
/// `z`: `[batch, dim]`, any float type → `[batch, dim]`, f32 at least; differentiable.
pub fn l2_normalize(z: Tensor<2>) -> Tensor<2> {
    let z = at_least_f32(z);
    // Clamping the squared norm instead of the norm keeps sqrt away from 0, where its
    // gradient is infinite.
    let norm = sums::sum_dim(z.clone().square(), 1).clamp_min(NORM_FLOOR * NORM_FLOOR).sqrt();
    z / norm
}
