//! The 3×3 convolution of stride 1 with 2.25 times fewer multiplications: F(2×2, 3×3) of Lavin &
//! Gray (2016), after Winograd.
//!
//! The outputs are cut into tiles of 2×2. Each tile sees a patch of 4×4 inputs `d`. With `U =
//! Bᵀ d B` and, for the kernel `g`, `V = G g Gᵀ`, the outputs are `Aᵀ (U ⊙ V) A`. Here ⊙ multiplies
//! the 16 frequencies one by one and sums over channels. So there are 16 matrix products in place
//! of 36 multiplications for each tile. The matrices hold 0, ±1 and ±½ only, so little precision is
//! lost.

use std::ops::Range;

use rayon::prelude::*;

use super::correlate::{block_width, put, tile};
use super::frame::Frame;
use super::geometry::Geometry;
use super::source::{Source, Staged};
use super::weight::{Layout, WeightGradient};
use super::{Fill, TASKS};
use crate::arithmetic::{BLOCK, Precision, Single, Vectors, Work};
use crate::memory;
use crate::scratch::Scratch;
use crate::simd::Ahead;
use crate::simd::vectorized;

/// Products of a tile.
const FREQUENCIES: usize = 16;
/// Number of tiles whose transforms are in memory at once. They fit in the second-level cache.
const TILES: usize = 64;

// No closures around vector arithmetic in this file: the compiler would compile them without the
// processor's instructions.

/// Floats from one frequency to the next, for data of so many channels. One cache line is added.
/// Without it, the distance could be a power of two, and the frequencies of a tile would compete
/// for the same few places of the caches.
fn frequency(channels: usize) -> usize {
    TILES * channels + BLOCK
}

/// Channels of one position.
type Line = [f32; BLOCK];

/// The convolution of `x` with the weights of each group. `frame` is the layout of the framed
/// images.
pub fn convolve(x: &[f32], g: &Geometry, frame: &Frame, sources: Vec<Source>) -> Vec<f32> {
    if g.batch == 0 {
        return Vec::new();
    }
    let kernels: Vec<_> =
        sources.iter().map(|source| Kernel::pack(g.group_in(), g.group_out(), source)).collect();
    let tiles = Tiles { rows: g.height_out(), columns: g.width_out() };
    let threads = rayon::current_num_threads();
    let images = TILES.div_ceil(tiles.of_image()).min(g.batch.div_ceil(2 * threads));
    let per_frame = frame.len(1);
    let scratch =
        || Room::new(images * per_frame, g.group_in(), block_width::<Single>(g.group_out()));
    let (input, output) = (g.input(), g.output());
    memory::build_with(g.batch * output, images * output, scratch, |scratch, i, out| {
        let count = out.len() / output;
        let x = &x[i * images * input..][..count * input];
        let frames = &mut scratch.frames[..count * per_frame];
        for (group, kernel) in kernels.iter().enumerate() {
            let first = group * g.group_in();
            Single::run(Fill::<Single> { x, frame, channels: g.channels_in, first, frames });
            Single::run(Correlate {
                kernel,
                frame,
                frames,
                tiles,
                pitch: g.channels_out,
                first_out: group * g.group_out(),
                out,
                inputs: &mut scratch.inputs,
                products: &mut scratch.others,
            });
        }
    })
}

