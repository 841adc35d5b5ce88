//! How widely a set of embeddings spreads.

use faer::{Mat, MatRef};
use serde::{Deserialize, Serialize};

use super::spectrum::{effective_rank, gram, participation_ratio, roots};
use crate::{EvalError, Features};

/// A dimension is dead if its standard deviation is below this share of the root mean square over
/// all dimensions. The share is above the rounding of a constant in f32 (1e-7). A feature after
/// ReLU may be above 0 for one image in a hundred thousand only. Its standard deviation is 3e-3 of
/// its height, and the share is below this, too.
const DEAD_SHARE: f64 = 1e-3;

/// A standard deviation below this share of the mean is the rounding of a constant in f32.
pub(super) const ROUNDING: f64 = 1e-6;

/// A direction is in use if its standard deviation is at least this share of the strongest one's.
///
/// A count of the directions that hold 99 % of the variance would miss those that classify. An
/// encoder that ends at 0.79 with k-NN has 99 % in 12 of 64 directions. It differs from an
/// untrained encoder in the rest.
const DIRECTION_FLOOR: f64 = 0.01;

/// How far embeddings `[rows, dim]` are spread, without labels.
///
/// The *differences* between embeddings decide about collapse. So the spectrum is that of the
/// centred matrix. A shared mean does not help to tell images apart, and after a ReLU there always
/// is one. Yet it is the largest singular value of the uncentred matrix and lowers RankMe. The
/// published RankMe, uncentred, stands beside it for comparison with published figures. Centring
/// loses the size of the differences. [`spread`](Self::spread) has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Embeddings.
    pub rows: usize,
    /// Their length.
    pub dim: usize,
    /// Standard deviation of the l2-normalised embedding in every dimension, times √dim. All are 1
    /// if the embeddings fill the sphere evenly, and 0 if they are one point. Chen & He (2021),
    /// section 4.1, watch the mean of these.
    pub std: Vec<f64>,
    /// Mean of [`std`](Self::std), at most 1.
    pub mean_std: f64,
    /// Variance of the l2-normalised embedding, summed over the dimensions: 0 when all have one
    /// direction, 1 when their mean is the origin. Mean cosine similarity of two embeddings is 1
    /// minus this, up to 1/rows.
    pub spread: f64,
    /// `E‖z − E z‖² / E‖z‖²` of the embeddings as they are: 0 when all are one point, whatever its
    /// size.
    pub raw_spread: f64,
    /// Dimensions (as they are, not normalised) that hardly vary, ascending.
    pub dead: Vec<usize>,
    /// Singular values of the centred matrix over √rows: the standard deviations along the
    /// principal directions, largest first, `min(rows − 1, dim)` of them.
    pub spectrum: Vec<f64>,
    /// Principal directions in use: those whose standard deviation is at least 1 % of that of the
    /// strongest. 0 if nothing varies. Exactly k if k directions are comparably strong and the rest
    /// is noise below 1 %.
    pub directions: usize,
    /// Participation ratio of the principal variances, `(Σ λ)² / Σ λ²`.
    pub participation: f64,
    /// RankMe (Garrido et al., 2023, eq. 1) of the matrix, neither centred nor normalised.
    pub effective_rank: f64,
    /// The same of the centred matrix.
    pub centred_effective_rank: f64,
}

