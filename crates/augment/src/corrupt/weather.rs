//! Snow, fog and brightness. Frost has a file of its own.

use rand_distr::{Distribution, Normal};

use super::Strength;
use super::filter::{Zoom, motion, zoomed_part};
use crate::ops::{luma, uniform};
use crate::{Image, ViewRng};

/// Whitens the image, and adds flakes and the same flakes turned by 180°.
///
/// Flakes are enlarged normal noise above a threshold, blurred along a direction within 45° of the
/// vertical.
pub fn snow(image: &mut Image, strength: Strength, rng: &mut ViewRng) {
    let (mean, deviation, size, threshold, radius, sigma, keep) = strength.pick(
        [
            (0.1, 0.2, 1.0, 0.6, 8.0, 3.0, 0.95),
            (0.1, 0.2, 1.0, 0.5, 10.0, 4.0, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10.0, 4.0, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12.0, 6.0, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14.0, 12.0, 0.8),
        ],
        [
            (0.1, 0.3, 3.0, 0.5, 10.0, 4.0, 0.8),
            (0.2, 0.3, 2.0, 0.5, 12.0, 4.0, 0.7),
            (0.55, 0.3, 4.0, 0.9, 12.0, 8.0, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12.0, 8.0, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12.0, 12.0, 0.55),
        ],
    );
    let (width, height) = (image.width(), image.height());
    let factor = f64::from(size * strength.scale).max(1.0);
    let normal = Normal::new(mean, deviation).expect("a finite deviation");
    let noise: Vec<f32> = (0..zoomed_part(width, factor) * zoomed_part(height, factor))
        .map(|_| normal.sample(rng))
        .collect();
    let mut flakes = vec![0.0; width * height];
    Zoom::new(width, height, factor, true).add_to(&mut flakes, &noise);
    for value in &mut flakes {
        let flake = if *value < threshold { 0.0 } else { *value };
        *value = f32::from(super::cut(flake)) / 255.0;
    }
    let degrees = uniform([-135.0, -45.0], rng);
    let flakes = motion(&flakes, width, radius * strength.scale, sigma * strength.scale, degrees);
    let [r, g, b] = image.planes_mut();
    let flakes = flakes.iter().zip(flakes.iter().rev());
    for (((r, g), b), (flake, turned)) in r.iter_mut().zip(g).zip(b).zip(flakes) {
        let white = luma(*r, *g, *b) * 1.5 + 0.5;
        for value in [r, g, b] {
            *value = keep * *value + (1.0 - keep) * value.max(white) + flake + turned;
        }
    }
}

/// Adds a plasma fractal. Scales the sum so that its largest possible value becomes the image's
/// brightest value.
pub fn fog(image: &mut Image, strength: Strength, rng: &mut ViewRng) {
    let (thickness, decay) = strength.pick(
        [(0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)],
        [(1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)],
    );
    let (width, height) = (image.width(), image.height());
    let map = Plasma::new(width, height, decay, rng);
    let brightest = image.data().iter().copied().fold(0.0, f32::max);
    let scale = brightest / (brightest + thickness);
    for plane in image.planes_mut() {
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                *value = (*value + thickness * map.at(x, y)) * scale;
            }
        }
    }
}

/// A map of heights in `[0, 1]` by the diamond-square algorithm. It is periodic: each border
/// continues at the opposite one.
pub struct Plasma {
    side: usize,
    heights: Vec<f32>,
}

impl Plasma {
    /// The side is the power of two that covers the image. For an image much longer than wide it is
    /// the one that covers its width twice. `decay` divides the root of the noise when the step is
    /// halved.
    pub fn new(width: usize, height: usize, decay: f32, rng: &mut ViewRng) -> Self {
        let (short, long) = (width.min(height).max(2), width.max(height).max(2));
        let side = long.next_power_of_two().min(2 * short.next_power_of_two());
        let mut map = Self { side, heights: vec![0.0; side * side] };
        let mut step = side;
        let mut wibble = 100.0f32;
        while step >= 2 {
            let half = step / 2;
            // The root of the noise's range decays.
            let mut noise = || wibble * uniform([-wibble, wibble], rng);
            for y in (0..side).step_by(step) {
                for x in (0..side).step_by(step) {
                    let corners = [(0, 0), (step, 0), (0, step), (step, step)];
                    map.set(x + half, y + half, map.mean(x, y, corners) + noise());
                }
            }
            for y in (0..side).step_by(step) {
                for x in (0..side).step_by(step) {
                    // Neighbours half a step to the left, right, up and down, on the map's ring.
                    for (x, y) in [(x + half, y), (x, y + half)] {
                        let (left, up) = (x + side - half, y + side - half);
                        let sides = [(left, y), (x + half, y), (x, up), (x, y + half)];
                        map.set(x, y, map.mean(0, 0, sides) + noise());
                    }
                }
            }
            step = half;
            wibble /= decay;
        }
        let (low, high) = map
            .heights
            .iter()
            .fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        let scale = 1.0 / (high - low).max(f32::MIN_POSITIVE);
        map.heights.iter_mut().for_each(|value| *value = (*value - low) * scale);
        map
    }

    /// The height at a pixel.
    pub fn at(&self, x: usize, y: usize) -> f32 {
        // The side is a power of two.
        let mask = self.side - 1;
        self.heights[(y & mask) * self.side + (x & mask)]
    }

    fn set(&mut self, x: usize, y: usize, value: f32) {
        let mask = self.side - 1;
        self.heights[(y & mask) * self.side + (x & mask)] = value;
    }

    fn mean(&self, x: usize, y: usize, places: [(usize, usize); 4]) -> f32 {
        places.iter().map(|(dx, dy)| self.at(x + dx, y + dy)).sum::<f32>() / 4.0
    }
}

/// Raises HSV's value, which keeps hue and saturation: all channels grow by the same factor.
pub fn brightness(image: &mut Image, strength: Strength) {
    let rise = strength.pick([0.05, 0.1, 0.15, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4, 0.5]);
    let [r, g, b] = image.planes_mut();
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let value = r.max(*g).max(*b);
        let raised = (value + rise).min(1.0);
        for channel in [r, g, b] {
            // Black has no saturation, and becomes grey.
            *channel = if value > 0.0 { *channel * (raised / value) } else { raised };
        }
    }
}
