//! The operations, one file each. A random operation draws its parameters first and then applies
//! them. So the draws can be tested as a distribution, and the result as arithmetic.

mod color;
mod crop;
mod flip;
mod gaussian_blur;
mod gray;
mod jitter;
mod solarize;

pub(crate) use color::luma;
pub use crop::{CropWindow, RandomResizedCrop};
pub use flip::HorizontalFlip;
pub use gaussian_blur::GaussianBlur;
pub use gray::Grayscale;
pub use jitter::{ColorJitter, JitterParams};
pub use solarize::Solarize;

use std::fmt::Display;

use rand::RngExt;

use crate::{AugmentError, ViewRng};

/// True with the given probability. Always draws, so that what follows does not depend on it.
pub(crate) fn happens(probability: f32, rng: &mut ViewRng) -> bool {
    rng.random::<f32>() < probability
}

/// Uniform in `[low, high]`.
pub(crate) fn uniform([low, high]: [f32; 2], rng: &mut ViewRng) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// An error if the setting is not `ok`.
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

/// The nearest of 256 levels. Values are clamped to `[0, 1]`; NaN becomes 0.
#[inline(always)]
pub(crate) fn level(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}
