use faer::{MatRef, Side};
use serde::Serialize;

use crate::{EvalError, Features};

/// How far a set of embeddings is from collapse, without labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CollapseSignals {
    /// Standard deviation of the l2-normalised embedding, mean over the dimensions, times √dim:
    /// 1 when the embeddings fill the sphere evenly, 0 when all are one point (complete
    /// collapse). Chen & He (2021), section 4.1, watch the same number.
    pub std: f64,
    /// Effective rank (Roy & Vetterli, 2007; RankMe: Garrido et al., 2023, eq. 1):
    /// `exp(−Σ p_k ln p_k)` with `p_k = σ_k / Σ σ`, over the singular values of the matrix as it is,
    /// neither centred nor normalised. From 1 (dimensional collapse) to `min(rows, dim)`.
    pub effective_rank: f64,
    /// [`effective_rank`](Self::effective_rank) over `min(rows − 1, dim)`, the most that differences
    /// between the rows can span.
    pub effective_rank_share: f64,
}

/// Measures collapse on embeddings `[rows, dim]`, two rows at least.
///
/// The singular values come from the dim × dim (or rows × rows) Gram matrix in f64: its
/// eigenvalues are their squares, so singular values below 1e-8 of the largest drown in rounding,
/// which is far below what could move the entropy.
///
/// # Errors
/// Fewer than two rows, or an eigenvalue problem that does not converge.
pub fn collapse_signals(embeddings: &Features) -> Result<CollapseSignals, EvalError> {
    let (rows, dim) = (embeddings.rows(), embeddings.dim());
    if rows < 2 {
        return Err(EvalError::Request(format!("collapse cannot be told from {rows} embeddings")));
    }
    let effective_rank = effective_rank(embeddings)?;
    let most = (rows - 1).min(dim) as f64;
    Ok(CollapseSignals {
        std: spread(&embeddings.normalized()),
        effective_rank,
        effective_rank_share: effective_rank / most,
    })
}

fn spread(unit: &Features) -> f64 {
    let (n, dim) = (unit.rows() as f64, unit.dim());
    let (mut sum, mut squares) = (vec![0f64; dim], vec![0f64; dim]);
    for row in unit.iter() {
        for ((s, q), v) in sum.iter_mut().zip(&mut squares).zip(row) {
            *s += f64::from(*v);
            *q += f64::from(*v).powi(2);
        }
    }
    let std = sum.iter().zip(&squares).map(|(s, q)| (q / n - (s / n).powi(2)).max(0.0).sqrt());
    std.sum::<f64>() / dim as f64 * (dim as f64).sqrt()
}

fn effective_rank(embeddings: &Features) -> Result<f64, EvalError> {
    let (rows, dim) = (embeddings.rows(), embeddings.dim());
    let values: Vec<f64> = embeddings.values().iter().map(|v| f64::from(*v)).collect();
    let x = MatRef::from_row_major_slice(&values, rows, dim);
    let gram = if dim <= rows { x.transpose() * x } else { x * x.transpose() };
    let eigenvalues = gram
        .self_adjoint_eigenvalues(Side::Lower)
        .map_err(|_| EvalError::Numeric("the eigenvalue decomposition"))?;
    let singular: Vec<f64> = eigenvalues.into_iter().map(|e| e.max(0.0).sqrt()).collect();
    let sum: f64 = singular.iter().sum();
    if sum <= 0.0 {
        // Every embedding is the origin: as collapsed as can be.
        return Ok(1.0);
    }
    let entropy: f64 =
        singular.iter().map(|s| s / sum).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
    Ok(entropy.exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(values: Vec<f32>, dim: usize) -> CollapseSignals {
        let rows = values.len() / dim;
        collapse_signals(&Features::new(values, rows, dim).unwrap()).unwrap()
    }

    /// Sums of twelve uniforms: normal enough, and always the same.
    fn normal(n: usize) -> Vec<f32> {
        let mut state = 9u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        (0..n).map(|_| (0..12).map(|_| next()).sum::<f32>() - 6.0).collect()
    }

    #[test]
    fn one_point_is_complete_collapse() {
        let s = signals([0.3, -0.4, 0.5].repeat(50), 3);
        assert!(s.std < 1e-6 && (s.effective_rank - 1.0).abs() < 1e-3, "{s:?}");
        assert_eq!(signals(vec![0.0; 12], 3).effective_rank, 1.0);
    }

    #[test]
    fn a_line_has_rank_one_and_k_axes_have_rank_k() {
        let line = (1..=40).flat_map(|i| [1.0, -2.0, 0.5, 3.0].map(|v| v * i as f32)).collect();
        assert!((signals(line, 4).effective_rank - 1.0).abs() < 1e-3);
        for k in 1..=6 {
            let axes = (0..12 * k)
                .flat_map(|i| (0..8).map(move |d| f32::from(u8::from(d == i % k))))
                .collect();
            let rank = signals(axes, 8).effective_rank;
            assert!((rank - k as f64).abs() < 1e-3, "{rank} {k}");
        }
    }

    #[test]
    fn an_isotropic_cloud_has_full_rank_and_spread_one() {
        let s = signals(normal(4000 * 16), 16);
        assert!(s.effective_rank > 15.9 && (s.std - 1.0).abs() < 0.02, "{s:?}");
        assert!(s.effective_rank_share > 0.99);
        // Fewer rows than dimensions.
        let s = signals(normal(4 * 64), 64);
        assert!((3.5..=4.0).contains(&s.effective_rank), "{s:?}");
    }

    #[test]
    fn a_dead_dimension_costs_its_share() {
        let mut values = normal(2000 * 8);
        values.iter_mut().step_by(8).for_each(|v| *v = 0.0);
        let s = signals(values, 8);
        assert!((6.8..7.05).contains(&s.effective_rank), "{s:?}");
    }

    #[test]
    fn rank_ignores_scale_and_rotation() {
        let cloud: Vec<f32> = normal(500 * 2).chunks(2).flat_map(|p| [3.0 * p[0], p[1]]).collect();
        let turned = cloud
            .chunks(2)
            .flat_map(|p| [10.0 * (0.6 * p[0] - 0.8 * p[1]), 10.0 * (0.8 * p[0] + 0.6 * p[1])])
            .collect();
        let (a, b) = (signals(cloud, 2).effective_rank, signals(turned, 2).effective_rank);
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}
