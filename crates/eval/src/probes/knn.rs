//! The weighted k-NN classifier, and the choice of k and temperature.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::neighbours::{Neighbours, nearest};
use super::probe::correct;
use crate::{EvalError, Features, Labelled, Probe};

/// Weighted k-nearest neighbours on frozen features (Wu et al., 2018, section 3.4).
///
/// With cosine similarities `s_i` to the k nearest training vectors, class `c` scores
/// `Σ_{i: y_i = c} exp(s_i / T)`, and the highest score wins (the lowest class on a tie). Among
/// equally near vectors the one that comes first is the nearer ([`nearest`]).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Knn {
    /// How many neighbours vote. All of the bank if it has fewer.
    pub k: usize,
    /// T. With a smaller T the nearest count for more.
    pub temperature: f32,
}

impl Default for Knn {
    /// k = 200, T = 0.1, as the peers report.
    fn default() -> Self {
        Self { k: 200, temperature: 0.1 }
    }
}

impl Knn {
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

    /// The class of every query, from neighbours of an earlier search. One search serves every
    /// temperature, and every `k` up to its own.
    ///
    /// `labels`: one per vector of the bank.
    ///
    /// # Errors
    /// Settings out of range, fewer neighbours than `k` from a larger bank, or a neighbour without
    /// a label.
    pub fn vote(&self, neighbours: &Neighbours, labels: &[u32]) -> Result<Vec<u32>, EvalError> {
        self.validate()?;
        let k = self.k.min(neighbours.k());
        // The search may have left out the query itself.
        if k < self.k && neighbours.k() + 1 < labels.len() {
            return Err(EvalError::Request(format!(
                "k-NN with k = {} needs as many neighbours, not {k}",
                self.k
            )));
        }
        if neighbours.indices().iter().any(|i| *i as usize >= labels.len()) {
            let n = labels.len();
            return Err(EvalError::Request(format!("a bank of more vectors than its {n} labels")));
        }
        let classes = labels.iter().max().map_or(0, |l| *l as usize + 1);
        let queries: Vec<_> = neighbours.iter().collect();
        let vote = |scores: &mut Vec<f64>, (indices, similarities): &(&[u32], &[f32])| {
            scores.fill(0.0);
            for (i, s) in indices.iter().zip(*similarities).take(k) {
                // Relative to the nearest, so that no temperature is too small for the exponential.
                let exponent = f64::from(s - similarities[0]) / f64::from(self.temperature);
                scores[labels[*i as usize] as usize] += exponent.exp();
            }
            let best = scores.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
            best.map_or(0, |(class, _)| class as u32)
        };
        Ok(queries.par_iter().map_init(|| vec![0f64; classes], vote).collect())
    }
}

impl Probe for Knn {
    fn predict(&self, train: &Labelled, test: &Features) -> Result<Vec<u32>, EvalError> {
        self.validate()?;
        self.vote(&nearest(&train.features, test, self.k)?, &train.labels)
    }
}

/// Settings of k-NN to choose from: every `k` with every temperature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnnGrid {
    /// Candidates for k.
    pub k: Vec<usize>,
    /// Candidates for T.
    pub temperatures: Vec<f32>,
}

impl Default for KnnGrid {
    /// k of 1, 5, 10, 20, 50, 100 and 200; T of 0.02, 0.05, 0.07, 0.1, 0.2 and 0.5.
    fn default() -> Self {
        Self {
            k: vec![1, 5, 10, 20, 50, 100, 200],
            temperatures: vec![0.02, 0.05, 0.07, 0.1, 0.2, 0.5],
        }
    }
}

/// What was chosen from a [`KnnGrid`], and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnnChoice {
    /// The best on the held-out part; the first of equally good ones, in the order of `cells`.
    pub best: Knn,
    /// What each setting scored there: all temperatures of the first k, then of the next one.
    pub cells: Vec<KnnCell>,
}

