//! Convolution on slices, as matrix products of unfolded images ("im2col").

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::direct;

/// The sizes of one convolution with a square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    pub batch: usize,
    pub channels_in: usize,
    pub channels_out: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Below `kernel`.
    pub padding: usize,
}

impl Geometry {
    pub fn height_out(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    pub fn width_out(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Elements of one input image.
    fn input(&self) -> usize {
        self.channels_in * self.height * self.width
    }

    /// Positions of the output.
    fn positions(&self) -> usize {
        self.height_out() * self.width_out()
    }

    /// Elements that one output position sees.
    fn patch(&self) -> usize {
        self.channels_in * self.kernel * self.kernel
    }

    /// The unfolded image is the image itself.
    fn pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1
    }
}

/// `y = w ∗ x`: `[batch, channels_out, positions]`.
pub fn forward(x: &[f32], w: &[f32], g: &Geometry) -> Vec<f32> {
    if direct::fits(g) {
        return direct::forward(x, w, g);
    }
    let (positions, patch) = (g.positions(), g.patch());
    let mut y = vec![0f32; g.batch * g.channels_out * positions];
    y.par_chunks_exact_mut(g.channels_out * positions)
        .zip(x.par_chunks_exact(g.input()))
        .for_each_init(Vec::new, |columns, (y, x)| {
            let columns = unfold(x, g, columns);
            matmul(
                MatMut::from_row_major_slice_mut(y, g.channels_out, positions),
                Accum::Replace,
                MatRef::from_row_major_slice(w, g.channels_out, patch),
                MatRef::from_row_major_slice(columns, patch, positions),
                1.0,
                Par::Seq,
            );
        });
    y
}

/// The gradient with respect to `x` from that with respect to `y`.
pub fn input_gradient(dy: &[f32], w: &[f32], g: &Geometry) -> Vec<f32> {
    if g.stride == 1 {
        // A convolution again: of dy, with the kernel turned around and its channels exchanged.
        let turned = turn(w, g);
        let g = Geometry {
            channels_in: g.channels_out,
            channels_out: g.channels_in,
            height: g.height_out(),
            width: g.width_out(),
            padding: g.kernel - 1 - g.padding,
            ..*g
        };
        return forward(dy, &turned, &g);
    }
    let (positions, patch) = (g.positions(), g.patch());
    let mut dx = vec![0f32; g.batch * g.input()];
    dx.par_chunks_exact_mut(g.input())
        .zip(dy.par_chunks_exact(g.channels_out * positions))
        .for_each_init(Vec::new, |columns: &mut Vec<f32>, (dx, dy)| {
            columns.resize(patch * positions, 0.0);
            matmul(
                MatMut::from_row_major_slice_mut(columns, patch, positions),
                Accum::Replace,
                MatRef::from_row_major_slice(w, g.channels_out, patch).transpose(),
                MatRef::from_row_major_slice(dy, g.channels_out, positions),
                1.0,
                Par::Seq,
            );
            fold(columns, g, dx);
        });
    dx
}

/// The gradient with respect to `w` from that with respect to `y`.
///
/// The batch is cut into a fixed number of parts whose sums are added in their order, so the result
/// does not depend on the number of threads.
pub fn weight_gradient(dy: &[f32], x: &[f32], g: &Geometry) -> Vec<f32> {
    const PARTS: usize = 8;
    let (positions, patch) = (g.positions(), g.patch());
    let images = g.batch.div_ceil(PARTS).max(1);
    let parts: Vec<Vec<f32>> = dy
        .par_chunks(images * g.channels_out * positions)
        .zip(x.par_chunks(images * g.input()))
        .map(|(dy, x)| {
            if direct::fits(g) {
                return direct::weight_gradient(dy, x, g);
            }
            let mut dw = vec![0f32; g.channels_out * patch];
            let mut columns = Vec::new();
            let pairs = dy.chunks_exact(g.channels_out * positions).zip(x.chunks_exact(g.input()));
            for (dy, x) in pairs {
                let columns = unfold(x, g, &mut columns);
                matmul(
                    MatMut::from_row_major_slice_mut(&mut dw, g.channels_out, patch),
                    Accum::Add,
                    MatRef::from_row_major_slice(dy, g.channels_out, positions),
                    MatRef::from_row_major_slice(columns, patch, positions).transpose(),
                    1.0,
                    Par::Seq,
                );
            }
            dw
        })
        .collect();
    let mut sum = vec![0f32; g.channels_out * patch];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
}

/// `w[o, c, u, v]` → `[c, o, k − 1 − u, k − 1 − v]`.
fn turn(w: &[f32], g: &Geometry) -> Vec<f32> {
    let taps = g.kernel * g.kernel;
    let mut turned = vec![0f32; w.len()];
    for (i, plane) in w.chunks_exact(taps).enumerate() {
        let (o, c) = (i / g.channels_in, i % g.channels_in);
        let to = &mut turned[(c * g.channels_out + o) * taps..][..taps];
        to.iter_mut().zip(plane.iter().rev()).for_each(|(to, from)| *to = *from);
    }
    turned
}

/// For each (channel, u, v) a row of what the output positions see there: `[patch, positions]`.
fn unfold<'a>(x: &'a [f32], g: &Geometry, columns: &'a mut Vec<f32>) -> &'a [f32] {
    if g.pointwise() {
        return x;
    }
    columns.resize(g.patch() * g.positions(), 0.0);
    let width_out = g.width_out();
    for (row, columns) in columns.chunks_exact_mut(g.positions()).enumerate() {
        let (c, u, v) = tap(row, g);
        let plane = &x[c * g.height * g.width..][..g.height * g.width];
        let (first, last) = inside(v, g.width, width_out, g);
        for (i, line) in columns.chunks_exact_mut(width_out).enumerate() {
            let y = (i * g.stride + u).wrapping_sub(g.padding);
            if y >= g.height || first >= last {
                line.fill(0.0);
                continue;
            }
            let source = &plane[y * g.width..][..g.width];
            let start = first * g.stride + v - g.padding;
            line[..first].fill(0.0);
            line[last..].fill(0.0);
            let line = &mut line[first..last];
            match g.stride {
                1 => line.copy_from_slice(&source[start..][..line.len()]),
                stride => line
                    .iter_mut()
                    .zip(source[start..].iter().step_by(stride))
                    .for_each(|(to, from)| *to = *from),
            }
        }
    }
    columns
}

/// The transpose of [`unfold`]: adds every column back to where it came from. `dx` is zero.
fn fold(columns: &[f32], g: &Geometry, dx: &mut [f32]) {
    let width_out = g.width_out();
    for (row, columns) in columns.chunks_exact(g.positions()).enumerate() {
        let (c, u, v) = tap(row, g);
        let plane = &mut dx[c * g.height * g.width..][..g.height * g.width];
        let (first, last) = inside(v, g.width, width_out, g);
        for (i, line) in columns.chunks_exact(width_out).enumerate() {
            let y = (i * g.stride + u).wrapping_sub(g.padding);
            if y >= g.height || first >= last {
                continue;
            }
            let start = first * g.stride + v - g.padding;
            plane[y * g.width + start..(y + 1) * g.width]
                .iter_mut()
                .step_by(g.stride)
                .zip(&line[first..last])
                .for_each(|(to, from)| *to += *from);
        }
    }
}

/// The channel and kernel position of a row of the unfolded image.
fn tap(row: usize, g: &Geometry) -> (usize, usize, usize) {
    let taps = g.kernel * g.kernel;
    (row / taps, row % taps / g.kernel, row % g.kernel)
}

/// The outputs `first..last` of a line whose input at kernel column `v` lies inside the image.
fn inside(v: usize, width: usize, width_out: usize, g: &Geometry) -> (usize, usize) {
    let first = g.padding.saturating_sub(v).div_ceil(g.stride);
    let last = (width + g.padding).saturating_sub(v).div_ceil(g.stride).min(width_out);
    (first.min(width_out), last)
}
