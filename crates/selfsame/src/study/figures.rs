//! Figures of repeated runs, and their format.

use std::cmp::Ordering;

use selfsame_eval::{Level, MeanDeviation, mean_and_deviation};
use selfsame_report::Cell;

use super::chance::{Estimate, doubt};
use super::measured::Measured;
use super::trials::Outcome;
use crate::folder::summary::Summary;

/// Runs with the same settings and several seeds.
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

    /// Mean and deviation over the seeds, for a figure of every run.
    pub fn mean(&self, of: impl Fn(&Summary) -> Option<f64>) -> Option<MeanDeviation> {
        mean_and_deviation(&self.measured().filter_map(|m| of(&m.summary)).collect::<Vec<_>>())
    }

    /// The same for an accuracy, with its error.
    pub fn estimate(&self, of: impl Fn(&Summary) -> Option<f64>) -> Option<Estimate> {
        let accuracies: Vec<f64> = self.measured().filter_map(|m| of(&m.summary)).collect();
        let images = self.measured().map(|m| m.summary.test_images).min()?;
        Estimate::of_accuracies(&accuracies, images)
    }

    pub fn knn(&self) -> Option<MeanDeviation> {
        self.mean(|figures| figures.knn_top1)
    }

    /// k-NN accuracy of the encoders before training.
    pub fn untrained(&self) -> Option<MeanDeviation> {
        self.mean(|figures| figures.knn_top1_random_init)
    }

    /// k-NN accuracy on raw pixels. No seed changes it.
    pub fn pixels(&self) -> Option<MeanDeviation> {
        let value = self.mean(|figures| figures.knn_top1_pixels)?;
        Some(MeanDeviation { deviation: None, ..value })
    }

    pub fn probe(&self) -> Option<MeanDeviation> {
        self.mean(|figures| figures.linear_top1)
    }

    pub fn median(&self, of: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        median(self.measured().filter_map(of).collect())
    }

    /// The worst verdict of the collapse doctor, with its text.
    pub fn verdict(&self) -> Option<(Level, &'a str)> {
        let all = self.measured().map(|m| &m.summary.diagnosis);
        all.map(|d| (d.level, d.headline.as_str())).max_by_key(|(level, _)| *level)
    }

    /// Steps of the shortest run.
    pub fn steps(&self) -> u64 {
        self.measured().map(|m| m.summary.steps).min().unwrap_or(0)
    }

    /// The number of collapsed runs, by the doctor.
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

/// Which of two has the higher accuracy. `None` if the difference is within chance, or the runs are
/// too few or too short.
pub fn against(a: &Repeats, b: &Repeats, of: impl Fn(&Summary) -> Option<f64>) -> Option<Ordering> {
    match doubt([a, b]) {
        None => a.estimate(&of)?.against(b.estimate(&of)?),
        Some(_) => None,
    }
}

/// The highest accuracies: the best, and all within chance of it. None if no difference is beyond
/// chance.
pub fn leaders(all: &[&Repeats], of: impl Fn(&Summary) -> Option<f64>) -> Vec<bool> {
    let value = |repeats: &Repeats| repeats.mean(&of).map(|v| v.mean);
    let found = all.iter().filter_map(|repeats| Some((value(repeats)?, *repeats)));
    let top = found.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, repeats)| repeats);
    let below = |own: &Repeats| top.is_some_and(|top| against(top, own, &of).is_some());
    let apart = all.iter().any(|own| below(own));
    all.iter().map(|own| apart && value(own).is_some() && !below(own)).collect()
}

/// `accuracy` as a cell, in bold if it leads.
pub fn accuracy_cell(value: Option<MeanDeviation>, strong: bool) -> Cell {
    Cell { text: accuracy(value), strong, ..Cell::default() }
}

/// `3`, or `2 of 3` if some ended in an error.
pub fn finished(repeats: &Repeats) -> String {
    match (repeats.measured().count(), repeats.outcomes.len()) {
        (all, of) if all == of => all.to_string(),
        (some, of) => format!("{some} of {of}"),
    }
}

pub fn rounded(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".into(), |v| format!("{v:.digits$}"))
}

/// `[low, high]`: one deviation to both sides, in percent.
pub fn range(value: MeanDeviation) -> [f64; 2] {
    let deviation = value.deviation.unwrap_or_default();
    [100.0 * (value.mean - deviation), 100.0 * (value.mean + deviation)]
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{outcomes, repeats};
    use super::*;

    fn of(mean: f64, deviation: f64) -> MeanDeviation {
        MeanDeviation { mean, deviation: Some(deviation) }
    }

    #[test]
    fn bold_is_what_leads_beyond_chance() {
        let strong = |all: &[&[f64]]| {
            let all: Vec<_> = all.iter().map(|own| outcomes(own, |_| ())).collect();
            let all: Vec<Repeats> = all.iter().map(|own| repeats(own)).collect();
            leaders(&all.iter().collect::<Vec<_>>(), |f| f.knn_top1)
        };
        let (high, level, low) = ([0.80, 0.81], [0.801, 0.806], [0.70, 0.71]);
        assert_eq!(strong(&[&low, &high]), [false, true]);
        assert_eq!(strong(&[&low, &high, &level]), [false, true, true]);
        assert_eq!(strong(&[&high, &level]), [false, false]);
        // One run of one of them, or a method that never finished.
        assert_eq!(strong(&[&low, &high[..1]]), [false, false]);
        assert_eq!(strong(&[&low, &high, &[]]), [false, true, false]);
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
