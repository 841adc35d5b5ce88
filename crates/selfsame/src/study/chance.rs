//! Decides whether runs can tell two things apart, or chance can explain the difference.
//!
//! All words on a study's page follow one rule (docs/decisions/0014-studies.md): seen, not seen,
//! bold, recommended.

use std::cmp::Ordering;

use super::figures::Repeats;
use crate::words::count;

/// The least number of runs with the same settings and different seeds.
pub const LEAST_RUNS: usize = 2;

/// The least number of training steps to compare accuracies and speeds. The speed of a shorter run
/// depends on its start.
pub const LEAST_STEPS: u64 = 100;

/// The least number of training steps for a verdict on collapse. Early verdicts change
/// (docs/decisions/0014-studies.md).
pub const LEAST_STEPS_TO_COLLAPSE: u64 = 300;

/// A figure with its error: a mean over seeds, or a difference of such means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub value: f64,
    /// The part of the squared standard error from the seeds; `None` if there is only one seed.
    by_seeds: Option<f64>,
    /// The part from the choice of test images.
    by_images: f64,
    /// `Σ v²/f` over the parts `v` of `by_seeds` that were estimated with `f` degrees of freedom.
    uncertainty: f64,
}

impl Estimate {
    /// The estimate from accuracies between 0 and 1, one for each seed, on the same `images` test
    /// images.
    ///
    /// The variance has two parts: `s²/n` over the seeds, and `p (1 − p) / images` for the choice
    /// of images. The second part does not shrink with more seeds.
    pub fn of_accuracies(accuracies: &[f64], images: usize) -> Option<Self> {
        let n = accuracies.len() as f64;
        let mean = selfsame_eval::mean_and_deviation(accuracies)?;
        let images = images as f64;
        // One right and one wrong image are added, so that 0 and 100 % on few images are not
        // certain.
        let p = (mean.mean * images + 1.0) / (images + 2.0);
        let by_images = p * (1.0 - p) / images.max(1.0);
        let by_seeds = mean.deviation.map(|deviation| deviation * deviation / n);
        Some(Self {
            value: mean.mean,
            by_seeds,
            by_images,
            uncertainty: by_seeds.map_or(0.0, |v| v * v / (n - 1.0)),
        })
    }

    /// The difference. Both count as independent. They use the same images, so the true error is
    /// smaller. A difference beyond chance here is thus certainly beyond chance.
    pub fn minus(self, other: Self) -> Self {
        Self {
            value: self.value - other.value,
            by_seeds: self.by_seeds.zip(other.by_seeds).map(|(a, b)| a + b),
            by_images: self.by_images + other.by_images,
            uncertainty: self.uncertainty + other.uncertainty,
        }
    }

    /// The half width of the 95 % interval (Welch, 1947).
    pub fn margin(self) -> Option<f64> {
        let variance = self.by_seeds? + self.by_images;
        let freedom = match self.uncertainty > 0.0 {
            true => variance * variance / self.uncertainty,
            false => f64::INFINITY,
        };
        Some(student(freedom) * variance.sqrt())
    }

    /// The margin that remains for any number of seeds.
    pub fn least_margin(self) -> f64 {
        student(f64::INFINITY) * self.by_images.sqrt()
    }

    /// Whether it is above or below zero beyond chance; `None` if that is undecided.
    pub fn sign(self) -> Option<Ordering> {
        let beyond = self.value.abs() > self.margin()?;
        beyond.then(|| self.value.total_cmp(&0.0))
    }

    /// Whether it lies above or below the other one beyond chance.
    pub fn against(self, other: Self) -> Option<Ordering> {
        self.minus(other).sign()
    }
}

/// The factor of a two-sided 95 % interval for these degrees of freedom. Fractions are rounded
/// down.
fn student(freedom: f64) -> f64 {
    const FEW: [f64; 10] = [12.706, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    match FEW.get(freedom as usize) {
        Some(factor) => *factor,
        // Less than 0.02 above the exact one.
        None => 1.96 + 2.7 / freedom,
    }
}

/// Why runs say nothing about accuracy or speed, for any figures.
pub fn doubt<'a>(groups: impl IntoIterator<Item = &'a Repeats<'a>>) -> Option<String> {
    too_little(groups, LEAST_STEPS)
}

/// Why runs say nothing about collapse.
pub fn doubt_of_collapse<'a>(groups: impl IntoIterator<Item = &'a Repeats<'a>>) -> Option<String> {
    too_little(groups, LEAST_STEPS_TO_COLLAPSE)
}

