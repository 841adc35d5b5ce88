//! Figures of repeated runs, and how they are written.

use selfsame_eval::{Level, MeanDeviation, mean_and_deviation};
use selfsame_report::Cell;

use super::measured::{Figures, Measured};
use super::trials::Outcome;

/// The same settings under several seeds.
pub struct Repeats<'a> {
    pub outcomes: Vec<&'a Outcome>,
}

impl<'a> Repeats<'a> {
    pub fn measured(&self) -> impl Iterator<Item = &'a Measured> + '_ {
        self.outcomes.iter().filter_map(|outcome| outcome.as_ref().ok())
    }

    /// Runs that ended in an error.
    pub fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_err()).count()
    }

    /// Mean and deviation over the seeds of what every run has.
    pub fn mean(&self, of: impl Fn(&Figures) -> Option<f64>) -> Option<MeanDeviation> {
        mean_and_deviation(&self.measured().filter_map(|m| of(&m.summary)).collect::<Vec<_>>())
    }

    pub fn knn(&self) -> Option<MeanDeviation> {
        self.mean(|figures| figures.knn_top1)
    }

    pub fn probe(&self) -> Option<MeanDeviation> {
        self.mean(|figures| figures.linear_top1)
    }

    pub fn median(&self, of: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        median(self.measured().filter_map(of).collect())
    }

    /// The worst verdict of the collapse doctor, with its words.
    pub fn verdict(&self) -> Option<(Level, &'a str)> {
        let all = self.measured().map(|m| &m.summary.diagnosis);
        all.map(|d| (d.level, d.headline.as_str())).max_by_key(|(level, _)| *level)
    }

    /// How many runs have collapsed, by the doctor.
    pub fn collapsed(&self) -> usize {
        self.measured().filter(|m| m.summary.diagnosis.level == Level::Collapsed).count()
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[half]),
        _ => Some((values[half - 1] + values[half]) / 2.0),
    }
}

/// `78.1 ± 0.4`, in percent.
pub fn accuracy(value: Option<MeanDeviation>) -> String {
    match value {
        None => "–".into(),
        Some(MeanDeviation { mean, deviation: None }) => format!("{:.1}", 100.0 * mean),
        Some(MeanDeviation { mean, deviation: Some(deviation) }) => {
            format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * deviation)
        }
    }
}

/// `accuracy` as a cell, in bold if it is the best.
pub fn accuracy_cell(value: Option<MeanDeviation>, best: Option<f64>) -> Cell {
    let strong = best.is_some() && value.map(|v| v.mean) == best;
    Cell { text: accuracy(value), strong, ..Cell::default() }
}

pub fn rounded(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".into(), |v| format!("{v:.digits$}"))
}

/// `[low, high]` of one deviation to both sides, in percent.
pub fn range(value: MeanDeviation) -> [f64; 2] {
    let deviation = value.deviation.unwrap_or_default();
    [100.0 * (value.mean - deviation), 100.0 * (value.mean + deviation)]
}

/// Whether two means differ by more than chance would have it: by twice the standard error of their
/// difference. Without deviations, by two points.
pub fn differ(a: MeanDeviation, b: MeanDeviation, repeats: usize) -> bool {
    let error = match (a.deviation, b.deviation) {
        (Some(a), Some(b)) => ((a * a + b * b) / repeats.max(1) as f64).sqrt(),
        _ => 0.01,
    };
    (a.mean - b.mean).abs() > 2.0 * error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mean: f64, deviation: f64) -> MeanDeviation {
        MeanDeviation { mean, deviation: Some(deviation) }
    }

    #[test]
    fn means_differ_beyond_two_standard_errors() {
        assert!(differ(of(0.80, 0.01), of(0.77, 0.01), 3));
        assert!(!differ(of(0.80, 0.02), of(0.77, 0.02), 3));
        let single = |mean| MeanDeviation { mean, deviation: None };
        assert!(differ(single(0.80), single(0.77), 1) && !differ(single(0.80), single(0.79), 1));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn accuracies_are_percent() {
        assert_eq!(accuracy(Some(of(0.7812, 0.0041))), "78.1 ± 0.4");
        assert_eq!(accuracy(Some(MeanDeviation { mean: 0.5, deviation: None })), "50.0");
        assert_eq!(accuracy(None), "–");
    }
}
