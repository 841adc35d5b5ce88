//! How well a linear map reads a factor of the images from their features.

use faer::Mat;
use serde::Serialize;

use crate::features::check_dims;
use crate::gram::{LARGEST, Scaling, eigen};
use crate::{EvalError, Features, Labelled, LinearProbe, Probe};

/// A known factor of variation, one value (or vector) per image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Factor<'a> {
    /// A number: brightness, scale, a coordinate.
    Continuous(&'a [f32]),
    /// Several numbers of one unit, `[columns][images]`: red, green and blue; x and y. Their
    /// squared errors and their variances are added.
    Vector(&'a [&'a [f32]]),
    /// A direction, read as `(cos mθ, sin mθ)` with m = `symmetry`. m is 4 for a square, and 1 for
    /// a shape that looks the same only after a whole turn.
    Angle {
        /// θ of every image.
        radians: &'a [f32],
        /// m, at least 1.
        symmetry: u32,
    },
    /// A category.
    Class(&'a [u32]),
}

/// How well a factor can be read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FactorScore {
    /// For a category, the share of test images with a right prediction. Else R² on the test
    /// images, `1 − Σ ‖y − ŷ‖² / Σ ‖y − ȳ‖²`. It is below 0 if the prediction is worse than the
    /// mean.
    pub score: f64,
    /// The score without any features. For a category, the share of test images in the most
    /// frequent category of the training images; else 0.
    pub chance: f64,
}

/// Reads factors of variation from features with linear models. It shows what an encoder has kept
/// of lighting, position or colour, and what it has become invariant to.
///
/// Numbers are read by ridge regression on standardised features with an intercept (Hoerl &
/// Kennard, 1970): `w = (XᵀX + λI)⁻¹ Xᵀ y`. λ is n times a power of ten from 1e-6 to 1e2. It
/// minimises the generalised cross-validation error of Golub, Heath & Wahba (1979) on the training
/// images alone: `(RSS / n) / (1 − df / n)²` with `df = 1 + Σ_k Λ_k / (Λ_k + λ)`. Categories are
/// read by the [`LinearProbe`].
///
/// One eigendecomposition of the features' smaller Gram matrix, with eigenvalues Λ, serves all
/// factors and all λ.
#[derive(Debug)]
pub struct FactorReader<'a> {
    train: &'a Features,
    scaling: Scaling,
    /// Eigenvalues of `XᵀX` (by columns) or `XXᵀ`, from large to small, and only those above
    /// rounding.
    eigenvalues: Vec<f64>,
    /// Eigenvectors as columns.
    vectors: Mat<f64>,
    by_columns: bool,
}

impl<'a> FactorReader<'a> {
    /// Decomposes the training features.
    ///
    /// # Errors
    /// Fewer than two rows, more than 4,096 of both rows and dimensions (take a [`Pca`](crate::Pca)
    /// first), or an eigenvalue problem that does not converge.
    pub fn fit(train: &'a Features) -> Result<Self, EvalError> {
        let (rows, dim) = (train.rows(), train.dim());
        if rows < 2 || rows.min(dim) > LARGEST {
            return Err(EvalError::Request(format!(
                "factors are read from 2 or more images, and not from {rows} × {dim} features: \
                 above {LARGEST} of both, reduce the features first"
            )));
        }
        let scaling = Scaling::standardising(train);
        let by_columns = dim <= rows;
        let gram =
            if by_columns { scaling.gram_of_columns(train) } else { scaling.gram_of_rows(train) };
        let (mut eigenvalues, vectors) = eigen(&gram)?;
        let floor = 1e-12 * eigenvalues[0];
        let rank = eigenvalues.iter().take_while(|v| **v > floor).count();
        eigenvalues.truncate(rank);
        let vectors = vectors.subcols(0, rank).to_owned();
        Ok(Self { train, scaling, eigenvalues, vectors, by_columns })
    }

    /// Fits one factor on the training images and scores it on the test images.
    ///
    /// # Errors
    /// Factors of different kinds or of another length than the features, a value that is not
    /// finite, a test factor that does not vary, a symmetry of 0, no test images.
    pub fn read(
        &self,
        train_factor: &Factor<'_>,
        test: &Features,
        test_factor: &Factor<'_>,
    ) -> Result<FactorScore, EvalError> {
        check_dims(self.train.dim(), test.dim())?;
        if let (Factor::Class(train_labels), Factor::Class(labels)) = (train_factor, test_factor) {
            return self.read_class(train_labels, test, labels);
        }
        let fit = targets(train_factor, self.train.rows())?;
        let truth = targets(test_factor, test.rows())?;
        if !same_kind(train_factor, test_factor) || fit.len() != truth.len() {
            return Err(EvalError::Request("the test factor is of another kind".into()));
        }
        let (weights, means) = self.ridge(&fit);
        let predictions = self.scaling.product(test, weights.as_ref());
        let (mut residual, mut total) = (0.0, 0.0);
        for (j, (column, mean)) in truth.iter().zip(&means).enumerate() {
            let centre = average(column);
            for (i, y) in column.iter().enumerate() {
                residual += (y - mean - predictions[i * truth.len() + j]).powi(2);
                total += (y - centre).powi(2);
            }
        }
        if total == 0.0 {
            return Err(EvalError::Request("the factor does not vary over the test images".into()));
        }
        Ok(FactorScore { score: 1.0 - residual / total, chance: 0.0 })
    }

