//! The four blurs.

use rand::RngExt;

use super::Strength;
use super::filter::{Border, Zoom, gaussian, motion as motion_blur, shifted_sum};
use crate::ops::uniform;
use crate::{Image, ViewRng};

/// Convolves with a disc whose edge is softened.
pub fn defocus(image: &mut Image, strength: Strength) {
    let (radius, softness) = strength.pick(
        [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)],
        [(3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)],
    );
    let taps = disc(radius * strength.scale, softness * strength.scale);
    let width = image.width();
    for plane in image.planes_mut() {
        let blurred = shifted_sum(plane, width, &taps, Border::Reflect);
        plane.copy_from_slice(&blurred);
    }
}

/// A disc on a grid of at least 17 pixels, blurred with a bell of 3 taps, of 5 for a radius
/// above 8.
fn disc(radius: f32, softness: f32) -> Vec<(i64, i64, f32)> {
    let (reach, soft_reach) = if radius <= 8.0 { (8, 1) } else { (radius.ceil() as i64, 2) };
    let side = (2 * reach + 1) as usize;
    let mut disc: Vec<f32> = (-reach..=reach)
        .flat_map(|y| (-reach..=reach).map(move |x| (x * x + y * y) as f32))
        .map(|square| if square <= radius * radius { 1.0 } else { 0.0 })
        .collect();
    let area: f32 = disc.iter().sum();
    disc.iter_mut().for_each(|weight| *weight /= area);
    let truncate = soft_reach as f32 / softness;
    gaussian(&mut disc, side, softness, truncate, Border::Reflect);
    let place = |i: usize| ((i % side) as i64 - reach, (i / side) as i64 - reach);
    disc.into_iter()
        .enumerate()
        .filter(|(_, weight)| *weight > 1e-9)
        .map(|(i, weight)| (place(i).0, place(i).1, weight))
        .collect()
}

/// Blurs, replaces each pixel by one near by (from the last pixel to the first), and blurs again.
///
/// The authors' program is meant to swap pixels. It exchanges views of an array, so the second
/// pixel keeps its value. CIFAR-10-C and ImageNet-C were made this way.
pub fn glass(image: &mut Image, strength: Strength, rng: &mut ViewRng) {
    let (sigma, reach, rounds) = strength.pick(
        [(0.05, 1.0, 1), (0.25, 1.0, 1), (0.4, 1.0, 1), (0.25, 1.0, 2), (0.4, 1.0, 2)],
        [(0.7, 1.0, 2), (0.9, 2.0, 1), (1.0, 2.0, 3), (1.1, 3.0, 2), (1.5, 4.0, 2)],
    );
    let sigma = sigma * strength.scale;
    let reach = (reach * strength.scale).round().max(1.0) as usize;
    let (width, height) = (image.width(), image.height());
    blur_planes(image, sigma);
    for value in image.data_mut() {
        *value = f32::from(super::cut(*value)) / 255.0;
    }
    let step = reach as i32;
    for _ in 0..rounds {
        let mut planes = image.planes_mut();
        for y in (reach + 1..=height.saturating_sub(reach)).rev() {
            for x in (reach + 1..=width.saturating_sub(reach)).rev() {
                let dx = rng.random_range(-step..step) as isize;
                let dy = rng.random_range(-step..step) as isize;
                let from = y.strict_add_signed(dy) * width + x.strict_add_signed(dx);
                for plane in &mut planes {
                    plane[y * width + x] = plane[from];
                }
            }
        }
    }
    blur_planes(image, sigma);
}

/// Blurs along a direction within 45° of the horizontal.
pub fn motion(image: &mut Image, strength: Strength, rng: &mut ViewRng) {
    let (radius, sigma) = strength.pick(
        [(6.0, 1.0), (6.0, 1.5), (6.0, 2.0), (8.0, 2.0), (9.0, 2.5)],
        [(10.0, 3.0), (15.0, 5.0), (15.0, 8.0), (15.0, 12.0), (20.0, 15.0)],
    );
    let degrees = uniform([-45.0, 45.0], rng);
    let width = image.width();
    for plane in image.planes_mut() {
        let (radius, sigma) = (radius * strength.scale, sigma * strength.scale);
        let blurred = motion_blur(plane, width, radius, sigma, degrees);
        plane.copy_from_slice(&blurred);
    }
}

/// The mean of the image and its enlargements. The first enlargement is by 1, so the image counts
/// twice.
pub fn zoom(image: &mut Image, strength: Strength) {
    let (count, step) = strength.pick(
        [(7, 0.01), (12, 0.01), (16, 0.01), (21, 0.01), (26, 0.01)],
        [(12, 0.01), (16, 0.01), (11, 0.02), (13, 0.02), (11, 0.03)],
    );
    let (width, height) = (image.width(), image.height());
    // The step as NumPy's `arange` computes it: it decides how a size is rounded.
    let step = (1.0 + step) - 1.0;
    let zooms: Vec<_> =
        (0..count).map(|i| Zoom::new(width, height, 1.0 + f64::from(i) * step, false)).collect();
    for plane in image.planes_mut() {
        let mut sum = plane.to_vec();
        for zoom in &zooms {
            zoom.add_to(&mut sum, plane);
        }
        for (value, sum) in plane.iter_mut().zip(sum) {
            *value = sum / (count + 1) as f32;
        }
    }
}

/// As scikit-image's `gaussian` does by default: 4 σ and the nearest pixel at the border.
fn blur_planes(image: &mut Image, sigma: f32) {
    let width = image.width();
    for plane in image.planes_mut() {
        let mut blurred = plane.to_vec();
        gaussian(&mut blurred, width, sigma, 4.0, Border::Nearest);
        plane.copy_from_slice(&blurred);
    }
}