/// The gradient with respect to the weight: with `E = A dy Aᵀ` it is `Gᵀ (Σ U ⊙ E) G`. The sums of
/// the tasks are added in a fixed order.
pub fn weight_gradient(dy: &[f32], x: &[f32], g: &Geometry, frame: &Frame) -> Vec<f32> {
    let width = block_width::<Single>(g.group_out());
    // Blocks of output channels that share the transformed inputs.
    let span = g.group_out().div_ceil(width).min(2) * width;
    let spans = g.group_out().div_ceil(span);
    // With too few tiles in a part, adding the parts would take longer than computing them.
    let tiles = g.height_out().div_ceil(2) * g.width_out().div_ceil(2) * g.batch;
    let parts = TASKS.div_ceil(g.groups * spans).min(tiles.div_ceil(2 * TILES)).min(g.batch);
    let images = g.batch.div_ceil(parts);
    let parts = g.batch.div_ceil(images);
    let channels = g.group_in().next_multiple_of(BLOCK);
    let sums: Vec<Vec<f32>> = (0..parts * g.groups * spans)
        .into_par_iter()
        .map(|task| {
            let (part, group, block) =
                (task / (g.groups * spans), task / spans % g.groups, task % spans);
            let batch = part * images..g.batch.min((part + 1) * images);
            let mut sum = vec![0f32; span / width * FREQUENCIES * channels * width];
            Single::run(Part {
                dy: &dy[batch.start * g.output()..batch.end * g.output()],
                x: &x[batch.start * g.input()..batch.end * g.input()],
                g,
                frame,
                first_in: group * g.group_in(),
                outs: group * g.group_out() + block * span
                    ..group * g.group_out() + g.group_out().min((block + 1) * span),
                width,
                sum: &mut sum,
            });
            sum
        })
        .collect();

    let per_out = g.group_in() * g.taps();
    let mut dw = vec![0f32; g.weight()];
    dw.par_chunks_mut(g.group_out() * per_out).enumerate().for_each(|(group, dw)| {
        dw.par_chunks_mut(width * per_out).enumerate().for_each(|(block, dw)| {
            let per_block = FREQUENCIES * channels * width;
            let (task, within) = (group * spans + block * width / span, block % (span / width));
            let mut total = vec![0f32; per_block];
            for part in sums[task..].iter().step_by(g.groups * spans) {
                let part = &part[within * per_block..][..per_block];
                total.iter_mut().zip(part).for_each(|(total, sum)| *total += sum);
            }
            // By blocks of input channels, so that both sides stay in the first-level cache.
            for first in (0..g.group_in()).step_by(BLOCK) {
                for (o, dw) in dw.chunks_exact_mut(per_out).enumerate() {
                    for c in first..g.group_in().min(first + BLOCK) {
                        let mut s = [0f32; FREQUENCIES];
                        for (f, s) in s.iter_mut().enumerate() {
                            *s = total[(f * channels + c) * width + o];
                        }
                        dw[c * g.taps()..][..g.taps()].copy_from_slice(&kernel_gradient(&s));
                    }
                }
            }
        });
    });
    dw
}

/// The working memory of one thread.
struct Room {
    frames: Scratch<f32>,
    inputs: Scratch<f32>,
    others: Scratch<f32>,
}

impl Room {
    /// For frames of this length, and for transforms of so many input and output channels.
    fn new(frames: usize, channels_in: usize, channels_out: usize) -> Self {
        let room = |channels: usize| Scratch::new(FREQUENCIES * frequency(channels));
        let inputs = room(channels_in.next_multiple_of(BLOCK));
        Self { frames: Scratch::zeroed(frames), inputs, others: room(channels_out) }
    }
}

/// The sum over one part of the batch for some output channels:
/// `[outs / width][frequency][channels_in][width]`.
struct Part<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    g: &'a Geometry,
    frame: &'a Frame,
    first_in: usize,
    outs: Range<usize>,
    width: usize,
    sum: &'a mut [f32],
}

