//! What two views of the same images say about collapse.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use serde::{Deserialize, Serialize};

use super::spread::{Moments, ROUNDING, unit};
use crate::features::check_dims;
use crate::{EvalError, Features};

/// How two views' embeddings of the same images relate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairSignals {
    /// Images.
    pub rows: usize,
    /// Length of an embedding.
    pub dim: usize,
    /// `E ‖u − v‖²` of the l2-normalised views u, v of an image, in `[0, 4]`: 0 when the views
    /// agree (Wang & Isola, 2020, eq. 1 with α = 2). It is BYOL's loss in one direction, without
    /// predictor and target.
    pub alignment: f64,
    /// `ln E e^{−2‖u_i − u_j‖²}` over pairs of different images, mean of both views, at most 0
    /// (Wang & Isola, 2020, eq. 2 with t = 2): 0 when all images are one point, near −4 when they
    /// fill a sphere of many dimensions evenly.
    pub uniformity: f64,
    /// Row-major `[dim, dim]`. `C_ij` is the correlation over the images between dimension i of the
    /// first view and dimension j of the second (Zbontar et al., 2021, eq. 2), in `[−1, 1]`. It is
    /// 0 if a dimension is constant. The mean is subtracted and the variance biased, as in the
    /// loss. The loss adds 1e-5 to the variance. This is left out here, so that scale does not
    /// matter. The matrix is large in JSON: empty it if only the figures are kept.
    pub cross_correlation: Vec<f32>,
    /// `Σ_i (1 − C_ii)²`, Barlow Twins' invariance term.
    pub on_diagonal: f64,
    /// `Σ_i Σ_{j≠i} C_ij²`, Barlow Twins' redundancy term, not multiplied by λ.
    pub off_diagonal: f64,
    /// Mean of `C_ii`.
    pub mean_diagonal: f64,
    /// Mean of `|C_ij|`, i ≠ j; 0 for one dimension. Chance alone makes it about `0.8 / √rows`.
    pub mean_off_diagonal: f64,
}

impl PairSignals {
    /// `a`, `b`: `[rows, dim]` each, row i of both from the same image; two rows at least.
    ///
    /// Costs `2 · rows² · dim` for uniformity and `rows · dim²` for the correlations, on one
    /// thread.
    ///
    /// # Errors
    /// Different shapes, or fewer than two rows.
    pub fn of(a: &Features, b: &Features) -> Result<Self, EvalError> {
        check_pair(a, b)?;
        let (rows, dim) = (a.rows(), a.dim());
        let (u, v) = (unit(a), unit(b));
        let squared = u.iter().zip(&v).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();

        let (x, y) = (standardized(a), standardized(b));
        let matrix = |values| MatRef::from_row_major_slice(values, rows, dim);
        let mut cross = vec![0f64; dim * dim];
        let out = MatMut::from_row_major_slice_mut(&mut cross, dim, dim);
        let scale = 1.0 / rows as f64;
        matmul(out, Accum::Replace, matrix(&x).transpose(), matrix(&y), scale, Par::Seq);
        // The Cauchy–Schwarz inequality holds up to rounding.
        cross.iter_mut().for_each(|c| *c = c.clamp(-1.0, 1.0));

        let diagonal = || (0..dim).map(|i| cross[i * dim + i]);
        let off = || cross.iter().enumerate().filter(|(k, _)| k % (dim + 1) != 0).map(|(_, c)| c);
        let pairs = (dim * (dim - 1)).max(1) as f64;
        Ok(Self {
            rows,
            dim,
            alignment: squared / rows as f64,
            uniformity: (uniformity(&u, dim) + uniformity(&v, dim)) / 2.0,
            on_diagonal: diagonal().map(|c| (1.0 - c) * (1.0 - c)).sum(),
            off_diagonal: off().map(|c| c * c).sum(),
            mean_diagonal: diagonal().sum::<f64>() / dim as f64,
            mean_off_diagonal: off().map(|c| c.abs()).sum::<f64>() / pairs,
            cross_correlation: cross.iter().map(|c| *c as f32).collect(),
        })
    }
}

pub(super) fn check_pair(a: &Features, b: &Features) -> Result<(), EvalError> {
    check_dims(a.dim(), b.dim())?;
    let (rows, others) = (a.rows(), b.rows());
    if rows != others || rows < 2 {
        let message = format!(
            "two views need the same number of rows, two at least, not {rows} and {others}"
        );
        return Err(EvalError::Request(message));
    }
    Ok(())
}

/// Works on blocks of rows, so that memory is `BLOCK · rows` numbers.
fn uniformity(unit: &[f64], dim: usize) -> f64 {
    const BLOCK: usize = 128;
    let single: Vec<f32> = unit.iter().map(|v| *v as f32).collect();
    let rows = single.len() / dim;
    let all = MatRef::from_row_major_slice(&single, rows, dim);
    let norm = |i: usize| unit[i * dim..(i + 1) * dim].iter().map(|v| v * v).sum::<f64>();
    let norms: Vec<f64> = (0..rows).map(norm).collect();
    let mut cosines = vec![0f32; BLOCK * rows];
    let mut sum = 0f64;
    for start in (0..rows).step_by(BLOCK) {
        let n = BLOCK.min(rows - start);
        // Pairs are counted once: the later of the two is in the block.
        let earlier = start + n;
        let out = MatMut::from_row_major_slice_mut(&mut cosines[..n * earlier], n, earlier);
        let (block, before) = (all.subrows(start, n), all.subrows(0, earlier));
        matmul(out, Accum::Replace, block, before.transpose(), 1.0, Par::Seq);
        for (i, row) in cosines[..n * earlier].chunks_exact(earlier).enumerate() {
            let i = start + i;
            for (cosine, norm) in row[..i].iter().zip(&norms) {
                let distance = norms[i] + norm - 2.0 * f64::from(*cosine);
                sum += (-2.0 * distance.max(0.0)).exp();
            }
        }
    }
    let pairs = (rows * (rows - 1) / 2) as f64;
    (sum / pairs).ln().min(0.0)
}

/// Mean 0 and biased variance 1 per dimension; a constant dimension becomes 0.
fn standardized(embeddings: &Features) -> Vec<f64> {
    let dim = embeddings.dim();
    let mut values: Vec<f64> = embeddings.values().iter().map(|v| f64::from(*v)).collect();
    let Moments { mean, variance } = Moments::of(&values, dim);
    let scale = mean.iter().zip(&variance).map(|(m, v)| {
        let std = v.sqrt();
        if std > ROUNDING * m.abs() { 1.0 / std } else { 0.0 }
    });
    let scale: Vec<f64> = scale.collect();
    for row in values.chunks_exact_mut(dim) {
        for ((v, m), s) in row.iter_mut().zip(&mean).zip(&scale) {
            *v = (*v - m) * s;
        }
    }
    values
}
