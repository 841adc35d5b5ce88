//! The objective of multinomial logistic regression and its gradient, in one pass over the data.
//!
//! A block of rows is read from memory once. Its scores, their softmax and its share of the
//! gradient are computed while it is in the cache. Blocks form parts. The number of rows alone
//! decides where parts end, and parts are summed in their order. So no bit depends on the number of
//! threads.

use aligned_vec::{AVec, avec};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::Features;

/// How many parts there are. One thread sums each.
const PARTS: usize = 32;
/// Rows of a block, and of an array of scores.
pub(crate) const BLOCK: usize = 128;
/// Classes that are multiplied at once.
const GROUP: usize = 5;
/// Floats in a cache line.
const LINE: usize = 16;

/// Standardised features with a column of ones, for the intercept.
pub(crate) struct Design {
    /// `[rows, stride]`: the features, the one, zeros.
    values: AVec<f32>,
    pub rows: usize,
    pub dim: usize,
    /// An odd number of cache lines, so that rows do not compete for the same cache sets.
    pub stride: usize,
    arch: Arch,
}

impl Design {
    pub fn new(features: &Features, scaler: &Scaler) -> Self {
        let (rows, dim) = (features.rows(), features.dim());
        let stride = ((dim + 1).div_ceil(LINE) | 1) * LINE;
        let mut values = avec![0f32; rows * stride];
        let arch = Arch::new();
        let blocks = values.par_chunks_mut(BLOCK * stride);
        blocks.zip(features.values().par_chunks(BLOCK * dim)).for_each(|(to, from)| {
            arch.dispatch(|| scaler.apply(from, to, dim, stride));
        });
        Self { values, rows, dim, stride, arch }
    }

    /// Length of the vector of weights, `[classes, stride]`. Weights beyond the intercept stay 0.
    pub fn weights(&self, classes: usize) -> usize {
        classes * self.stride
    }

    /// The scores of every row, in blocks: `[block][class][row]`.
    pub fn scores(&self, weights: &[f32], classes: usize) -> Vec<[f32; BLOCK]> {
        let weights = padded(weights, self.stride);
        let mut out = vec![[0f32; BLOCK]; self.rows.div_ceil(BLOCK) * classes];
        let rows = self.values.par_chunks(BLOCK * self.stride);
        out.par_chunks_mut(classes).zip(rows).for_each_init(
            || vec![[0f32; BLOCK]; weights.len() / self.stride],
            |scores, (out, rows)| {
                self.arch.dispatch(Scores { rows, weights: &weights, stride: self.stride, scores });
                out.copy_from_slice(&scores[..classes]);
            },
        );
        out
    }

    /// `Xᵀ X / rows` of at most `most` rows, evenly chosen: `[stride, stride]`.
    pub fn gram(&self, most: usize) -> Vec<f32> {
        let count = self.rows.min(most);
        let stride = self.stride;
        let mut chosen = Vec::with_capacity(count * stride);
        for i in 0..count {
            let row = i * self.rows / count;
            chosen.extend_from_slice(&self.values[row * stride..][..stride]);
        }
        let all = MatRef::from_row_major_slice(&chosen, count, stride);
        let mut out = vec![0f32; stride * stride];
        out.par_chunks_mut(4 * LINE * stride).enumerate().for_each(|(i, out)| {
            let n = out.len() / stride;
            let some = all.subcols(i * 4 * LINE, n);
            let out = MatMut::from_row_major_slice_mut(out, n, stride);
            matmul(out, Accum::Replace, some.transpose(), all, 1.0 / count as f32, Par::Seq);
        });
        out
    }
}

/// `Σ_i −log softmax(W x_i)_{y_i} / n + decay ‖W‖² / 2`. The norm leaves out the intercept.
pub(crate) struct Objective<'a> {
    pub design: &'a Design,
    pub labels: &'a [u32],
    pub classes: usize,
    pub decay: f64,
}

impl Objective<'_> {
    /// The value at `weights`, `[classes, stride]`, and its gradient.
    pub fn evaluate(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let Design { rows, dim, stride, arch, ref values } = *self.design;
        let narrow: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
        let narrow = padded(&narrow, stride);
        let per_part = rows.div_ceil(PARTS).next_multiple_of(BLOCK);
        let parts: Vec<(f64, AVec<f32>)> = values
            .par_chunks(per_part * stride)
            .zip(self.labels.par_chunks(per_part))
            .map(|(rows, labels)| {
                let mut gradient = avec![0f32; narrow.len()];
                let part = Part {
                    rows,
                    labels,
                    weights: &narrow,
                    stride,
                    classes: self.classes,
                    gradient: &mut gradient,
                };
                (arch.dispatch(part), gradient)
            })
            .collect();
        let n = rows as f64;
        let loss: f64 = parts.iter().map(|(loss, _)| loss).sum();
        let lines = gradient.par_chunks_mut(stride).zip(weights.par_chunks(stride));
        let norms: Vec<f64> = lines
            .enumerate()
            .map(|(class, (gradient, weights))| {
                gradient.fill(0.0);
                for (_, part) in &parts {
                    let part = &part[class * stride..][..stride];
                    gradient.iter_mut().zip(part).for_each(|(g, p)| *g += f64::from(*p));
                }
                gradient.iter_mut().for_each(|g| *g /= n);
                let regularised = gradient.iter_mut().zip(weights).take(dim);
                regularised.for_each(|(g, w)| *g += self.decay * w);
                weights[..dim].iter().map(|w| w * w).sum()
            })
            .collect();
        loss / n + self.decay * norms.iter().sum::<f64>() / 2.0
    }
}

