use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::probe::check_dims;
use crate::{EvalError, Features, Labelled, Probe};

/// Weighted k-nearest neighbours on frozen features (Wu et al., 2018, section 3.4).
///
/// With cosine similarities `s_i` to the k nearest training vectors, class `c` scores
/// `Σ_{i: y_i = c} exp(s_i / T)`, and the highest score wins (the lowest class on a tie). Among
/// equally near vectors the one that comes first is the nearer.
///
/// Similarities are computed in blocks of 64 queries, so memory is `64 · bank` floats per thread.
/// The result does not depend on the number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Knn {
    /// Neighbours that vote; all of the bank if it has fewer.
    pub k: usize,
    /// T: the smaller, the more the nearest ones count.
    pub temperature: f32,
}

impl Default for Knn {
    /// k = 200, T = 0.1, as the peers report.
    fn default() -> Self {
        Self { k: 200, temperature: 0.1 }
    }
}

impl Knn {
    const BLOCK: usize = 64;

    /// # Errors
    /// k of 0, or a temperature that is not above 0.
    pub fn validate(&self) -> Result<(), EvalError> {
        if self.k == 0 {
            return Err(EvalError::Request("k-NN needs k of at least 1".into()));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let t = self.temperature;
            return Err(EvalError::Request(format!("k-NN needs a temperature above 0, not {t}")));
        }
        Ok(())
    }

    fn vote(&self, similarities: &[f32], order: &mut Vec<u32>, bank: &Labelled) -> u32 {
        let k = self.k.min(similarities.len());
        let nearer = |a: &u32, b: &u32| {
            let (sa, sb) = (similarities[*a as usize], similarities[*b as usize]);
            sb.total_cmp(&sa).then(a.cmp(b))
        };
        order.clear();
        order.extend(0..similarities.len() as u32);
        if k < order.len() {
            order.select_nth_unstable_by(k, nearer);
            order.truncate(k);
        }
        // A fixed order of summation.
        order.sort_unstable_by(nearer);
        let mut scores = vec![0f64; bank.classes()];
        for i in order.iter() {
            let weight = f64::from(similarities[*i as usize] / self.temperature).exp();
            scores[bank.labels[*i as usize] as usize] += weight;
        }
        let best = scores.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(0, |(class, _)| class as u32)
    }
}

impl Probe for Knn {
    fn predict(&self, train: &Labelled, test: &Features) -> Result<Vec<u32>, EvalError> {
        self.validate()?;
        check_dims(&train.features, test)?;
        let (bank, queries) = (train.features.normalized(), test.normalized());
        let (rows, dim) = (bank.rows(), bank.dim());
        if u32::try_from(rows).is_err() {
            return Err(EvalError::Request(format!("{rows} training vectors are too many")));
        }
        let bank_matrix = MatRef::from_row_major_slice(bank.values(), rows, dim);
        let blocks: Vec<Vec<u32>> = queries
            .values()
            .par_chunks(Self::BLOCK * dim)
            .map_init(
                || (Vec::new(), Vec::new()),
                |(similarities, order), block| {
                    let n = block.len() / dim;
                    similarities.resize(n * rows, 0f32);
                    let out = MatMut::from_row_major_slice_mut(similarities, n, rows);
                    let block = MatRef::from_row_major_slice(block, n, dim);
                    matmul(out, Accum::Replace, block, bank_matrix.transpose(), 1.0, Par::Seq);
                    similarities.chunks_exact(rows).map(|s| self.vote(s, order, train)).collect()
                },
            )
            .collect();
        Ok(blocks.concat())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn features(values: Vec<f32>, dim: usize) -> Features {
        let rows = values.len() / dim;
        Features::new(values, rows, dim).unwrap()
    }

    /// The definition in f64, with a full sort.
    fn brute_force(knn: &Knn, train: &Labelled, query: &[f32]) -> Vec<f64> {
        let unit = |v: &[f32]| -> Vec<f64> {
            let norm = v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            v.iter().map(|x| if norm > 0.0 { f64::from(*x) / norm } else { 0.0 }).collect()
        };
        let q = unit(query);
        let mut near: Vec<(f64, u32)> = train
            .features
            .iter()
            .zip(&train.labels)
            .map(|(row, label)| (unit(row).iter().zip(&q).map(|(a, b)| a * b).sum(), *label))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut scores = vec![0.0; train.classes()];
        for (s, label) in near.into_iter().take(knn.k) {
            scores[label as usize] += (s / f64::from(knn.temperature)).exp();
        }
        scores
    }

    proptest! {
        #[test]
        fn the_winner_is_the_brute_force_winner(
            rows in 1usize..40,
            dim in 1usize..9,
            k in 1usize..50,
            seed: u32,
        ) {
            let mut state = seed | 1;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            };
            let train = Labelled {
                features: features((0..rows * dim).map(|_| next()).collect(), dim),
                labels: (0..rows).map(|_| ((next() + 0.5) * 4.0) as u32).collect(),
            };
            let test = features((0..5 * dim).map(|_| next()).collect(), dim);
            let knn = Knn { k, temperature: 0.1 };
            let predictions = knn.predict(&train, &test).unwrap();
            for (query, predicted) in test.iter().zip(predictions) {
                let scores = brute_force(&knn, &train, query);
                let best = scores.iter().copied().fold(0.0, f64::max);
                // Near ties at the k-th place or between classes may fall either way in f32.
                prop_assert!(scores[predicted as usize] >= best * (1.0 - 0.05));
            }
        }
    }

    #[test]
    fn weights_let_one_near_neighbour_outvote_two_far_ones() {
        let train = Labelled {
            features: features(vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0], 2),
            labels: vec![1, 0, 0],
        };
        let query = features(vec![1.0, 0.1], 2);
        assert_eq!(Knn { k: 3, temperature: 0.1 }.predict(&train, &query).unwrap(), [1]);
        assert_eq!(Knn { k: 3, temperature: 10.0 }.predict(&train, &query).unwrap(), [0]);
    }

    #[test]
    fn ties_go_to_the_lowest_class_and_the_first_vector() {
        let train =
            Labelled { features: features(vec![1.0, 1.0, 1.0, 1.0], 1), labels: vec![2, 1, 1, 2] };
        let query = features(vec![1.0], 1);
        assert_eq!(Knn { k: 4, temperature: 0.1 }.predict(&train, &query).unwrap(), [1]);
        assert_eq!(Knn { k: 1, temperature: 0.1 }.predict(&train, &query).unwrap(), [2]);
    }

    #[test]
    fn bad_requests_are_errors() {
        let train = Labelled { features: features(vec![1.0, 0.0], 2), labels: vec![0] };
        assert!(
            Knn { k: 0, temperature: 0.1 }.predict(&train, &features(vec![1.0, 0.0], 2)).is_err()
        );
        assert!(
            Knn { k: 1, temperature: 0.0 }.predict(&train, &features(vec![1.0, 0.0], 2)).is_err()
        );
        assert!(Knn::default().predict(&train, &features(vec![1.0], 1)).is_err());
    }
}
