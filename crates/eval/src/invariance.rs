//! How little features change under an augmentation.

use serde::Serialize;

use crate::{EvalError, Features};

/// How far an augmentation moves an image, relative to the distance between images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Invariance {
    /// Mean squared distance of an image to its augmentation: `1/N Σ_i ‖u_i − v_i‖²`.
    pub same: f64,
    /// Mean squared distance of an image to the augmentation of another:
    /// `1/(N (N−1)) Σ_{i≠j} ‖u_i − v_j‖²`.
    pub other: f64,
    /// `same / other`: 0 = invariant, 1 = an augmented image is as far away as another image.
    /// `None` if all embeddings are one point: it is invariant to everything and useless.
    pub ratio: Option<f64>,
}

/// Measures invariance to one augmentation. Takes the features of N images, and of the same images
/// in the same order with that augmentation alone.
///
/// `u` and `v` are the features divided by their length, so that distances are `2 − 2 cos` (the
/// alignment of Wang & Isola, 2020, section 4.1.2, is `same` with α = 2). All pairs enter `other`
/// exactly, in `O(N · dim)`:
/// `Σ_{i≠j} ‖u_i − v_j‖² = (N−1) (Σ ‖u_i‖² + Σ ‖v_j‖²) − 2 (Σ u_i · Σ v_j − Σ u_i · v_i)`.
///
/// Invariant to the scale of every single feature vector and to a reordering of the images.
///
/// # Errors
/// Features of different shapes, or of fewer than two images.
pub fn invariance(clean: &Features, augmented: &Features) -> Result<Invariance, EvalError> {
    let (n, dim) = (clean.rows(), clean.dim());
    if (n, dim) != (augmented.rows(), augmented.dim()) || n < 2 {
        let (m, width) = (augmented.rows(), augmented.dim());
        return Err(EvalError::Request(format!(
            "invariance needs the same two or more images twice, not {n} × {dim} and {m} × {width}"
        )));
    }
    let (mut u, mut v) = (vec![0f64; dim], vec![0f64; dim]);
    let (mut sum_u, mut sum_v) = (vec![0f64; dim], vec![0f64; dim]);
    let (mut same, mut squares, mut products) = (0.0, 0.0, 0.0);
    for (a, b) in clean.iter().zip(augmented.iter()) {
        unit(a, &mut u);
        unit(b, &mut v);
        for d in 0..dim {
            same += (u[d] - v[d]).powi(2);
            squares += u[d] * u[d] + v[d] * v[d];
            products += u[d] * v[d];
            sum_u[d] += u[d];
            sum_v[d] += v[d];
        }
    }
    let cross: f64 = sum_u.iter().zip(&sum_v).map(|(a, b)| a * b).sum();
    let count = n as f64;
    let other = ((count - 1.0) * squares - 2.0 * (cross - products)) / (count * (count - 1.0));
    // The distance that f64's rounding leaves between equal vectors.
    let other = if other > 1e-13 { other } else { 0.0 };
    let same = same / count;
    Ok(Invariance { same, other, ratio: (other > 0.0).then(|| same / other) })
}

/// A zero vector stays zero.
fn unit(row: &[f32], out: &mut [f64]) {
    let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    out.iter_mut().zip(row).for_each(|(o, v)| *o = f64::from(*v) * scale);
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

    fn reordered(features: &Features, order: impl Fn(usize) -> usize) -> Features {
        features.select(&(0..features.rows()).map(order).collect::<Vec<_>>())
    }

    #[test]
    fn one_point_has_no_ratio() {
        let point = Features::new([0.3, 0.4, 0.1].repeat(5), 5, 3).unwrap();
        let measured = invariance(&point, &point).unwrap();
        assert_eq!(measured, Invariance { same: 0.0, other: 0.0, ratio: None });
        assert_eq!(invariance(&random(1, 3, 0), &random(1, 3, 0)).ok(), None);
        assert!(invariance(&random(4, 3, 0), &random(4, 2, 0)).is_err());
    }

    #[test]
    fn shuffled_images_have_ratio_one() {
        let features = random(2000, 16, 1);
        let shuffled = reordered(&features, |i| (i + 701) % 2000);
        let ratio = invariance(&features, &shuffled).unwrap().ratio.unwrap();
        assert!((ratio - 1.0).abs() < 0.03, "{ratio}");
    }

    proptest! {
        #[test]
        fn the_sum_is_that_over_all_pairs(rows in 2usize..15, dim in 1usize..9, seed: u64) {
            let (clean, augmented) = (random(rows, dim, seed), random(rows, dim, seed ^ 1));
            let measured = invariance(&clean, &augmented).unwrap();
            let (mut same, mut other) = (0.0, 0.0);
            let (mut u, mut v) = (vec![0.0; dim], vec![0.0; dim]);
            for (i, a) in clean.iter().enumerate() {
                for (j, b) in augmented.iter().enumerate() {
                    unit(a, &mut u);
                    unit(b, &mut v);
                    let d: f64 = u.iter().zip(&v).map(|(a, b)| (a - b).powi(2)).sum();
                    if i == j { same += d } else { other += d }
                }
            }
            let n = rows as f64;
            prop_assert!((measured.same - same / n).abs() < 1e-12);
            prop_assert!((measured.other - other / (n * (n - 1.0))).abs() < 1e-12);
        }

        #[test]
        fn identical_features_have_ratio_zero(rows in 2usize..15, seed: u64) {
            let features = random(rows, 4, seed);
            prop_assert_eq!(invariance(&features, &features).unwrap().ratio, Some(0.0));
        }

        #[test]
        fn the_scale_of_single_vectors_does_not_matter(rows in 2usize..15, seed: u64) {
            let (clean, augmented) = (random(rows, 4, seed), random(rows, 4, seed ^ 1));
            let scaled = augmented.values().chunks(4).enumerate();
            let scaled = scaled.flat_map(|(i, r)| r.iter().map(move |v| v * 2f32.powi(i as i32 - 7)));
            let scaled = Features::new(scaled.collect(), rows, 4).unwrap();
            let a = invariance(&clean, &augmented).unwrap();
            let b = invariance(&clean, &scaled).unwrap();
            prop_assert!((a.same - b.same).abs() < 1e-12 && (a.other - b.other).abs() < 1e-12);
        }

        #[test]
        fn the_order_of_images_does_not_matter(rows in 2usize..15, seed: u64) {
            let (clean, augmented) = (random(rows, 4, seed), random(rows, 4, seed ^ 1));
            let a = invariance(&clean, &augmented).unwrap();
            let backwards = |f: &Features| reordered(f, |i| rows - 1 - i);
            let b = invariance(&backwards(&clean), &backwards(&augmented)).unwrap();
            prop_assert!((a.same - b.same).abs() < 1e-12 && (a.other - b.other).abs() < 1e-12);
        }
    }
}
