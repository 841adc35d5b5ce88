//! The 3×3 convolution of stride 1 with 2.25 times fewer multiplications: F(2×2, 3×3) of Lavin &
//! Gray (2016), after Winograd.
//!
//! The outputs are cut into tiles of 2×2, each of which sees a patch of 4×4 inputs `d`. With
//! `U = Bᵀ d B` and `V = G g Gᵀ` of the kernel `g`, the outputs are `Aᵀ (U ⊙ V) A`, where ⊙ multiplies
//! the 16 frequencies one by one and sums over channels: 16 matrix products in place of 36
//! multiplications for each tile. The matrices hold 0, ±1 and ±½ only, so little precision is lost.

use aligned_vec::AVec;
use rayon::prelude::*;

use super::correlate::{block_width, put, tile};
use super::frame::Frame;
use super::precision::{BLOCK, Single, Units, Vectors, Work, zeroed};
use crate::simd::vectorized;

/// Products of a tile.
pub const FREQUENCIES: usize = 16;
/// Tiles whose transforms are kept at once: as many as the second-level cache holds.
pub const TILES: usize = 64;

// No closures around vector arithmetic in here: they would be compiled without the processor's
// instructions.

/// Channels of one position.
type Line = [f32; BLOCK];

/// `V`, packed for the products.
#[derive(Debug)]
pub struct Kernel {
    /// `[channels_out / width][frequency][channels_in][width]`
    weights: Units<f32>,
    channels_in: usize,
    channels_out: usize,
    width: usize,
}

impl Kernel {
    /// Transforms `weight(out, in, tap)`, taps row by row.
    pub fn pack(
        channels_in: usize,
        channels_out: usize,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let width = block_width::<Single>(channels_out);
        let per_block = FREQUENCIES * channels_in * width;
        let mut weights = zeroed(channels_out.div_ceil(width) * per_block);
        weights.par_chunks_exact_mut(per_block).enumerate().for_each(|(b, packed)| {
            let outs = b * width..channels_out.min((b + 1) * width);
            for first in (0..channels_in).step_by(BLOCK) {
                for o in (0..width).step_by(BLOCK) {
                    for c in first..channels_in.min(first + BLOCK) {
                        let g = std::array::from_fn(|tap| -> Line {
                            std::array::from_fn(|i| match outs.start + o + i {
                                out if out < outs.end => weight(out, c, tap),
                                _ => 0.0,
                            })
                        });
                        let to = &mut packed[c * width + o..];
                        vectorized(|| kernel_transform(&g, to, channels_in * width));
                    }
                }
            }
        });
        Self { weights, channels_in, channels_out, width }
    }
}

/// `G` times three.
#[inline(always)]
fn kernel_lines(a: &Line, b: &Line, c: &Line) -> [Line; 4] {
    let (mut plus, mut minus) = ([0f32; BLOCK], [0f32; BLOCK]);
    for i in 0..BLOCK {
        plus[i] = 0.5 * (a[i] + b[i] + c[i]);
        minus[i] = 0.5 * (a[i] - b[i] + c[i]);
    }
    [*a, plus, minus, *c]
}

/// `G g Gᵀ` of 16 output channels, to `out[frequency · stride..]`, as far as that goes.
#[inline(always)]
fn kernel_transform(g: &[Line; 9], out: &mut [f32], stride: usize) {
    let mut columns = [[[0f32; BLOCK]; 4]; 3];
    for (v, column) in columns.iter_mut().enumerate() {
        *column = kernel_lines(&g[v], &g[3 + v], &g[6 + v]);
    }
    for u in 0..4 {
        let row = kernel_lines(&columns[0][u], &columns[1][u], &columns[2][u]);
        for (v, line) in row.iter().enumerate() {
            let to = &mut out[(4 * u + v) * stride..];
            let count = to.len().min(BLOCK);
            to[..count].copy_from_slice(&line[..count]);
        }
    }
}

/// `Gᵀ s G`: the gradient for `g` from that for `G g Gᵀ`.
pub fn kernel_gradient(s: &[f32; FREQUENCIES]) -> [f32; 9] {
    let line =
        |a: f32, b: f32, c: f32, d: f32| [a + 0.5 * (b + c), 0.5 * (b - c), 0.5 * (b + c) + d];
    let columns: [[f32; 3]; 4] = std::array::from_fn(|v| line(s[v], s[4 + v], s[8 + v], s[12 + v]));
    let mut all = [0f32; 9];
    for (u, row) in all.chunks_exact_mut(3).enumerate() {
        row.copy_from_slice(&line(columns[0][u], columns[1][u], columns[2][u], columns[3][u]));
    }
    all
}

