//! Gaussian blur.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};

use super::uniform;
use crate::aligned::Aligned;
use crate::simd::with_simd;
use crate::{Image, ViewRng};

/// Gaussian blur with σ in pixels, uniform in a range.
///
/// The kernel reaches 3 σ in each direction, whatever the image's size: see
/// [`radius`](Self::radius). Borders are reflected without repeating the edge pixel, as in
/// torchvision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianBlur {
    /// 1.0 in the first view and 0.1 in the second of the published pairs.
    pub probability: f32,
    /// Smallest and largest σ: 0.1 and 2.0 in the published pairs.
    pub sigma: [f32; 2],
}

/// Lines that get their reflected borders before the first of them is read. A value that was just
/// written is slow to read at an address that does not match the write.
const BLOCK: usize = 8;

/// Buffers that live as long as their thread.
#[derive(Default)]
struct Scratch {
    /// Half of the kernel: its middle and one side.
    kernel: Vec<f32>,
    /// Lines with their reflected borders.
    block: Aligned,
    /// A plane that is blurred along its lines.
    plane: Aligned,
    /// Where each line of the plane begins, the reflected ones beyond its borders included.
    starts: Vec<usize>,
    /// The same for the values of a line.
    places: Vec<usize>,
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
        SCRATCH.with_borrow_mut(|Scratch { kernel, block, plane: lines, starts, places }| {
            half_kernel(sigma, radius, kernel);
            block.resize(BLOCK * (width + 2 * radius));
            lines.resize(width * height);
            reflected(width, radius, places);
            reflected(height, radius, starts);
            starts.iter_mut().for_each(|start| *start *= width);
            for plane in image.planes_mut() {
                with_simd(Plane { plane, width, kernel, places, block, starts, lines });
            }
        });
    }

    /// Draws a σ.
    pub fn sample(&self, rng: &mut ViewRng) -> f32 {
        uniform(self.sigma, rng)
    }

    /// The kernel's radius for a σ: 3 σ, which is all that matters of the bell.
    ///
    /// The papers use a kernel of a tenth of the image. At 224 pixels that is wider than needed:
    /// with σ at most 2 the bell ends after 6 of 11 pixels. At 32 pixels it would cut the bell off
    /// after one pixel.
    pub fn radius(sigma: f32) -> usize {
        (3.0 * sigma).ceil().max(1.0) as usize
    }
}

/// `exp(−i² / 2σ²)` for `i` in `0..=radius`, such that the whole kernel, `−radius..=radius`, sums
/// to 1.
fn half_kernel(sigma: f32, radius: usize, kernel: &mut Vec<f32>) {
    kernel.clear();
    kernel.extend((0..=radius).map(|i| (-(i as f32).powi(2) / (2.0 * sigma * sigma)).exp()));
    let sum = 2.0 * kernel[1..].iter().sum::<f32>() + kernel[0];
    kernel.iter_mut().for_each(|weight| *weight /= sum);
}

/// The positions of `0..len` and of `radius` more on both sides.
fn reflected(len: usize, radius: usize, positions: &mut Vec<usize>) {
    let reach = radius as isize;
    positions.clear();
    positions.extend((-reach..len as isize + reach).map(|at| reflect(at, len)));
}

/// Copies a row between its mirror images.
#[inline(always)]
fn extend(row: &[f32], places: &[usize], line: &mut [f32]) {
    let radius = (places.len() - row.len()) / 2;
    let (before, rest) = line.split_at_mut(radius);
    let (middle, after) = rest.split_at_mut(row.len());
    middle.copy_from_slice(row);
    for (value, place) in before.iter_mut().zip(places) {
        *value = row[*place];
    }
    for (value, place) in after.iter_mut().zip(&places[radius + row.len()..]) {
        *value = row[*place];
    }
}

/// One plane of an image, with the buffers of its blur.
struct Plane<'a> {
    plane: &'a mut [f32],
    width: usize,
    kernel: &'a [f32],
    places: &'a [usize],
    block: &'a mut [f32],
    starts: &'a [usize],
    lines: &'a mut [f32],
}

impl WithSimd for Plane<'_> {
    type Output = ();

    /// Blurs along the lines, then across them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plane, width, kernel, places, block, starts, lines } = self;
        for (rows, to) in plane.chunks(BLOCK * width).zip(lines.chunks_mut(BLOCK * width)) {
            let long = block.chunks_exact_mut(places.len());
            for (row, line) in rows.chunks_exact(width).zip(long) {
                extend(row, places, line);
            }
            let long = block.chunks_exact(places.len());
            for (to, line) in to.chunks_exact_mut(width).zip(long) {
                weigh(
                    simd,
                    kernel,
                    to,
                    #[inline(always)]
                    |i| &line[i..][..width],
                );
            }
        }
        let starts = starts.windows(2 * kernel.len() - 1);
        for (to, starts) in plane.chunks_exact_mut(width).zip(starts) {
            weigh(
                simd,
                kernel,
                to,
                #[inline(always)]
                |i| &lines[starts[i]..][..width],
            );
        }
    }
}

