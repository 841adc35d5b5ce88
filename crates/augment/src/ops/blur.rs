use std::cell::RefCell;

use super::{Transform, happens, uniform};
use crate::simd::vectorized;
use crate::{Image, ViewRng};

/// Gaussian blur with σ in pixels, uniform in a range.
///
/// The kernel reaches 3 σ in each direction, whatever the image's size; see
/// [`radius`](Self::radius). Borders are reflected without repeating the edge pixel, as torchvision
/// does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianBlur {
    /// 1.0 in the first view and 0.1 in the second of the published pairs.
    pub probability: f32,
    /// Smallest and largest σ: 0.1 and 2.0 in the published pairs.
    pub sigma: [f32; 2],
}

/// Buffers that live as long as their thread.
#[derive(Default)]
struct Scratch {
    /// Half of the kernel: its middle and what lies on one side.
    kernel: Vec<f32>,
    /// A line with its reflected borders.
    line: Vec<f32>,
    /// A plane that is blurred along its lines.
    plane: Vec<f32>,
    /// Where the lines of the plane begin, with the reflected ones beyond its borders.
    starts: Vec<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl GaussianBlur {
    /// Blurs with a kernel of `2 · radius + 1` taps in each direction.
    pub fn blur(image: &mut Image, sigma: f32, radius: usize) {
        let (width, height) = (image.width(), image.height());
        if image.data().is_empty() {
            return;
        }
        SCRATCH.with_borrow_mut(|Scratch { kernel, line, plane: lines, starts }| {
            half_kernel(sigma, radius, kernel);
            line.resize(width + 2 * radius, 0.0);
            lines.resize(width * height, 0.0);
            starts.clear();
            let reach = radius as isize;
            starts.extend((-reach..height as isize + reach).map(|y| reflect(y, height) * width));
            vectorized(
                #[inline(always)]
                || {
                    for plane in image.planes_mut() {
                        for (row, to) in
                            plane.chunks_exact(width).zip(lines.chunks_exact_mut(width))
                        {
                            reflected(row, radius, line);
                            weigh(
                                kernel,
                                to,
                                #[inline(always)]
                                |offset| &line[radius.wrapping_add_signed(offset)..],
                            );
                        }
                        for (y, to) in plane.chunks_exact_mut(width).enumerate() {
                            weigh(
                                kernel,
                                to,
                                #[inline(always)]
                                |offset| &lines[starts[(y + radius).wrapping_add_signed(offset)]..],
                            );
                        }
                    }
                },
            );
        });
    }

    /// Draws a σ.
    pub fn sample(&self, rng: &mut ViewRng) -> f32 {
        uniform(self.sigma, rng)
    }

    /// The kernel's radius for a σ: all that matters of the bell, 3 σ.
    ///
    /// A kernel of a tenth of the image, as the papers have it, is wider than that at 224 pixels, where
    /// its σ of at most 2 ends after 6 of 11; at 32 pixels it would cut the bell off after one pixel.
    pub fn radius(sigma: f32) -> usize {
        (3.0 * sigma).ceil().max(1.0) as usize
    }
}

impl Transform for GaussianBlur {
    fn apply(&self, image: &mut Image, rng: &mut ViewRng) {
        if happens(self.probability, rng) {
            let sigma = self.sample(rng);
            Self::blur(image, sigma, Self::radius(sigma));
        }
    }
}

/// `exp(−i² / 2σ²)` for `i` in `0..=radius`, such that the whole kernel, `−radius..=radius`, sums to 1.
fn half_kernel(sigma: f32, radius: usize, kernel: &mut Vec<f32>) {
    kernel.clear();
    kernel.extend((0..=radius).map(|i| (-(i as f32).powi(2) / (2.0 * sigma * sigma)).exp()));
    let sum = 2.0 * kernel[1..].iter().sum::<f32>() + kernel[0];
    kernel.iter_mut().for_each(|weight| *weight /= sum);
}

/// Copies a line between its mirror images.
#[inline(always)]
fn reflected(row: &[f32], radius: usize, line: &mut [f32]) {
    let (before, rest) = line.split_at_mut(radius);
    let (middle, after) = rest.split_at_mut(row.len());
    middle.copy_from_slice(row);
    for (i, value) in before.iter_mut().enumerate() {
        *value = row[reflect(i as isize - radius as isize, row.len())];
    }
    for (i, value) in after.iter_mut().enumerate() {
        *value = row[reflect((row.len() + i) as isize, row.len())];
    }
}

const LANES: usize = 32;

/// Chunk number `i` of a line.
#[inline(always)]
fn lanes(line: &[f32], i: usize) -> &[f32; LANES] {
    line[i * LANES..].first_chunk().expect("as long as the line")
}

/// `to[i] = Σ_k kernel[k] · (at(−k)[i] + at(k)[i])`: what lies on the two sides of the middle has the same
/// weight.
#[inline(always)]
fn weigh<'a>(kernel: &[f32], to: &mut [f32], at: impl Fn(isize) -> &'a [f32]) {
    let (chunks, rest) = to.as_chunks_mut::<LANES>();
    let done = chunks.len() * LANES;
    for (i, chunk) in chunks.iter_mut().enumerate() {
        let mut sum = [0f32; LANES];
        for (sum, value) in sum.iter_mut().zip(lanes(at(0), i)) {
            *sum = value * kernel[0];
        }
        for (k, weight) in (1..).zip(&kernel[1..]) {
            let (before, after) = (lanes(at(-k), i), lanes(at(k), i));
            for ((sum, before), after) in sum.iter_mut().zip(before).zip(after) {
                *sum += (before + after) * weight;
            }
        }
        for (value, sum) in chunk.iter_mut().zip(sum) {
            *value = sum.clamp(0.0, 1.0);
        }
    }
    for (i, value) in (done..).zip(rest) {
        let mut sum = at(0)[i] * kernel[0];
        for (k, weight) in (1..).zip(&kernel[1..]) {
            sum += (at(-k)[i] + at(k)[i]) * weight;
        }
        *value = sum.clamp(0.0, 1.0);
    }
}

/// Mirrors a position at the first and the last element, as often as needed.
fn reflect(at: isize, len: usize) -> usize {
    if len == 1 {
        return 0;
    }
    let period = 2 * (len as isize - 1);
    let at = at.rem_euclid(period);
    at.min(period - at) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_spreads_into_the_kernel() {
        let mut image = Image::filled(5, 5, [0.0; 3]);
        for plane in image.planes_mut() {
            plane[12] = 1.0;
        }
        GaussianBlur::blur(&mut image, 1.0, 1);
        let side = (-0.5f32).exp();
        let sum = 1.0 + 2.0 * side;
        assert!((image.planes()[1][12] - 1.0 / (sum * sum)).abs() < 1e-6);
        assert!((image.planes()[1][11] - side / (sum * sum)).abs() < 1e-6);
        assert!((image.planes()[1][6] - side * side / (sum * sum)).abs() < 1e-6);
        assert_eq!(image.planes()[1][10], 0.0);
    }

    #[test]
    fn borders_reflect_without_repeating_the_edge() {
        assert_eq!((-3..6).map(|i| reflect(i, 3)).collect::<Vec<_>>(), [1, 2, 1, 0, 1, 2, 1, 0, 1]);
        assert_eq!(reflect(-7, 1), 0);
    }

    #[test]
    fn a_constant_image_stays_constant() {
        let mut image = Image::filled(4, 1, [0.3, 0.6, 0.9]);
        GaussianBlur::blur(&mut image, 2.0, 3);
        assert!(image.planes()[2].iter().all(|v| (v - 0.9).abs() < 1e-6));
    }
}