/// Weights, padded with classes of zeros to a whole number of groups.
fn padded(weights: &[f32], stride: usize) -> AVec<f32> {
    let groups = (weights.len() / stride).div_ceil(GROUP);
    let mut out = avec![0f32; groups * GROUP * stride];
    out[..weights.len()].copy_from_slice(weights);
    out
}

/// The scores of one block of rows: `[class][row]`.
struct Scores<'a> {
    rows: &'a [f32],
    weights: &'a [f32],
    stride: usize,
    scores: &'a mut [[f32; BLOCK]],
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, weights, stride, scores } = self;
        for (weights, scores) in weights.chunks_exact(GROUP * stride).zip(scores.as_chunks_mut().0)
        {
            match const { wide(S::F32_LANES) } {
                true => products::<S, 4>(simd, rows, weights, stride, scores),
                false => products::<S, 2>(simd, rows, weights, stride, scores),
            }
        }
    }
}

/// Whether there are 32 registers.
const fn wide(lanes: usize) -> bool {
    lanes != 8
}

/// Rows, `R` at once, with one group of classes.
#[inline(always)]
fn products<S: Simd, const R: usize>(
    simd: S,
    rows: &[f32],
    weights: &[f32],
    stride: usize,
    scores: &mut [[f32; BLOCK]; GROUP],
) {
    let whole = rows.chunks_exact(R * stride);
    let rest = whole.remainder();
    for (i, rows) in whole.enumerate() {
        product::<S, R>(simd, rows, weights, stride, i * R, scores);
    }
    let first = (rows.len() - rest.len()) / stride;
    for (i, row) in rest.chunks_exact(stride).enumerate() {
        product::<S, 1>(simd, row, weights, stride, first + i, scores);
    }
}

#[inline(always)]
fn product<S: Simd, const R: usize>(
    simd: S,
    rows: &[f32],
    weights: &[f32],
    stride: usize,
    first: usize,
    scores: &mut [[f32; BLOCK]; GROUP],
) {
    let count = stride / S::F32_LANES;
    let line = |values, i| &S::as_simd_f32s(slice(values, i, stride)).0[..count];
    let rows: [&[S::f32s]; R] = std::array::from_fn(|r| line(rows, r));
    let classes: [&[S::f32s]; GROUP] = std::array::from_fn(|c| line(weights, c));
    let mut sums = [[simd.splat_f32s(0.0); R]; GROUP];
    for i in 0..count {
        let x: [S::f32s; R] = std::array::from_fn(|r| rows[r][i]);
        for (sums, class) in sums.iter_mut().zip(classes) {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add_e_f32s(class[i], x, *sum);
            }
        }
    }
    for (scores, sums) in scores.iter_mut().zip(sums) {
        for (score, sum) in scores[first..].iter_mut().zip(sums) {
            *score = simd.reduce_sum_f32s(sum);
        }
    }
}

#[inline(always)]
fn slice(values: &[f32], i: usize, length: usize) -> &[f32] {
    &values[i * length..][..length]
}

/// The loss of some rows, and their gradient.
struct Part<'a> {
    rows: &'a [f32],
    labels: &'a [u32],
    /// `[classes, padded][stride]`
    weights: &'a [f32],
    stride: usize,
    classes: usize,
    /// Zeros, as the weights.
    gradient: &'a mut [f32],
}

impl WithSimd for Part<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self { rows, labels, weights, stride, classes, gradient } = self;
        let mut scores = vec![[0f32; BLOCK]; weights.len() / stride];
        let mut loss = 0.0;
        for (rows, labels) in rows.chunks(BLOCK * stride).zip(labels.chunks(BLOCK)) {
            Scores { rows, weights, stride, scores: &mut scores }.with_simd(simd);
            loss += residuals(&mut scores[..classes], labels);
            // Scores beyond a short block belong to no row and are not read.
            let groups = scores.as_chunks::<GROUP>().0;
            let to = gradient.chunks_exact_mut(GROUP * stride);
            for (residuals, gradient) in groups.iter().zip(to) {
                match const { wide(S::F32_LANES) } {
                    true => add_products::<S, 4>(simd, residuals, rows, stride, gradient),
                    false => add_products::<S, 2>(simd, residuals, rows, stride, gradient),
                }
            }
        }
        loss
    }
}