impl Work<Single> for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors<Single>>(self, vectors: V) {
        let Self { dy, x, g, frame, first_in, outs, width, sum } = self;
        let tiles = Tiles { rows: g.height_out(), columns: g.width_out() };
        let per_frame = frame.len(1);
        let images = TILES.div_ceil(tiles.of_image()).min(x.len() / g.input());
        let mut scratch = Room::new(images * per_frame, g.group_in(), width);
        let channels = g.group_in().next_multiple_of(BLOCK);
        let layout = Layout {
            channels: g.group_in(),
            block: TILES * BLOCK,
            row: 0,
            image: TILES * channels,
        };
        for (dy, x) in dy.chunks(images * g.output()).zip(x.chunks(images * g.input())) {
            let count = dy.len() / g.output();
            let frames = &mut scratch.frames[..count * per_frame];
            Fill::<Single> { x, frame, channels: g.channels_in, first: first_in, frames }
                .run(vectors);
            for first in (0..count * tiles.of_image()).step_by(TILES) {
                let which = first..(count * tiles.of_image()).min(first + TILES);
                transform_inputs(vectors, frame, frames, tiles, which.clone(), &mut scratch.inputs);
                let blocks = sum.chunks_exact_mut(FREQUENCIES * channels * width);
                for (first_out, sum) in outs.clone().step_by(width).zip(blocks) {
                    let outs = first_out..outs.end.min(first_out + width);
                    let others = &mut scratch.others;
                    transform_gradients(vectors, dy, g, tiles, which.clone(), outs, width, others);
                    let pairs = scratch
                        .inputs
                        .chunks_exact(frequency(channels))
                        .zip(scratch.others.chunks_exact(frequency(width)));
                    for ((inputs, others), sum) in pairs.zip(sum.chunks_exact_mut(channels * width))
                    {
                        WeightGradient::<Single> {
                            frames: inputs,
                            layout,
                            taps: &[0],
                            dy: &others[..which.len() * width],
                            rows: 1,
                            steps: which.len(),
                            width,
                            dw: sum,
                            ahead: [Ahead::NOTHING; 2],
                        }
                        .run(vectors);
                    }
                }
            }
        }
    }
}

/// `E` of some tiles: `[frequency][tile][width]`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one loop of `Part`, which holds them all")]
fn transform_gradients<V: Vectors<Single>>(
    vectors: V,
    dy: &[f32],
    g: &Geometry,
    tiles: Tiles,
    which: Range<usize>,
    outs: Range<usize>,
    width: usize,
    to: &mut [f32],
) {
    for (i, t) in which.enumerate() {
        let (image, row, column) = tiles.place(t);
        for o in outs.clone().step_by(V::LANES) {
            let used = V::LANES.min(outs.end - o);
            let mut d = [vectors.zero(); 4];
            for (p, d) in d.iter_mut().enumerate() {
                let (i, j) = (row + p / 2, column + p % 2);
                // Positions beyond the edge are no outputs and have no gradient.
                if i < tiles.rows && j < tiles.columns {
                    let at = image * g.output() + (i * tiles.columns + j) * g.channels_out + o;
                    if used == V::LANES {
                        *d = vectors.load_sums(&dy[at..][..V::LANES]);
                    } else {
                        let mut line = [0f32; BLOCK];
                        line[..used].copy_from_slice(&dy[at..][..used]);
                        *d = vectors.load_sums(&line[..V::LANES]);
                    }
                }
            }
            let to = &mut to[i * width + o - outs.start..];
            gradient_transform(vectors, d, to, frequency(width));
        }
    }
}

/// `V`, packed for the products.
#[derive(Debug)]
struct Kernel {
    /// `[channels_out / width][frequency][channels_in][width]`
    weights: Scratch<f32>,
    channels_in: usize,
    channels_out: usize,
    width: usize,
}

impl Kernel {
    /// Transforms the weights, taps row by row.
    pub fn pack(channels_in: usize, channels_out: usize, source: &Source) -> Self {
        let width = block_width::<Single>(channels_out);
        let per_block = FREQUENCIES * channels_in * width;
        let mut weights = Scratch::new(channels_out.div_ceil(width) * per_block);
        weights.par_chunks_exact_mut(per_block).enumerate().for_each(|(b, packed)| {
            let outs = b * width..channels_out.min((b + 1) * width);
            vectorized(|| transform_block(source, outs, channels_in, width, packed));
        });
        Self { weights, channels_in, channels_out, width }
    }
}