/// `to[i] = Σ_k kernel[|k|] · line(radius + k)[i]` for `k` in `−radius..=radius`.
///
/// For σ up to 2 the radius is a constant at compile time, so that weights and line addresses stay
/// in registers.
#[inline(always)]
fn weigh<'a, S: Simd>(simd: S, kernel: &[f32], to: &mut [f32], line: impl Fn(usize) -> &'a [f32]) {
    let radius = kernel.len() - 1;
    let (vectors, rest) = S::as_mut_simd_f32s(to);
    match radius {
        1 => weigh_known::<S, 1>(simd, kernel, vectors, &line),
        2 => weigh_known::<S, 2>(simd, kernel, vectors, &line),
        3 => weigh_known::<S, 3>(simd, kernel, vectors, &line),
        4 => weigh_known::<S, 4>(simd, kernel, vectors, &line),
        5 => weigh_known::<S, 5>(simd, kernel, vectors, &line),
        6 => weigh_known::<S, 6>(simd, kernel, vectors, &line),
        _ => weigh_any(simd, kernel, vectors, &line),
    }
    let done = vectors.len() * S::F32_LANES;
    for (i, value) in (done..).zip(rest) {
        let mut sum = line(radius)[i] * kernel[0];
        for (k, weight) in (1..).zip(&kernel[1..]) {
            sum += (line(radius - k)[i] + line(radius + k)[i]) * weight;
        }
        *value = sum.clamp(0.0, 1.0);
    }
}

#[inline(always)]
fn weigh_known<'a, S: Simd, const RADIUS: usize>(
    simd: S,
    kernel: &[f32],
    to: &mut [S::f32s],
    line: impl Fn(usize) -> &'a [f32],
) {
    let count = to.len();
    let middle = &S::as_simd_f32s(line(RADIUS)).0[..count];
    let (mut before, mut after) = ([middle; RADIUS], [middle; RADIUS]);
    let first = simd.splat_f32s(kernel[0]);
    let mut weights = [first; RADIUS];
    for k in 0..RADIUS {
        before[k] = &S::as_simd_f32s(line(RADIUS - 1 - k)).0[..count];
        after[k] = &S::as_simd_f32s(line(RADIUS + 1 + k)).0[..count];
        weights[k] = simd.splat_f32s(kernel[k + 1]);
    }
    // Two at a time, since one alone would wait for its own sum.
    let mut i = 0;
    while i + 1 < count {
        let mut a = simd.mul_f32s(middle[i], first);
        let mut b = simd.mul_f32s(middle[i + 1], first);
        for k in 0..RADIUS {
            let sides_a = simd.add_f32s(before[k][i], after[k][i]);
            let sides_b = simd.add_f32s(before[k][i + 1], after[k][i + 1]);
            a = simd.add_f32s(a, simd.mul_f32s(sides_a, weights[k]));
            b = simd.add_f32s(b, simd.mul_f32s(sides_b, weights[k]));
        }
        to[i] = clamped(simd, a);
        to[i + 1] = clamped(simd, b);
        i += 2;
    }
    if i < count {
        let mut sum = simd.mul_f32s(middle[i], first);
        for k in 0..RADIUS {
            let sides = simd.add_f32s(before[k][i], after[k][i]);
            sum = simd.add_f32s(sum, simd.mul_f32s(sides, weights[k]));
        }
        to[i] = clamped(simd, sum);
    }
}

#[inline(always)]
fn weigh_any<'a, S: Simd>(
    simd: S,
    kernel: &[f32],
    to: &mut [S::f32s],
    line: impl Fn(usize) -> &'a [f32],
) {
    let radius = kernel.len() - 1;
    for (i, to) in to.iter_mut().enumerate() {
        let mut sum = simd.mul_f32s(S::as_simd_f32s(line(radius)).0[i], simd.splat_f32s(kernel[0]));
        for (k, weight) in (1..).zip(&kernel[1..]) {
            let before = S::as_simd_f32s(line(radius - k)).0[i];
            let sides = simd.add_f32s(before, S::as_simd_f32s(line(radius + k)).0[i]);
            sum = simd.add_f32s(sum, simd.mul_f32s(sides, simd.splat_f32s(*weight)));
        }
        *to = clamped(simd, sum);
    }
}

#[inline(always)]
fn clamped<S: Simd>(simd: S, values: S::f32s) -> S::f32s {
    simd.min_f32s(simd.max_f32s(values, simd.splat_f32s(0.0)), simd.splat_f32s(1.0))
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