/// `Bᵀ` times four.
#[inline(always)]
fn input_lines<V: Vectors<Single>>(v: V, [a, b, c, d]: [V::Sums; 4]) -> [V::Sums; 4] {
    [v.sub(a, c), v.add(b, c), v.sub(c, b), v.sub(b, d)]
}

/// `Bᵀ d B` of a patch that starts at `patch` and whose rows are `row` floats apart, to
/// `out[frequency · stride..]`.
#[inline(always)]
fn input_transform<V: Vectors<Single>>(
    v: V,
    patch: &[f32],
    row: usize,
    out: &mut [f32],
    stride: usize,
) {
    for lane in (0..BLOCK).step_by(V::LANES) {
        let mut rows = [[v.zero(); 4]; 4];
        for (r, row_sums) in rows.iter_mut().enumerate() {
            for (c, sums) in row_sums.iter_mut().enumerate() {
                *sums = v.load_sums(&patch[r * row + c * BLOCK + lane..][..V::LANES]);
            }
            *row_sums = input_lines(v, *row_sums);
        }
        for c in 0..4 {
            let lines = input_lines(v, [rows[0][c], rows[1][c], rows[2][c], rows[3][c]]);
            for (r, line) in lines.into_iter().enumerate() {
                v.store(line, &mut out[(4 * r + c) * stride + lane..][..V::LANES]);
            }
        }
    }
}

/// `Aᵀ` times four.
#[inline(always)]
fn output_lines<V: Vectors<Single>>(v: V, [a, b, c, d]: [V::Sums; 4]) -> [V::Sums; 2] {
    [v.add(v.add(a, b), c), v.sub(v.sub(b, c), d)]
}

/// `Aᵀ m A` of a vector of channels, whose frequencies are `stride` floats apart: the outputs at
/// (0, 0), (0, 1), (1, 0) and (1, 1).
#[inline(always)]
fn output_transform<V: Vectors<Single>>(v: V, m: &[f32], stride: usize) -> [V::Sums; 4] {
    let mut rows = [[v.zero(); 2]; 4];
    for (r, row_sums) in rows.iter_mut().enumerate() {
        let mut line = [v.zero(); 4];
        for (c, sums) in line.iter_mut().enumerate() {
            *sums = v.load_sums(&m[(4 * r + c) * stride..][..V::LANES]);
        }
        *row_sums = output_lines(v, line);
    }
    let left = output_lines(v, [rows[0][0], rows[1][0], rows[2][0], rows[3][0]]);
    let right = output_lines(v, [rows[0][1], rows[1][1], rows[2][1], rows[3][1]]);
    [left[0], right[0], left[1], right[1]]
}

/// `A` times two.
#[inline(always)]
fn gradient_lines<V: Vectors<Single>>(v: V, a: V::Sums, b: V::Sums) -> [V::Sums; 4] {
    [a, v.add(a, b), v.sub(a, b), v.sub(v.zero(), b)]
}

/// `A d Aᵀ` of a vector of output gradients at (0, 0), (0, 1), (1, 0) and (1, 1), the transpose of
/// [`output_transform`], to `out[frequency · stride..]`.
#[inline(always)]
fn gradient_transform<V: Vectors<Single>>(
    v: V,
    [a, b, c, d]: [V::Sums; 4],
    out: &mut [f32],
    stride: usize,
) {
    let (left, right) = (gradient_lines(v, a, c), gradient_lines(v, b, d));
    for (r, (left, right)) in left.into_iter().zip(right).enumerate() {
        for (c, line) in gradient_lines(v, left, right).into_iter().enumerate() {
            v.store(line, &mut out[(4 * r + c) * stride..][..V::LANES]);
        }
    }
}

/// Tiles of an image and where each lies.
#[derive(Debug, Clone, Copy)]
pub struct Tiles {
    /// Outputs of an image.
    pub rows: usize,
    pub columns: usize,
}

impl Tiles {
    fn across(self) -> usize {
        self.columns.div_ceil(2)
    }

    pub fn of_image(self) -> usize {
        self.rows.div_ceil(2) * self.across()
    }

    /// Image, row and column of the first output of tile `t`.
    pub fn place(self, t: usize) -> (usize, usize, usize) {
        let (image, t) = (t / self.of_image(), t % self.of_image());
        (image, t / self.across() * 2, t % self.across() * 2)
    }
}