/// Turns scores into the softmax's probabilities, minus 1 at the label. Returns the loss.
#[inline(always)]
fn residuals(scores: &mut [[f32; BLOCK]], labels: &[u32]) -> f64 {
    let mut most = [f32::NEG_INFINITY; BLOCK];
    for scores in scores.iter() {
        most.iter_mut().zip(scores).for_each(|(m, s)| *m = if *s > *m { *s } else { *m });
    }
    let mut true_scores = [0f32; BLOCK];
    for (row, label) in labels.iter().enumerate() {
        true_scores[row] = scores[*label as usize][row] - most[row];
    }
    let mut sums = [0f32; BLOCK];
    for scores in scores.iter_mut() {
        for ((score, most), sum) in scores.iter_mut().zip(&most).zip(&mut sums) {
            *score = exp(*score - most);
            *sum += *score;
        }
    }
    let losses = sums.iter().zip(&true_scores).take(labels.len());
    let loss = losses.map(|(sum, score)| f64::from(sum.ln() - score)).sum();
    sums.iter_mut().for_each(|s| *s = 1.0 / *s);
    for scores in scores.iter_mut() {
        scores.iter_mut().zip(&sums).for_each(|(score, scale)| *score *= scale);
    }
    for (row, label) in labels.iter().enumerate() {
        scores[*label as usize][row] -= 1.0;
    }
    loss
}

/// e^x for x ≤ 0 within two units of the last place; 0 below −87.
///
/// It is 2^n, with n the integer part of x log₂ e, times the Taylor polynomial of the rest. The
/// rest is at most ln 2 / 2.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it leaves an integer in the lowest bits.
    const SHIFT: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with few enough bits to be exact times n.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let kept = if x > -87.0 { x } else { -87.0 };
    let shifted = kept * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = (kept - n * LN2[0]) - n * LN2[1];
    let mut p = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + factor;
    }
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x > -87.0 { p * scale } else { 0.0 }
}

/// Adds the residuals of a group of classes times the rows to a group of the gradient. Takes `C`
/// registers of columns at a time, then one.
#[inline(always)]
fn add_products<S: Simd, const C: usize>(
    simd: S,
    residuals: &[[f32; BLOCK]; GROUP],
    rows: &[f32],
    stride: usize,
    gradient: &mut [f32],
) {
    let wide = C * S::F32_LANES;
    let whole = stride / wide * wide;
    for first in (0..whole).step_by(wide) {
        add_product::<S, C>(simd, residuals, rows, stride, first, gradient);
    }
    for first in (whole..stride).step_by(S::F32_LANES) {
        add_product::<S, 1>(simd, residuals, rows, stride, first, gradient);
    }
}

#[inline(always)]
fn add_product<S: Simd, const C: usize>(
    simd: S,
    residuals: &[[f32; BLOCK]; GROUP],
    rows: &[f32],
    stride: usize,
    first: usize,
    gradient: &mut [f32],
) {
    let width = C * S::F32_LANES;
    let mut sums: [[S::f32s; C]; GROUP] = std::array::from_fn(|class| {
        let line = S::as_simd_f32s(&gradient[class * stride + first..][..width]).0;
        std::array::from_fn(|c| line[c])
    });
    for (row, x) in rows.chunks_exact(stride).enumerate().take(BLOCK) {
        let x = S::as_simd_f32s(&x[first..first + width]).0;
        let x: [S::f32s; C] = std::array::from_fn(|c| x[c]);
        for (sums, residuals) in sums.iter_mut().zip(residuals) {
            let residual = simd.splat_f32s(residuals[row]);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add_e_f32s(residual, x, *sum);
            }
        }
    }
    for (class, sums) in sums.iter().enumerate() {
        let line = S::as_mut_simd_f32s(&mut gradient[class * stride + first..][..width]).0;
        line.copy_from_slice(sums);
    }
}

/// Mean and inverse deviation of every dimension.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaler {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    pub fn of(features: &Features) -> Self {
        let (n, dim) = (features.rows() as f64, features.dim());
        let mean = sums(features, |sum, _, v| *sum += v, &vec![0.0; dim]);
        let mean: Vec<f64> = mean.into_iter().map(|m| m / n).collect();
        let squares = sums(features, |sum, m, v| *sum += (v - m) * (v - m), &mean);
        // A dead dimension stays as it is.
        let scale = squares
            .into_iter()
            .map(|s| if s / n > 1e-20 { 1.0 / (s / n).sqrt() } else { 1.0 })
            .collect();
        Self { mean, scale }
    }

    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    #[inline(always)]
    fn apply(&self, from: &[f32], to: &mut [f32], dim: usize, stride: usize) {
        for (to, from) in to.chunks_exact_mut(stride).zip(from.chunks_exact(dim)) {
            let scaled = from.iter().zip(self.mean.iter().zip(&self.scale));
            for (to, (v, (m, s))) in to.iter_mut().zip(scaled) {
                *to = ((f64::from(*v) - m) * s) as f32;
            }
            to[dim] = 1.0;
        }
    }
}

