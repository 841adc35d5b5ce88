use burn::tensor::Tensor;

/// Norms below this are treated as this, so that a zero vector has a finite gradient.
///
/// The value is the one PyTorch's `normalize` uses, which the reference runs rely on.
const NORM_FLOOR: f32 = 1e-12;

/// Rows of unit length: `z_i / ‖z_i‖`; a zero row stays zero.
///
/// `z`: `[batch, dim]` → `[batch, dim]`.
pub(crate) fn l2_normalize(z: Tensor<2>) -> Tensor<2> {
    // Clamping the squared norm instead of the norm keeps sqrt away from 0, where its
    // gradient is infinite.
    let norm = z.clone().square().sum_dim(1).clamp_min(NORM_FLOOR * NORM_FLOOR).sqrt();
    z / norm
}
