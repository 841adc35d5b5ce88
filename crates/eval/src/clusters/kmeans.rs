//! k-means clustering.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::gram::Scaling;
use crate::{EvalError, Features};

/// k-means: centres `c_1 … c_k` with a small `Σ_i min_j ‖x_i − c_j‖²`. Lloyd's algorithm (1982)
/// starts from greedy k-means++ seeds (Arthur & Vassilvitskii, 2007). The best of several restarts
/// counts.
///
/// A restart ends when no assignment changes, or when the centres move by less than 1e-4 of the
/// mean variance of a dimension (scikit-learn's default). An empty cluster takes the vector that is
/// farthest from its centre.
///
/// For cosine distances pass [`Features::normalized`]. Distances are `‖x‖² − 2 x·c + ‖c‖²` in f32
/// of centred features, for 256 rows at a time. Beside the features, memory holds a centred copy of
/// them and the partial sums. These take at most 256 MB, or four copies of the centres if that is
/// more. The seed fixes every bit of the result, on any number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KMeans {
    /// k.
    pub clusters: usize,
    /// Runs from different seeds. The best is kept.
    pub restarts: usize,
    /// The most iterations of a restart.
    pub max_iterations: usize,
    /// The seed of the random draws.
    pub seed: u64,
}

/// What k-means found.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// The cluster of every row.
    pub assignments: Vec<u32>,
    /// `[clusters, dim]`
    pub centres: Features,
    /// `Σ_i ‖x_i − c‖²`, with the centre that row i is assigned to.
    pub inertia: f64,
    /// Iterations of the restart that was kept.
    pub iterations: usize,
}

/// Rows whose distances to all centres are held at once.
const BLOCK: usize = 256;

impl KMeans {
    /// Ten restarts of at most 300 iterations.
    pub fn new(clusters: usize) -> Self {
        Self { clusters, restarts: 10, max_iterations: 300, seed: 0 }
    }

    /// Finds the clusters.
    ///
    /// # Errors
    /// A setting of 0, or fewer rows than clusters.
    pub fn fit(&self, features: &Features) -> Result<Clustering, EvalError> {
        if self.clusters == 0 || self.restarts == 0 || self.max_iterations == 0 {
            return Err(EvalError::Request(format!("{self:?} has a setting of 0")));
        }
        if features.rows() < self.clusters || u32::try_from(self.clusters).is_err() {
            let (k, rows) = (self.clusters, features.rows());
            return Err(EvalError::Request(format!("cannot make {k} clusters of {rows} rows")));
        }
        let centring = Scaling::centring(features);
        let points = Points::new(features, &centring);
        let mut best: Option<Fit> = None;
        for restart in 0..self.restarts {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(restart as u64);
            let fit = points.lloyd(points.seeds(self.clusters, &mut rng), self.max_iterations);
            if best.as_ref().is_none_or(|b| fit.inertia < b.inertia) {
                best = Some(fit);
            }
        }
        let Some(Fit { assignments, mut centres, inertia, iterations }) = best else {
            return Err(EvalError::Numeric("k-means"));
        };
        for centre in centres.chunks_exact_mut(points.dim) {
            centre
                .iter_mut()
                .zip(&centring.mean)
                .for_each(|(c, m)| *c = (f64::from(*c) + m) as f32);
        }
        let centres = Features::new(centres, self.clusters, points.dim)?;
        Ok(Clustering { assignments, centres, inertia, iterations })
    }
}

struct Fit {
    assignments: Vec<u32>,
    centres: Vec<f32>,
    inertia: f64,
    iterations: usize,
}

/// Centred vectors.
struct Points {
    /// `[rows, dim]`
    values: Vec<f32>,
    /// Squared lengths.
    squares: Vec<f32>,
    dim: usize,
    /// Mean variance of a dimension.
    variance: f64,
}

impl Points {
    fn new(features: &Features, centring: &Scaling) -> Self {
        let dim = features.dim();
        let mut values = features.values().to_vec();
        let squares: Vec<f32> = values
            .par_chunks_exact_mut(dim)
            .map(|row| {
                row.iter_mut()
                    .zip(&centring.mean)
                    .for_each(|(v, m)| *v = (f64::from(*v) - m) as f32);
                square(row) as f32
            })
            .collect();
        let total: f64 = squares.iter().map(|s| f64::from(*s)).sum();
        let variance = total / values.len().max(1) as f64;
        Self { values, squares, dim, variance }
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }

    /// Greedy k-means++. `2 + ⌊ln k⌋` candidates are drawn with probabilities proportional to their
    /// squared distance to the nearest seed. The candidate that lowers the sum of these distances
    /// most becomes a seed.
    fn seeds(&self, k: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let rows = self.squares.len();
        let candidates = 2 + (k as f64).ln() as usize;
        let first = rng.random_range(0..rows);
        let mut seeds = self.row(first).to_vec();
        let mut nearest = vec![f32::INFINITY; rows];
        self.nearer(&mut nearest, first);
        for _ in 1..k {
            let drawn: Vec<usize> = draw(&nearest, candidates, rng);
            let centres: Vec<f32> = drawn.iter().flat_map(|i| self.row(*i)).copied().collect();
            let left = self.left_by(&nearest, &centres);
            let best = (0..drawn.len()).min_by(|a, b| left[*a].total_cmp(&left[*b])).unwrap_or(0);
            seeds.extend_from_slice(self.row(drawn[best]));
            self.nearer(&mut nearest, drawn[best]);
        }
        seeds
    }

    /// Updates each row's squared distance to the nearest seed after row `seed` has become one.
    fn nearer(&self, nearest: &mut [f32], seed: usize) {
        let centre = self.row(seed);
        let square = square(centre) as f32;
        let blocks = nearest.par_chunks_mut(BLOCK).zip(self.values.par_chunks(BLOCK * self.dim));
        blocks.zip(self.squares.par_chunks(BLOCK)).for_each(|((nearest, values), squares)| {
            let mut dots = vec![0f32; nearest.len()];
            dot_products(values, centre, self.dim, &mut dots);
            for ((near, dot), own) in nearest.iter_mut().zip(dots).zip(squares) {
                *near = near.min((own + square - 2.0 * dot).max(0.0));
            }
        });
        nearest[seed] = 0.0;
    }

    /// `Σ_i min(nearest_i, ‖x_i − c‖²)` for each of some centres.
    fn left_by(&self, nearest: &[f32], centres: &[f32]) -> Vec<f64> {
        let k = centres.len() / self.dim;
        let lengths: Vec<f32> = centres.chunks_exact(self.dim).map(|c| square(c) as f32).collect();
        let blocks = nearest.par_chunks(BLOCK).zip(self.values.par_chunks(BLOCK * self.dim));
        let sums: Vec<Vec<f64>> = blocks
            .zip(self.squares.par_chunks(BLOCK))
            .map(|((nearest, values), squares)| {
                let mut dots = vec![0f32; nearest.len() * k];
                dot_products(values, centres, self.dim, &mut dots);
                let mut sums = vec![0f64; k];
                for ((dots, near), own) in dots.chunks_exact(k).zip(nearest).zip(squares) {
                    for ((sum, dot), length) in sums.iter_mut().zip(dots).zip(&lengths) {
                        *sum += f64::from(near.min((own + length - 2.0 * dot).max(0.0)));
                    }
                }
                sums
            })
            .collect();
        (0..k).map(|j| sums.iter().map(|s| s[j]).sum()).collect()
    }

    fn lloyd(&self, mut centres: Vec<f32>, max_iterations: usize) -> Fit {
        let rows = self.squares.len();
        let mut assignments = vec![u32::MAX; rows];
        let mut distances = vec![0f32; rows];
        let mut iterations = 0;
        while iterations < max_iterations {
            iterations += 1;
            let (changed, mut sums, mut counts) =
                self.assign(&centres, &mut assignments, &mut distances);
            if !changed {
                break;
            }
            self.fill_empty(&mut sums, &mut counts, &mut assignments, &mut distances);
            let mut moved = 0.0;
            let updates = centres.chunks_exact_mut(self.dim).zip(sums.chunks_exact(self.dim));
            for ((centre, sum), count) in updates.zip(&counts).filter(|(_, count)| **count > 0) {
                for (c, s) in centre.iter_mut().zip(sum) {
                    let new = (s / *count as f64) as f32;
                    moved += f64::from(new - *c).powi(2);
                    *c = new;
                }
            }
            if moved <= 1e-4 * self.variance {
                break;
            }
        }
        // Assigns to the final centres, since their last move may have changed some assignments.
        self.assign(&centres, &mut assignments, &mut distances);
        let inertia = self.inertia(&centres, &assignments);
        Fit { assignments, centres, inertia, iterations }
    }

