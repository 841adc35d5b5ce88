//! Antialiased resizing of a window of an image, in two separable passes.

use std::cell::RefCell;
use std::ops::Range;

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

    fn span(&self, i: usize) -> (usize, &[f32]) {
        let (first, start, len) = self.spans[i];
        (first, &self.values[start..start + len])
    }
}

/// Rows of the result that are made together: as many as a vector has lanes.
const ROWS: usize = 16;

/// Values of up to [`ROWS`] rows at one place.
type Column = [f32; ROWS];

/// Buffers that live as long as their thread, so that a steady stream of views allocates nothing.
#[derive(Default)]
struct Scratch {
    horizontal: Weights,
    vertical: Weights,
    /// Vertically resized rows, `[row][3 · window's width, rounded up]`, interleaved.
    lines: Vec<f32>,
    /// The same, `[place in the row][row]`.
    turned: Vec<Column>,
    /// Resized in both directions, `[channel][x][row]`.
    columns: Vec<Column>,
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
        scratch.horizontal.compute(window.width as usize, width, kernel);
        scratch.vertical.compute(window.height as usize, height, kernel);
        let pitch = (3 * window.width as usize).next_multiple_of(ROWS);
        scratch.lines.resize(ROWS * pitch, 0.0);
        scratch.turned.resize(pitch, [0.0; ROWS]);
        scratch.columns.resize(3 * width.next_multiple_of(ROWS), [0.0; ROWS]);
        vectorized(
            #[inline(always)]
            || {
                for y in (0..height).step_by(ROWS) {
                    let rows = ROWS.min(height - y);
                    scratch.resize_down(source, window, y..y + rows);
                    scratch.resize_across(width, flip);
                    scratch.write(y..y + rows, out);
                }
            },
        );
    });
}

/// The three steps for some rows. Along a row neighbours lie next to each other, so that the vertical
/// sums run over vectors; for the horizontal ones the rows are turned into the lanes of a vector, since
/// the weights differ from place to place, and turned back.
impl Scratch {
    /// Sums the window's rows with the vertical weights.
    #[inline(always)]
    fn resize_down(&mut self, source: RgbSource<'_>, window: CropWindow, rows: Range<usize>) {
        const LANES: usize = 32;
        let length = 3 * window.width as usize;
        let stride = 3 * source.width() as usize;
        let start = window.y as usize * stride + 3 * window.x as usize;
        let pixels = &source.pixels()[start..];
        let pitch = self.turned.len();
        for (y, line) in rows.zip(self.lines.chunks_exact_mut(pitch)) {
            let (first, weights) = self.vertical.span(y);
            let rows = &pixels[first * stride..];
            let (chunks, rest) = line[..length].as_chunks_mut::<LANES>();
            let done = chunks.len() * LANES;
            for (i, chunk) in chunks.iter_mut().enumerate() {
                let mut sum = [0f32; LANES];
                for (k, weight) in weights.iter().enumerate() {
                    let from: &[u8; LANES] =
                        rows[k * stride + i * LANES..].first_chunk().expect("within the row");
                    for (sum, value) in sum.iter_mut().zip(from) {
                        *sum += f32::from(*value) * weight;
                    }
                }
                *chunk = sum;
            }
            rest.fill(0.0);
            for (k, weight) in weights.iter().enumerate() {
                let from = &rows[k * stride + done..][..rest.len()];
                for (sum, value) in rest.iter_mut().zip(from) {
                    *sum += f32::from(*value) * weight;
                }
            }
        }
    }

    /// Turns the rows and sums their places with the horizontal weights.
    #[inline(always)]
    fn resize_across(&mut self, width: usize, flip: bool) {
        let pitch = self.turned.len();
        let squares = self.turned.as_chunks_mut::<ROWS>().0;
        for (i, square) in squares.iter_mut().enumerate() {
            for (line, from) in square.iter_mut().zip(self.lines.chunks_exact(pitch)) {
                *line = *from[i * ROWS..].first_chunk().expect("a multiple of it");
            }
            transpose(square);
        }
        let plane = self.columns.len() / 3;
        for x in 0..width {
            let (first, weights) = self.horizontal.span(x);
            let pixels = self.turned[3 * first..].as_chunks::<3>().0;
            let mut sums = [[0f32; ROWS]; 3];
            for (pixel, weight) in pixels.iter().zip(weights) {
                for (sums, values) in sums.iter_mut().zip(pixel) {
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += value * weight;
                    }
                }
            }
            let to = if flip { width - 1 - x } else { x };
            for (c, sums) in sums.iter().enumerate() {
                let column = &mut self.columns[c * plane + to];
                for (value, sum) in column.iter_mut().zip(sums) {
                    *value = scaled(*sum);
                }
            }
        }
    }

    /// Turns the rows back, into the three planes.
    #[inline(always)]
    fn write(&mut self, rows: Range<usize>, out: &mut Image) {
        let width = out.width();
        let plane = self.columns.len() / 3;
        let planes = self.columns.chunks_exact_mut(plane);
        for (plane, columns) in out.planes_mut().into_iter().zip(planes) {
            let plane = &mut plane[rows.start * width..rows.end * width];
            for (i, square) in columns.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                transpose(square);
                for (line, from) in plane.chunks_exact_mut(width).zip(&*square) {
                    let line = &mut line[i * ROWS..];
                    match line.first_chunk_mut() {
                        Some(line) => *line = *from,
                        None => line.copy_from_slice(&from[..line.len()]),
                    }
                }
            }
        }
    }
}

/// Rows become columns.
#[inline(always)]
fn transpose(square: &mut [Column; ROWS]) {
    swap::<8>(square);
    swap::<4>(square);
    swap::<2>(square);
    swap::<1>(square);
}

/// Squares of side `S` beside the diagonal change places: what vector instructions do.
#[inline(always)]
fn swap<const S: usize>(square: &mut [Column; ROWS]) {
    for i in 0..ROWS {
        if i & S == 0 {
            let (a, b) = (square[i], square[i + S]);
            for j in 0..ROWS {
                square[i][j] = if j & S == 0 { a[j] } else { b[j - S] };
                square[i + S][j] = if j & S == 0 { a[j + S] } else { b[j] };
            }
        }
    }
}

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