impl Spread {
    /// Measures embeddings `[rows, dim]`, two rows at least.
    ///
    /// One product of `rows · dim · min(rows, dim)` and two eigenvalue problems of
    /// `min(rows, dim)`, in f64, on one thread. The result depends on the values only.
    ///
    /// # Errors
    /// Fewer than two rows, or an eigenvalue problem that does not converge.
    pub fn of(embeddings: &Features) -> Result<Self, EvalError> {
        let (rows, dim) = (embeddings.rows(), embeddings.dim());
        if rows < 2 {
            let message = format!("collapse needs two embeddings at least, not {rows}");
            return Err(EvalError::Request(message));
        }
        let (n, root) = (rows as f64, (dim as f64).sqrt());

        let unit = Moments::of(&unit(embeddings), dim);
        let std: Vec<f64> = unit.variance.iter().map(|v| v.sqrt() * root).collect();

        let mut values: Vec<f64> = embeddings.values().iter().map(|v| f64::from(*v)).collect();
        let raw = Moments::of(&values, dim);
        let total: f64 = raw.variance.iter().sum();
        let squared_mean: f64 = raw.mean.iter().map(|m| m * m).sum();
        let floor = |d: usize| {
            let among_others = DEAD_SHARE.powi(2) * total / dim as f64;
            among_others.max((ROUNDING * raw.mean[d]).powi(2))
        };
        let dead = (0..dim).filter(|d| raw.variance[*d] <= floor(*d)).collect();

        for row in values.chunks_exact_mut(dim) {
            row.iter_mut().zip(&raw.mean).for_each(|(v, m)| *v -= m);
        }
        let centred = MatRef::from_row_major_slice(&values, rows, dim);
        let mut gram = gram(centred);
        let mut spectrum = roots(&gram)?;
        // The sum of the rows is 0, so a matrix of few rows has one singular value less.
        spectrum.truncate((rows - 1).min(dim));
        spectrum.iter_mut().for_each(|s| *s /= n.sqrt());

        // X = X_c + 1 mᵀ. So its Gram matrix needs no second product, and nothing cancels in the
        // addition.
        if dim <= rows {
            add(&mut gram, |i, j| n * raw.mean[i] * raw.mean[j]);
        } else {
            let dot = |row: &[f64]| row.iter().zip(&raw.mean).map(|(v, m)| v * m).sum::<f64>();
            let along: Vec<f64> = values.chunks_exact(dim).map(dot).collect();
            add(&mut gram, |i, j| along[i] + along[j] + squared_mean);
        }

        Ok(Self {
            rows,
            dim,
            mean_std: std.iter().sum::<f64>() / dim as f64,
            std,
            spread: unit.variance.iter().sum(),
            raw_spread: ratio(total, total + squared_mean),
            dead,
            directions: directions(&spectrum),
            participation: participation_ratio(&spectrum),
            effective_rank: effective_rank(&roots(&gram)?),
            centred_effective_rank: effective_rank(&spectrum),
            spectrum,
        })
    }

    /// `min(rows − 1, dim)`: the most directions that differences between the rows can span.
    pub fn most_directions(&self) -> usize {
        (self.rows - 1).min(self.dim)
    }

    /// [`effective_rank`](Self::effective_rank) over [`most_directions`](Self::most_directions).
    pub fn effective_rank_share(&self) -> f64 {
        self.effective_rank / self.most_directions() as f64
    }
}

fn directions(spectrum: &[f64]) -> usize {
    let strongest = spectrum.first().copied().unwrap_or(0.0);
    let used = spectrum.iter().filter(|s| **s > 0.0 && **s >= DIRECTION_FLOOR * strongest);
    used.count()
}

fn add(matrix: &mut Mat<f64>, entry: impl Fn(usize, usize) -> f64) {
    for j in 0..matrix.ncols() {
        for i in 0..matrix.nrows() {
            matrix[(i, j)] += entry(i, j);
        }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Rows of length one in f64; rows of zeros stay.
pub(super) fn unit(embeddings: &Features) -> Vec<f64> {
    let mut unit: Vec<f64> = embeddings.values().iter().map(|v| f64::from(*v)).collect();
    for row in unit.chunks_exact_mut(embeddings.dim()) {
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|v| *v /= norm);
        }
    }
    unit
}

/// Mean and biased variance of every dimension.
pub(super) struct Moments {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
}

impl Moments {
    /// Takes two passes, since the differences may be a millionth of the mean.
    pub fn of(values: &[f64], dim: usize) -> Self {
        let n = (values.len() / dim) as f64;
        let (mut mean, mut variance) = (vec![0f64; dim], vec![0f64; dim]);
        for row in values.chunks_exact(dim) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += v);
        }
        mean.iter_mut().for_each(|m| *m /= n);
        for row in values.chunks_exact(dim) {
            for ((s, m), v) in variance.iter_mut().zip(&mean).zip(row) {
                *s += (v - m) * (v - m);
            }
        }
        variance.iter_mut().for_each(|s| *s /= n);
        Self { mean, variance }
    }
}