    fn read_class(
        &self,
        train_labels: &[u32],
        test: &Features,
        labels: &[u32],
    ) -> Result<FactorScore, EvalError> {
        check_length(train_labels.len(), self.train.rows())?;
        check_length(labels.len(), test.rows())?;
        let Some(most) = most_frequent(train_labels).filter(|_| !labels.is_empty()) else {
            return Err(EvalError::Request("a category needs images".into()));
        };
        let train = Labelled { features: self.train.clone(), labels: train_labels.to_vec() };
        let test = Labelled { features: test.clone(), labels: labels.to_vec() };
        let score = LinearProbe::default().score(&train, &test)?.top1;
        let guessed = labels.iter().filter(|l| **l == most).count();
        Ok(FactorScore { score, chance: guessed as f64 / labels.len() as f64 })
    }

    /// Weights `[dim, columns]` on standardised features, and the columns' means.
    fn ridge(&self, columns: &[Vec<f64>]) -> (Mat<f64>, Vec<f64>) {
        let n = self.train.rows();
        let means: Vec<f64> = columns.iter().map(|c| average(c)).collect();
        let y = Mat::from_fn(n, columns.len(), |i, j| columns[j][i] - means[j]);
        // Coordinates of y along the left singular vectors; X = U √Λ Vᵀ, so Uᵀ y = Vᵀ Xᵀ y / √Λ.
        let mut along = if self.by_columns {
            self.vectors.transpose() * self.scaling.combination(self.train, y.as_ref())
        } else {
            self.vectors.transpose() * &y
        };
        if self.by_columns {
            for (k, value) in self.eigenvalues.iter().enumerate() {
                along.row_mut(k).iter_mut().for_each(|a| *a /= value.sqrt());
            }
        }
        let lambda = self.choose(&along, y.squared_norm_l2());
        for (k, value) in self.eigenvalues.iter().enumerate() {
            let shrunk = if self.by_columns { value.sqrt() } else { 1.0 } / (value + lambda);
            along.row_mut(k).iter_mut().for_each(|a| *a *= shrunk);
        }
        let combined = &self.vectors * along;
        let weights = if self.by_columns {
            combined
        } else {
            self.scaling.combination(self.train, combined.as_ref())
        };
        (weights, means)
    }

    /// The λ with the least generalised cross-validation error; the largest among equals.
    fn choose(&self, along: &Mat<f64>, squares: f64) -> f64 {
        let n = self.train.rows() as f64;
        let energy: Vec<f64> = (0..along.nrows()).map(|k| along.row(k).squared_norm_l2()).collect();
        let explained: f64 = energy.iter().sum();
        let error = |lambda: f64| {
            let (mut residual, mut freedom) = ((squares - explained).max(0.0), n - 1.0);
            for (value, e) in self.eigenvalues.iter().zip(&energy) {
                residual += e * (lambda / (value + lambda)).powi(2);
                freedom -= value / (value + lambda);
            }
            residual / freedom.max(f64::MIN_POSITIVE).powi(2)
        };
        let candidates = (-6..=2).rev().map(|e| n * 10f64.powi(e));
        candidates.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(n)
    }
}

/// As [`FactorReader`], for one factor.
///
/// # Errors
/// As [`FactorReader::fit`] and [`FactorReader::read`].
pub fn read_factor(
    train: &Features,
    train_factor: &Factor<'_>,
    test: &Features,
    test_factor: &Factor<'_>,
) -> Result<FactorScore, EvalError> {
    FactorReader::fit(train)?.read(train_factor, test, test_factor)
}

