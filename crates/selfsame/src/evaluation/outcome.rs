//! What an evaluation found: `eval.json`.

use selfsame_eval::{Diagnosis, Interval, MeanDeviation};
use serde::Serialize;

use crate::evaluation::invariance::{AugmentationRow, FactorRow};

/// Everything that `selfsame eval` measured. Accuracies are fractions of 1.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The name of the run's folder.
    pub run: String,
    /// What it was judged on.
    pub dataset: String,
    /// Whether the encoder was trained on other data.
    pub transfer: bool,
    /// Images that `knn_top1` rests on.
    pub train_images: usize,
    /// Test images used for the first figure.
    pub test_images: usize,
    /// Images that there are.
    pub set_train_images: usize,
    /// Test images of the whole set.
    pub set_test_images: usize,
    /// Images that `representations`, `knn_top1_random_init` and `knn_top1_pixels` rest on: of
    /// larger sets, some.
    pub table_train_images: usize,
    /// Test images behind the table.
    pub table_test_images: usize,
    /// The side that images are reduced to, where they are larger, before their pixels are
    /// features.
    pub pixel_side: u32,
    /// Whether `linear_top1` rests on the images of `knn_top1`; else on those of the table.
    pub linear_on_all: bool,
    /// Images that were left out.
    pub skipped_images: usize,
    /// Why there is no accuracy, where there is none.
    pub untested: Option<String>,
    /// How often what depends on a draw was repeated.
    pub seeds: u64,
    /// The trained encoder's, by the settings of the run: what `summary.json` has too.
    pub knn_top1: Option<f64>,
    /// `knn_top1` with its interval.
    pub knn: Option<KnnScore>,
    /// The same of the untrained encoder.
    pub knn_top1_random_init: Option<f64>,
    /// The same of raw pixels.
    pub knn_top1_pixels: Option<f64>,
    /// The linear probe of the trained encoder.
    pub linear_top1: Option<f64>,
    /// `linear_top1` with its interval.
    pub linear: Option<LinearScore>,
    /// Of the trained encoder's features.
    pub feature_std: f64,
    /// Of the features (RankMe).
    pub effective_rank: f64,
    /// The same as a share of the dimensions.
    pub effective_rank_share: f64,
    /// The collapse doctor's verdict.
    pub diagnosis: Diagnosis,
    /// The trained encoder first, then what it has to be better than.
    pub representations: Vec<Scores>,
    /// Why no representation has `clusters`, where none has.
    pub without_clusters: Option<String>,
    /// Training the whole encoder on labels.
    pub finetuning: Vec<FinetuneRow>,
    /// Accuracy under each corruption.
    pub corruptions: Vec<CorruptionRow>,
    /// Means of all corruptions, by representation.
    pub corrupted: Vec<CorruptedMean>,
    /// Test images that were corrupted.
    pub corrupted_images: usize,
    /// How far each augmentation moves an image.
    pub augmentations: Vec<AugmentationRow>,
    /// Images that were augmented.
    pub augmented_images: usize,
    /// How well the factors of drawn images can be read.
    pub factors: Vec<FactorRow>,
}

/// How good one representation is.
#[derive(Debug, Clone, Serialize)]
pub struct Scores {
    pub name: &'static str,
    pub dim: usize,
    pub train_images: usize,
    pub test_images: usize,
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
    /// Over the test images, where there is one seed.
    pub interval: Option<Interval>,
    /// The budget before whose draws are the same images.
    pub same_as: Option<String>,
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
    pub test_images: usize,
    pub pretrained: MeanDeviation,
    pub from_scratch: MeanDeviation,
    /// Over the test images, of a single training from each start.
    pub pretrained_interval: Option<Interval>,
    pub from_scratch_interval: Option<Interval>,
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
    /// Top-1 by representation, in the order of `representations`, a value for each severity from 1
    /// to 5.
    pub top1: Vec<CorruptionScore>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CorruptionScore {
    pub representation: &'static str,
    pub by_severity: Vec<f64>,
    pub mean: f64,
    /// Of the mean, over the test images.
    pub interval: Interval,
}

#[derive(Debug, Clone, Serialize)]
pub struct CorruptedMean {
    pub representation: &'static str,
    /// Over the test images, of the mean of all corruptions and severities.
    pub top1: Interval,
}
