//! Is the representation any good? Scores of frozen features, and signals of collapse.
//!
//! `extract` turns labelled images into [`Features`] with an encoder in evaluation mode and
//! without augmentation; a [`Probe`] scores them against labels ([`Knn`], [`LinearProbe`]);
//! [`collapse_signals`] needs no labels at all.
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
mod neighbours;
mod probe;
mod softmax;

pub use collapse::{CollapseSignals, collapse_signals};
pub use error::EvalError;
#[cfg(feature = "burn")]
pub use extract::extract;
pub use features::Features;
pub use images::{LabelledImages, raw_pixels};
pub use knn::{Knn, KnnCell, KnnChoice, KnnGrid};
pub use linear::{LinearFit, LinearProbe, ValidationScore};
pub use neighbours::{Neighbours, nearest, nearest_others};
pub use probe::{Labelled, Probe, ProbeScore};