fn too_little<'a>(
    groups: impl IntoIterator<Item = &'a Repeats<'a>>,
    least_steps: u64,
) -> Option<String> {
    let (mut steps, mut runs) = (u64::MAX, usize::MAX);
    for repeats in groups {
        runs = runs.min(repeats.measured().count());
        steps = repeats.measured().map(|m| m.summary.steps).fold(steps, u64::min);
    }
    let few_steps =
        (steps < least_steps).then(|| format!("{} (at least {least_steps})", count(steps, "step")));
    let one_run = format!("one run of each (at least {LEAST_RUNS})");
    match (runs, few_steps) {
        (0, _) => Some("no run finished".into()),
        (1, Some(steps)) => Some(format!("{steps} and {one_run} are too few to tell")),
        (1, None) => Some(format!("{one_run} is too few to tell")),
        (_, steps) => steps.map(|steps| format!("{steps} are too few to tell")),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::made_up::{outcomes, repeats};
    use super::*;

    fn of(accuracies: &[f64], images: usize) -> Estimate {
        Estimate::of_accuracies(accuracies, images).unwrap()
    }

    #[test]
    fn a_difference_counts_beyond_seeds_and_test_images() {
        let against = |a: &[f64], b: &[f64], images| of(a, images).against(of(b, images));
        let (high, low) = ([0.80, 0.81, 0.82], [0.70, 0.71, 0.72]);
        assert_eq!(against(&high, &low, 2000), Some(Ordering::Greater));
        assert_eq!(against(&low, &high, 2000), Some(Ordering::Less));
        // The same on 100 images. There, 10 points are within chance.
        assert_eq!(against(&high, &low, 100), None);
        // The same means from different seeds.
        assert_eq!(against(&[0.61, 0.81, 1.0], &[0.51, 0.71, 0.91], 2000), None);
        // If two seeds agree by chance, the images set the margin.
        assert_eq!(against(&[0.80; 2], &[0.79; 2], 2000), None);
        assert_eq!(against(&high, &high, 2000), None);
    }

    #[test]
    fn one_seed_is_never_beyond_chance() {
        assert_eq!(of(&[0.99], 10_000).against(of(&[0.10; 3], 10_000)), None);
        assert_eq!(of(&[0.99], 10_000).margin(), None);
    }

    #[test]
    fn few_images_are_not_certain_of_all_or_nothing() {
        assert_eq!(of(&[1.0; 3], 1).against(of(&[0.0; 3], 1)), None);
        assert!(of(&[1.0; 3], 50).against(of(&[0.0; 3], 50)).is_some());
    }

    /// At most five in a hundred pairs of equally good methods are told apart.
    #[test]
    fn equals_are_rarely_told_apart() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for seeds in [2, 3, 5] {
            let (mut told, pairs) = (0, 2000);
            for _ in 0..pairs {
                // Three points between seeds, with so many images that only the seeds matter.
                let mut run =
                    || 0.7 + 0.03 * (0..12).map(|_| rng.random::<f64>() - 0.5).sum::<f64>();
                let mut group = || of(&(0..seeds).map(|_| run()).collect::<Vec<_>>(), 1_000_000);
                told += usize::from(group().against(group()).is_some());
            }
            assert!(told * 100 <= pairs * 6, "{told} of {pairs} with {seeds} seeds");
        }
    }

    /// Values of the t table.
    #[test]
    fn factors_are_students() {
        for (freedom, factor) in
            [(1.0, 12.706), (4.0, 2.776), (10.0, 2.228), (20.0, 2.086), (60.0, 2.0), (1e9, 1.96)]
        {
            let found = student(freedom);
            assert!((0.0..0.03).contains(&(found - factor)), "{freedom}: {found}");
        }
        assert_eq!(student(2.9), student(2.0));
        assert_eq!(student(f64::INFINITY), 1.96);
    }

    #[test]
    fn few_steps_and_one_run_are_doubts() {
        let doubt_of = |accuracies: &[f64], steps| {
            let all = outcomes(accuracies, |run| run.summary.steps = steps);
            doubt([&repeats(&all)])
        };
        assert_eq!(doubt_of(&[0.8, 0.7], 100), None);
        let few = doubt_of(&[0.8, 0.7], 15).unwrap();
        assert!(few.contains("15 steps") && !few.contains("of each"), "{few}");
        let one = doubt_of(&[0.8], 1000).unwrap();
        assert!(one.contains("one run of each") && !one.contains("steps"), "{one}");
        assert!(doubt_of(&[], 1000).unwrap().contains("no run finished"));
        let early = outcomes(&[0.8, 0.7], |run| run.summary.steps = 200);
        assert!(doubt_of_collapse([&repeats(&early)]).unwrap().contains("at least 300"));
    }
}
