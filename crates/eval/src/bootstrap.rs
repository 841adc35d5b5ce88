//! How sure a figure is: intervals from resampled images, deviations over seeds.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::EvalError;

/// Percentile bootstrap (Efron & Tibshirani, 1993, section 13.3) of a mean over test images.
///
/// The images are drawn with replacement, as many as there are, `resamples` times. The interval
/// leaves out `(1 − level) / 2` of the means at either end. It says how far the figure would move
/// with other test images. For other seeds of training there is [`mean_and_deviation`].
///
/// Outcomes with few distinct values (right or wrong: two) are not drawn one by one. The count of
/// each value is drawn from its distribution, a multinomial (for two a binomial). The distribution
/// of the means is exactly the same.
///
/// The same seed gives the same interval, on any number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// How often the images are drawn again.
    pub resamples: usize,
    /// Probability that the interval contains the true mean, above 0 and below 1.
    pub level: f64,
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 95 % from 2,000 resamples.
    fn default() -> Self {
        Self { resamples: 2_000, level: 0.95, seed: 0 }
    }
}

/// A mean with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The mean of the outcomes themselves.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether all of it is on one side of 0. A difference is then more than chance.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

impl Bootstrap {
    /// Up to this many distinct outcomes are drawn by their counts.
    const FEW: usize = 16;

    /// The mean of one outcome per image.
    ///
    /// # Errors
    /// No outcome, one that is not finite, or settings out of range.
    pub fn mean(&self, outcomes: &[f64]) -> Result<Interval, EvalError> {
        self.validate()?;
        if outcomes.is_empty() || outcomes.iter().any(|o| !o.is_finite()) {
            let n = outcomes.len();
            return Err(EvalError::Request(format!("a mean needs finite outcomes (of {n})")));
        }
        let few = distinct(outcomes, Self::FEW);
        let draw = |resample| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(resample);
            match &few {
                Some(counts) => mean_of_counts(counts, outcomes.len() as u64, &mut rng),
                None => {
                    let draws = outcomes.iter().map(|_| rng.random_range(0..outcomes.len()));
                    draws.map(|i| outcomes[i]).sum::<f64>() / outcomes.len() as f64
                }
            }
        };
        let mut means: Vec<f64> = (0..self.resamples as u64).into_par_iter().map(draw).collect();
        means.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        let mean = outcomes.iter().sum::<f64>() / outcomes.len() as f64;
        Ok(Interval { mean, low: quantile(&means, tail), high: quantile(&means, 1.0 - tail) })
    }

    /// The share of images whose outcome is true.
    ///
    /// # Errors
    /// As [`mean`](Self::mean).
    pub fn share(&self, correct: &[bool]) -> Result<Interval, EvalError> {
        let outcomes: Vec<f64> = correct.iter().map(|c| f64::from(u8::from(*c))).collect();
        self.mean(&outcomes)
    }

    /// The mean of `a` minus that of `b`, both on the same images in the same order. Pairs are
    /// drawn together, so an image that is hard for both cancels. The interval is narrower than
    /// that of two separate means.
    ///
    /// # Errors
    /// As [`mean`](Self::mean), or outcomes of different lengths.
    pub fn difference(&self, a: &[f64], b: &[f64]) -> Result<Interval, EvalError> {
        if a.len() != b.len() {
            let (a, b) = (a.len(), b.len());
            return Err(EvalError::Request(format!(
                "pairs need the same number of outcomes, not {a} and {b}"
            )));
        }
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        self.mean(&differences)
    }

    fn validate(&self) -> Result<(), EvalError> {
        if self.resamples == 0 || !(self.level > 0.0 && self.level < 1.0) {
            let (resamples, level) = (self.resamples, self.level);
            return Err(EvalError::Request(format!(
                "a bootstrap needs resamples and a level between 0 and 1, not {resamples} and {level}"
            )));
        }
        Ok(())
    }
}

/// The distinct values with their counts, in the order of the values, if there are at most `most`.
fn distinct(outcomes: &[f64], most: usize) -> Option<Vec<(f64, u64)>> {
    let mut counts: Vec<(f64, u64)> = Vec::new();
    for outcome in outcomes {
        // 0 and −0 are the same value.
        let outcome = outcome + 0.0;
        match counts.binary_search_by(|(v, _)| v.total_cmp(&outcome)) {
            Ok(i) => counts[i].1 += 1,
            Err(_) if counts.len() == most => return None,
            Err(i) => counts.insert(i, (outcome, 1)),
        }
    }
    Some(counts)
}

/// The mean of a multinomial draw. It is drawn as one binomial after the other, each from the
/// images that are left.
fn mean_of_counts(counts: &[(f64, u64)], n: u64, rng: &mut ChaCha8Rng) -> f64 {
    let (mut left, mut total, mut sum) = (n, n, 0.0);
    for (value, count) in counts {
        let share = *count as f64 / total as f64;
        // Probabilities from 0 to 1 are never refused. The last value takes all that is left.
        let drawn = Binomial::new(left, share).map_or(left, |b| b.sample(rng));
        sum += value * drawn as f64;
        left -= drawn;
        total -= count;
    }
    sum / n as f64
}

