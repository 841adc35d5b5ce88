//! t-SNE, and how far a map can be trusted.

use pulp::{Arch, WithSimd};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{EvalError, Features, Pca};

/// t-SNE (van der Maaten & Hinton, 2008): a map in two dimensions on which neighbours stay
/// neighbours.
///
/// Let `p_{j|i} ∝ exp(−‖x_i − x_j‖² / 2σ_i²)` with σ_i such that `p_{·|i}` has the given
/// perplexity, and `p_ij = (p_{j|i} + p_{i|j}) / 2n`. Points `y` descend on `KL(P ‖ Q)` with
/// `q_ij ∝ 1 / (1 + ‖y_i − y_j‖²)` (eq. 4, 5):
/// `∂/∂y_i = 4 Σ_j (p_ij − q_ij) (y_i − y_j) / (1 + ‖y_i − y_j‖²)`.
///
/// Features are first reduced to at most 50 principal components. Points start at the first two,
/// scaled to a deviation of 1e-4, as Kobak & Berens (2019) recommend. So distant points stay
/// roughly distant, and no seed matters. The schedule is scikit-learn's: P times 12 and momentum
/// 0.5 for the first quarter (at most 250 steps), then momentum 0.8; learning rate
/// `max(n / 48, 50)`; gains per coordinate.
///
/// All pairs are computed, in `8 n²` bytes. 2,000 points take some seconds, and more than 8,192 are
/// refused. Equal inputs give equal bits, on any number of threads. The map shows which points are
/// neighbours. Distances between clusters and their sizes mean little.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TSne {
    /// Effective number of neighbours, at least 1. For few points, at most a third of the others.
    pub perplexity: f64,
    /// Steps of gradient descent.
    pub iterations: usize,
}

impl Default for TSne {
    /// Perplexity 30 and 1,000 steps.
    fn default() -> Self {
        Self { perplexity: 30.0, iterations: 1_000 }
    }
}

impl TSne {
    /// The most points that a map may have.
    pub const MAX_POINTS: usize = 8_192;
    const COMPONENTS: usize = 50;
    const EXAGGERATION: f32 = 12.0;

    /// The place `[x, y]` of every row, with the mean at the origin. If all features are equal, all
    /// lie there.
    ///
    /// # Errors
    /// No rows or more than [`MAX_POINTS`](Self::MAX_POINTS), or a perplexity below 1.
    pub fn map(&self, features: &Features) -> Result<Vec<[f32; 2]>, EvalError> {
        let n = features.rows();
        if n == 0 || n > Self::MAX_POINTS {
            let most = Self::MAX_POINTS;
            return Err(EvalError::Request(format!("a map has 1 to {most} points, not {n}")));
        }
        if !(self.perplexity >= 1.0 && self.perplexity.is_finite()) {
            let perplexity = self.perplexity;
            return Err(EvalError::Request(format!(
                "perplexity must be 1 or more, not {perplexity}"
            )));
        }
        let pca = Pca::fit(features, Self::COMPONENTS)?;
        if pca.explained_variance()[0] == 0.0 {
            return Ok(vec![[0.0; 2]; n]);
        }
        let reduced = pca.transform(features)?;
        let affinities = affinities(&reduced, self.perplexity.min((n - 1) as f64 / 3.0).max(1.0));
        Ok(self.descend(&affinities, start(&reduced)))
    }

    fn descend(&self, affinities: &[f32], start: [Vec<f32>; 2]) -> Vec<[f32; 2]> {
        let n = start[0].len();
        let early = self.iterations.min(1_000).div_ceil(4);
        let rate = (n as f32 / Self::EXAGGERATION / 4.0).max(50.0);
        let arch = Arch::new();
        let mut y = start;
        let (mut velocity, mut gains) = (vec![[0f32; 2]; n], vec![[1f32; 2]; n]);
        for step in 0..self.iterations {
            let (exaggeration, momentum) =
                if step < early { (Self::EXAGGERATION, 0.5) } else { (1.0, 0.8) };
            let forces: Vec<Forces> = affinities
                .par_chunks_exact(n)
                .enumerate()
                .map(|(i, p)| {
                    arch.dispatch(Pairs { p, x: &y[0], y: &y[1], at: [y[0][i], y[1][i]] })
                })
                .collect();
            // A point and itself, at distance 0, are not a pair.
            let pairs: f64 = forces.iter().map(|f| f64::from(f.weight) - 1.0).sum();
            let pairs = pairs.max(f64::MIN_POSITIVE) as f32;
            for (i, force) in forces.iter().enumerate() {
                for d in 0..2 {
                    let gradient =
                        4.0 * (exaggeration * force.attraction[d] - force.repulsion[d] / pairs);
                    let (gain, v) = (&mut gains[i][d], &mut velocity[i][d]);
                    *gain = if *v * gradient < 0.0 { *gain + 0.2 } else { (*gain * 0.8).max(0.01) };
                    *v = momentum * *v - rate * *gain * gradient;
                    y[d][i] += *v;
                }
            }
            for coordinate in &mut y {
                let mean = coordinate.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
                coordinate.iter_mut().for_each(|v| *v -= mean as f32);
            }
        }
        y[0].iter().zip(&y[1]).map(|(x, y)| [*x, *y]).collect()
    }
}