/// Sums `add(sum, of the dimension, value)` over the rows, for every dimension.
fn sums(features: &Features, add: impl Fn(&mut f64, f64, f64) + Sync, of: &[f64]) -> Vec<f64> {
    let dim = features.dim();
    let per_part = features.rows().div_ceil(PARTS).max(1) * dim;
    let parts: Vec<Vec<f64>> = features
        .values()
        .par_chunks(per_part)
        .map(|rows| {
            let mut sums = vec![0f64; dim];
            for row in rows.chunks_exact(dim) {
                let of = of.iter().zip(row);
                sums.iter_mut().zip(of).for_each(|(s, (m, v))| add(s, *m, f64::from(*v)));
            }
            sums
        })
        .collect();
    let mut total = vec![0f64; dim];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exp_is_the_exponential() {
        for i in 0..173_999 {
            let x = i as f32 * -5e-4;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected.max(1e-38);
            assert!(error < 2.5e-7, "{x}: {error}");
        }
        assert_eq!((exp(0.0), exp(-1e30), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_gradient_agrees_with_finite_differences(
            rows in 1usize..300, dim in 1usize..40, classes in 1usize..13, seed: u32,
        ) {
            let mut state = seed | 1;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            };
            let values = (0..rows * dim).map(|_| next()).collect();
            let features = Features::new(values, rows, dim).unwrap();
            let labels: Vec<u32> =
                (0..rows).map(|_| ((next() + 0.5) * classes as f32) as u32).collect();
            let design = Design::new(&features, &Scaler::of(&features));
            let mut w = vec![0f64; design.weights(classes)];
            for w in w.chunks_exact_mut(design.stride) {
                w[..=dim].iter_mut().for_each(|w| *w = f64::from(next()));
            }
            let objective = Objective { design: &design, labels: &labels, classes, decay: 0.1 };
            let (mut gradient, mut ignored) = (vec![0.0; w.len()], vec![0.0; w.len()]);
            let value = objective.evaluate(&w, &mut gradient);
            prop_assert!((value - naive(&objective, &w)).abs() < 1e-5 * value.max(1.0));
            for class in 0..classes {
                for i in [0, dim - 1, dim] {
                    let i = class * design.stride + i;
                    let mut ends = [1e-2, -1e-2].map(|h| {
                        let mut moved = w.clone();
                        moved[i] += h;
                        objective.evaluate(&moved, &mut ignored)
                    });
                    ends[0] -= ends[1];
                    let numeric = ends[0] / 2e-2;
                    prop_assert!((numeric - gradient[i]).abs() < 1e-3, "{i}: {numeric} {gradient:?}");
                }
                let beyond = &gradient[class * design.stride + dim + 1..(class + 1) * design.stride];
                prop_assert!(beyond.iter().all(|g| *g == 0.0));
            }
        }
    }

    /// The formula in f64.
    fn naive(objective: &Objective, w: &[f64]) -> f64 {
        let Objective { design, labels, classes, decay } = objective;
        let mut loss = 0.0;
        for (x, label) in design.values.chunks_exact(design.stride).zip(*labels) {
            let score = |class: usize| -> f64 {
                let w = &w[class * design.stride..][..design.stride];
                x.iter().zip(w).map(|(x, w)| f64::from(*x) * w).sum()
            };
            let sum: f64 = (0..*classes).map(|class| score(class).exp()).sum();
            loss += sum.ln() - score(*label as usize);
        }
        let penalty: f64 =
            w.chunks_exact(design.stride).flat_map(|w| &w[..design.dim]).map(|w| w * w).sum();
        loss / labels.len() as f64 + decay * penalty / 2.0
    }

    #[test]
    fn the_gram_matrix_is_of_the_columns() {
        let features = Features::new(vec![1.0, 5.0, 3.0, 5.0, 1.0, 5.0, 3.0, 5.0], 4, 2).unwrap();
        let design = Design::new(&features, &Scaler::of(&features));
        let gram = design.gram(100);
        // Standardised, a dead dimension that is 0, and ones.
        assert_eq!(
            (gram[0], gram[design.stride + 1], gram[2 * design.stride + 2]),
            (1.0, 0.0, 1.0)
        );
    }
}
