//! Centred (and scaled) features and their Gram matrices in f64. Blocks bound the memory. The order
//! of summation is fixed, so results do not depend on the number of threads or of rows at once.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use rayon::prelude::*;

use crate::{EvalError, Features};

/// Largest matrix that is decomposed: 128 MB, and some tens of seconds.
pub(crate) const LARGEST: usize = 4096;

/// What is subtracted from each dimension, and what the rest is multiplied with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    pub mean: Vec<f64>,
    pub scale: Vec<f64>,
}

impl Scaling {
    /// Subtracts the mean, and nothing else.
    pub fn centring(features: &Features) -> Self {
        let (n, dim) = (features.rows().max(1) as f64, features.dim());
        let mut mean = vec![0f64; dim];
        for row in features.iter() {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v));
        }
        mean.iter_mut().for_each(|m| *m /= n);
        Self { mean, scale: vec![1.0; dim] }
    }

    /// Scales to mean 0 and variance 1. A dimension that varies only by f32's rounding becomes 0.
    pub fn standardising(features: &Features) -> Self {
        let mut scaling = Self::centring(features);
        let mut variance = vec![0f64; features.dim()];
        for row in features.iter() {
            for ((s, m), v) in variance.iter_mut().zip(&scaling.mean).zip(row) {
                *s += (f64::from(*v) - m).powi(2);
            }
        }
        let n = features.rows().max(1) as f64;
        for ((scale, s), m) in scaling.scale.iter_mut().zip(variance).zip(&scaling.mean) {
            let variance = s / n;
            *scale = if variance > 1e-14 * m * m { 1.0 / variance.sqrt() } else { 0.0 };
        }
        scaling
    }

    /// `(v − mean) · scale` of one row.
    pub fn apply(&self, row: &[f32], out: &mut [f64]) {
        let terms = row.iter().zip(&self.mean).zip(&self.scale);
        out.iter_mut().zip(terms).for_each(|(o, ((v, m), s))| *o = (f64::from(*v) - m) * s);
    }

    /// Scaled rows times `weights` `[dim, outputs]`: row-major `[rows, outputs]`.
    pub fn product(&self, features: &Features, weights: MatRef<'_, f64>) -> Vec<f64> {
        const BLOCK: usize = 128;
        let (dim, width) = (features.dim(), weights.ncols());
        let mut out = vec![0f64; features.rows() * width];
        if width == 0 {
            return out;
        }
        out.par_chunks_mut(BLOCK * width).zip(features.values().par_chunks(BLOCK * dim)).for_each(
            |(out, values)| {
                let rows = values.len() / dim;
                let mut block = vec![0f64; values.len()];
                for (o, row) in block.chunks_exact_mut(dim).zip(values.chunks_exact(dim)) {
                    self.apply(row, o);
                }
                matmul(
                    MatMut::from_row_major_slice_mut(out, rows, width),
                    Accum::Replace,
                    MatRef::from_row_major_slice(&block, rows, dim),
                    weights,
                    1.0,
                    Par::Seq,
                );
            },
        );
        out
    }

    /// `weights` `[rows, outputs]`: their combination of the scaled rows, `Xᵀ W`, `[dim, outputs]`.
    pub fn combination(&self, features: &Features, weights: MatRef<'_, f64>) -> Mat<f64> {
        let (dim, outputs) = (features.dim(), weights.ncols());
        let mut out = Mat::zeros(dim, outputs);
        let mut block = vec![0f64; BLOCK * dim];
        for start in (0..features.rows()).step_by(BLOCK) {
            let rows = BLOCK.min(features.rows() - start);
            self.rows(features, start, &mut block[..rows * dim]);
            let block = MatRef::from_row_major_slice(&block[..rows * dim], rows, dim);
            let weights = weights.subrows(start, rows);
            matmul(out.as_mut(), Accum::Add, block.transpose(), weights, 1.0, Par::Seq);
        }
        out
    }

    /// `Xᵀ X` of the scaled features, `[dim, dim]`; only the lower triangle is filled.
    pub fn gram_of_columns(&self, features: &Features) -> Mat<f64> {
        let dim = features.dim();
        gram(dim, features.rows(), |start, out| self.rows(features, start, out))
    }

    /// `X Xᵀ` of the scaled features, `[rows, rows]`; only the lower triangle is filled.
    pub fn gram_of_rows(&self, features: &Features) -> Mat<f64> {
        let (rows, dim) = (features.rows(), features.dim());
        gram(rows, dim, |start, out| {
            for (k, line) in out.chunks_exact_mut(rows).enumerate() {
                let d = start + k;
                let (mean, scale) = (self.mean[d], self.scale[d]);
                for (o, row) in line.iter_mut().zip(features.iter()) {
                    *o = (f64::from(row[d]) - mean) * scale;
                }
            }
        })
    }

    fn rows(&self, features: &Features, start: usize, out: &mut [f64]) {
        let dim = features.dim();
        let values = features.values()[start * dim..].chunks_exact(dim);
        out.chunks_exact_mut(dim).zip(values).for_each(|(o, row)| self.apply(row, o));
    }
}

const BLOCK: usize = 256;

/// The lower triangle of `Σ m mᵀ` over `length` vectors of `size`. `fill` writes some vectors at a
/// time, from a given one on.
fn gram(size: usize, length: usize, fill: impl Fn(usize, &mut [f64])) -> Mat<f64> {
    const STRIPE: usize = 64;
    let mut out = vec![0f64; size * size];
    let mut block = vec![0f64; BLOCK * size];
    for start in (0..length).step_by(BLOCK) {
        let n = BLOCK.min(length - start);
        fill(start, &mut block[..n * size]);
        let block = MatRef::from_row_major_slice(&block[..n * size], n, size);
        out.par_chunks_mut(STRIPE * size).enumerate().for_each(|(i, stripe)| {
            let rows = stripe.len() / size;
            let stripe = MatMut::from_row_major_slice_mut(stripe, rows, size);
            let left = block.subcols(i * STRIPE, rows).transpose();
            let width = i * STRIPE + rows;
            let out = stripe.subcols_mut(0, width);
            matmul(out, Accum::Add, left, block.subcols(0, width), 1.0, Par::Seq);
        });
    }
    MatRef::from_row_major_slice(&out, size, size).to_owned()
}

/// Eigenvalues from large to small, none below 0, with the eigenvectors as columns.
pub(crate) fn eigen(gram: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>), EvalError> {
    let eigen = gram
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| EvalError::Numeric("the eigenvalue decomposition"))?;
    let values: Vec<f64> =
        eigen.S().column_vector().iter().rev().map(|v: &f64| v.max(0.0)).collect();
    Ok((values, eigen.U().reverse_cols().to_owned()))
}
