//! Convolution on slices: images are `[batch, height, width, channels]`, weights
//! `[channels_out, channels_in / groups, kernel, kernel]`.

mod correlate;
mod frame;
mod geometry;
mod source;
mod weight;
mod winograd;

use rayon::prelude::*;

pub use geometry::Geometry;

use correlate::{Correlate, Kernel, Outputs, block_width};
use frame::Frame;
use source::Source;
use weight::{Layout, WeightGradient};

use crate::arithmetic::{BLOCK, Precision, Vectors, Work};
use crate::memory;
use crate::scratch::Scratch;
use crate::simd::{Ahead, vectorized};
use crate::transpose::transpose;

/// Number of pieces of a weight gradient: more than most processors have cores. The number is
/// fixed, so sums do not depend on the number of cores.
const TASKS: usize = 16;
/// Positions that are computed with one block of weights before the next block is fetched.
const POSITIONS: usize = 256;

/// `y = w ∗ x`.
pub fn forward<P: Precision>(x: &[f32], w: &[f32], g: &Geometry) -> Vec<f32> {
    if P::WINOGRAD && fits_winograd(g) {
        let sources = (0..g.groups).map(|group| forward_source(w, g, group)).collect();
        return winograd::convolve(x, g, &input_frame(g), sources);
    }
    let frame = input_frame(g);
    let taps = taps(g, &frame);
    let kernels: Vec<Kernel<P>> = (0..g.groups)
        .map(|group| {
            let source = forward_source(w, g, group);
            Kernel::pack(taps.clone(), g.group_in(), g.group_out(), &source)
        })
        .collect();
    let passes: Vec<_> = kernels
        .iter()
        .enumerate()
        .map(|(group, kernel)| Pass {
            kernel,
            first_in: group * g.group_in(),
            outputs: Outputs {
                rows: g.height_out(),
                columns: g.width_out(),
                start: group * g.group_out(),
                row: g.width_out() * g.channels_out,
                column: g.channels_out,
                image: g.output(),
            },
        })
        .collect();
    correlate_all(x, g.channels_in, &frame, &passes, g.batch, g.output())
}

/// The gradient with respect to `x`, computed from the gradient with respect to `y`.
///
/// Input pixels are divided into sets by the remainders of row and column by the stride. All pixels
/// of a set see the same taps. So the gradient of each set is a correlation of the output's
/// gradient with stride 1.
pub fn input_gradient<P: Precision>(dy: &[f32], w: &[f32], g: &Geometry) -> Vec<f32> {
    let (s, p, k) = (g.stride, g.padding, g.kernel);
    if P::WINOGRAD && fits_winograd(g) {
        // A correlation of dy with the kernel rotated by 180°.
        let turned = Geometry {
            channels_in: g.channels_out,
            channels_out: g.channels_in,
            height: g.height_out(),
            width: g.width_out(),
            padding: k - 1 - p,
            ..*g
        };
        let taps: Vec<usize> = (0..g.taps()).rev().collect();
        let sources = (0..g.groups).map(|group| backward_source(w, g, group, taps.clone()));
        return winograd::convolve(dy, &turned, &input_frame(&turned), sources.collect());
    }
    // Output i = q + (a + p − u) / s sees pixel y = s·q + a through tap u.
    let reach = (k - 1 - p.min(k - 1)).div_ceil(s);
    let rows = g.height.div_ceil(s).max(g.height_out()) + reach + p.div_ceil(s);
    let columns = g.width.div_ceil(s).max(g.width_out()) + reach + p.div_ceil(s);
    let frame = Frame {
        channels: g.group_out(),
        height: g.height_out(),
        width: g.width_out(),
        top: reach,
        left: reach,
        stride: 1,
        phases: 1,
        rows,
        columns,
    };
    let mut kernels = Vec::new();
    for group in 0..g.groups {
        for (a, b) in (0..s * s).map(|phase| (phase / s, phase % s)) {
            let seen = |a: usize| (0..k).filter(move |u| (a + p + s * k - u).is_multiple_of(s));
            let pairs: Vec<(usize, usize)> =
                seen(a).flat_map(|u| seen(b).map(move |v| (u, v))).collect();
            let shift = |a: usize, u: usize| (reach * s + a + p - u) / s;
            let taps = pairs.iter().map(|(u, v)| frame.offset(shift(a, *u), shift(b, *v)));
            let places = pairs.iter().map(|(u, v)| u * k + v).collect();
            let source = backward_source(w, g, group, places);
            let kernel = Kernel::<P>::pack(taps.collect(), g.group_out(), g.group_in(), &source);
            kernels.push((group, a, b, kernel));
        }
    }
    let passes: Vec<_> = kernels
        .iter()
        .map(|(group, a, b, kernel)| Pass {
            kernel,
            first_in: group * g.group_out(),
            outputs: Outputs {
                rows: (g.height + s - 1 - a) / s,
                columns: (g.width + s - 1 - b) / s,
                start: (a * g.width + b) * g.channels_in + group * g.group_in(),
                row: s * g.width * g.channels_in,
                column: s * g.channels_in,
                image: g.input(),
            },
        })
        .collect();
    correlate_all(dy, g.channels_out, &frame, &passes, g.batch, g.input())
}