    /// Gives every row to its nearest centre, the first among equals. Returns whether any
    /// assignment changed, and for each cluster the sum and number of its rows.
    fn assign(
        &self,
        centres: &[f32],
        assignments: &mut [u32],
        distances: &mut [f32],
    ) -> (bool, Vec<f64>, Vec<u64>) {
        let (dim, k) = (self.dim, centres.len() / self.dim);
        let lengths: Vec<f32> = centres.chunks_exact(dim).map(|c| square(c) as f32).collect();
        // Rows are summed in a few long runs, whose number depends on the shape alone.
        let runs = ((1usize << 25) / centres.len()).clamp(4, 64);
        let run = self.squares.len().div_ceil(runs).next_multiple_of(BLOCK);
        let parts: Vec<(bool, Vec<f64>, Vec<u64>)> = assignments
            .par_chunks_mut(run)
            .zip(distances.par_chunks_mut(run))
            .zip(self.values.par_chunks(run * dim))
            .zip(self.squares.par_chunks(run))
            .map(|(((assignments, distances), values), squares)| {
                let (mut changed, mut sums, mut counts) = (false, vec![0f64; k * dim], vec![0; k]);
                let mut dots = vec![0f32; BLOCK * k];
                for (b, block) in values.chunks(BLOCK * dim).enumerate() {
                    let n = block.len() / dim;
                    dot_products(block, centres, dim, &mut dots[..n * k]);
                    for (i, (dots, row)) in
                        dots.chunks_exact(k).zip(block.chunks_exact(dim)).enumerate()
                    {
                        let (mut best, mut least) = (0, f32::INFINITY);
                        for (j, (dot, length)) in dots.iter().zip(&lengths).enumerate() {
                            let distance = length - 2.0 * dot;
                            if distance < least {
                                (best, least) = (j, distance);
                            }
                        }
                        let place = b * BLOCK + i;
                        changed |= assignments[place] != best as u32;
                        assignments[place] = best as u32;
                        distances[place] = (squares[place] + least).max(0.0);
                        counts[best] += 1;
                        let sum = &mut sums[best * dim..(best + 1) * dim];
                        sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
                    }
                }
                (changed, sums, counts)
            })
            .collect();
        let mut total = (false, vec![0f64; k * dim], vec![0u64; k]);
        for (changed, sums, counts) in parts {
            total.0 |= changed;
            total.1.iter_mut().zip(sums).for_each(|(t, s)| *t += s);
            total.2.iter_mut().zip(counts).for_each(|(t, c)| *t += c);
        }
        total
    }

    /// Moves into each empty cluster the row that is farthest from its centre, among clusters of
    /// two or more. Stops when all rows are at their centres.
    fn fill_empty(
        &self,
        sums: &mut [f64],
        counts: &mut [u64],
        assignments: &mut [u32],
        distances: &mut [f32],
    ) {
        let empty: Vec<usize> = (0..counts.len()).filter(|j| counts[*j] == 0).collect();
        for j in empty {
            let movable = (0..distances.len())
                .filter(|i| distances[*i] > 0.0 && counts[assignments[*i] as usize] > 1);
            let farthest =
                movable.max_by(|a, b| distances[*a].total_cmp(&distances[*b]).then(b.cmp(a)));
            let Some(i) = farthest else { return };
            let old = assignments[i] as usize;
            for (d, v) in self.row(i).iter().enumerate() {
                sums[old * self.dim + d] -= f64::from(*v);
                sums[j * self.dim + d] = f64::from(*v);
            }
            counts[old] -= 1;
            counts[j] = 1;
            assignments[i] = j as u32;
            distances[i] = 0.0;
        }
    }

    /// Computed from differences, not from products, so that it is exact for tight clusters too.
    fn inertia(&self, centres: &[f32], assignments: &[u32]) -> f64 {
        let blocks: Vec<f64> = self
            .values
            .par_chunks(BLOCK * self.dim)
            .zip(assignments.par_chunks(BLOCK))
            .map(|(values, assignments)| {
                let rows = values.chunks_exact(self.dim).zip(assignments);
                rows.map(|(row, j)| {
                    let centre = &centres[*j as usize * self.dim..][..self.dim];
                    row.iter().zip(centre).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
                })
                .sum()
            })
            .collect();
        blocks.iter().sum()
    }
}

/// `count` rows, drawn in proportion to their weight; any rows if all weights are 0.
fn draw(weights: &[f32], count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut total = 0.0;
    let cumulative: Vec<f64> = weights
        .iter()
        .map(|w| {
            total += f64::from(*w);
            total
        })
        .collect();
    (0..count)
        .map(|_| {
            let place = rng.random::<f64>() * total;
            cumulative.partition_point(|c| *c <= place).min(weights.len() - 1)
        })
        .collect()
}

