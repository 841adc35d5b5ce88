//! Principal components.

use faer::{Mat, MatRef};

use crate::gram::{LARGEST, Scaling, eigen};
use crate::{EvalError, Features};

/// Principal component analysis of features (Jolliffe, 2002, chapter 1).
///
/// After subtracting the mean μ, features vary most along the components: unit vectors
/// `v_1, v_2, …` at right angles, the eigenvectors of `XᵀX / (n − 1)`. They come from the smaller
/// of the two Gram matrices in f64, `XᵀX` or `XXᵀ` (with `v = Xᵀu / √λ`).
///
/// If both rows and dimensions are more than 4,096 (large images as pixels), the components are
/// those of 4,096 evenly spaced rows. So memory never grows with the square of the dimensions.
///
/// The largest entry of a component, by magnitude, is positive. Directions without variance are
/// zero vectors, so constant features are 0 everywhere. The same features give the same bits on any
/// number of threads.
#[derive(Debug, Clone)]
pub struct Pca {
    centring: Scaling,
    /// `[dim, k]`
    components: Mat<f64>,
    variance: Vec<f64>,
    total_variance: f64,
}

impl Pca {
    /// The first `k` components, or as many as there are rows or dimensions if those are fewer.
    ///
    /// # Errors
    /// No component asked for, no rows, or an eigenvalue problem that does not converge.
    pub fn fit(features: &Features, k: usize) -> Result<Self, EvalError> {
        if k == 0 || features.rows() == 0 {
            let rows = features.rows();
            return Err(EvalError::Request(format!("cannot take {k} components of {rows} rows")));
        }
        Self::fit_within(features, k, LARGEST)
    }

    fn fit_within(features: &Features, k: usize, largest: usize) -> Result<Self, EvalError> {
        let rows = features.rows();
        if rows.min(features.dim()) > largest {
            let chosen: Vec<usize> = (0..largest).map(|i| i * rows / largest).collect();
            return Self::fit_all(&features.select(&chosen), k);
        }
        Self::fit_all(features, k)
    }

    fn fit_all(features: &Features, k: usize) -> Result<Self, EvalError> {
        let (rows, dim) = (features.rows(), features.dim());
        let k = k.min(rows).min(dim);
        let centring = Scaling::centring(features);
        let by_columns = dim <= rows;
        let gram = if by_columns {
            centring.gram_of_columns(features)
        } else {
            centring.gram_of_rows(features)
        };
        let (eigenvalues, vectors) = eigen(&gram)?;
        let vectors = vectors.subcols(0, k);
        let mut components =
            if by_columns { vectors.to_owned() } else { centring.combination(features, vectors) };
        let floor = 1e-12 * eigenvalues[0];
        for (j, value) in eigenvalues.iter().take(k).enumerate() {
            let column: Vec<f64> = components.col(j).iter().copied().collect();
            let largest =
                column.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
            let length = column.iter().map(|v| v * v).sum::<f64>().sqrt();
            let scale = if *value > floor { largest.signum() / length } else { 0.0 };
            components.col_mut(j).iter_mut().for_each(|v| *v *= scale);
        }
        let freedom = (rows - 1).max(1) as f64;
        let variance = eigenvalues.iter().take(k);
        let variance = variance.map(|v| if *v > floor { v / freedom } else { 0.0 }).collect();
        let total_variance = eigenvalues.iter().sum::<f64>() / freedom;
        Ok(Self { centring, components, variance, total_variance })
    }

    /// How many components.
    pub fn components(&self) -> usize {
        self.variance.len()
    }

    /// Component `index`, a vector of the features' length: 1 long, or 0 without variance.
    pub fn component(&self, index: usize) -> Option<Vec<f64>> {
        (index < self.components()).then(|| self.components.col(index).iter().copied().collect())
    }

    /// Variance along each component (divided by n − 1), from large to small.
    pub fn explained_variance(&self) -> &[f64] {
        &self.variance
    }

    /// Share of all variance along each component. All are 0 if nothing varies.
    pub fn explained_variance_share(&self) -> Vec<f64> {
        let total = self.total_variance;
        self.variance.iter().map(|v| if total > 0.0 { v / total } else { 0.0 }).collect()
    }