/// The weights of a group, `[group_out, group_in, taps]`.
fn group_weight<'a>(w: &'a [f32], g: &Geometry, group: usize) -> &'a [f32] {
    let per_group = g.group_out() * g.group_in() * g.taps();
    &w[group * per_group..][..per_group]
}

/// The weights for a correlation of inputs.
fn forward_source<'a>(w: &'a [f32], g: &Geometry, group: usize) -> Source<'a> {
    Source {
        values: group_weight(w, g, group),
        out: g.group_in() * g.taps(),
        into: g.taps(),
        taps: (0..g.taps()).collect(),
    }
}

/// The weights for a correlation of the outputs' gradients with these taps of the tensor.
fn backward_source<'a>(w: &'a [f32], g: &Geometry, group: usize, taps: Vec<usize>) -> Source<'a> {
    Source { values: group_weight(w, g, group), out: g.taps(), into: g.group_in() * g.taps(), taps }
}

/// One correlation, of some of the channels.
struct Pass<'a, P: Precision> {
    kernel: &'a Kernel<P>,
    first_in: usize,
    outputs: Outputs,
}

/// Runs the passes over all images. Images are in groups, so that each block of weights serves
/// several images.
fn correlate_all<P: Precision>(
    x: &[f32],
    channels: usize,
    frame: &Frame,
    passes: &[Pass<P>],
    batch: usize,
    output: usize,
) -> Vec<f32> {
    let input = frame.height * frame.width * channels;
    if batch * output == 0 || input == 0 {
        return vec![0.0; batch * output];
    }
    let positions = frame.height * frame.width;
    let images =
        POSITIONS.div_ceil(positions).min(batch.div_ceil(2 * rayon::current_num_threads()));
    let per_frame = frame.len(P::CHANNELS);
    let scratch = || Scratch::<P::Unit>::zeroed(images * per_frame);
    memory::build_with(batch * output, images * output, scratch, |frames, i, out| {
        let count = out.len() / output;
        let x = &x[i * images * input..][..count * input];
        let frames = &mut frames[..count * per_frame];
        let mut framed = None;
        for pass in passes {
            if framed.replace(pass.first_in) != Some(pass.first_in) {
                P::run(Fill { x, frame, channels, first: pass.first_in, frames });
            }
            let Pass { kernel, outputs, .. } = *pass;
            P::run(Correlate { kernel, frame, frames, outputs, out });
        }
    })
}

/// The least number of terms for a weight gradient by Winograd. The gradient of a weight has one
/// term for each position inside the image. The transforms add and subtract neighbouring terms.
/// With fewer terms, their rounding errors would be visible in the sum.
const FEW_TERMS: usize = 16;

/// Whether to use [`winograd`] for the convolution. With few channels its transforms cost more than
/// they save.
fn fits_winograd(g: &Geometry) -> bool {
    (g.kernel, g.stride) == (3, 1) && g.group_in().min(g.group_out()) >= 2 * BLOCK
}

/// Copies some images into frames.
struct Fill<'a, P: Precision> {
    x: &'a [f32],
    frame: &'a Frame,
    /// Channels of the images.
    channels: usize,
    first: usize,
    frames: &'a mut [P::Unit],
}

impl<P: Precision> Work<P> for Fill<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors<P>>(self, vectors: V) {
        let Self { x, frame, channels, first, frames } = self;
        let columns = frame.columns_seen();
        let images = x.chunks_exact(frame.height * frame.width * channels);
        for (x, values) in images.zip(frames.chunks_exact_mut(frame.len(P::CHANNELS))) {
            frame.fill_channels(vectors, &columns, x, channels, first, values);
        }
    }
}

