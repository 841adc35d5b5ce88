//! Self-supervised training in Burn.
//!
//! A [`Method`] turns two views into a loss and is called after each optimiser step. BYOL
//! ([`Byol`]), Barlow Twins ([`BarlowTwins`]), SimSiam ([`SimSiam`]), VICReg ([`VicReg`]), W-MSE
//! ([`WMse`]), DINO ([`Dino`]), LeJEPA ([`LeJepa`]) and the contrastive baselines SimCLR
//! ([`SimClr`]) and MoCo v3 ([`MocoV3`]) have one file each, close to the paper.
//!
//! A [`Trainer`] owns a method, an [`Optimizer`] and a [`LearningRate`] schedule, and counts
//! optimiser steps. A [`Checkpoint`] keeps all of it in one file. [`Checkpoints`] are the
//! checkpoints of a run. Batches come through the [`ViewSource`] trait, so this crate knows nothing
//! of data sets. [`SupervisedTrainer`] trains a [`Classifier`] on labels, for fine-tuning and for
//! the supervised baseline.
//!
//! Under [`together`](selfsame_kernels::together) a [`Trainer`] is one of several ranks. Each rank
//! has a part of every batch. They end with the same weights as one process with whole batches.

mod check;
mod checkpoints;
mod error;
mod figures;
mod finite;
mod methods;
mod optimizer;
mod ranks;
mod schedule;
mod step;
mod supervised;
mod trainer;

pub use checkpoints::checkpoint::{
    Checkpoint, CheckpointHeader, RunRecord, UNFINISHED, remove_unfinished, replace_file,
};
pub use checkpoints::snapshot::Snapshot;
pub use checkpoints::{Checkpoints, SetAside};
pub use error::TrainError;
pub use methods::barlow_twins::{BarlowTwins, BarlowTwinsConfig};
pub use methods::branch::Branch;
pub use methods::byol::{Byol, ByolConfig};
pub use methods::dino::{Dino, DinoConfig};
pub use methods::ema::update_target;
pub use methods::lejepa::{LeJepa, LeJepaConfig};
pub use methods::moco_v3::{MocoV3, MocoV3Config};
pub use methods::settings::{Ablation, AblationGroup, Expected, MethodSettings, SmallRun, Term};
pub use methods::simclr::{SimClr, SimClrConfig};
pub use methods::simsiam::{SimSiam, SimSiamConfig};
pub use methods::vicreg::{VicReg, VicRegConfig};
pub use methods::w_mse::{WMse, WMseConfig};
pub use methods::{Method, MethodLoss, Projections};
pub use optimizer::{AdamW, Lars, Optimizer, OptimizerConfig, Rule, Sgd, TrustRatio};
pub use schedule::{LearningRate, MomentumTau, TauSchedule};
pub use step::{Batch, BatchLoss, HostView, Position, Step, Views};
pub use supervised::{
    Classifier, LabelledBatch, LabelledSource, SupervisedConfig, SupervisedReport,
    SupervisedTrainer, cross_entropy, predicted_classes,
};
pub use trainer::{Flow, Hooks, Outcome, StepReport, Trainer, TrainerConfig, ViewSource};