fn square(row: &[f32]) -> f64 {
    row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum()
}

/// `values centresᵀ`, `[rows, k]`.
fn dot_products(values: &[f32], centres: &[f32], dim: usize, out: &mut [f32]) {
    let (rows, k) = (values.len() / dim, centres.len() / dim);
    matmul(
        MatMut::from_row_major_slice_mut(out, rows, k),
        Accum::Replace,
        MatRef::from_row_major_slice(values, rows, dim),
        MatRef::from_row_major_slice(centres, k, dim).transpose(),
        1.0,
        Par::Seq,
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adjusted_rand_index;

    /// `clusters` blobs on a circle of radius 10, in turn, with a deviation of about 0.3 ·
    /// `spread`.
    fn blobs(rows: usize, clusters: usize, spread: f32) -> (Features, Vec<u32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let labels: Vec<u32> = (0..rows).map(|i| (i % clusters) as u32).collect();
        let angle = |l: &u32| std::f32::consts::TAU * *l as f32 / clusters as f32;
        let values = labels
            .iter()
            .flat_map(|l| [10.0 * angle(l).cos() + 100.0, 10.0 * angle(l).sin() - 50.0])
            .map(|v| v + spread * (rng.random::<f32>() - 0.5))
            .collect();
        (Features::new(values, rows, 2).unwrap(), labels)
    }

    #[test]
    fn separate_blobs_are_found_far_from_the_origin() {
        let (features, labels) = blobs(700, 7, 1.0);
        let found = KMeans::new(7).fit(&features).unwrap();
        assert_eq!(adjusted_rand_index(&found.assignments, &labels).unwrap(), 1.0);
    }

    #[test]
    fn inertia_is_scikit_learns() {
        // KMeans(3, n_init=10).fit(x).inertia_ of scikit-learn 1.9.1, x as here.
        let value = |i: usize| ((i * 7919) % 1009) as f32 / 100.0 - 5.0;
        let features = Features::new((0..120).map(value).collect(), 60, 2).unwrap();
        let found = KMeans::new(3).fit(&features).unwrap();
        assert!((found.inertia - 146.4391).abs() < 1e-3 * 146.4391, "{}", found.inertia);
    }

    #[test]
    fn fewer_distinct_rows_than_clusters_are_no_trouble() {
        let features = Features::new([0.0, 0.0, 1.0, 1.0].repeat(5), 10, 2).unwrap();
        let found = KMeans::new(4).fit(&features).unwrap();
        assert_eq!(found.inertia, 0.0);
        let zeros = Features::new(vec![0.0; 12], 6, 2).unwrap();
        assert_eq!(KMeans::new(6).fit(&zeros).unwrap().inertia, 0.0);
    }

    #[test]
    fn an_empty_cluster_takes_the_farthest_row() {
        let features = Features::new(vec![0.0, 0.1, 0.2, 9.0], 4, 1).unwrap();
        let points = Points::new(&features, &Scaling::centring(&features));
        // No row has the second centre as its nearest.
        let fit = points.lloyd(vec![0.0, 1e6], 10);
        assert_eq!(fit.assignments, [0, 0, 0, 1]);
    }

    #[test]
    fn bad_requests_are_errors() {
        let (features, _) = blobs(3, 3, 1.0);
        assert!(KMeans::new(4).fit(&features).is_err());
        assert!(KMeans::new(0).fit(&features).is_err());
        assert!(KMeans { restarts: 0, ..KMeans::new(2) }.fit(&features).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_row_is_at_its_nearest_centre_and_threads_do_not_matter(
            rows in 4usize..900,
            seed: u64,
        ) {
            let (features, _) = blobs(rows, 3, 8.0);
            let kmeans = KMeans { restarts: 2, seed, ..KMeans::new(4) };
            let found = kmeans.fit(&features).unwrap();
            for (row, assigned) in features.iter().zip(&found.assignments) {
                let distance = |c: &[f32]| -> f32 { row.iter().zip(c).map(|(a, b)| (a - b).powi(2)).sum() };
                let own = distance(found.centres.iter().nth(*assigned as usize).unwrap());
                let least = found.centres.iter().map(distance).fold(f32::INFINITY, f32::min);
                prop_assert!(own <= least + 1e-3, "{} {}", own, least);
            }
            let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            prop_assert_eq!(one.install(|| kmeans.fit(&features)).unwrap(), found);
        }
    }
}
