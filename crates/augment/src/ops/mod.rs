//! The operations, one file each. Every random one draws its parameters first and applies them
//! then, so that the drawing can be tested as a distribution and the applying as arithmetic.

mod blur;
mod color;
mod crop;
mod flip;
mod gray;
mod jitter;
mod solarize;

pub use blur::GaussianBlur;
pub(crate) use color::luma;
pub use crop::{CropWindow, RandomResizedCrop};
pub use flip::HorizontalFlip;
pub use gray::Grayscale;
pub use jitter::{ColorJitter, JitterParams};
pub use solarize::Solarize;

use rand::RngExt;

use crate::{Image, ViewRng};

/// Maps an image and a random generator to an image.
///
/// An implementation draws all it needs from `rng` and nothing from elsewhere, so that the same
/// generator state gives the same image. Values stay in `[0, 1]`.
pub trait Transform {
    /// Changes `image` in place.
    fn apply(&self, image: &mut Image, rng: &mut ViewRng);
}

/// True with the given probability. Always draws, so that what follows does not depend on it.
pub(crate) fn happens(probability: f32, rng: &mut ViewRng) -> bool {
    rng.random::<f32>() < probability
}

/// Uniform in `[low, high]`.
pub(crate) fn uniform([low, high]: [f32; 2], rng: &mut ViewRng) -> f32 {
    low + (high - low) * rng.random::<f32>()
}
