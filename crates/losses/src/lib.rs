//! Losses of non-contrastive self-supervised learning for [Burn](https://burn.dev).
//!
//! Tensors in, a scalar out, nothing else: each loss is a small value with its hyper-parameters
//! and implements [`JointEmbeddingLoss`]. Half-precision inputs are
//! cast to `f32` first, since a half-precision cosine of tiny vectors is 0 or NaN.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use selfsame_losses::{BarlowTwinsLoss, JointEmbeddingLoss};
//!
//! let device = Device::flex();
//! let z = Tensor::<2>::random([8, 4], Distribution::Default, &device);
//! let loss = BarlowTwinsLoss::default().forward(z.clone(), z);
//! assert!(loss.into_scalar::<f32>() >= 0.0);
//! ```

mod barlow_twins;
mod byol;

pub use barlow_twins::{BarlowTwinsLoss, BarlowTwinsTerms, standardize};
pub use byol::{ByolLoss, normalized_distance, regression_loss};

use burn::tensor::{FloatDType, Tensor};

/// A loss on two batches of embeddings of the same images.
///
/// Row `i` of either side belongs to image `i`. What the sides mean is the method's affair: two
/// projections for Barlow Twins, predictions and targets for BYOL.
pub trait JointEmbeddingLoss {
    /// `z_a`, `z_b`: `[batch, dim]` → scalar `[1]`.
    fn forward(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> Tensor<1>;
}

/// The one place where a loss leaves half precision; f64 stays what it is.
fn at_least_f32(z: Tensor<2>) -> Tensor<2> {
    if z.dtype().size() < 4 { z.cast(FloatDType::F32) } else { z }
}
