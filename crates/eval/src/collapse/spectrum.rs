//! Singular values, and effective ranks from them.

use faer::{Mat, MatRef, Side};

use crate::EvalError;

/// Singular values of `[rows, dim]`, largest first, `min(rows, dim)` of them.
///
/// They come from the smaller Gram matrix in f64. Its eigenvalues are their squares, so values
/// below 1e-8 of the largest are lost in rounding. Nothing here depends on such small values.
pub(super) fn singular_values(x: MatRef<'_, f64>) -> Result<Vec<f64>, EvalError> {
    roots(&gram(x))
}

/// `XᵀX` or `XXᵀ`, whichever is smaller.
pub(super) fn gram(x: MatRef<'_, f64>) -> Mat<f64> {
    if x.ncols() <= x.nrows() { x.transpose() * x } else { x * x.transpose() }
}

/// Square roots of the eigenvalues of a Gram matrix, largest first.
pub(super) fn roots(gram: &Mat<f64>) -> Result<Vec<f64>, EvalError> {
    let mut values: Vec<f64> = gram
        .self_adjoint_eigenvalues(Side::Lower)
        .map_err(|_| EvalError::Numeric("the eigenvalue decomposition"))?
        .into_iter()
        .map(|e| e.max(0.0).sqrt())
        .collect();
    values.sort_by(|a, b| b.total_cmp(a));
    Ok(values)
}

/// Effective rank (Roy & Vetterli, 2007; RankMe: Garrido et al., 2023, eq. 1) of a matrix with
/// these singular values: `exp(−Σ p_k ln p_k)` with `p_k = σ_k / Σ σ`, from 1 to the number of
/// values. 1 if all of them are 0.
pub fn effective_rank(singular_values: &[f64]) -> f64 {
    let sum: f64 = singular_values.iter().sum();
    if sum <= 0.0 {
        return 1.0;
    }
    let shares = singular_values.iter().map(|s| s / sum).filter(|p| *p > 0.0);
    shares.map(|p| -p * p.ln()).sum::<f64>().exp()
}

/// Participation ratio `(Σ σ²)² / Σ σ⁴`: the number of directions of equal variance that would be
/// as concentrated. 1 if all values are 0. A long tail of small values hardly changes it. It
/// changes [`effective_rank`].
pub fn participation_ratio(singular_values: &[f64]) -> f64 {
    let largest = singular_values.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return 1.0;
    }
    let variances = singular_values.iter().map(|s| (s / largest).powi(2));
    let (sum, squares) = variances.fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v));
    sum * sum / squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_count_and_a_tail_counts_little() {
        for k in [1, 2, 7, 200] {
            assert!((effective_rank(&vec![0.3; k]) - k as f64).abs() < 1e-9);
            assert!((participation_ratio(&vec![0.3; k]) - k as f64).abs() < 1e-9);
        }
        let mut tail = vec![0.01; 255];
        tail.push(1.0);
        assert!(effective_rank(&tail) > 90.0 && participation_ratio(&tail) < 1.06);
        assert_eq!((effective_rank(&[0.0; 3]), participation_ratio(&[0.0; 3])), (1.0, 1.0));
    }

    #[test]
    fn both_gram_matrices_give_the_same_values() {
        let wide = Mat::from_fn(3, 5, |i, j| ((i * 7 + j * 3) % 5) as f64 - 1.5);
        let (a, b) = (singular_values(wide.as_ref()), singular_values(wide.transpose()));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.len(), b.len()), (3, 3));
        assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-6));
        assert!(a.is_sorted_by(|x, y| x >= y));
    }
}
