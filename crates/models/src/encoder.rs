//! The trait of all backbones.

use burn::tensor::Tensor;

/// A backbone: images in, one feature vector per image out.
///
/// Pretraining keeps only the backbone. Projector and predictor are dropped (Grill et al., 2020,
/// section 3.1). Evaluation sees only the backbone of a method.
pub trait Encoder: 'static {
    /// `images`: `[batch, channels, height, width]` → features `[batch, feature_dim]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2>;

    /// The length of a feature vector.
    fn feature_dim(&self) -> usize;
}