/// The first two components at a deviation of 1e-4. If the second has no variance, noise takes its
/// place: points on a line would never leave it.
fn start(reduced: &Features) -> [Vec<f32>; 2] {
    let coordinate = |d: usize| -> Vec<f64> {
        reduced.iter().map(|row| row.get(d).map_or(0.0, |v| f64::from(*v))).collect()
    };
    let deviation = |c: &[f64]| (c.iter().map(|v| v * v).sum::<f64>() / c.len() as f64).sqrt();
    let first = coordinate(0);
    let scale = 1e-4 / deviation(&first).max(f64::MIN_POSITIVE);
    let scaled = |c: Vec<f64>| c.into_iter().map(|v| (v * scale) as f32).collect();
    let mut second: Vec<f32> = scaled(coordinate(1));
    if second.iter().all(|v| *v == 0.0) {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for v in &mut second {
            let normal: f32 = StandardNormal.sample(&mut rng);
            *v = 1e-4 * normal;
        }
    }
    [scaled(first), second]
}

/// `p_ij`, `[n, n]`, symmetric, 0 on the diagonal, with sum 1.
fn affinities(features: &Features, perplexity: f64) -> Vec<f32> {
    let (n, dim) = (features.rows(), features.dim());
    let mut conditional = vec![0f32; n * n];
    conditional
        .par_chunks_exact_mut(n)
        .zip(features.values().par_chunks_exact(dim))
        .enumerate()
        .for_each(|(i, (out, row))| {
            let distances: Vec<f64> = features
                .iter()
                .map(|other| other.iter().zip(row).map(|(a, b)| f64::from(a - b).powi(2)).sum())
                .collect();
            neighbours(&distances, i, perplexity, out);
        });
    let mut joint = vec![0f32; n * n];
    joint.par_chunks_exact_mut(n).enumerate().for_each(|(i, out)| {
        for (j, p) in out.iter_mut().enumerate() {
            *p = (conditional[i * n + j] + conditional[j * n + i]) / (2 * n) as f32;
        }
    });
    joint
}

/// `p_{j|i}` from squared distances: bisects `β = 1 / 2σ²` until the entropy is `ln perplexity`. If
/// more neighbours than that are equally near, this entropy cannot be reached, and they share the
/// probability.
fn neighbours(distances: &[f64], i: usize, perplexity: f64, out: &mut [f32]) {
    let others = || distances.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, d)| *d);
    let (least, count) = (others().fold(f64::INFINITY, f64::min), distances.len() - 1);
    let mean = others().map(|d| d - least).sum::<f64>() / count as f64;
    let mut beta = if mean > 0.0 { 1.0 / mean } else { 1.0 };
    let (mut low, mut high) = (0.0, f64::INFINITY);
    for _ in 0..64 {
        let (mut sum, mut weighted) = (0.0, 0.0);
        for d in others().map(|d| d - least) {
            let weight = (-beta * d).exp();
            sum += weight;
            weighted += weight * d;
        }
        let excess = sum.ln() + beta * weighted / sum - perplexity.ln();
        if excess.abs() < 1e-5 {
            break;
        }
        if excess > 0.0 {
            low = beta
        } else {
            high = beta
        }
        beta = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * beta };
    }
    let sum: f64 = others().map(|d| (-beta * (d - least)).exp()).sum();
    for (j, (o, d)) in out.iter_mut().zip(distances).enumerate() {
        *o = if j == i { 0.0 } else { ((-beta * (d - least)).exp() / sum) as f32 };
    }
}

/// Sums over j for one point: with `w_ij = 1 / (1 + ‖y_i − y_j‖²)`,
struct Forces {
    /// `Σ p_ij w_ij (y_i − y_j)`
    attraction: [f32; 2],
    /// `Σ w_ij² (y_i − y_j)`
    repulsion: [f32; 2],
    /// `Σ w_ij`
    weight: f32,
}

