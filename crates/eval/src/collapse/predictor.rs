//! What BYOL's predictor and target network do, for the collapse doctor.

use faer::{Mat, MatRef, Side};
use serde::{Deserialize, Serialize};

use super::pair::check_pair;
use super::spectrum::{effective_rank, participation_ratio, singular_values};
use super::spread::{Moments, unit};
use crate::{EvalError, Features};

/// The fitted map leaves out principal directions of the input whose variance is below this share
/// of the largest variance. In these directions, the rounding of an f32 predictor would be divided
/// by almost nothing.
const INPUT_FLOOR: f64 = 1e-8;

/// What BYOL's predictor does to its input, as a linear map.
///
/// Tian et al. (2021, section 3) show why this is the thing to watch. The predictor's eigenspace
/// aligns with that of its input's correlation matrix. A direction survives training only while the
/// predictor keeps it. So a predictor that keeps one direction leads the embedding into dimensional
/// collapse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictorSpectrum {
    /// Singular values over the largest, largest first.
    pub singular_values: Vec<f64>,
    /// The largest, before that division.
    pub largest: f64,
    /// Effective rank (Roy & Vetterli, 2007) of the map.
    pub effective_rank: f64,
    /// Participation ratio of the squared singular values.
    pub participation: f64,
    /// R² of a fitted map, the share of the output's variance that it explains: how linear the
    /// predictor is on these inputs. `None` for a weight matrix, which is exact.
    pub explained: Option<f64>,
}

impl PredictorSpectrum {
    /// Of a linear predictor's weights, row-major `[outputs, inputs]`.
    ///
    /// # Errors
    /// Another length, a value that is not finite, an eigenvalue problem that does not converge.
    pub fn of_weights(weights: &[f32], outputs: usize, inputs: usize) -> Result<Self, EvalError> {
        let weights = Features::new(weights.to_vec(), outputs, inputs)?;
        if outputs == 0 {
            return Err(EvalError::Request("the predictor has no outputs".into()));
        }
        let values: Vec<f64> = weights.values().iter().map(|v| f64::from(*v)).collect();
        Self::new(MatRef::from_row_major_slice(&values, outputs, inputs), None)
    }

    /// Of any predictor q, from its inputs z `[rows, in]` and outputs q(z) `[rows, out]`. It is the
    /// least-squares map between the centred matrices, on the principal directions of the inputs.
    ///
    /// # Errors
    /// Different numbers of rows, no more rows than inputs (which would not determine the map), or
    /// an eigenvalue problem that does not converge.
    pub fn of_map(inputs: &Features, outputs: &Features) -> Result<Self, EvalError> {
        let (rows, width) = (inputs.rows(), inputs.dim());
        if outputs.rows() != rows || rows <= width {
            let others = outputs.rows();
            return Err(EvalError::Request(format!(
                "a predictor's map needs as many outputs as inputs, and more than the {width} \
                 dimensions of an input: {rows} inputs and {others} outputs"
            )));
        }
        let (z, q) = (centred(inputs), centred(outputs));
        let z = MatRef::from_row_major_slice(&z, rows, width);
        let q = MatRef::from_row_major_slice(&q, rows, outputs.dim());
        let (covariance, moments) = (z.transpose() * z, z.transpose() * q);
        let eigen = covariance
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| EvalError::Numeric("the eigenvalue decomposition"))?;
        let (values, vectors) = (eigen.S().column_vector(), eigen.U());
        let floor = INPUT_FLOOR * values.iter().copied().fold(0.0, f64::max);

        // A = V Λ⁺ Vᵀ Zᵀ Q. The outer V does not change the singular values, so it is left out.
        let mut map: Mat<f64> = vectors.transpose() * &moments;
        let mut explained = 0.0;
        for i in 0..width {
            for j in 0..map.ncols() {
                let along = map[(i, j)];
                let kept = values[i] > floor;
                map[(i, j)] = if kept { along / values[i] } else { 0.0 };
                explained += along * map[(i, j)];
            }
        }
        let total = q.squared_norm_l2();
        let explained = if total > 0.0 { (explained / total).clamp(0.0, 1.0) } else { 1.0 };
        Self::new(map.as_ref(), Some(explained))
    }

    fn new(map: MatRef<'_, f64>, explained: Option<f64>) -> Result<Self, EvalError> {
        let mut values = singular_values(map)?;
        let largest = values.first().copied().unwrap_or(0.0);
        if largest > 0.0 {
            values.iter_mut().for_each(|s| *s /= largest);
        }
        Ok(Self {
            effective_rank: effective_rank(&values),
            participation: participation_ratio(&values),
            singular_values: values,
            largest,
            explained,
        })
    }
}

/// Relative distance of the target's weights ξ from the online network's θ, `‖θ − ξ‖ / ‖θ‖` over
/// all parameters together: one pair of slices `(θ, ξ)` per parameter. 0 for no weights at all.
///
/// # Errors
/// A pair of different lengths, or weights that are not finite.
pub fn weight_distance<'a>(
    parameters: impl IntoIterator<Item = (&'a [f32], &'a [f32])>,
) -> Result<f64, EvalError> {
    let (mut apart, mut size) = (0f64, 0f64);
    for (online, target) in parameters {
        if online.len() != target.len() {
            let (a, b) = (online.len(), target.len());
            return Err(EvalError::Request(format!(
                "a parameter has {a} values in one network and {b} in the other"
            )));
        }
        for (a, b) in online.iter().zip(target) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            apart += (a - b) * (a - b);
            size += a * a;
        }
    }
    if !(apart.is_finite() && size.is_finite()) {
        return Err(EvalError::Request("the weights are not finite: training has diverged".into()));
    }
    match (apart, size) {
        (0.0, _) => Ok(0.0),
        (_, 0.0) => Err(EvalError::Request("the online network's weights are all 0".into())),
        _ => Ok((apart / size).sqrt()),
    }
}

/// 1 minus the mean cosine similarity of online and target projections of the same images, in
/// `[0, 2]`.
///
/// # Errors
/// Different shapes, or fewer than two rows.
pub fn projection_distance(online: &Features, target: &Features) -> Result<f64, EvalError> {
    check_pair(online, target)?;
    let (u, v) = (unit(online), unit(target));
    // Half the squared distance: exact where 1 − cos cancels.
    let squared = u.iter().zip(&v).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
    Ok(squared / 2.0 / online.rows() as f64)
}

fn centred(features: &Features) -> Vec<f64> {
    let mut values: Vec<f64> = features.values().iter().map(|v| f64::from(*v)).collect();
    let Moments { mean, .. } = Moments::of(&values, features.dim());
    for row in values.chunks_exact_mut(features.dim()) {
        row.iter_mut().zip(&mean).for_each(|(v, m)| *v -= m);
    }
    values
}