fn same_kind(a: &Factor<'_>, b: &Factor<'_>) -> bool {
    match (a, b) {
        (Factor::Angle { symmetry: a, .. }, Factor::Angle { symmetry: b, .. }) => a == b,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// The targets of the regression, column by column.
fn targets(factor: &Factor<'_>, rows: usize) -> Result<Vec<Vec<f64>>, EvalError> {
    let column = |values: &[f32]| -> Result<Vec<f64>, EvalError> {
        check_length(values.len(), rows)?;
        match values.iter().find(|v| !v.is_finite()) {
            Some(v) => Err(EvalError::Request(format!("a factor has a value of {v}"))),
            None => Ok(values.iter().map(|v| f64::from(*v)).collect()),
        }
    };
    match *factor {
        Factor::Continuous(values) => Ok(vec![column(values)?]),
        Factor::Vector([]) => Err(EvalError::Request("a vector needs columns".into())),
        Factor::Vector(columns) => columns.iter().map(|values| column(values)).collect(),
        Factor::Angle { symmetry: 0, .. } => {
            Err(EvalError::Request("an angle needs a symmetry of 1 or more".into()))
        }
        Factor::Angle { radians, symmetry } => {
            let angles = column(radians)?.into_iter().map(|a| a * f64::from(symmetry));
            let (cos, sin) = angles.map(|a| (a.cos(), a.sin())).unzip();
            Ok(vec![cos, sin])
        }
        Factor::Class(_) => {
            Err(EvalError::Request("a category is not compared with a number".into()))
        }
    }
}

fn check_length(values: usize, rows: usize) -> Result<(), EvalError> {
    if values != rows {
        return Err(EvalError::Request(format!("a factor of {values} values for {rows} images")));
    }
    Ok(())
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The lowest among equals.
fn most_frequent(labels: &[u32]) -> Option<u32> {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a == b).rev();
    runs.max_by_key(|run| run.len()).map(|run| run[0])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(rows: usize, dim: usize, seed: u64) -> Features {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values = (0..rows * dim).map(|_| rng.random::<f32>() - 0.4).collect();
        Features::new(values, rows, dim).unwrap()
    }

    /// Numbers without linear order that Python can make too.
    fn fixed(rows: usize, dim: usize, step: usize) -> Features {
        let value = |i: usize| ((i * step) % 1009) as f32 / 100.0;
        Features::new((0..rows * dim).map(value).collect(), rows, dim).unwrap()
    }

    fn column(features: &Features, f: impl Fn(&[f32], usize) -> f32) -> Vec<f32> {
        features.iter().enumerate().map(|(i, row)| f(row, i)).collect()
    }

    #[test]
    fn r2_is_that_of_scikit_learns_ridge_cv() {
        // make_pipeline(StandardScaler(), RidgeCV(n * 10.0 ** arange(-6, 3))) of scikit-learn
        // 1.9.1. It uses leave-one-out cross-validation and we use the generalised one. Both choose
        // the same λ here.
        for (dim, expected) in [(5, 0.6314596067088949), (60, 0.0685760335868808)] {
            let (train, test) = (fixed(40, dim, 7919), fixed(30, dim, 6007));
            let noisy = |row: &[f32], i: usize| {
                row[0] - 2.0 * row[2] + 0.5 * row[4] + ((i * 37) % 11) as f32 - 5.0
            };
            let (y, truth) = (column(&train, noisy), column(&test, noisy));
            let (y, truth) = (Factor::Continuous(&y), Factor::Continuous(&truth));
            let read = read_factor(&train, &y, &test, &truth).unwrap();
            assert!((read.score - expected).abs() < 1e-6, "{dim}: {read:?}");
        }
    }

    #[test]
    fn linear_factors_are_read_and_absent_ones_are_not() {
        let (train, test) = (random(300, 6, 1), random(200, 6, 2));
        let reader = FactorReader::fit(&train).unwrap();
        let there = |row: &[f32], _: usize| 3.0 * row[1] - row[4] + 7.0;
        let (y, truth) = (column(&train, there), column(&test, there));
        let read = |y: &[f32], truth: &[f32]| {
            reader.read(&Factor::Continuous(y), &test, &Factor::Continuous(truth)).unwrap()
        };
        assert!(read(&y, &truth).score > 0.999_99);
        let (noise, other) = (random(300, 1, 3), random(200, 1, 4));
        let absent = read(noise.values(), other.values()).score;
        assert!((-0.1..0.05).contains(&absent), "{absent}");
        let columns = |f: &Features| [0, 3].map(|d| column(f, |row, _| row[d]));
        let (a, b) = (columns(&train), columns(&test));
        let (a, b): (Vec<&[f32]>, Vec<&[f32]>) =
            (a.iter().map(|c| &c[..]).collect(), b.iter().map(|c| &c[..]).collect());
        let both = reader.read(&Factor::Vector(&a), &test, &Factor::Vector(&b)).unwrap();
        assert!(both.score > 0.999_99);
    }

    #[test]
    fn an_angle_is_read_as_a_point_on_a_circle_of_its_symmetry() {
        let angles = |n: usize, seed| column(&random(n, 1, seed), |r, _| 20.0 * r[0]);
        let seen = |angles: &[f32]| {
            let values = angles.iter().flat_map(|a| [(4.0 * a).sin() + 1.0, 3.0 * (4.0 * a).cos()]);
            Features::new(values.collect(), angles.len(), 2).unwrap()
        };
        let (a, b) = (angles(200, 1), angles(100, 2));
        let (train, test) = (seen(&a), seen(&b));
        let read = |symmetry| {
            let (a, b) =
                (Factor::Angle { radians: &a, symmetry }, Factor::Angle { radians: &b, symmetry });
            read_factor(&train, &a, &test, &b).unwrap().score
        };
        assert!(read(4) > 0.999 && read(1) < 0.1, "{} {}", read(4), read(1));
    }

    #[test]
    fn a_category_is_read_by_the_linear_probe_beside_the_largest_class() {
        let (train, test) = (random(200, 3, 1), random(100, 3, 2));
        let classes =
            |f: &Features| -> Vec<u32> { f.iter().map(|r| u32::from(r[0] > 0.2)).collect() };
        let (a, b) = (classes(&train), classes(&test));
        let read = read_factor(&train, &Factor::Class(&a), &test, &Factor::Class(&b)).unwrap();
        let zeros = b.iter().filter(|l| **l == 0).count() as f64 / 100.0;
        assert!(read.score > 0.9 && read.chance == zeros && zeros > 0.5, "{read:?}");
        assert_eq!(most_frequent(&[3, 1, 1, 3, 2]), Some(1));
    }

    #[test]
    fn bad_requests_are_errors() {
        let (train, test) = (random(20, 3, 1), random(10, 3, 2));
        let (y, truth) = (vec![1.0; 20], column(&test, |r, _| r[0]));
        let reader = FactorReader::fit(&train).unwrap();
        let read = |a: Factor<'_>, b: Factor<'_>| reader.read(&a, &test, &b).is_err();
        assert!(!read(Factor::Continuous(&y), Factor::Continuous(&truth)));
        assert!(read(Factor::Continuous(&y[1..]), Factor::Continuous(&truth)));
        assert!(read(Factor::Continuous(&y), Factor::Continuous(&truth[1..])));
        assert!(read(Factor::Continuous(&y), Factor::Continuous(&[f32::NAN; 10])));
        assert!(read(Factor::Continuous(&y), Factor::Continuous(&y[..10])));
        assert!(read(Factor::Continuous(&y), Factor::Vector(&[&truth])));
        assert!(read(Factor::Class(&[0; 20]), Factor::Continuous(&truth)));
        assert!(read(Factor::Class(&[0; 19]), Factor::Class(&[0; 10])));
        assert!(read(Factor::Vector(&[]), Factor::Vector(&[])));
        let angle = |symmetry| Factor::Angle { radians: &truth, symmetry };
        assert!(read(Factor::Angle { radians: &y, symmetry: 0 }, angle(0)));
        assert!(read(Factor::Angle { radians: &y, symmetry: 2 }, angle(1)));
        assert!(FactorReader::fit(&random(1, 3, 1)).is_err());
        assert!(reader.read(&angle(1), &random(10, 2, 1), &angle(1)).is_err());
    }

    #[test]
    fn constant_features_predict_the_mean() {
        let train = Features::new(vec![0.1; 60], 20, 3).unwrap();
        let test = Features::new(vec![0.1; 12], 4, 3).unwrap();
        let y: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let truth = Factor::Continuous(&[8.5, 9.5, 10.5, 9.5]);
        let read = read_factor(&train, &Factor::Continuous(&y), &test, &truth).unwrap();
        assert!(read.score.abs() < 1e-12, "{read:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn shift_and_scale_of_features_and_of_the_factor_do_not_matter(
            rows in 8usize..30,
            dim in 1usize..20,
            seed: u64,
        ) {
            let (train, test) = (random(rows, dim, seed), random(rows, dim, seed ^ 1));
            let curve = |row: &[f32], i: usize| row[0] * row[0] + 0.1 * (i as f32).sin();
            let (y, truth) = (column(&train, curve), column(&test, curve));
            let score = read_factor(&train, &Factor::Continuous(&y), &test, &Factor::Continuous(&truth));
            let moved = |f: &Features| {
                let scale = |i: usize, v: f32| v * 2f32.powi((i % dim) as i32 - 4) + 0.5;
                let values = f.values().iter().enumerate().map(|(i, v)| scale(i, *v));
                Features::new(values.collect(), rows, dim).unwrap()
            };
            let other = |y: &[f32]| -> Vec<f32> { y.iter().map(|v| 4.0 * v - 1.0).collect() };
            let (y, truth) = (other(&y), other(&truth));
            let again =
                read_factor(&moved(&train), &Factor::Continuous(&y), &moved(&test), &Factor::Continuous(&truth));
            let (a, b) = (score.unwrap().score, again.unwrap().score);
            prop_assert!((a - b).abs() < 1e-2 * (1.0 + a.abs()), "{} {}", a, b);
        }
    }
}
