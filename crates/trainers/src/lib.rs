//! Self-supervised training in Burn.
//!
//! A [`Method`] turns two views into a loss and gets a say after each optimiser step. BYOL ([`Byol`]),
//! Barlow Twins ([`BarlowTwins`]), SimSiam ([`SimSiam`]), VICReg ([`VicReg`]), W-MSE ([`WMse`]), DINO
//! ([`Dino`]), LeJEPA ([`LeJepa`]) and the contrastive baselines SimCLR ([`SimClr`]) and MoCo v3
//! ([`MocoV3`]) stand in a file each that reads like the paper.
//! A [`Trainer`] owns a method, an [`Optimizer`] and a [`LearningRate`] schedule, and counts
//! optimiser steps; a [`Checkpoint`] keeps all of it in one file, [`Checkpoints`] those of a run. Batches come through the
//! [`ViewSource`] trait, so this crate knows nothing of data sets. [`SupervisedTrainer`] trains a
//! [`Classifier`] on labels: fine-tuning, and the supervised baseline.
//!
//! Under [`together`](selfsame_kernels::together) a [`Trainer`] is one of several ranks, each with its part of every
//! batch, which end with the weights that one process with whole batches would have had.

mod barlow_twins;
mod branch;
mod byol;
mod check;
mod checkpoint;
mod checkpoints;
mod dino;
mod ema;
mod error;
mod figures;
mod finite;
mod lejepa;
mod method;
mod moco_v3;
mod optimizer;
mod ranks;
mod schedule;
mod seal;
mod simclr;
mod simsiam;
mod snapshot;
mod supervised;
mod trainer;
mod vicreg;
mod w_mse;

pub use barlow_twins::{BarlowTwins, BarlowTwinsConfig};
pub use branch::Branch;
pub use byol::{Byol, ByolConfig};
pub use checkpoint::{
    Checkpoint, CheckpointHeader, RunRecord, UNFINISHED, remove_unfinished, replace_file,
};
pub use checkpoints::{Checkpoints, SetAside};
pub use dino::{Dino, DinoConfig};
pub use ema::update_target;
pub use error::TrainError;
pub use lejepa::{LeJepa, LeJepaConfig};
pub use method::{Method, MethodLoss, Position, Projections};
pub use moco_v3::{MocoV3, MocoV3Config};
pub use optimizer::{AdamW, Lars, Optimizer, OptimizerConfig, Rule, Sgd, TrustRatio};
pub use schedule::{LearningRate, MomentumTau, TauSchedule};
pub use simclr::{SimClr, SimClrConfig};
pub use simsiam::{SimSiam, SimSiamConfig};
pub use snapshot::Snapshot;
pub use supervised::{
    Classifier, LabelledBatch, LabelledSource, SupervisedConfig, SupervisedReport,
    SupervisedTrainer, cross_entropy, predicted_classes,
};
pub use trainer::{Flow, Hooks, Outcome, StepReport, Trainer, TrainerConfig, ViewSource, Views};
pub use vicreg::{VicReg, VicRegConfig};
pub use w_mse::{WMse, WMseConfig};
