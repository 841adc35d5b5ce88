//! The operations, one file each. Every random one draws its parameters first and applies them
//! then, so that the drawing can be tested as a distribution and the applying as arithmetic.

mod blur;
mod color;
mod crop;
mod equalize;
mod flip;
mod gray;
mod jitter;
mod posterize;
mod rotate;
mod solarize;

pub use blur::GaussianBlur;
pub(crate) use color::luma;
pub use crop::{CropWindow, RandomResizedCrop};
pub use equalize::Equalize;
pub use flip::HorizontalFlip;
pub use gray::Grayscale;
pub use jitter::{ColorJitter, JitterParams};
pub use posterize::Posterize;
pub use rotate::{Rotate, Sampling};
pub use solarize::Solarize;

use std::fmt::Display;

use rand::RngExt;

use crate::{AugmentError, Image, ViewRng};

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

/// The error of a setting that is not `ok`.
pub(crate) fn check(
    ok: bool,
    field: &'static str,
    found: impl Display,
    allowed: &str,
) -> Result<(), AugmentError> {
    match ok {
        true => Ok(()),
        false => {
            let reason = format!("{found} is not allowed, it must be {allowed}");
            Err(AugmentError::Config { field, reason })
        }
    }
}

fn check_probability(probability: f32) -> Result<(), AugmentError> {
    check((0.0..=1.0).contains(&probability), "probability", probability, "from 0 to 1")
}

/// The nearest of 256 levels; what is beyond `[0, 1]` goes to its end, NaN to 0.
#[inline(always)]
pub(crate) fn level(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}

/// The value of a level, in `[0, 1]`.
fn from_level(level: u8) -> f32 {
    f32::from(level) / 255.0
}
