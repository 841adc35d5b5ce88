//! What a probe is: it learns on labelled features and predicts labels.

use serde::Serialize;

use crate::{EvalError, Features};

/// Features with a class each. Images without a label are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// `[rows, dim]`
    pub features: Features,
    /// One per row.
    pub labels: Vec<u32>,
}

impl Labelled {
    /// Leaves out rows without a label.
    ///
    /// # Errors
    /// Another number of labels than rows, or no label at all.
    pub fn new(features: &Features, labels: &[Option<u32>]) -> Result<Self, EvalError> {
        if labels.len() != features.rows() {
            let (l, r) = (labels.len(), features.rows());
            return Err(EvalError::Request(format!("{l} labels for {r} feature vectors")));
        }
        let kept: Vec<usize> = (0..labels.len()).filter(|i| labels[*i].is_some()).collect();
        if kept.is_empty() {
            return Err(EvalError::Request("none of the images has a label".into()));
        }
        let features =
            if kept.len() == labels.len() { features.clone() } else { features.select(&kept) };
        Ok(Self { features, labels: labels.iter().flatten().copied().collect() })
    }

    /// One more than the largest label.
    pub fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |l| *l as usize + 1)
    }

    /// Holds out every fifth row of each class for choosing settings: `(rest, held out)`. The
    /// second is empty if no class has five.
    pub fn hold_out(&self) -> (Self, Self) {
        const SHARE: usize = 5;
        let mut seen = vec![0usize; self.classes()];
        let (rest, held): (Vec<usize>, Vec<usize>) = (0..self.labels.len()).partition(|i| {
            let seen = &mut seen[self.labels[*i] as usize];
            *seen += 1;
            !seen.is_multiple_of(SHARE)
        });
        (self.select(&rest), self.select(&held))
    }

    /// Some of the rows, in the order of `indices`. Indices out of range are left out.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            features: self.features.select(indices),
            labels: indices.iter().filter_map(|i| self.labels.get(*i)).copied().collect(),
        }
    }
}

/// Scores frozen features against labels.
///
/// A probe learns and chooses on `train` alone. The number of classes comes from there too, and a
/// test label that never occurs there counts as wrong.
pub trait Probe {
    /// The predicted class of every test row.
    ///
    /// # Errors
    /// Features of different lengths, or settings that do not fit the data.
    fn predict(&self, train: &Labelled, test: &Features) -> Result<Vec<u32>, EvalError>;

    /// The share of test rows whose class is predicted.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    fn score(&self, train: &Labelled, test: &Labelled) -> Result<ProbeScore, EvalError> {
        let predictions = self.predict(train, &test.features)?;
        let top1 = correct(&predictions, &test.labels);
        Ok(ProbeScore { top1, top5: None, images: test.labels.len() })
    }
}

/// A probe's result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProbeScore {
    /// Share of correct predictions.
    pub top1: f64,
    /// Share of images whose class is among the five most likely. Only probes that rank more than
    /// five classes have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    /// Test images that had a label.
    pub images: usize,
}

/// The share of predictions that are the label.
pub(crate) fn correct(predictions: &[u32], labels: &[u32]) -> f64 {
    let right = predictions.iter().zip(labels).filter(|(p, l)| p == l).count();
    right as f64 / labels.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlabelled_rows_are_left_out() {
        let features = Features::new(vec![1.0, 2.0, 3.0], 3, 1).unwrap();
        let labelled = Labelled::new(&features, &[Some(4), None, Some(0)]).unwrap();
        assert_eq!(labelled.features.values(), [1.0, 3.0]);
        assert_eq!((labelled.labels.clone(), labelled.classes()), (vec![4, 0], 5));
        assert!(Labelled::new(&features, &[None; 3]).is_err());
        assert!(Labelled::new(&features, &[None; 2]).is_err());
    }

    #[test]
    fn every_fifth_of_each_class_is_held_out() {
        let features = Features::new((0..23u8).map(f32::from).collect(), 23, 1).unwrap();
        let labels = (0..23).map(|i| u32::from(i >= 12)).collect();
        let (rest, held) = Labelled { features, labels }.hold_out();
        assert_eq!(held.features.values(), [4.0, 9.0, 16.0, 21.0]);
        assert_eq!((held.labels, rest.labels.len()), (vec![0, 0, 1, 1], 19));
    }
}
