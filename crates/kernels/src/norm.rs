//! Batch norm, residual addition and ReLU on slices of `[positions, channels]`. A position is one
//! pixel of one image.

use std::sync::Arc;

use rayon::prelude::*;

use crate::memory::{self, Writer};
use crate::ranks::{Ranks, gather_f64};
use crate::simd::vectorized;

/// The statistics of each channel from the forward pass.
#[derive(Debug, Clone)]
pub struct Statistics {
    pub mean: Vec<f32>,
    /// Biased.
    pub variance: Vec<f32>,
}

/// The statistics of some positions: for each channel the mean, and the sum of squares about it.
struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn none(channels: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    /// Adds more positions (Chan et al., 1979).
    fn join(&mut self, count: f64, mean: &[f64], squares: &[f64]) {
        let all = self.count + count;
        for (c, (mean, squares)) in mean.iter().zip(squares).enumerate() {
            let apart = mean - self.mean[c];
            self.squares[c] += squares + apart * apart * self.count * count / all;
            self.mean[c] += apart * count / all;
        }
        self.count = all;
    }

    /// The statistics of all ranks' positions, joined in the order of ranks.
    fn of_all(&self, ranks: &dyn Ranks) -> Self {
        let channels = self.mean.len();
        let values = [&[self.count][..], &self.mean, &self.squares].concat();
        let mut all = Self::none(channels);
        for part in gather_f64(ranks, &values) {
            all.join(part[0], &part[1..=channels], &part[1 + channels..]);
        }
        all
    }
}

/// Number of elements that are summed in f32 before f64. They fit in the second-level cache. The
/// number is fixed, so sums do not depend on the number of threads.
const CHUNK: usize = 1 << 14;
/// Number of elements per task: some positions, all channels.
const ROW: usize = 256;

/// Positions in a row and in a chunk.
fn sizes(channels: usize) -> (usize, usize) {
    let row = (ROW / channels).max(1);
    (row, (CHUNK / channels / row).max(1) * row)
}

/// Mean and biased variance of every channel, over the positions of all ranks. Each chunk takes its
/// mean first and then the squares about it, while the chunk is in the cache. The formula of Chan
/// et al. (1979) joins the chunks. The one-pass formula would lose the variance of channels with a
/// large mean.
pub fn statistics(x: &[f32], channels: usize, ranks: Option<&dyn Ranks>) -> Statistics {
    let (row, chunk) = sizes(channels);
    let parts: Vec<(f64, Vec<f64>, Vec<f64>)> = x
        .par_chunks(chunk * channels)
        .map(|x| {
            let count = (x.len() / channels) as f64;
            let sums = vectorized(|| row_sums(x, row * channels, |x| x));
            let mean: Vec<f64> = fold(&sums, channels).map(|sum| sum / count).collect();
            // Squares are taken about the mean rounded to f32.
            let about: Vec<f32> = mean.iter().map(|m| *m as f32).collect();
            let about: Vec<f32> = about.iter().copied().cycle().take(row * channels).collect();
            let squares = vectorized(|| row_squares(x, &about));
            let squares = fold(&squares, channels).zip(mean.iter().zip(&about));
            let squares = squares
                .map(|(square, (mean, about))| square - count * (mean - f64::from(*about)).powi(2))
                .collect();
            (count, mean, squares)
        })
        .collect();
    let mut moments = Moments::none(channels);
    for (count, mean, squares) in parts {
        moments.join(count, &mean, &squares);
    }
    if let Some(ranks) = ranks {
        moments = moments.of_all(ranks);
    }
    let Moments { count, mean, squares } = moments;
    Statistics {
        mean: mean.iter().map(|m| *m as f32).collect(),
        variance: squares.iter().map(|s| (s / count).max(0.0) as f32).collect(),
    }
}

/// Σ f(x) over rows, one sum for every place in a row.
#[inline(always)]
fn row_sums(x: &[f32], row: usize, f: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut sums = vec![0f32; row];
    for x in x.chunks(row) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += f(*x);
        }
    }
    sums
}