    /// Coordinates along the components: `(x − μ) V`, `[rows, components]`.
    ///
    /// # Errors
    /// Features of another length than those of [`fit`](Self::fit), or so large that a coordinate
    /// is not finite.
    pub fn transform(&self, features: &Features) -> Result<Features, EvalError> {
        if features.dim() != self.components.nrows() {
            let (a, b) = (features.dim(), self.components.nrows());
            return Err(EvalError::Request(format!(
                "the features have length {a}, the components {b}"
            )));
        }
        let components: MatRef<'_, f64> = self.components.as_ref();
        let values = self.centring.product(features, components);
        let values = values.into_iter().map(|v| v as f32).collect();
        Features::new(values, features.rows(), self.components())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Entry (i, j) is `((7 i + 3 j + i j) mod 11) / 4`.
    fn fixed(rows: usize, dim: usize) -> Features {
        let value =
            |k: usize| ((7 * (k / dim) + 3 * (k % dim) + (k / dim) * (k % dim)) % 11) as f32 / 4.0;
        Features::new((0..rows * dim).map(value).collect(), rows, dim).unwrap()
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn components_and_variances_are_numpys() {
        // numpy.linalg.svd of the centred matrix, signs as here.
        let pca = Pca::fit(&fixed(9, 4), 2).unwrap();
        assert!(
            close(pca.explained_variance(), &[0.827134852654065, 0.717218137810269]),
            "{pca:?}"
        );
        assert!(
            close(
                &pca.component(1).unwrap(),
                &[
                    0.1633180141451989,
                    0.9633044282814397,
                    0.04443980070469378,
                    -0.20831924736414503
                ]
            ),
            "{pca:?}"
        );
        let pca = Pca::fit(&fixed(5, 8), 2).unwrap();
        assert!(
            close(pca.explained_variance(), &[1.8906249999999993, 1.5024723633517714]),
            "{pca:?}"
        );
        assert!(
            close(
                &pca.component(1).unwrap(),
                &[
                    0.6590442935971021,
                    0.04887850685575054,
                    -0.14663552056725154,
                    -0.28064363994280067,
                    -0.0,
                    0.28064363994280067,
                    -0.3295221467985512,
                    -0.5250361742215532
                ]
            ),
            "{pca:?}"
        );
    }

    #[test]
    fn constant_features_and_single_rows_are_zero_everywhere() {
        for features in [Features::new([1.0, 2.0].repeat(6), 6, 2).unwrap(), fixed(1, 3)] {
            let pca = Pca::fit(&features, 2).unwrap();
            assert!(pca.transform(&features).unwrap().values().iter().all(|v| *v == 0.0));
            assert!(pca.explained_variance_share().iter().all(|v| *v == 0.0));
        }
    }

    #[test]
    fn many_long_rows_are_fitted_on_a_part_of_them() {
        let all = fixed(12, 10);
        let part = all.select(&[0, 2, 4, 6, 8, 10]);
        let fitted = Pca::fit_within(&all, 4, 6).unwrap();
        let expected = Pca::fit(&part, 4).unwrap();
        assert_eq!(fitted.explained_variance(), expected.explained_variance());
        assert_eq!(fitted.transform(&all).unwrap(), expected.transform(&all).unwrap());
    }

    #[test]
    fn bad_requests_are_errors() {
        let features = fixed(12, 5);
        assert!(Pca::fit(&features, 0).is_err());
        assert!(Pca::fit(&Features::new(vec![], 0, 2).unwrap(), 1).is_err());
        assert!(Pca::fit(&features, 5).unwrap().transform(&fixed(2, 4)).is_err());
    }

    proptest! {
        #[test]
        fn components_are_orthonormal_and_coordinates_keep_the_distances(
            rows in 2usize..12,
            dim in 1usize..12,
            seed: u64,
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let values = (0..rows * dim).map(|_| rng.random::<f32>() - 0.3).collect();
            let features = Features::new(values, rows, dim).unwrap();
            let pca = Pca::fit(&features, 20).unwrap();
            prop_assert_eq!(pca.components(), rows.min(dim));
            for i in 0..pca.components() {
                for j in 0..=i {
                    let (a, b) = (pca.component(i).unwrap(), pca.component(j).unwrap());
                    let dot: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
                    let alive = pca.explained_variance()[i] > 0.0;
                    prop_assert!((dot - f64::from(u8::from(i == j && alive))).abs() < 1e-6);
                }
            }
            prop_assert!((pca.explained_variance_share().iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let coordinates = pca.transform(&features).unwrap();
            let distance = |f: &Features, i: usize| -> f64 {
                let (a, b) = (f.iter().next().unwrap(), f.iter().nth(i).unwrap());
                a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
            };
            for i in 1..rows {
                let (a, b) = (distance(&features, i), distance(&coordinates, i));
                prop_assert!((a - b).abs() < 1e-5 * (1.0 + a), "{} {}", a, b);
            }
        }
    }
}
