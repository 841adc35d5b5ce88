//! Antialiased resizing of a window of an image, in two separable passes.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use crate::simd::vectorized;
use crate::{CropWindow, Image, RgbSource};

/// The kernel of a resize.
///
/// When an image shrinks, the kernel widens by the same factor, so that every source pixel
/// contributes: that is what "antialiased" means in PIL and torchvision, whose kernels these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle of support 1.
    Bilinear,
    /// Cubic convolution of support 2 with a = −0.5 (Keys, 1981), PIL's choice.
    Bicubic,
}

impl Interpolation {
    fn support(self) -> f32 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f32) -> f32 {
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic => {
                const A: f32 = -0.5;
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
        }
    }
}

/// For each output position, where its source pixels begin and how much each counts.
#[derive(Default)]
struct Weights {
    /// (first source pixel, first weight, number of weights)
    spans: Vec<(usize, usize, usize)>,
    values: Vec<f32>,
}

impl Weights {
    /// `len` source pixels become `out` pixels. Weights of a position sum to 1, at the borders too.
    fn compute(&mut self, len: usize, out: usize, kernel: Interpolation) {
        self.spans.clear();
        self.values.clear();
        let scale = len as f32 / out as f32;
        let stretch = scale.max(1.0);
        let radius = kernel.support() * stretch;
        for i in 0..out {
            let centre = (i as f32 + 0.5) * scale;
            let first = ((centre - radius + 0.5) as isize).clamp(0, len as isize - 1) as usize;
            let last = ((centre + radius + 0.5) as usize).clamp(first + 1, len);
            let start = self.values.len();
            self.values
                .extend((first..last).map(|s| kernel.weight((s as f32 - centre + 0.5) / stretch)));
            let sum: f32 = self.values[start..].iter().sum();
            for value in &mut self.values[start..] {
                *value /= sum;
            }
            self.spans.push((first, start, last - first));
        }
    }

    /// Weights of the position that has most of them.
    fn longest(&self) -> usize {
        self.spans.iter().map(|(.., len)| *len).max().unwrap_or(1)
    }

    fn span(&self, i: usize) -> (usize, &[f32]) {
        let (first, start, len) = self.spans[i];
        (first, &self.values[start..start + len])
    }
}

/// Buffers that live as long as their thread, so that a steady stream of views allocates nothing.
#[derive(Default)]
struct Scratch {
    horizontal: Weights,
    vertical: Weights,
    /// One source row as f32, interleaved as it came.
    row: Vec<f32>,
    /// The last horizontally resized rows, `[row modulo capacity, width]`: red, green, blue and something.
    rows: Vec<[f32; 4]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Resizes `window` of `source` to `width × height`, computed from the window's pixels only, as
/// cropping first and resizing then would. Values stay in `[0, 1]`: the overshoot of bicubic is
/// clamped.
///
/// A window that reaches beyond the image is cut to it; sizes of 0 are taken as 1.
pub fn resize(
    source: RgbSource<'_>,
    window: CropWindow,
    width: usize,
    height: usize,
    kernel: Interpolation,
    out: &mut Image,
) {
    resize_and_flip(source, window, (width, height), kernel, false, out);
}

/// [`resize`], then mirrored left and right if wanted, which costs nothing here.
pub(crate) fn resize_and_flip(
    source: RgbSource<'_>,
    window: CropWindow,
    (width, height): (usize, usize),
    kernel: Interpolation,
    flip: bool,
    out: &mut Image,
) {
    let (width, height) = (width.max(1), height.max(1));
    let window = window.within(source.width(), source.height());
    out.reset(width, height);
    SCRATCH.with_borrow_mut(|scratch| {
        let Scratch { horizontal, vertical, row, rows } = scratch;
        horizontal.compute(window.width as usize, width, kernel);
        vertical.compute(window.height as usize, height, kernel);
        // One float behind the last pixel, since pixels are read four floats at a time.
        row.resize(3 * window.width as usize + 1, 0.0);
        let capacity = vertical.longest();
        rows.resize(capacity * width, [0.0; 4]);
        let mut rows = Rows { source, window, horizontal, row, rows, capacity, width, flip };
        vectorized(
            #[inline(always)]
            || rows.resize_into(vertical, out),
        );
    });
}

/// Source rows on their way to horizontally resized rows, of which the last few are kept.
struct Rows<'a> {
    source: RgbSource<'a>,
    window: CropWindow,
    horizontal: &'a Weights,
    row: &'a mut [f32],
    rows: &'a mut [[f32; 4]],
    capacity: usize,
    width: usize,
    flip: bool,
}

