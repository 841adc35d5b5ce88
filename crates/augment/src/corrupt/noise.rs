//! Noise, drawn for every value by itself.

use image::RgbImage;
use rand::RngExt;
use rand_distr::{Distribution, Poisson, StandardNormal};

use super::Strength;
use crate::{Image, RgbSource, ViewRng};

/// Adds normal noise.
pub fn gaussian(image: &mut Image, strength: Strength, rng: &mut ViewRng) {
    let deviation = strength.pick([0.04, 0.06, 0.08, 0.09, 0.10], [0.08, 0.12, 0.18, 0.26, 0.38]);
    for value in image.data_mut() {
        let normal: f32 = StandardNormal.sample(rng);
        *value += deviation * normal;
    }
}

/// Draws each value from the Poisson distribution around it, at so many photons for white.
pub fn shot(source: RgbSource<'_>, strength: Strength, rng: &mut ViewRng) -> RgbImage {
    let photons = strength.pick([500.0, 250.0, 100.0, 75.0, 50.0], [60.0, 25.0, 12.0, 5.0, 3.0]);
    // One distribution for each level that occurs. Black has none, and stays black.
    let mut distributions: [Option<Poisson<f64>>; 256] = [None; 256];
    let mut out = RgbImage::new(source.width(), source.height());
    for (to, level) in out.iter_mut().zip(source.pixels()) {
        let known = &mut distributions[usize::from(*level)];
        if known.is_none() {
            *known = Poisson::new(f64::from(*level) / 255.0 * photons).ok();
        }
        if let Some(distribution) = known {
            *to = super::cut((distribution.sample(rng) / photons) as f32);
        }
    }
    out
}

/// Replaces a share of the values, one half of them by 1 and the other by 0.
pub fn impulse(image: &mut Image, strength: Strength, rng: &mut ViewRng) {
    let share = strength.pick([0.01, 0.02, 0.03, 0.05, 0.07], [0.03, 0.06, 0.09, 0.17, 0.27]);
    for value in image.data_mut() {
        // One draw for both: below the share, its first half is salt.
        let draw: f32 = rng.random();
        if draw < share {
            *value = if draw < share / 2.0 { 1.0 } else { 0.0 };
        }
    }
}
