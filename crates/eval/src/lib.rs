//! Is the representation any good? Scores of frozen features, and signals of collapse.
//!
//! `extract` turns labelled images into [`Features`] with an encoder in evaluation mode and
//! without augmentation; a [`Probe`] scores them against labels ([`Knn`], [`LinearProbe`]);
//! collapse is told without labels: [`Spread`] and its like measure, [`Evidence::diagnose`] says what it means.
//!
//! Without the default feature `burn` there is no `extract`, and no deep-learning framework: features
//! from anywhere can be judged.

mod collapse;
mod error;
#[cfg(feature = "burn")]
mod extract;
mod features;
mod images;
mod knn;
mod lbfgs;
mod linear;
mod probe;

pub use collapse::{
    CollapseSignals, Diagnosis, Evidence, Finding, Kind, Level, PairSignals, PredictorSpectrum,
    Spread, TargetDistance, Trained, Watch, collapse_signals, effective_rank, participation_ratio,
    projection_distance, thresholds, weight_distance,
};
pub use error::EvalError;
#[cfg(feature = "burn")]
pub use extract::extract;
pub use features::Features;
pub use images::{LabelledImages, raw_pixels};
pub use knn::Knn;
pub use linear::LinearProbe;
pub use probe::{Labelled, Probe, ProbeScore};