/// Σ (x − about)² over rows.
#[inline(always)]
fn row_squares(x: &[f32], about: &[f32]) -> Vec<f32> {
    let mut sums = vec![0f32; about.len()];
    for x in x.chunks(about.len()) {
        for ((sum, x), about) in sums.iter_mut().zip(x).zip(about) {
            *sum += (x - about) * (x - about);
        }
    }
    sums
}

/// The sums of a row's places, by channel.
fn fold(sums: &[f32], channels: usize) -> impl Iterator<Item = f64> {
    (0..channels).map(move |c| sums[c..].iter().step_by(channels).map(|s| f64::from(*s)).sum())
}

/// `scale · x + shift + residual`, with one scale and one shift per channel, then ReLU if wanted.
pub fn scale_shift(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    residual: Option<&[f32]>,
    with_relu: bool,
) -> Vec<f32> {
    let channels = scale.len();
    let (row, chunk) = sizes(channels);
    let (scale, shift) = (repeat(scale, row), repeat(shift, row));
    memory::write(x.len(), chunk * channels, |i, y| {
        let part = i * chunk * channels..i * chunk * channels + y.len();
        let (x, residual) = (&x[part.clone()], residual.map(|r| &r[part]));
        vectorized(|| match (residual, with_relu) {
            (Some(residual), true) => {
                scale_rows(y, x, residual, &scale, &shift, |y, r| relu(y + r))
            }
            (Some(residual), false) => scale_rows(y, x, residual, &scale, &shift, |y, r| y + r),
            (None, true) => scale_rows(y, x, x, &scale, &shift, |y, _| relu(y)),
            (None, false) => scale_rows(y, x, x, &scale, &shift, |y, _| y),
        });
    })
}

fn repeat(values: &[f32], times: usize) -> Vec<f32> {
    values.iter().copied().cycle().take(values.len() * times).collect()
}

/// Unlike `max(0)`, it keeps NaN, so that a broken run is noticed.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[inline(always)]
fn scale_rows(
    y: &mut Writer,
    x: &[f32],
    residual: &[f32],
    scale: &[f32],
    shift: &[f32],
    f: impl Fn(f32, f32) -> f32,
) {
    for (x, r) in x.chunks(scale.len()).zip(residual.chunks(scale.len())) {
        let values = x.iter().zip(r).zip(scale).zip(shift);
        y.extend(x.len(), values.map(|(((x, r), scale), shift)| f(x * scale + shift, *r)));
    }
}

/// The gradients of batch norm, residual and ReLU.
#[derive(Debug)]
pub struct Gradients {
    pub x: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    /// The gradient after the ReLU. Empty unless requested.
    pub residual: Vec<f32>,
}

/// The data of each channel for the backward pass.
#[derive(Debug, Clone)]
pub struct Saved {
    /// γ
    pub weight: Vec<f32>,
    pub mean: Vec<f32>,
    /// 1 / √(variance + ε)
    pub inverse: Vec<f32>,
    /// The ranks of the statistics, if there are several.
    pub ranks: Option<Arc<dyn Ranks>>,
}

