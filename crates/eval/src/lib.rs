//! Is the representation any good? Scores of frozen features, and signals of collapse.
//!
//! [`extract`] turns labelled images into [`Features`] with an encoder in evaluation mode and
//! without augmentation; a [`Probe`] scores them against labels ([`Knn`], [`LinearProbe`]);
//! [`collapse_signals`] needs no labels at all.

mod collapse;
mod error;
mod features;
mod knn;
mod lbfgs;
mod linear;
mod probe;

pub use collapse::{CollapseSignals, collapse_signals};
pub use error::EvalError;
pub use features::{Features, LabelledImages, extract, raw_pixels};
pub use knn::Knn;
pub use linear::LinearProbe;
pub use probe::{Labelled, Probe, ProbeScore};
