//! The figures of a finished run.

use std::path::Path;

use serde::Serialize;

use crate::folder::METRICS;
use crate::folder::record::Log;
use crate::folder::summary::Summary;

/// A state of training.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Moment {
    pub epoch: f64,
    /// Seconds of training, without evaluations.
    pub seconds: f64,
    pub knn_top1: f64,
}

/// A run's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    #[serde(flatten)]
    pub summary: Summary,
    /// k-NN accuracy over training, from the untrained encoder to the end.
    pub curve: Vec<Moment>,
}

impl Measured {
    pub fn read(run: &Path) -> anyhow::Result<Self> {
        let summary = Summary::read(run)?;
        let metrics = std::fs::read_to_string(run.join(METRICS)).unwrap_or_default();
        let mut curve = Vec::new();
        if let Some(knn_top1) = summary.knn_top1_random_init {
            curve.push(Moment { epoch: 0.0, seconds: 0.0, knn_top1 });
        }
        curve.extend(Log::parse(&metrics).evaluations.into_iter().filter_map(|line| {
            let (epoch, seconds) = (line.epoch, line.train_seconds);
            line.knn_top1.map(|knn_top1| Moment { epoch, seconds, knn_top1 })
        }));
        // Of runs from before the metrics had the last evaluation.
        let before_the_end = curve.last().is_none_or(|last| last.epoch < summary.epochs);
        if let Some(knn_top1) = summary.knn_top1.filter(|_| before_the_end) {
            let (epoch, seconds) = (summary.epochs, summary.train_seconds);
            curve.push(Moment { epoch, seconds, knn_top1 });
        }
        Ok(Self { summary, curve })
    }

    /// Seconds of training until an evaluation first found this accuracy.
    pub fn seconds_to(&self, accuracy: f64) -> Option<f64> {
        let [_, at] = self.reached(accuracy);
        at.is_finite().then_some(at)
    }

    /// The seconds of training between which it was reached: from the evaluation before to the
    /// first one with it. Infinity if none has it.
    pub fn reached(&self, accuracy: f64) -> [f64; 2] {
        let mut before = 0.0;
        for moment in self.curve.iter().filter(|moment| moment.seconds > 0.0) {
            if moment.knn_top1 >= accuracy {
                return [before, moment.seconds];
            }
            before = moment.seconds;
        }
        [before, f64::INFINITY]
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::outcomes;

    #[test]
    fn an_accuracy_is_reached_between_two_evaluations() {
        let all = outcomes(&[0.80], |_| ());
        let run = all[0].as_ref().unwrap();
        // From 60 to 80 % in ten evaluations.
        assert_eq!(run.reached(0.71), [50.0, 60.0]);
        assert_eq!(run.seconds_to(0.71), Some(60.0));
        // The accuracy of the untrained encoder does not count before the first step.
        assert_eq!(run.reached(0.50), [0.0, 10.0]);
        assert_eq!(run.reached(0.90), [100.0, f64::INFINITY]);
        assert_eq!(run.seconds_to(0.90), None);
    }
}