struct Pairs<'a> {
    p: &'a [f32],
    x: &'a [f32],
    y: &'a [f32],
    at: [f32; 2],
}

impl WithSimd for Pairs<'_> {
    type Output = Forces;

    /// Sums in sixteen lanes, for any width of the processor's vectors. So the order is the same
    /// everywhere.
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> Forces {
        const LANES: usize = 16;
        let mut sums = [[0f32; LANES]; 5];
        let mut add = |p: &[f32; LANES], x: &[f32; LANES], y: &[f32; LANES], used: usize| {
            for l in 0..LANES {
                let (dx, dy) = (self.at[0] - x[l], self.at[1] - y[l]);
                let w = if l < used { 1.0 / (1.0 + dx * dx + dy * dy) } else { 0.0 };
                let (pw, ww) = (p[l] * w, w * w);
                sums[0][l] += pw * dx;
                sums[1][l] += pw * dy;
                sums[2][l] += ww * dx;
                sums[3][l] += ww * dy;
                sums[4][l] += w;
            }
        };
        let (p, p_rest) = self.p.as_chunks::<LANES>();
        let (x, x_rest) = self.x.as_chunks::<LANES>();
        let (y, y_rest) = self.y.as_chunks::<LANES>();
        for ((p, x), y) in p.iter().zip(x).zip(y) {
            add(p, x, y, LANES);
        }
        let pad = |rest: &[f32]| std::array::from_fn(|l| rest.get(l).copied().unwrap_or(0.0));
        add(&pad(p_rest), &pad(x_rest), &pad(y_rest), p_rest.len());
        let [ax, ay, rx, ry, weight] = sums.map(|s| s.iter().sum());
        Forces { attraction: [ax, ay], repulsion: [rx, ry], weight }
    }
}

