//! The inverse of a Cholesky factor, on the host in f64, for whitening.

/// `L⁻¹` with `L Lᵀ = A + shift·I`, row-major, or `None` where `A + shift·I` is not positive
/// definite to within `tolerance`.
///
/// `matrix`: `A`, symmetric, row-major `dim²` numbers; only its upper triangle is read.
/// `tolerance`: the share of a diagonal element that must be left after all earlier rows are
/// eliminated. In a covariance this is the share of a feature's variance that earlier features do
/// not explain, whatever their scales.
///
/// About `dim³ / 3` multiplications.
pub(crate) fn inverse_cholesky(
    matrix: &[f64],
    dim: usize,
    shift: f64,
    tolerance: f64,
) -> Option<Vec<f64>> {
    // R = Lᵀ replaces the upper triangle row by row, so that every inner loop runs along rows.
    let mut upper = matrix.to_vec();
    let mut inverse = vec![0.0; dim * dim];
    for i in 0..dim {
        let (above, row) = upper.split_at_mut(i * dim);
        let (inverse_above, inverse_row) = inverse.split_at_mut(i * dim);
        let row = &mut row[i..dim];
        let inverse_row = &mut inverse_row[..=i];
        row[0] += shift;
        inverse_row[i] = 1.0;

        let diagonal = row[0];
        let rows_above = above.chunks_exact(dim).zip(inverse_above.chunks_exact(dim));
        for (k, (r, w)) in rows_above.enumerate() {
            subtract_multiple(row, r[i], &r[i..]);
            subtract_multiple(&mut inverse_row[..=k], r[i], &w[..=k]);
        }
        let pivot = row[0];
        if pivot.is_nan() || pivot <= (tolerance * diagonal).max(0.0) {
            return None;
        }
        let scale = 1.0 / pivot.sqrt();
        row.iter_mut().for_each(|x| *x *= scale);
        inverse_row.iter_mut().for_each(|x| *x *= scale);
    }
    Some(inverse)
}

/// `x −= factor · y`.
fn subtract_multiple(x: &mut [f64], factor: f64, y: &[f64]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x -= factor * y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed() {
        // L = [[2, 0, 0], [1, 1, 0], [-1, 3, 0.5]].
        let a = [4.0, 2.0, -2.0, 2.0, 2.0, 2.0, -2.0, 2.0, 10.25];
        let inverse = inverse_cholesky(&a, 3, 0.0, 1e-12).unwrap();
        assert_eq!(inverse, [0.5, 0.0, 0.0, -0.5, 1.0, 0.0, 4.0, -6.0, 2.0]);
    }

    #[test]
    fn the_shift_is_added_to_the_diagonal() {
        let inverse = inverse_cholesky(&[3.0, 0.0, 0.0, 8.0], 2, 1.0, 1e-12).unwrap();
        assert_eq!(inverse, [0.5, 0.0, 0.0, 1.0 / 3.0]);
    }

    #[test]
    fn matrices_that_are_not_positive_definite_are_refused() {
        for a in [[1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 2.0, 1.0], [0.0; 4], [f64::NAN; 4], [-1.0; 4]] {
            assert_eq!(inverse_cholesky(&a, 2, 0.0, 1e-12), None, "{a:?}");
        }
        // Positive definite, but not to within the tolerance.
        let nearly = [1.0, 1.0, 1.0, 1.0 + 1e-9];
        assert!(inverse_cholesky(&nearly, 2, 0.0, 1e-12).is_some());
        assert_eq!(inverse_cholesky(&nearly, 2, 0.0, 1e-6), None);
    }
}
