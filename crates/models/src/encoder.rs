//! What all backbones have in common.

use burn::tensor::Tensor;

/// A backbone: images in, one feature vector per image out.
///
/// This is what stays after pretraining; projector and predictor are thrown away
/// (Grill et al., 2020, section 3.1). Evaluation sees nothing of a method but this.
pub trait Encoder: 'static {
    /// `images`: `[batch, channels, height, width]` → features `[batch, feature_dim]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2>;

    /// The length of a feature vector.
    fn feature_dim(&self) -> usize;
}