/// Linear between the two nearest order statistics, as NumPy's default.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// A mean over repetitions, such as seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanDeviation {
    /// The mean.
    pub mean: f64,
    /// Sample standard deviation (divided by n − 1); `None` for a single one.
    pub deviation: Option<f64>,
}

/// Mean and sample standard deviation, `√(Σ (x_i − x̄)² / (n − 1))`; `None` of nothing.
pub fn mean_and_deviation(values: &[f64]) -> Option<MeanDeviation> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some(MeanDeviation {
        mean,
        deviation: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_95_percent_interval_covers_the_truth_about_95_times_in_100() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let truth = 0.8;
        let (mut covered, trials) = (0, 1000);
        for seed in 0..trials {
            let correct: Vec<bool> = (0..400).map(|_| rng.random_bool(truth)).collect();
            let bootstrap = Bootstrap { resamples: 500, seed, ..Bootstrap::default() };
            let interval = bootstrap.share(&correct).unwrap();
            covered += u32::from(interval.low <= truth && truth <= interval.high);
        }
        // One standard deviation of this count is 6.9.
        assert!((925..=972).contains(&covered), "{covered}");
    }

    #[test]
    fn counts_and_draws_have_the_same_distribution() {
        // The second list is the first with its ties broken by tiny amounts.
        let few: Vec<f64> = (0..600).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        let many: Vec<f64> = few.iter().enumerate().map(|(i, v)| v + 1e-9 * i as f64).collect();
        let bootstrap = Bootstrap { resamples: 20_000, ..Bootstrap::default() };
        let (a, b) = (bootstrap.mean(&few).unwrap(), bootstrap.mean(&many).unwrap());
        assert!((a.low - b.low).abs() < 2e-3 && (a.high - b.high).abs() < 2e-3, "{a:?} {b:?}");
        // And both agree with the normal approximation.
        let half = 1.96 * (1.0f64 / 3.0 * 2.0 / 3.0 / 600.0).sqrt();
        assert!((a.high - a.mean - half).abs() < 3e-3, "{a:?} {half}");
    }

    #[test]
    fn pairs_tell_a_small_difference_that_two_means_cannot() {
        let b: Vec<f64> = (0..1000).map(|i| f64::from(u8::from(i % 10 < 7))).collect();
        let mut a = b.clone();
        for i in [7usize, 18, 29, 107, 218, 329, 407, 518, 629, 707] {
            a[i] = 1.0;
        }
        let bootstrap = Bootstrap::default();
        let difference = bootstrap.difference(&a, &b).unwrap();
        assert!(difference.excludes_zero() && (difference.mean - 0.01).abs() < 1e-12);
        assert!(bootstrap.mean(&a).unwrap().low < bootstrap.mean(&b).unwrap().high);
        assert!(!bootstrap.difference(&b, &b).unwrap().excludes_zero());
    }

    #[test]
    fn width_shrinks_with_the_square_root_of_the_images() {
        let width = |n: usize| {
            let correct: Vec<bool> = (0..n).map(|i| i % 4 != 0).collect();
            let i = Bootstrap::default().share(&correct).unwrap();
            i.high - i.low
        };
        let ratio = width(400) / width(40_000);
        assert!((9.0..11.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_deviation_is_the_samples() {
        let spread = mean_and_deviation(&[1.0, 2.0, 4.0]).unwrap();
        assert!((spread.mean - 7.0 / 3.0).abs() < 1e-15);
        assert!((spread.deviation.unwrap() - 1.527_525_231_651_946_6).abs() < 1e-14);
        assert_eq!(mean_and_deviation(&[3.0]), Some(MeanDeviation { mean: 3.0, deviation: None }));
        assert_eq!(mean_and_deviation(&[]), None);
    }

    #[test]
    fn bad_requests_are_errors() {
        let bootstrap = Bootstrap::default();
        assert!(bootstrap.mean(&[]).is_err());
        assert!(bootstrap.mean(&[1.0, f64::NAN]).is_err());
        assert!(bootstrap.difference(&[1.0], &[]).is_err());
        assert!(Bootstrap { resamples: 0, ..bootstrap }.mean(&[1.0]).is_err());
        assert!(Bootstrap { level: 1.0, ..bootstrap }.mean(&[1.0]).is_err());
    }

    proptest! {
        #[test]
        fn the_interval_contains_the_mean_and_depends_on_the_seed_alone(
            correct in prop::collection::vec(any::<bool>(), 1..200),
            seed: u64,
        ) {
            let bootstrap = Bootstrap { seed, resamples: 400, ..Bootstrap::default() };
            let interval = bootstrap.share(&correct).unwrap();
            prop_assert!(0.0 <= interval.low && interval.high <= 1.0);
            // Within the precision of 400 resamples of so few images.
            let step = 1.0 / correct.len() as f64;
            prop_assert!(interval.low <= interval.mean + step);
            prop_assert!(interval.mean <= interval.high + step);
            let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            prop_assert_eq!(one.install(|| bootstrap.share(&correct)).unwrap(), interval);
        }
    }
}
