//! Losses of joint-embedding self-supervised learning for [Burn](https://burn.dev).
//!
//! | loss | method | what keeps it from collapse | gradient into |
//! | --- | --- | --- | --- |
//! | [`ByolLoss`] | BYOL (Grill et al., 2020) | predictor and momentum target | predictions |
//! | [`SimSiamLoss`] | SimSiam (Chen & He, 2021) | predictor and stop-gradient | predictions |
//! | [`DinoLoss`] | DINO (Caron et al., 2021) | momentum teacher, centred and sharpened | students |
//! | [`NtXentLoss`] | SimCLR (Chen et al., 2020) | negatives: all other embeddings of the batch | both views |
//! | [`MocoV3Loss`] | MoCo v3 (Chen, Xie & He, 2021) | negatives: the keys of the other images | queries |
//! | [`BarlowTwinsLoss`] | Barlow Twins (Zbontar et al., 2021) | decorrelation across views | both views |
//! | [`VicRegLoss`] | VICReg (Bardes et al., 2022) | variance and decorrelation within a view | both views |
//! | [`WMseLoss`] | W-MSE (Ermolov et al., 2021) | whitening | both views |
//! | [`LeJepaLoss`] | LeJEPA (Balestriero & LeCun, 2025) | embeddings made standard normal | both views |
//!
//! Tensors go in, a scalar comes out. Each loss is a small value with its hyper-parameters. Losses
//! of two embeddings alone implement [`JointEmbeddingLoss`]. If a method swaps its views,
//! `symmetric` takes both pairs. Half-precision inputs are cast to `f32` first, since a
//! half-precision cosine of tiny vectors is 0 or NaN. Embeddings that are not finite give a loss
//! that is not finite, never a panic. The losses add up with [`sums`], so rounding does not depend
//! on how Burn was built.
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
mod cholesky;
mod cross_entropy;
mod dino;
mod moco_v3;
mod normalize;
mod nt_xent;
mod sigreg;
mod simsiam;
mod statistics;
pub mod sums;
mod vicreg;
mod w_mse;

pub use barlow_twins::{BarlowTwinsLoss, BarlowTwinsTerms, standardize};
pub use byol::{ByolLoss, normalized_distance, regression_loss};
pub use dino::DinoLoss;
pub use moco_v3::MocoV3Loss;
pub use normalize::l2_normalize;
pub use nt_xent::NtXentLoss;
pub use sigreg::{LeJepaLoss, LeJepaTerms, SigReg, epps_pulley};
pub use simsiam::{SimSiamLoss, negative_cosine};
pub use vicreg::{VicRegLoss, VicRegTerms};
pub use w_mse::{WMseLoss, whiten};

use burn::tensor::{FloatDType, Tensor};

/// A loss on two batches of embeddings of the same images.
///
/// Row `i` of either side belongs to image `i`. The method decides what the sides are: two
/// projections for Barlow Twins, predictions and targets for BYOL, queries and keys for MoCo v3.
pub trait JointEmbeddingLoss {
    /// `z_a`, `z_b`: `[batch, dim]` → scalar `[1]`.
    fn forward(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> Tensor<1>;
}

/// The one place where a loss leaves half precision. f64 stays f64.
fn at_least_f32<const D: usize>(z: Tensor<D>) -> Tensor<D> {
    if z.dtype().size() < 4 { z.cast(FloatDType::F32) } else { z }
}