/// The gradient with respect to `w`, computed from the gradient with respect to `y`.
///
/// The work is divided into blocks of output channels and parts of the batch. Only the sizes decide
/// how. The sums of the parts are added in a fixed order. So the result does not depend on the
/// number of threads.
pub fn weight_gradient<P: Precision>(dy: &[f32], x: &[f32], g: &Geometry) -> Vec<f32> {
    if g.batch == 0 {
        return vec![0.0; g.weight()];
    }
    let positions = g.height.min(g.height_out()) * g.width.min(g.width_out());
    if P::WINOGRAD && fits_winograd(g) && g.batch * positions >= FEW_TERMS {
        return winograd::weight_gradient(dy, x, g, &input_frame(g));
    }
    let frame = input_frame(g);
    let taps = taps(g, &frame);
    let width = block_width::<P>(g.group_out());
    // Blocks of output channels that share the framed inputs.
    let span = g.group_out().div_ceil(width).min(2) * width;
    let spans = g.group_out().div_ceil(span);
    let parts = TASKS.div_ceil(g.groups * spans).min(g.batch);
    let images = g.batch.div_ceil(parts.max(1)).max(1);
    let parts = g.batch.div_ceil(images);

    let per_block = g.group_in().next_multiple_of(BLOCK) * g.taps() * width;
    let sums: Vec<Vec<f32>> = (0..g.groups * spans * parts)
        .into_par_iter()
        .map(|task| {
            // Tasks that read the same part of the batch come one after the other.
            let (part, group, block) =
                (task / (g.groups * spans), task / spans % g.groups, task % spans);
            let batch = part * images..g.batch.min((part + 1) * images);
            let mut sum = vec![0f32; span / width * per_block];
            P::run(Part {
                dy: &dy[batch.start * g.output()..batch.end * g.output()],
                x: &x[batch.start * g.input()..batch.end * g.input()],
                g,
                frame: &frame,
                taps: &taps,
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
            let (task, within) = (group * spans + block * width / span, block % (span / width));
            let parts = sums[task..].iter().step_by(g.groups * spans);
            let parts: Vec<&[f32]> =
                parts.map(|part| &part[within * per_block..][..per_block]).collect();
            vectorized(|| add_parts(&parts, g, width, dw));
        });
    });
    dw
}

/// Adds the parts, `[block of channels_in][tap][channel_in][width]`, to
/// `[channels_out up to width][channels_in][tap]`.
#[inline(always)]
fn add_parts(parts: &[&[f32]], g: &Geometry, width: usize, dw: &mut [f32]) {
    let (taps, per_out) = (g.taps(), g.group_in() * g.taps());
    let in_block = BLOCK * taps;
    // One vector longer than the sums, so that no vector is cut at the end.
    let mut total = vec![0f32; in_block * width + BLOCK];
    let mut square = [[0f32; BLOCK]; BLOCK];
    for (block, first) in (0..per_out).step_by(in_block).enumerate() {
        for (i, part) in parts.iter().enumerate() {
            let part = &part[block * in_block * width..][..in_block * width];
            let total = &mut total[..in_block * width];
            match i {
                0 => total.copy_from_slice(part),
                _ => {
                    for (total, part) in total.iter_mut().zip(part) {
                        *total += part;
                    }
                }
            }
        }
        let (mut c, mut tap) = (0, 0);
        for first in (first..per_out.min(first + in_block)).step_by(BLOCK) {
            let used = BLOCK.min(per_out - first);
            let rows: [usize; BLOCK] = std::array::from_fn(|_| {
                let row = (tap * BLOCK + c).min(in_block - 1) * width;
                tap += 1;
                if tap == taps {
                    (tap, c) = (0, c + 1);
                }
                row
            });
            for (lane, dw) in (0..width).step_by(BLOCK).zip(dw.chunks_mut(BLOCK * per_out)) {
                for (line, row) in square.iter_mut().zip(rows) {
                    *line = *total[row + lane..].first_chunk().expect("as long as the padding");
                }
                transpose(&mut square);
                for (dw, line) in dw.chunks_exact_mut(per_out).zip(&square) {
                    match dw[first..].first_chunk_mut() {
                        Some(dw) if used == BLOCK => *dw = *line,
                        _ => dw[first..][..used].copy_from_slice(&line[..used]),
                    }
                }
            }
        }
    }
}

