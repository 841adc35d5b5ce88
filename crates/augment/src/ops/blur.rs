use std::cell::RefCell;

use super::{Transform, happens, uniform};
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

thread_local! {
    static LINE: RefCell<(Vec<f32>, Vec<f32>)> = RefCell::default();
}

impl GaussianBlur {
    /// Blurs with a kernel of `2 · radius + 1` taps in each direction.
    pub fn blur(image: &mut Image, sigma: f32, radius: usize) {
        let (width, height) = (image.width(), image.height());
        let kernel = kernel(sigma, radius);
        LINE.with_borrow_mut(|(line, plane_copy)| {
            for plane in image.planes_mut() {
                for row in plane.chunks_exact_mut(width) {
                    line.clear();
                    let reach = radius as isize;
                    let reached = -reach..width as isize + reach;
                    line.extend(reached.map(|at| row[reflect(at, width)]));
                    row.fill(0.0);
                    // Tap by tap, so that the inner loop is a plain multiply and add.
                    for (offset, weight) in kernel.iter().enumerate() {
                        for (value, from) in row.iter_mut().zip(&line[offset..]) {
                            *value += from * weight;
                        }
                    }
                }
                // Down the columns row by row, so that the inner loop stays contiguous.
                plane_copy.clear();
                plane_copy.extend_from_slice(plane);
                for (y, row) in plane.chunks_exact_mut(width).enumerate() {
                    row.fill(0.0);
                    for (from, weight) in taps(&kernel, radius, y, height) {
                        let source = &plane_copy[from * width..(from + 1) * width];
                        for (value, s) in row.iter_mut().zip(source) {
                            *value += s * weight;
                        }
                    }
                    for value in row {
                        *value = value.clamp(0.0, 1.0);
                    }
                }
            }
        });
    }

    /// Draws σ.
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
            let sigma = uniform(self.sigma, rng);
            Self::blur(image, sigma, Self::radius(sigma));
        }
    }
}

/// `exp(−i² / 2σ²)` for `i` in `−radius..=radius`, summing to 1.
fn kernel(sigma: f32, radius: usize) -> Vec<f32> {
    let centre = radius as f32;
    let mut kernel: Vec<f32> = (0..=2 * radius)
        .map(|i| (-(i as f32 - centre).powi(2) / (2.0 * sigma * sigma)).exp())
        .collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|w| *w /= sum);
    kernel
}

/// Source positions and weights for output position `at` of a line of `len`.
fn taps(
    kernel: &[f32],
    radius: usize,
    at: usize,
    len: usize,
) -> impl Iterator<Item = (usize, f32)> + '_ {
    kernel
        .iter()
        .enumerate()
        .map(move |(k, w)| (reflect(at as isize + k as isize - radius as isize, len), *w))
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
