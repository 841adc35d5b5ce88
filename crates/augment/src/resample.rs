//! Antialiased resizing of a window of an image, in two separable passes.

use std::cell::RefCell;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::aligned::Aligned;
use crate::simd::{Column, SIDE, Shuffles, vectorized};
use crate::{CropWindow, Image, RgbSource};

/// The kernel of a resize.
///
/// When an image shrinks, the kernel widens by the same factor, so that every source pixel
/// contributes. PIL and torchvision call this "antialiased"; the kernels are theirs.
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

    #[inline(always)]
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

/// For each output position: its first source pixel, and the weight of each.
#[derive(Default)]
struct Weights {
    /// Source pixels of each position: the same number for all, so that branches are predictable.
    /// Those beyond the kernel's reach have weight 0.
    taps: usize,
    /// First source pixel of each position.
    firsts: Vec<usize>,
    /// `[position][tap]`
    values: Vec<f32>,
}

impl Weights {
    /// `len` source pixels become `out` pixels. Weights of a position sum to `total`, at the
    /// borders too.
    #[inline(always)]
    fn compute(&mut self, len: usize, out: usize, kernel: Interpolation, total: f32) {
        let scale = len as f32 / out as f32;
        let stretch = scale.max(1.0);
        let radius = kernel.support() * stretch;
        let taps = ((2.0 * radius).ceil() as usize).min(len);
        self.taps = taps;
        self.firsts.resize(out, 0);
        self.values.resize(out * taps, 0.0);
        let positions = self.firsts.iter_mut().zip(self.values.chunks_exact_mut(taps));
        for (i, (first, values)) in positions.enumerate() {
            let centre = (i as f32 + 0.5) * scale;
            *first = ((centre - radius + 0.5) as usize).min(len - taps);
            let start = *first as f32 - centre + 0.5;
            let mut sum = 0.0;
            for (k, value) in values.iter_mut().enumerate() {
                *value = kernel.weight((start + k as f32) / stretch);
                sum += *value;
            }
            let share = total / sum;
            for value in values {
                *value *= share;
            }
        }
    }

    #[inline(always)]
    fn at(&self, i: usize) -> (usize, &[f32]) {
        (self.firsts[i], &self.values[i * self.taps..(i + 1) * self.taps])
    }
}

/// Rows of the result that are made together: as many as a vector has lanes.
const ROWS: usize = SIDE;

/// Buffers that live as long as their thread, so that a steady stream of views allocates nothing.
#[derive(Default)]
struct Scratch {
    horizontal: Weights,
    vertical: Weights,
    /// Vertically resized rows, `[row][3 · window's width, rounded up]`, interleaved.
    lines: Aligned,
    /// The same, `[place in the row][row]`.
    turned: Vec<Column>,
    /// Resized in both directions, `[channel][x][row]`.
    columns: Vec<Column>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Resizes `window` of `source` to `width × height`. Only the window's pixels count, as after a
/// crop. Values stay in `[0, 1]`: the overshoot of bicubic is clamped.
///
/// A window that reaches beyond the image is cut to it. A size of 0 is taken as 1.
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

/// [`resize`], then mirrored left and right if `flip`. The mirroring costs nothing here.
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
        let pitch = (3 * window.width as usize).next_multiple_of(ROWS);
        scratch.lines.resize(ROWS * pitch);
        scratch.turned.resize(pitch, Column::ZERO);
        scratch.columns.resize(3 * width.next_multiple_of(ROWS), Column::ZERO);
        vectorized(
            #[inline(always)]
            |shuffles| {
                // From 8 bits to [0, 1] on the way.
                scratch.vertical.compute(window.height as usize, height, kernel, 1.0 / 255.0);
                scratch.horizontal.compute(window.width as usize, width, kernel, 1.0);
                for y in (0..height).step_by(ROWS) {
                    let rows = y..height.min(y + ROWS);
                    scratch.resize_down(source, window, rows.clone());
                    scratch.turn(shuffles);
                    scratch.resize_across(width, flip);
                    scratch.write(rows, shuffles, out);
                }
            },
        );
    });
}

/// The steps for some rows. Vertical sums run over vectors, since neighbours in a row lie next to
/// each other. Horizontal weights differ from place to place, so the rows are turned into the lanes
/// of a vector and back.
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
            let (first, weights) = self.vertical.at(y);
            let rows = &pixels[first * stride..];
            let line = &mut line[..length];
            if length < LANES {
                line.fill(0.0);
                for (k, weight) in weights.iter().enumerate() {
                    for (sum, value) in line.iter_mut().zip(&rows[k * stride..][..length]) {
                        *sum += f32::from(*value) * weight;
                    }
                }
                continue;
            }
            for start in (0..length).step_by(LANES) {
                // The last ones overlap those before them.
                let start = start.min(length - LANES);
                let mut sums = [0f32; LANES];
                for (k, weight) in weights.iter().enumerate() {
                    let from: &[u8; LANES] =
                        rows[k * stride + start..].first_chunk().expect("within the row");
                    for (sum, value) in sums.iter_mut().zip(from) {
                        *sum += f32::from(*value) * weight;
                    }
                }
                *line[start..].first_chunk_mut().expect("within the line") = sums;
            }
        }
    }

    /// Turns the rows into lanes.
    #[inline(always)]
    fn turn(&mut self, shuffles: Shuffles) {
        let pitch = self.turned.len();
        let lines = &*self.lines;
        for (i, square) in self.turned.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            shuffles.transpose(
                #[inline(always)]
                |row| lines[row * pitch + i * ROWS..].first_chunk().expect("within the line"),
                square,
            );
        }
    }

    /// Sums the turned rows' places with the horizontal weights.
    #[inline(always)]
    fn resize_across(&mut self, width: usize, flip: bool) {
        let plane = self.columns.len() / 3;
        let (red, rest) = self.columns.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let pixels = self.turned.as_chunks::<3>().0;
        for x in 0..width {
            let (first, weights) = self.horizontal.at(x);
            let (mut r, mut g, mut b) = (Column::ZERO, Column::ZERO, Column::ZERO);
            for (pixel, weight) in pixels[first..].iter().zip(weights) {
                add(&mut r, &pixel[0], *weight);
                add(&mut g, &pixel[1], *weight);
                add(&mut b, &pixel[2], *weight);
            }
            let to = if flip { width - 1 - x } else { x };
            (red[to], green[to], blue[to]) = (clamped(r), clamped(g), clamped(b));
        }
    }

    /// Turns the lanes back into rows, into the three planes.
    #[inline(always)]
    fn write(&self, rows: Range<usize>, shuffles: Shuffles, out: &mut Image) {
        let width = out.width();
        let plane = self.columns.len() / 3;
        let planes = self.columns.chunks_exact(plane);
        for (plane, columns) in out.planes_mut().into_iter().zip(planes) {
            let plane = &mut plane[rows.start * width..rows.end * width];
            for (i, columns) in columns.as_chunks::<ROWS>().0.iter().enumerate() {
                let mut square = [Column::ZERO; ROWS];
                shuffles.transpose(
                    #[inline(always)]
                    |x| &columns[x].0,
                    &mut square,
                );
                for (line, Column(from)) in plane.chunks_exact_mut(width).zip(&square) {
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

#[inline(always)]
fn add(sums: &mut Column, values: &Column, weight: f32) {
    for (sum, value) in sums.0.iter_mut().zip(&values.0) {
        *sum += value * weight;
    }
}

#[inline(always)]
fn clamped(mut column: Column) -> Column {
    for value in &mut column.0 {
        *value = value.clamp(0.0, 1.0);
    }
    column
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