impl Rows<'_> {
    /// Every output row from the source rows that it sees, each of which is resized once, just before
    /// it is seen first: no more of them than fit into the nearest caches are ever kept.
    #[inline(always)]
    fn resize_into(&mut self, vertical: &Weights, out: &mut Image) {
        let mut done = 0;
        for y in 0..out.height() {
            let (first, weights) = vertical.span(y);
            // Rows that nothing sees are skipped: they lie between the spans of a strong upscale only.
            for source_row in done.max(first)..first + weights.len() {
                self.resize_row(source_row);
            }
            done = done.max(first + weights.len());
            self.sum_rows(first, weights, y, out);
        }
    }

    /// Resizes one row of the window.
    #[inline(always)]
    fn resize_row(&mut self, y: usize) {
        let (from_width, width) = (self.window.width as usize, self.width);
        let stride = 3 * self.source.width() as usize;
        let start = (self.window.y as usize + y) * stride + 3 * self.window.x as usize;
        let bytes = &self.source.pixels()[start..][..3 * from_width];
        for (value, byte) in self.row.iter_mut().zip(bytes) {
            *value = f32::from(*byte);
        }
        let row = &mut self.rows[y % self.capacity * width..][..width];
        for x in 0..width {
            let (first, weights) = self.horizontal.span(x);
            // Vectors of red, green, blue and whatever follows: all four lanes are kept, so that they
            // stay one vector.
            let pixels = &self.row[3 * first..][..3 * weights.len() + 1];
            let mut sum = [0f32; 4];
            for (pixel, weight) in pixels.windows(4).step_by(3).zip(weights) {
                for (sum, value) in sum.iter_mut().zip(pixel) {
                    *sum += value * weight;
                }
            }
            row[if self.flip { width - 1 - x } else { x }] = sum;
        }
    }

    /// Weighs rows from `first` on into line `y` of the three planes.
    #[inline(always)]
    fn sum_rows(&self, first: usize, weights: &[f32], y: usize, out: &mut Image) {
        let width = self.width;
        let row = |k: usize| &self.rows[(first + k) % self.capacity * width..][..width];
        let [r, g, b] = out.planes_mut();
        let [r, g, b] = [
            &mut r[y * width..][..width],
            &mut g[y * width..][..width],
            &mut b[y * width..][..width],
        ];
        let mut x = 0;
        while x + LANES <= width {
            let mut sum = [[0f32; 4]; LANES];
            for (k, weight) in weights.iter().enumerate() {
                let from: &[[f32; 4]; LANES] =
                    row(k)[x..].first_chunk().expect("as long as the line");
                for (sum, pixel) in sum.as_flattened_mut().iter_mut().zip(from.as_flattened()) {
                    *sum += pixel * weight;
                }
            }
            for (c, plane) in [&mut *r, &mut *g, &mut *b].into_iter().enumerate() {
                let plane: &mut [f32; LANES] =
                    plane[x..].first_chunk_mut().expect("as long as the line");
                for i in 0..LANES {
                    plane[i] = scaled(sum[i][c]);
                }
            }
            x += LANES;
        }
        for x in x..width {
            let mut sum = [0f32; 4];
            for (k, weight) in weights.iter().enumerate() {
                for (sum, value) in sum.iter_mut().zip(&row(k)[x]) {
                    *sum += value * weight;
                }
            }
            (r[x], g[x], b[x]) = (scaled(sum[0]), scaled(sum[1]), scaled(sum[2]));
        }
    }
}

/// Pixels whose sums stay in registers over all rows.
const LANES: usize = 16;

/// From 8 bits to `[0, 1]`.
#[inline(always)]
fn scaled(value: f32) -> f32 {
    (value * (1.0 / 255.0)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: u32, height: u32) -> Vec<u8> {
        (0..3 * width * height).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    fn all(source: RgbSource<'_>) -> CropWindow {
        CropWindow { x: 0, y: 0, width: source.width(), height: source.height() }
    }

    #[test]
    fn the_same_size_is_the_identity() {
        let pixels = noise(7, 5);
        let source = RgbSource::new(&pixels, 7, 5).unwrap();
        for kernel in [Interpolation::Bilinear, Interpolation::Bicubic] {
            let mut out = Image::default();
            resize(source, all(source), 7, 5, kernel, &mut out);
            for (i, rgb) in pixels.chunks(3).enumerate() {
                for (c, value) in rgb.iter().enumerate() {
                    let got = out.planes()[c][i] * 255.0;
                    assert!((got - f32::from(*value)).abs() < 1e-3);
                }
            }
        }
    }

    /// The same definition in f64, straight from the formula and without separation.
    #[test]
    fn agrees_with_a_direct_double_precision_sum() {
        let pixels = noise(13, 9);
        let source = RgbSource::new(&pixels, 13, 9).unwrap();
        let window = CropWindow { x: 2, y: 1, width: 10, height: 7 };
        let axis = |len: u32, out: usize, i: usize, kernel: Interpolation| -> Vec<f64> {
            let scale = f64::from(len) / out as f64;
            let centre = (i as f64 + 0.5) * scale;
            let weights: Vec<f64> = (0..len)
                .map(|s| {
                    let x = (f64::from(s) + 0.5 - centre) / scale.max(1.0);
                    f64::from(kernel.weight(x as f32))
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(|w| w / sum).collect()
        };
        for kernel in [Interpolation::Bilinear, Interpolation::Bicubic] {
            for (width, height) in [(4, 3), (10, 20), (25, 5)] {
                let mut out = Image::default();
                resize(source, window, width, height, kernel, &mut out);
                for y in 0..height {
                    let vertical = axis(7, height, y, kernel);
                    for x in 0..width {
                        let horizontal = axis(10, width, x, kernel);
                        let mut sum = 0.0;
                        for (sy, v) in vertical.iter().enumerate() {
                            for (sx, h) in horizontal.iter().enumerate() {
                                let index = 3 * ((sy + 1) * 13 + sx + 2);
                                sum += v * h * f64::from(pixels[index]) / 255.0;
                            }
                        }
                        let got = f64::from(out.planes()[0][y * width + x]);
                        let expected = sum.clamp(0.0, 1.0);
                        assert!((got - expected).abs() < 2e-3, "{kernel:?}: {got} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn shrinking_a_checkerboard_gives_grey() {
        let pixels: Vec<u8> = (0..64 * 64)
            .flat_map(|i| [if (i / 64 + i % 64) % 2 == 0 { 255 } else { 0 }; 3])
            .collect();
        let source = RgbSource::new(&pixels, 64, 64).unwrap();
        let mut out = Image::default();
        resize(source, all(source), 8, 8, Interpolation::Bilinear, &mut out);
        assert!(out.data().iter().all(|v| (v - 0.5).abs() < 0.02), "{:?}", &out.data()[..8]);
    }
}