/// The sums over one part of the batch for some blocks of output channels.
struct Part<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    g: &'a Geometry,
    frame: &'a Frame,
    taps: &'a [usize],
    first_in: usize,
    outs: std::ops::Range<usize>,
    width: usize,
    sum: &'a mut [f32],
}

impl<P: Precision> Work<P> for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors<P>>(self, vectors: V) {
        let Self { dy, x, g, frame, taps, first_in, outs, width, sum } = self;
        let (rows, columns) = (g.height_out(), g.width_out());
        let steps = columns.div_ceil(P::CHANNELS);
        let (per_frame, per_dy) = (frame.len(1), rows * steps * width);
        // Enough images that the sums stay in registers for a while.
        let images = POSITIONS.div_ceil(rows * columns).max(1);
        let blocks = outs.len().div_ceil(width);
        let per_block = g.group_in().next_multiple_of(BLOCK) * g.taps() * width;
        let columns_seen = frame.columns_seen();
        let mut frames = Scratch::<P::Unit>::zeroed(images * per_frame);
        let mut framed_dy = Scratch::<P::Unit>::zeroed(blocks * images * per_dy);
        let layout = Layout {
            channels: frame.channels,
            block: frame.block(),
            row: frame.row(),
            image: per_frame,
        };
        let mut batches =
            dy.chunks(images * g.output()).zip(x.chunks(images * g.input())).peekable();
        while let Some((dy, x)) = batches.next() {
            let (next_dy, next_x) = batches.peek().copied().unwrap_or_default();
            let count = dy.len() / g.output();
            let frames = &mut frames[..count * per_frame];
            for (x, values) in x.chunks_exact(g.input()).zip(frames.chunks_exact_mut(per_frame)) {
                frame.fill_positions(vectors, &columns_seen, x, g.channels_in, first_in, values);
            }
            let rows_framed = framed_dy.chunks_exact_mut(images * per_dy);
            for (first_out, framed) in outs.clone().step_by(width).zip(rows_framed) {
                let used = width.min(outs.end - first_out);
                let rows = dy.chunks_exact(columns * g.channels_out);
                for (dy, framed) in rows.zip(framed.chunks_exact_mut(steps * width)) {
                    for (step, to) in framed.chunks_exact_mut(width).enumerate() {
                        let pixel = |j: usize| &dy[j * g.channels_out + first_out..][..used];
                        let j = step * P::CHANNELS;
                        let here = pixel(j);
                        let next = if j + 1 < columns { pixel(j + 1) } else { &[] };
                        for (o, to) in (0..used).step_by(BLOCK).zip(to.chunks_mut(BLOCK)) {
                            let next = if next.is_empty() { next } else { &next[o..] };
                            let count = BLOCK.min(used - o);
                            vectors.pack_pairs(&here[o..][..count], next, to);
                        }
                    }
                }
            }
            let framed_blocks = framed_dy.chunks_exact(images * per_dy);
            for (i, (dy, dw)) in framed_blocks.zip(sum.chunks_exact_mut(per_block)).enumerate() {
                let dy = &dy[..count * per_dy];
                let ins = first_in..first_in + g.group_in();
                let ahead = match frame.phases == frame.stride {
                    true => [
                        Ahead::share(next_x, g.channels_in, ins, i, blocks),
                        Ahead::share(next_dy, g.channels_out, outs.clone(), i, blocks),
                    ],
                    // Most pixels are skipped, so there is little to compute.
                    false => [Ahead::NOTHING; 2],
                };
                WeightGradient { frames, layout, taps, dy, rows, steps, width, dw, ahead }
                    .run(vectors);
            }
        }
    }
}

/// The frame of the inputs of the forward pass.
fn input_frame(g: &Geometry) -> Frame {
    let rows = |out: usize| ((out - 1) * g.stride + g.kernel).div_ceil(g.stride);
    Frame {
        channels: g.group_in(),
        height: g.height,
        width: g.width,
        top: g.padding,
        left: g.padding,
        stride: g.stride,
        phases: g.stride.min(g.kernel),
        rows: rows(g.height_out()),
        columns: rows(g.width_out()),
    }
}

/// Where each tap reads in the frame.
fn taps(g: &Geometry, frame: &Frame) -> Vec<usize> {
    (0..g.taps()).map(|t| frame.offset(t / g.kernel, t % g.kernel)).collect()
}
