//! Is the representation good, and has it collapsed? Scores of frozen features, and a doctor.
//!
//! `extract` turns labelled images into [`Features`] with an encoder in evaluation mode, without
//! augmentation. A [`Probe`] scores them against labels: [`Knn`], with [`KnnGrid`] to choose k and
//! T, and [`LinearProbe`]. [`nearest`] is the search behind k-NN. [`KMeans`] with
//! [`normalized_mutual_information`] and [`adjusted_rand_index`] measures how well features
//! cluster. [`Bootstrap`] says how sure a figure is. [`invariance`] and [`FactorReader`] measure
//! what features have become invariant to. [`Pca`] and [`TSne`] draw them.
//!
//! Collapse is found without labels: [`Spread`], [`PairSignals`] and [`PredictorSpectrum`] measure,
//! [`Evidence::diagnose`] says what it means, and [`Watch`] says when to stop.
//!
//! Without the default feature `burn` there is no `extract` and no deep-learning framework.
//! Features from anywhere can be judged.

mod bootstrap;
mod clusters;
mod collapse;
mod error;
#[cfg(feature = "burn")]
mod extract;
mod features;
mod gram;
mod images;
mod invariance;
mod maps;
mod probes;

pub use bootstrap::{Bootstrap, Interval, MeanDeviation, mean_and_deviation};
pub use clusters::agreement::{
    adjusted_rand_index, assignment_accuracy, normalized_mutual_information,
};
pub use clusters::kmeans::{Clustering, KMeans};
pub use collapse::{
    Bound, CollapseSignals, Diagnosis, Evidence, Finding, Kind, KnnGain, Level, PairSignals,
    PredictorSpectrum, Spread, TargetDistance, Trained, Training, Watch, collapse_signals,
    effective_rank, participation_ratio, projection_distance, thresholds, weight_distance,
};
pub use error::EvalError;
#[cfg(feature = "burn")]
pub use extract::{BATCH_BYTES, encode, extract, images_together};
pub use features::Features;
pub use images::{LabelledImages, raw_pixels};
pub use invariance::{Invariance, invariance};
pub use maps::pca::Pca;
pub use maps::tsne::{TSne, trustworthiness};
pub use probes::factors::{Factor, FactorReader, FactorScore, read_factor};
pub use probes::knn::{Knn, KnnCell, KnnChoice, KnnGrid};
pub use probes::linear::{LinearFit, LinearProbe, ValidationScore};
pub use probes::neighbours::{Neighbours, nearest, nearest_others};
pub use probes::probe::{Labelled, Probe, ProbeScore};
