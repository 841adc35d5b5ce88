//! The features of a set of images, which everything here judges.

use crate::EvalError;

/// One feature vector per image.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    values: Vec<f32>,
    rows: usize,
    dim: usize,
}

impl Features {
    /// `values`: row-major `[rows, dim]`, all finite, dim ≥ 1.
    ///
    /// # Errors
    /// Another length, or a value that is NaN or infinite.
    pub fn new(values: Vec<f32>, rows: usize, dim: usize) -> Result<Self, EvalError> {
        if dim == 0 || rows.checked_mul(dim) != Some(values.len()) {
            let n = values.len();
            return Err(EvalError::Request(format!("{n} values are not {rows} rows of {dim}")));
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(EvalError::NotFinite { row: i / dim, dim: i % dim, value: values[i] });
        }
        Ok(Self { values, rows, dim })
    }

    /// How many vectors.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Row-major `[rows, dim]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The vectors one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    /// Every vector divided by its length. A zero vector stays zero.
    pub fn normalized(&self) -> Self {
        let mut values = self.values.clone();
        for row in values.chunks_exact_mut(self.dim) {
            let norm = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
            if norm > 0.0 {
                row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
            }
        }
        Self { values, ..*self }
    }

    /// Some of the vectors, in the order of `indices`. Indices out of range are left out.
    pub fn select(&self, indices: &[usize]) -> Self {
        let rows = indices.iter().filter_map(|i| self.values.get(i * self.dim..(i + 1) * self.dim));
        let values: Vec<f32> = rows.flatten().copied().collect();
        Self { rows: values.len() / self.dim, values, dim: self.dim }
    }
}

/// Whether features can be compared.
///
/// # Errors
/// Features of different lengths.
pub(crate) fn check_dims(train: usize, test: usize) -> Result<(), EvalError> {
    if train != test {
        return Err(EvalError::Request(format!(
            "features of different lengths: {train} and {test}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_or_not_a_matrix_is_refused() {
        let error = Features::new(vec![0.0, 1.0, f32::NAN, 3.0], 2, 2).unwrap_err();
        assert!(matches!(error, EvalError::NotFinite { row: 1, dim: 0, .. }), "{error}");
        assert!(Features::new(vec![0.0; 3], 2, 2).is_err());
    }

    #[test]
    fn normalized_rows_have_length_one_or_zero() {
        let features = Features::new(vec![3.0, 4.0, 0.0, 0.0], 2, 2).unwrap().normalized();
        assert_eq!(features.values(), [0.6, 0.8, 0.0, 0.0]);
    }
}
