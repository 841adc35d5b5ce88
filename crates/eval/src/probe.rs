use serde::Serialize;

use crate::{EvalError, Features};

/// Features with a class each; what has no label has been left out.
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

    pub(crate) fn select(&self, indices: &[usize]) -> Self {
        Self {
            features: self.features.select(indices),
            labels: indices.iter().filter_map(|i| self.labels.get(*i)).copied().collect(),
        }
    }
}

/// Scores frozen features against labels.
///
/// Whatever a probe learns or chooses, it does so on `train` alone; the number of classes comes from
/// there too, and a test label that never occurs there counts as wrong.
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
        let correct = predictions.iter().zip(&test.labels).filter(|(p, l)| p == l).count();
        Ok(ProbeScore {
            top1: correct as f64 / test.labels.len() as f64,
            images: test.labels.len(),
        })
    }
}

/// A probe's result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProbeScore {
    /// Share of correct predictions.
    pub top1: f64,
    /// Test images that had a label.
    pub images: usize,
}

pub(crate) fn check_dims(train: &Features, test: &Features) -> Result<(), EvalError> {
    if train.dim() != test.dim() {
        let (a, b) = (train.dim(), test.dim());
        return Err(EvalError::Request(format!("features of length {a} and of length {b}")));
    }
    Ok(())
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
}