/// A setting and its accuracy on the held-out part of the training features.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KnnCell {
    /// The setting.
    #[serde(flatten)]
    pub knn: Knn,
    /// Share of correct predictions.
    pub top1: f64,
}

impl KnnGrid {
    /// Scores every setting on a fifth of the training features, with the rest as the bank, and
    /// chooses the best. One search serves all settings. Test features are not used. Score them
    /// once with the chosen setting, by [`Probe::score`].
    ///
    /// # Errors
    /// No setting, one out of range, or too few training features: a class must have five to hold
    /// one out.
    pub fn choose(&self, train: &Labelled) -> Result<KnnChoice, EvalError> {
        let settings: Vec<Knn> = self
            .k
            .iter()
            .flat_map(|k| self.temperatures.iter().map(|t| Knn { k: *k, temperature: *t }))
            .collect();
        settings.iter().try_for_each(Knn::validate)?;
        let Some(k) = settings.iter().map(|knn| knn.k).max() else {
            return Err(EvalError::Request("k-NN has no settings to choose from".into()));
        };
        let (bank, held) = train.hold_out();
        if held.labels.is_empty() {
            return Err(EvalError::Request(
                "choosing among settings of k-NN needs five features of a class".into(),
            ));
        }
        let neighbours = nearest(&bank.features, &held.features, k)?;
        let mut cells: Vec<KnnCell> = Vec::with_capacity(settings.len());
        for knn in settings {
            let top1 = correct(&knn.vote(&neighbours, &bank.labels)?, &held.labels);
            cells.push(KnnCell { knn, top1 });
        }
        let best = cells.iter().rev().max_by(|a, b| a.top1.total_cmp(&b.top1));
        let best = best.map_or_else(Knn::default, |cell| cell.knn);
        Ok(KnnChoice { best, cells })
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
    fn a_small_temperature_is_the_nearest_neighbour() {
        let train =
            Labelled { features: features(vec![1.0, 0.0, 0.9, 0.1], 2), labels: vec![0, 1] };
        let query = features(vec![0.9, 0.09], 2);
        assert_eq!(Knn { k: 2, temperature: 1e-6 }.predict(&train, &query).unwrap(), [1]);
    }

    fn noisy(rows: usize, dim: usize) -> Labelled {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let labels: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
        let values = labels
            .iter()
            .flat_map(|l| {
                (0..dim).map(|d| next() + 0.2 * f32::from(d % 3 == *l as usize)).collect::<Vec<_>>()
            })
            .collect();
        Labelled { features: features(values, dim), labels }
    }

    #[test]
    fn every_cell_of_a_grid_is_what_the_probe_scores_and_the_best_is_chosen() {
        let train = noisy(200, 8);
        let grid = KnnGrid { k: vec![1, 7, 500], temperatures: vec![0.05, 0.5] };
        let choice = grid.choose(&train).unwrap();
        let (bank, held) = train.hold_out();
        assert_eq!(choice.cells.len(), 6);
        for cell in &choice.cells {
            assert_eq!(cell.knn.score(&bank, &held).unwrap().top1, cell.top1, "{cell:?}");
        }
        let most = choice.cells.iter().map(|c| c.top1).fold(0.0, f64::max);
        let first = choice.cells.iter().find(|c| c.top1 == most).unwrap();
        assert_eq!(choice.best, first.knn);
        assert!(KnnGrid { k: vec![], ..grid.clone() }.choose(&train).is_err());
        assert!(grid.choose(&noisy(12, 2)).is_err());
    }

    #[test]
    fn a_vote_needs_its_neighbours_and_labels() {
        let train = noisy(20, 4);
        let neighbours = nearest(&train.features, &train.features, 5).unwrap();
        let knn = |k| Knn { k, temperature: 0.1 };
        assert!(knn(5).vote(&neighbours, &train.labels).is_ok());
        assert!(knn(6).vote(&neighbours, &train.labels).is_err());
        assert!(knn(5).vote(&neighbours, &train.labels[..3]).is_err());
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
