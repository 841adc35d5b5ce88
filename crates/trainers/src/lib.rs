//! Self-supervised training in Burn.
//!
//! A [`Method`] turns two views into a loss and gets a say after each optimiser step; BYOL
//! ([`Byol`]) and Barlow Twins ([`BarlowTwins`]) stand in a file each that reads like the paper.
//! A [`Trainer`] owns a method, an [`Optimizer`] and a [`LearningRate`] schedule, and counts
//! optimiser steps; [`Checkpoint`] keeps all of it in one file. Batches come through the
//! [`ViewSource`] trait, so this crate knows nothing of data sets. [`SupervisedTrainer`] trains a
//! [`Classifier`] on labels: fine-tuning, and the supervised baseline.

mod barlow_twins;
mod byol;
mod checkpoint;
mod ema;
mod error;
mod finite;
mod method;
mod optimizer;
mod schedule;
mod supervised;
mod trainer;

pub use barlow_twins::{BarlowTwins, BarlowTwinsConfig};
pub use byol::{Byol, ByolConfig};
pub use checkpoint::{Checkpoint, CheckpointHeader};
pub use ema::update_target;
pub use error::TrainError;
pub use method::{Method, MethodLoss, Projections};
pub use optimizer::{AdamW, Lars, Optimizer, OptimizerConfig, Rule, Sgd, TrustRatio};
pub use schedule::{LearningRate, MomentumTau, TauSchedule};
pub use supervised::{
    Classifier, LabelledBatch, LabelledSource, SupervisedConfig, SupervisedReport,
    SupervisedTrainer, cross_entropy, predicted_classes,
};
pub use trainer::{Flow, Hooks, Outcome, StepReport, Trainer, TrainerConfig, ViewSource, Views};