/// Trustworthiness of a map (Venna & Kaski, 2001). It is 1 if, for every point, the `k` nearest
/// points on the map are among the `k` nearest by features. Every other point lowers it by its rank
/// among the neighbours by features.
///
/// `1 − 2 / (n k (2n − 3k − 1)) Σ_i Σ_{j ∈ U_k(i)} (r(i, j) − k)`. Here `r(i, j)` is the rank of j
/// among the neighbours of i by features. `U_k(i)` are the points that are near i on the map only.
/// Among equally near points the first comes first. All pairs are sorted, so it is meant for some
/// thousand points.
///
/// # Errors
/// Another number of points than rows, k of 0, or k not below half of the rows.
pub fn trustworthiness(features: &Features, map: &[[f32; 2]], k: usize) -> Result<f64, EvalError> {
    let n = features.rows();
    if map.len() != n || k == 0 || 2 * k >= n {
        let points = map.len();
        return Err(EvalError::Request(format!(
            "cannot compare {k} neighbours of {points} points and {n} rows"
        )));
    }
    let nearest = |i: usize, distance: &dyn Fn(usize) -> f64| -> Vec<usize> {
        let distances: Vec<f64> = (0..n).map(distance).collect();
        let mut order: Vec<usize> = (0..n).filter(|j| *j != i).collect();
        order.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
        order
    };
    let rows: Vec<&[f32]> = features.iter().collect();
    let penalties: Vec<usize> = (0..n)
        .into_par_iter()
        .map(|i| {
            let squared = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
            };
            let mut rank = vec![0; n];
            for (r, j) in nearest(i, &|j| squared(rows[i], rows[j])).into_iter().enumerate() {
                rank[j] = r + 1;
            }
            let shown = nearest(i, &|j| squared(&map[i], &map[j]));
            shown[..k].iter().map(|j| rank[*j].saturating_sub(k)).sum()
        })
        .collect();
    let worst = (n * k) as f64 * (2 * n - 3 * k - 1) as f64 / 2.0;
    Ok(1.0 - penalties.iter().sum::<usize>() as f64 / worst)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    /// Five Gaussian clusters in 20 dimensions.
    fn clusters(n: usize) -> Features {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let values = (0..n).flat_map(|i| (0..20).map(move |d| (i % 5) == d % 5)).map(|own| {
            let noise: f32 = StandardNormal.sample(&mut rng);
            noise + if own { 3.0 } else { 0.0 }
        });
        Features::new(values.collect(), n, 20).unwrap()
    }

    fn quick() -> TSne {
        TSne { iterations: 400, ..TSne::default() }
    }

    #[test]
    fn clusters_stay_apart_and_neighbours_together() {
        let features = clusters(200);
        let map = quick().map(&features).unwrap();
        let nearest = |i: usize| {
            let d = |j: usize| (map[i][0] - map[j][0]).powi(2) + (map[i][1] - map[j][1]).powi(2);
            (0..200).filter(|j| *j != i).min_by(|a, b| d(*a).total_cmp(&d(*b))).unwrap()
        };
        assert!((0..200).all(|i| nearest(i) % 5 == i % 5));
        let trust = trustworthiness(&features, &map, 5).unwrap();
        let pca = Pca::fit(&features, 2).unwrap().transform(&features).unwrap();
        let flat: Vec<[f32; 2]> = pca.iter().map(|r| [r[0], r[1]]).collect();
        let linear = trustworthiness(&features, &flat, 5).unwrap();
        assert!(trust > 0.85 && trust > linear, "{trust} {linear}");
    }

    #[test]
    fn equal_inputs_give_equal_bits_on_any_number_of_threads() {
        let features = clusters(90);
        let tsne = TSne { iterations: 60, ..TSne::default() };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let map = one.install(|| tsne.map(&features)).unwrap();
        assert_eq!(three.install(|| tsne.map(&features)).unwrap(), map);
    }

    #[test]
    fn affinities_have_the_perplexity_asked_for() {
        let features = clusters(100);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let distances: Vec<f64> = (0..100).map(|_| rng.random::<f64>() * 50.0).collect();
        let mut p = vec![0f32; 100];
        neighbours(&distances, 7, 12.0, &mut p);
        let entropy: f64 =
            p.iter().map(|p| f64::from(*p)).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
        assert!((entropy.exp() - 12.0).abs() < 1e-2 && p[7] == 0.0, "{entropy}");
        let joint = affinities(&features, 12.0);
        assert!((joint.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        assert!((0..100).all(|i| (0..100).all(|j| joint[i * 100 + j] == joint[j * 100 + i])));
    }

    #[test]
    fn odd_inputs_still_make_a_map() {
        let finite = |values: Vec<f32>, dim: usize| {
            let rows = values.len() / dim;
            let map = quick().map(&Features::new(values, rows, dim).unwrap()).unwrap();
            assert!(map.len() == rows && map.iter().flatten().all(|v| v.is_finite()), "{map:?}");
            map
        };
        assert_eq!(finite([0.5, 2.0].repeat(40), 2), [[0.0; 2]; 40]);
        assert_eq!(finite(vec![1.0, 2.0, 3.0], 3), [[0.0; 2]]);
        finite(vec![1.0, 2.0], 1);
        finite((0..50).map(|i| i as f32).collect(), 1);
        // A zero vector, forty duplicates, and one far away.
        finite([vec![0.0; 2], [1.0, 2.0].repeat(40), vec![1e15, -1e15]].concat(), 2);
    }

    #[test]
    fn bad_requests_are_errors() {
        let features = clusters(10);
        assert!(TSne { perplexity: f64::NAN, ..TSne::default() }.map(&features).is_err());
        assert!(TSne::default().map(&Features::new(vec![], 0, 2).unwrap()).is_err());
        assert!(TSne::default().map(&Features::new(vec![0.0; 8_193], 8_193, 1).unwrap()).is_err());
        assert!(trustworthiness(&features, &[[0.0; 2]; 10], 5).is_err());
        assert!(trustworthiness(&features, &[[0.0; 2]; 9], 2).is_err());
    }

    #[test]
    fn trustworthiness_is_scikit_learns() {
        // sklearn.manifold.trustworthiness of scikit-learn 1.9.1 on the same numbers.
        let value = |i: usize| ((i * 7919) % 1009) as f32 / 100.0;
        let features = Features::new((0..120).map(value).collect(), 40, 3).unwrap();
        let map: Vec<[f32; 2]> = features.iter().map(|r| [r[0], r[1] * 0.5 + r[2]]).collect();
        let trust = trustworthiness(&features, &map, 5).unwrap();
        assert!((trust - 0.99015625).abs() < 1e-12, "{trust}");
        let itself: Vec<[f32; 2]> = (0..40).map(|i| [i as f32, 0.0]).collect();
        let line = Features::new((0..40).map(|i| i as f32).collect(), 40, 1).unwrap();
        assert_eq!(trustworthiness(&line, &itself, 5).unwrap(), 1.0);
    }
}
