//! The 3×3 convolution of stride 1 and padding 1 without unfolding.
//!
//! An image is copied once into a frame of zeros. In the framed image, seen as one long line, an
//! output at position `p` sees its nine inputs at `p + u · width + v`, so a whole plane is one
//! stretch of vector operations; the two positions at the end of each row that fall on the frame
//! are computed for nothing and left out when the result is copied back.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::conv::Geometry;
use crate::simd::arch;

/// Output channels that are computed at once.
const BLOCK: usize = 8;
const TAPS: usize = 9;
/// Floats beyond a plane's end that a vector operation may touch: two vectors of 16, from two further on.
const SLACK: usize = 34;

/// Whether this module has the kernel for a convolution.
pub fn fits(g: &Geometry) -> bool {
    (g.kernel, g.stride, g.padding) == (3, 1, 1)
}

/// The layout of a framed plane.
#[derive(Debug, Clone, Copy)]
struct Frame {
    height: usize,
    width: usize,
}

impl Frame {
    fn of(g: &Geometry) -> Self {
        Self { height: g.height, width: g.width }
    }

    /// Floats of a framed row.
    fn row(self) -> usize {
        self.width + 2
    }

    /// Floats of a framed plane.
    fn plane(self) -> usize {
        (self.height + 2) * self.row()
    }

    /// Output positions that are computed: whole rows, from the first to the last.
    fn span(self) -> usize {
        self.height * self.row()
    }

    /// The distance from an output's position to its input at tap `t`.
    fn offset(self, t: usize) -> usize {
        t / 3 * self.row() + t % 3
    }

    /// Copies a plane into `framed`, whose frame is zero already; `(top, left)` is its width.
    fn put(self, plane: &[f32], framed: &mut [f32], top: usize, left: usize) {
        for (y, line) in plane.chunks_exact(self.width).enumerate() {
            framed[(y + top) * self.row() + left..][..self.width].copy_from_slice(line);
        }
    }

    /// Copies the outputs back out of a computed span.
    fn take(self, span: &[f32], plane: &mut [f32]) {
        for (line, computed) in plane.chunks_exact_mut(self.width).zip(span.chunks(self.row())) {
            line.copy_from_slice(&computed[..self.width]);
        }
    }
}

/// As [`conv::forward`](crate::conv::forward).
pub fn forward(x: &[f32], w: &[f32], g: &Geometry) -> Vec<f32> {
    let frame = Frame::of(g);
    let (side, pitch) = (g.height * g.width, frame.plane() + SLACK);
    let weights = pack(w, g);
    let mut y = vec![0f32; g.batch * g.channels_out * side];
    y.par_chunks_exact_mut(g.channels_out * side)
        .zip(x.par_chunks_exact(g.channels_in * side))
        .for_each_init(
            || (vec![0f32; g.channels_in * pitch], vec![0f32; BLOCK * (frame.span() + SLACK)]),
            |(framed, computed), (y, x)| {
                for (x, framed) in x.chunks_exact(side).zip(framed.chunks_exact_mut(pitch)) {
                    frame.put(x, framed, 1, 1);
                }
                let blocks = y.chunks_mut(BLOCK * side);
                for (y, weights) in blocks.zip(weights.chunks_exact(g.channels_in * TAPS * BLOCK)) {
                    arch().dispatch(Correlate { framed, pitch, weights, frame, computed });
                    let spans = computed.chunks_exact(frame.span() + SLACK);
                    for (y, span) in y.chunks_exact_mut(side).zip(spans) {
                        frame.take(span, y);
                    }
                }
            },
        );
    y
}

/// `w[o, c, t]` as `[o / BLOCK][c][t][o % BLOCK]`, zeros where a block has channels to spare.
fn pack(w: &[f32], g: &Geometry) -> Vec<f32> {
    let per_block = g.channels_in * TAPS * BLOCK;
    let mut packed = vec![0f32; g.channels_out.div_ceil(BLOCK) * per_block];
    for (o, w) in w.chunks_exact(g.channels_in * TAPS).enumerate() {
        let block = &mut packed[o / BLOCK * per_block..][..per_block];
        for (to, w) in block[o % BLOCK..].iter_mut().step_by(BLOCK).zip(w) {
            *to = *w;
        }
    }
    packed
}

