//! What an evaluation found: `eval.json`.

use selfsame_eval::{Diagnosis, Interval, MeanDeviation};
use serde::Serialize;

use crate::invariance::{AugmentationRow, FactorRow};

/// Everything that `cargo xtask eval` measured. Accuracies are fractions of 1.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub run: String,
    pub dataset: String,
    /// Whether the encoder was trained on other data.
    pub transfer: bool,
    pub train_images: usize,
    pub test_images: usize,
    /// Images that were left out.
    pub skipped_images: usize,
    /// Why there is no accuracy, where there is none.
    pub untested: Option<String>,
    pub seeds: u64,
    /// The trained encoder's, by the settings of the run: what `summary.json` has too.
    pub knn_top1: Option<f64>,
    pub knn_top1_random_init: Option<f64>,
    pub knn_top1_pixels: Option<f64>,
    pub linear_top1: Option<f64>,
    /// Of the trained encoder's features.
    pub feature_std: f64,
    pub effective_rank: f64,
    pub effective_rank_share: f64,
    pub diagnosis: Diagnosis,
    /// The trained encoder first, then what it has to be better than.
    pub representations: Vec<Scores>,
    pub finetuning: Vec<FinetuneRow>,
    pub corruptions: Vec<CorruptionRow>,
    pub augmentations: Vec<AugmentationRow>,
    pub factors: Vec<FactorRow>,
}

/// How good one representation is.
#[derive(Debug, Clone, Serialize)]
pub struct Scores {
    pub name: &'static str,
    pub dim: usize,
    /// With the run's k and T.
    pub knn: Option<KnnScore>,
    /// With the k and T that were best on held-out training images.
    pub knn_chosen: Option<KnnScore>,
    pub linear: Option<LinearScore>,
    pub few: Vec<FewScore>,
    pub clusters: Option<ClusterScore>,
    /// Top-1 of the classifier that it was trained as; only the supervised encoder has one.
    pub classifier: Option<Interval>,
}

#[derive(Debug, Clone, Serialize)]
pub struct KnnScore {
    pub k: usize,
    pub temperature: f32,
    /// With its 95 % bootstrap interval over the test images.
    pub top1: Interval,
}

#[derive(Debug, Clone, Serialize)]
pub struct LinearScore {
    /// The inverse strength of the regularisation, chosen on held-out training images.
    pub c: f64,
    pub top1: Interval,
}

/// A linear probe that knows few labels.
#[derive(Debug, Clone, Serialize)]
pub struct FewScore {
    /// "1 %", or "10 per class".
    pub labels: String,
    pub images: usize,
    /// Over the seeds that draw the labelled images.
    pub top1: MeanDeviation,
}

/// k-means with as many clusters as classes, on unit vectors.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterScore {
    pub clusters: usize,
    /// Normalised mutual information with the classes.
    pub nmi: MeanDeviation,
    /// Adjusted Rand index.
    pub ari: MeanDeviation,
}

/// The whole network trained on labels, from the pretrained encoder and from initial weights.
#[derive(Debug, Clone, Serialize)]
pub struct FinetuneRow {
    pub labels: String,
    pub images: usize,
    pub pretrained: MeanDeviation,
    pub from_scratch: MeanDeviation,
    pub epochs: u64,
    pub steps: u64,
    /// Of one training from the pretrained encoder.
    pub seconds: f64,
}

/// The linear probe, fitted on clean images, on corrupted test images.
#[derive(Debug, Clone, Serialize)]
pub struct CorruptionRow {
    pub corruption: &'static str,
    pub family: &'static str,
    /// Top-1 by representation, in the order of `representations`, a value for each severity from 1 to 5.
    pub top1: Vec<CorruptionScore>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CorruptionScore {
    pub representation: &'static str,
    pub by_severity: Vec<f64>,
    pub mean: f64,
}
