//! The result of an evaluation: `eval.json`.

use selfsame_eval::{Diagnosis, Interval, MeanDeviation};
use serde::Serialize;

use crate::evaluation::invariance::{AugmentationRow, FactorRow};

/// All results of `selfsame eval`. Accuracies are fractions of 1.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The name of the run's folder.
    pub run: String,
    /// The data of the evaluation.
    pub dataset: String,
    /// Whether the encoder was trained on other data.
    pub transfer: bool,
    /// Training images for `knn_top1`.
    pub train_images: usize,
    /// Test images for `knn_top1`.
    pub test_images: usize,
    /// Training images of the whole set.
    pub set_train_images: usize,
    /// Test images of the whole set.
    pub set_test_images: usize,
    /// Training images for `representations`, `knn_top1_random_init` and `knn_top1_pixels`: a part
    /// of a large set.
    pub table_train_images: usize,
    /// Test images for the same figures.
    pub table_test_images: usize,
    /// The side that larger images are reduced to before their pixels are features.
    pub pixel_side: u32,
    /// Whether `linear_top1` uses the images of `knn_top1`. Otherwise it uses those of the table.
    pub linear_on_all: bool,
    /// Skipped images.
    pub skipped_images: usize,
    /// Why there is no accuracy, if there is none.
    pub untested: Option<String>,
    /// Repetitions of each part that depends on a random draw.
    pub seeds: u64,
    /// k-NN of the trained encoder with the settings of the run, as in `summary.json`.
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
    /// Standard deviation of the trained encoder's features.
    pub feature_std: f64,
    /// Effective rank of the features (RankMe).
    pub effective_rank: f64,
    /// The same as a share of the dimensions.
    pub effective_rank_share: f64,
    /// The collapse doctor's verdict.
    pub diagnosis: Diagnosis,
    /// The trained encoder first, then the baselines.
    pub representations: Vec<Scores>,
    /// Why no representation has `clusters`, if none has.
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
    /// How well a linear model reads the factors of drawn images.
    pub factors: Vec<FactorRow>,
}

/// The scores of one representation.
#[derive(Debug, Clone, Serialize)]
pub struct Scores {
    pub name: &'static str,
    pub dim: usize,
    pub train_images: usize,
    pub test_images: usize,
    /// k-NN with the run's k and T.
    pub knn: Option<KnnScore>,
    /// k-NN with the best k and T on held-out training images.
    pub knn_chosen: Option<KnnScore>,
    pub linear: Option<LinearScore>,
    pub few: Vec<FewScore>,
    pub clusters: Option<ClusterScore>,
    /// Top-1 of its own classifier. Only the supervised encoder has one.
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
    /// Inverse strength of the regularisation, chosen on held-out training images.
    pub c: f64,
    pub top1: Interval,
}

/// A linear probe with few labels.
#[derive(Debug, Clone, Serialize)]
pub struct FewScore {
    /// "1 %", or "10 per class".
    pub labels: String,
    pub images: usize,
    /// Mean and deviation over the draws of labelled images.
    pub top1: MeanDeviation,
    /// Interval over the test images, if there is one seed.
    pub interval: Option<Interval>,
    /// An earlier budget with the same images.
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
    /// Interval over the test images, for a single training from each start.
    pub pretrained_interval: Option<Interval>,
    pub from_scratch_interval: Option<Interval>,
    pub epochs: u64,
    pub steps: u64,
    /// Seconds of one training from the pretrained encoder.
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
    /// Interval of the mean over the test images.
    pub interval: Interval,
}

#[derive(Debug, Clone, Serialize)]
pub struct CorruptedMean {
    pub representation: &'static str,
    /// Interval over the test images, of the mean of all corruptions and severities.
    pub top1: Interval,
}