/// One block of output channels of a [`Kernel`].
#[inline(always)]
fn transform_block(
    source: &Source,
    outs: Range<usize>,
    channels_in: usize,
    width: usize,
    packed: &mut [f32],
) {
    let mut staged = Staged::default();
    for first in (0..channels_in).step_by(BLOCK) {
        let ins = first..channels_in.min(first + BLOCK);
        for o in outs.clone().step_by(BLOCK) {
            let lines = o..outs.end.min(o + BLOCK);
            let count = lines.len();
            source.stage(lines, ins.clone(), &mut staged);
            for c in ins.clone() {
                let mut g = [[0f32; BLOCK]; 9];
                for (line, tap) in g.iter_mut().zip(&source.taps) {
                    staged.line(c - first, *tap, &mut line[..count]);
                }
                let to = &mut packed[c * width + o - outs.start..];
                kernel_transform(&g, to, channels_in * width, width.min(BLOCK));
            }
        }
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

/// `G g Gᵀ` of 16 output channels. Writes the first `count` of them to `out[frequency · stride..]`.
#[inline(always)]
fn kernel_transform(g: &[Line; 9], out: &mut [f32], stride: usize, count: usize) {
    let mut columns = [[[0f32; BLOCK]; 4]; 3];
    for (v, column) in columns.iter_mut().enumerate() {
        *column = kernel_lines(&g[v], &g[3 + v], &g[6 + v]);
    }
    for u in 0..4 {
        let row = kernel_lines(&columns[0][u], &columns[1][u], &columns[2][u]);
        for (v, line) in row.iter().enumerate() {
            out[(4 * u + v) * stride..][..count].copy_from_slice(&line[..count]);
        }
    }
}

/// `Gᵀ s G`: the gradient for `g`, computed from the gradient `s` for `G g Gᵀ`.
fn kernel_gradient(s: &[f32; FREQUENCIES]) -> [f32; 9] {
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

/// `Bᵀ d B` of a patch, written to `out[frequency · stride..]`. The patch starts at `patch`; its
/// rows are `row` floats apart.
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

/// `Aᵀ m A` of a vector of channels: the outputs at (0, 0), (0, 1), (1, 0) and (1, 1). The
/// frequencies are `stride` floats apart.
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

/// `A d Aᵀ` of a vector of output gradients at (0, 0), (0, 1), (1, 0) and (1, 1), written to
/// `out[frequency · stride..]`. It is the transpose of [`output_transform`].
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

/// The tiles of an image, and the place of each tile.
#[derive(Debug, Clone, Copy)]
struct Tiles {
    /// Rows and columns of outputs of an image.
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

/// `U` of some tiles: `[frequency][block of channels][tile][channel in block]`.
#[inline(always)]
fn transform_inputs<V: Vectors<Single>>(
    vectors: V,
    frame: &Frame,
    frames: &[f32],
    tiles: Tiles,
    which: Range<usize>,
    out: &mut [f32],
) {
    let blocks = frame.channels.div_ceil(BLOCK);
    for (i, t) in which.enumerate() {
        let (image, row, column) = tiles.place(t);
        let start = image * frame.len(1) + row * frame.row() + column * BLOCK;
        for block in 0..blocks {
            let patch = &frames[start + block * frame.block()..];
            let out = &mut out[(block * TILES + i) * BLOCK..];
            input_transform(vectors, patch, frame.row(), out, frequency(blocks * BLOCK));
        }
    }
}

/// Computes every output of some framed images.
struct Correlate<'a> {
    pub kernel: &'a Kernel,
    pub frame: &'a Frame,
    pub frames: &'a [f32],
    pub tiles: Tiles,
    /// Channels of the outputs, and the first channel that is written.
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
        let per_input = frequency(channels.next_multiple_of(BLOCK));
        let per_product = frequency(width);
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