/// One block of output channels over one framed image.
struct Correlate<'a> {
    framed: &'a [f32],
    pitch: usize,
    weights: &'a [f32],
    frame: Frame,
    computed: &'a mut [f32],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { framed, pitch, weights, frame, computed } = self;
        let (span, step) = (frame.span(), 2 * S::F32_LANES);
        let offsets: [usize; TAPS] = std::array::from_fn(|t| frame.offset(t));
        for p in (0..span).step_by(step) {
            let mut sums = [[simd.splat_f32s(0.0); 2]; BLOCK];
            for (framed, weights) in
                framed.chunks_exact(pitch).zip(weights.chunks_exact(TAPS * BLOCK))
            {
                for (offset, weights) in offsets.iter().zip(weights.chunks_exact(BLOCK)) {
                    let x = &framed[p + offset..][..step];
                    let (a, b) = x.split_at(S::F32_LANES);
                    let (a, b) = (S::as_simd_f32s(a).0[0], S::as_simd_f32s(b).0[0]);
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        let weight = simd.splat_f32s(*weight);
                        sums[0] = simd.mul_add_e_f32s(weight, a, sums[0]);
                        sums[1] = simd.mul_add_e_f32s(weight, b, sums[1]);
                    }
                }
            }
            for (computed, sums) in computed.chunks_exact_mut(span + SLACK).zip(sums) {
                let (a, b) = computed[p..][..step].split_at_mut(S::F32_LANES);
                S::as_mut_simd_f32s(a).0[0] = sums[0];
                S::as_mut_simd_f32s(b).0[0] = sums[1];
            }
        }
    }
}

/// As [`conv::weight_gradient`](crate::conv::weight_gradient), for one part of the batch.
pub fn weight_gradient(dy: &[f32], x: &[f32], g: &Geometry) -> Vec<f32> {
    let frame = Frame::of(g);
    let side = g.height * g.width;
    let images = x.len() / (g.channels_in * side);
    // All images of a channel behind each other, so that one stretch runs over all of them; the
    // framed gradient is zero where an output would fall on the frame.
    let pitch = images * frame.plane() + 2 * frame.row() + SLACK;
    let frames = |values: &[f32], channels: usize, corner: usize| -> Vec<f32> {
        let mut framed = vec![0f32; channels.next_multiple_of(4) * pitch];
        for (i, plane) in values.chunks_exact(side).enumerate() {
            let (n, c) = (i / channels, i % channels);
            let to = &mut framed[c * pitch + n * frame.plane()..][..frame.plane()];
            frame.put(plane, to, corner, corner);
        }
        framed
    };
    let (x, dy) = (frames(x, g.channels_in, 1), frames(dy, g.channels_out, 0));
    let mut dw = vec![0f32; g.channels_out * g.channels_in * TAPS];
    let length = images * frame.plane();
    let shape = (g.channels_in, g.channels_out);
    arch().dispatch(Products { x: &x, dy: &dy, pitch, length, frame, shape, dw: &mut dw });
    dw
}

/// Inner products of framed gradients with framed inputs at every tap.
struct Products<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    pitch: usize,
    length: usize,
    frame: Frame,
    /// Input and output channels.
    shape: (usize, usize),
    dw: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, dy, pitch, length, frame, shape: (channels_in, channels_out), dw } = self;
        let step = S::F32_LANES;
        // Four output channels by the three taps of a kernel row: twelve sums in registers.
        for (block, dy) in dy.chunks_exact(4 * pitch).enumerate() {
            let (d0, rest) = dy.split_at(pitch);
            let (d1, rest) = rest.split_at(pitch);
            let (d2, d3) = rest.split_at(pitch);
            for (c, x) in x.chunks_exact(pitch).take(channels_in).enumerate() {
                for u in 0..3 {
                    let x = &x[u * frame.row()..];
                    let mut sums = [[simd.splat_f32s(0.0); 3]; 4];
                    for p in (0..length).step_by(step) {
                        let load = |from: &[f32]| S::as_simd_f32s(&from[p..][..step]).0[0];
                        let dy = [load(d0), load(d1), load(d2), load(d3)];
                        let x = [load(x), load(&x[1..]), load(&x[2..])];
                        for (sums, dy) in sums.iter_mut().zip(dy) {
                            for (sum, x) in sums.iter_mut().zip(x) {
                                *sum = simd.mul_add_e_f32s(dy, x, *sum);
                            }
                        }
                    }
                    for (o, sums) in (4 * block..channels_out).zip(sums) {
                        let at = (o * channels_in + c) * TAPS + 3 * u;
                        for (dw, sum) in dw[at..][..3].iter_mut().zip(sums) {
                            *dw = simd.reduce_sum_f32s(sum);
                        }
                    }
                }
            }
        }
    }
}