/// How the backward pass finds the mask of the ReLU.
#[derive(Debug, Clone, Copy)]
pub enum Mask<'a> {
    /// There was no ReLU.
    Everything,
    /// From the output.
    Output(&'a [f32]),
    /// From the input and β. Without a residual, the output is computed again, with the same bits.
    /// This is faster than reading it.
    Bias(&'a [f32]),
}

/// The scale and the shift of every channel.
pub fn scale_and_shift(
    weight: &[f32],
    bias: &[f32],
    mean: &[f32],
    inverse: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let scale: Vec<f32> = weight.iter().zip(inverse).map(|(w, i)| w * i).collect();
    let shift = bias.iter().zip(mean.iter().zip(&scale)).map(|(b, (m, s))| b - m * s).collect();
    (scale, shift)
}

/// The backward pass of batch norm, residual and ReLU together.
///
/// With `g = dy · [y > 0]`, `x̂ = (x − mean) · inv`, and sums over the batch's `m` values of a
/// channel: `dβ = Σ g`, `dγ = Σ g x̂`, `dx = γ · inv · (g − dβ / m − x̂ · dγ / m)`, `dresidual =
/// g`. With ranks, `dx` has the sums over all ranks. `dβ` and `dγ` are the sums of this rank, as
/// for all other parameters.
pub fn backward(
    dy: &[f32],
    x: &[f32],
    mask: Mask,
    saved: &Saved,
    wants_residual: bool,
) -> Gradients {
    match mask {
        Mask::Everything => {
            backward_with(dy, x, x, (&[], &[]), saved, wants_residual, |g, _, _, _, _| g)
        }
        Mask::Output(y) => {
            let open = |g, y, _, _, _| if y > 0.0 { g } else { 0.0 };
            backward_with(dy, x, y, (&[], &[]), saved, wants_residual, open)
        }
        Mask::Bias(bias) => {
            let (scale, shift) = scale_and_shift(&saved.weight, bias, &saved.mean, &saved.inverse);
            let open = |g, _, x, scale, shift| if x * scale + shift > 0.0 { g } else { 0.0 };
            backward_with(dy, x, x, (&scale, &shift), saved, wants_residual, open)
        }
    }
}

/// The sums of the backward pass over positions.
struct Sums {
    count: f64,
    /// Σ g
    bias: Vec<f64>,
    /// Σ g x̂
    weight: Vec<f64>,
}

impl Sums {
    /// The sums over all ranks' positions, added in the order of ranks.
    fn of_all(&self, ranks: &dyn Ranks) -> Self {
        let channels = self.bias.len();
        let values = [&[self.count][..], &self.bias, &self.weight].concat();
        let mut totals = vec![0.0; values.len()];
        for part in gather_f64(ranks, &values) {
            totals.iter_mut().zip(part).for_each(|(total, value)| *total += value);
        }
        let weight = totals.split_off(1 + channels);
        let bias = totals.split_off(1);
        Self { count: totals[0], bias, weight }
    }
}

/// `g(dy, y, x, scale, shift)` is the gradient that the ReLU lets through. If it does not use scale
/// and shift, these may be missing.
fn backward_with(
    dy: &[f32],
    x: &[f32],
    y: &[f32],
    (scale, shift): (&[f32], &[f32]),
    saved: &Saved,
    wants_residual: bool,
    g: impl Fn(f32, f32, f32, f32, f32) -> f32 + Copy + Send + Sync,
) -> Gradients {
    let Saved { weight, mean, inverse, ranks } = saved;
    let channels = weight.len();
    let (row, chunk) = sizes(channels);
    let chunk = chunk * channels;
    let means = repeat(mean, row);
    let line = |values: &[f32]| match values {
        [] => vec![0.0; row * channels],
        values => repeat(values, row),
    };
    let forward = [line(scale), line(shift)];
    let parts: Vec<[Vec<f64>; 2]> = dy
        .par_chunks(chunk)
        .enumerate()
        .map(|(i, dy)| {
            let part = i * chunk..i * chunk + dy.len();
            let inputs = [dy, &x[part.clone()], &y[part]];
            vectorized(|| gradient_sums(inputs, &means, &forward, g))
                .map(|sums| fold(&sums, channels).collect())
        })
        .collect();
    let (mut bias_grad, mut weight_grad) = (vec![0f64; channels], vec![0f64; channels]);
    for [sums, products] in parts {
        bias_grad.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        weight_grad.iter_mut().zip(products).for_each(|(total, sum)| *total += sum);
    }
    weight_grad.iter_mut().zip(inverse).for_each(|(sum, inverse)| *sum *= f64::from(*inverse));

    let sums = Sums { count: (x.len() / channels) as f64, bias: bias_grad, weight: weight_grad };
    let all = ranks.as_deref().map(|ranks| sums.of_all(ranks));
    let Sums { count, bias, weight: products } = all.as_ref().unwrap_or(&sums);

    // dx = factor · g + slope · x + offset
    let factor: Vec<f32> = weight.iter().zip(inverse).map(|(w, i)| w * i).collect();
    let slope: Vec<f32> = (0..channels)
        .map(|c| (-f64::from(factor[c] * inverse[c]) * products[c] / count) as f32)
        .collect();
    let offset: Vec<f32> = (0..channels)
        .map(|c| (-f64::from(factor[c]) * bias[c] / count) as f32 - slope[c] * mean[c])
        .collect();
    let lines = [repeat(&factor, row), repeat(&slope, row), repeat(&offset, row)];

    let body = |i: usize, dx: &mut Writer, residual: Option<&mut Writer>| {
        let part = i * chunk..i * chunk + dx.len();
        let inputs = [&dy[part.clone()], &x[part.clone()], &y[part]];
        vectorized(|| gradient_rows(dx, residual, inputs, &lines, &forward, g));
    };
    let (dx, residual) = if wants_residual {
        memory::write_two(x.len(), chunk, |i, dx, residual| body(i, dx, Some(residual)))
    } else {
        (memory::write(x.len(), chunk, |i, dx| body(i, dx, None)), Vec::new())
    };
    Gradients {
        x: dx,
        weight: sums.weight.iter().map(|sum| *sum as f32).collect(),
        bias: sums.bias.iter().map(|sum| *sum as f32).collect(),
        residual,
    }
}

/// Σ g and Σ g (x − mean) over rows.
#[inline(always)]
fn gradient_sums(
    [dy, x, y]: [&[f32]; 3],
    means: &[f32],
    [scale, shift]: &[Vec<f32>; 2],
    g: impl Fn(f32, f32, f32, f32, f32) -> f32,
) -> [Vec<f32>; 2] {
    let row = means.len();
    let (mut sums, mut products) = (vec![0f32; row], vec![0f32; row]);
    for ((dy, x), y) in dy.chunks(row).zip(x.chunks(row)).zip(y.chunks(row)) {
        let totals = sums.iter_mut().zip(&mut products).zip(means).zip(scale.iter().zip(shift));
        for (((((sum, product), mean), (scale, shift)), dy), (x, y)) in
            totals.zip(dy).zip(x.iter().zip(y))
        {
            let g = g(*dy, *y, *x, *scale, *shift);
            *sum += g;
            *product += g * (x - mean);
        }
    }
    [sums, products]
}

#[inline(always)]
fn gradient_rows(
    dx: &mut Writer,
    residual: Option<&mut Writer>,
    [dy, x, y]: [&[f32]; 3],
    [factor, slope, offset]: &[Vec<f32>; 3],
    [scale, shift]: &[Vec<f32>; 2],
    g: impl Fn(f32, f32, f32, f32, f32) -> f32,
) {
    let row = factor.len();
    let inputs = dy.chunks(row).zip(x.chunks(row)).zip(y.chunks(row));
    let lines = || factor.iter().zip(slope).zip(offset).zip(scale.iter().zip(shift));
    match residual {
        Some(residual) => {
            for ((dy, x), y) in inputs {
                let values = dy.iter().zip(x).zip(y).zip(lines());
                let values =
                    values.map(|(((dy, x), y), (((factor, slope), offset), (scale, shift)))| {
                        let g = g(*dy, *y, *x, *scale, *shift);
                        (factor * g + slope * x + offset, g)
                    });
                Writer::extend_two(dx, residual, dy.len(), values);
            }
        }
        None => {
            for ((dy, x), y) in inputs {
                let values = dy.iter().zip(x).zip(y).zip(lines());
                let values =
                    values.map(|(((dy, x), y), (((factor, slope), offset), (scale, shift)))| {
                        factor * g(*dy, *y, *x, *scale, *shift) + slope * x + offset
                    });
                dx.extend(dy.len(), values);
            }
        }
    }
}