/// Room for [`TILES`] tiles, in whole blocks of products.
pub fn scratch(channels: usize) -> AVec<f32, aligned_vec::ConstAlign<64>> {
    zeroed(FREQUENCIES * TILES * channels)
}

/// `U` of some tiles: `[frequency][block of channels][tile][channel in block]`.
#[inline(always)]
pub fn transform_inputs<V: Vectors<Single>>(
    vectors: V,
    frame: &Frame,
    frames: &[f32],
    tiles: Tiles,
    which: std::ops::Range<usize>,
    out: &mut [f32],
) {
    let blocks = frame.channels.div_ceil(BLOCK);
    for (i, t) in which.enumerate() {
        let (image, row, column) = tiles.place(t);
        let start = image * frame.len(1) + row * frame.row() + column * BLOCK;
        for block in 0..blocks {
            let patch = &frames[start + block * frame.block()..];
            let out = &mut out[(block * TILES + i) * BLOCK..];
            input_transform(vectors, patch, frame.row(), out, blocks * TILES * BLOCK);
        }
    }
}

/// Every output of some framed images.
pub struct Correlate<'a> {
    pub kernel: &'a Kernel,
    pub frame: &'a Frame,
    pub frames: &'a [f32],
    pub tiles: Tiles,
    /// Channels of the outputs, and the first one that is written.
    pub pitch: usize,
    pub first_out: usize,
    pub out: &'a mut [f32],
    /// Scratch for the transformed inputs and for the products.
    pub inputs: &'a mut [f32],
    pub products: &'a mut [f32],
}

impl Work<Single> for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors<Single>>(self, vectors: V) {
        match (self.kernel.width / V::LANES, V::LANES) {
            (1, _) => self.all::<V, 2, 8, 1>(vectors),
            (_, 16) => self.all::<V, 1, 8, 2>(vectors),
            _ => self.all::<V, 1, 4, 2>(vectors),
        }
    }
}

impl Correlate<'_> {
    #[inline(always)]
    fn all<V: Vectors<Single>, const R: usize, const C: usize, const O: usize>(self, vectors: V) {
        let Self { kernel, frame, frames, tiles, pitch, first_out, out, inputs, products } = self;
        let (width, channels) = (kernel.width, kernel.channels_in);
        let per_input = channels.div_ceil(BLOCK) * TILES * BLOCK;
        let per_product = TILES * width;
        let total = frames.len() / frame.len(1) * tiles.of_image();
        let output = tiles.rows * tiles.columns * pitch;
        for first in (0..total).step_by(TILES) {
            let which = first..total.min(first + TILES);
            transform_inputs(vectors, frame, frames, tiles, which.clone(), inputs);
            let blocks = kernel.weights.chunks_exact(FREQUENCIES * channels * width);
            for (block, weights) in blocks.enumerate() {
                let weights = weights.chunks_exact(channels * width);
                let pairs =
                    inputs.chunks_exact(per_input).zip(products.chunks_exact_mut(per_product));
                for ((inputs, products), weights) in pairs.zip(weights) {
                    for t in (0..which.len()).step_by(R * C) {
                        let values = &inputs[t * BLOCK..];
                        let sums = tile::<Single, V, R, C, O>(
                            vectors,
                            values,
                            (TILES * BLOCK, C * BLOCK),
                            &[0],
                            channels,
                            weights,
                        );
                        for (sums, to) in
                            sums.iter().flatten().zip(products[t * width..].chunks_exact_mut(width))
                        {
                            put(vectors, sums, to, false);
                        }
                    }
                }
                let outs = block * width..kernel.channels_out.min((block + 1) * width);
                for (i, t) in which.clone().enumerate() {
                    let (image, row, column) = tiles.place(t);
                    for o in outs.clone().step_by(V::LANES) {
                        let m = &products[i * width + o - outs.start..];
                        let results = output_transform(vectors, m, per_product);
                        let used = V::LANES.min(outs.end - o);
                        for (p, result) in results.iter().enumerate() {
                            let (i, j) = (row + p / 2, column + p % 2);
                            if i < tiles.rows && j < tiles.columns {
                                let at = image * output + (i * tiles.columns + j) * pitch;
                                let to = &mut out[at + first_out + o..][..used];
                                put(vectors, &[*result], to, false);
                            }
                        }
                    }
                }
            }
        }
    }
}
