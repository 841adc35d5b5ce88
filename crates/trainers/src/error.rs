//! Errors in training.

use std::path::PathBuf;

use selfsame_models::ModelError;

/// Errors in training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting is invalid, alone or with another one.
    #[error("{field}: {reason}")]
    Config {
        /// The setting at fault.
        field: &'static str,
        /// The problem, and the allowed values.
        reason: String,
    },
    /// An error of the model or its weights.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The source of batches failed.
    #[error("the data source failed: {0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// A hook of the caller failed.
    #[error(transparent)]
    Hook(Box<dyn std::error::Error + Send + Sync>),
    /// Another rank cannot go on.
    #[error("rank {rank} stopped with an error and has reported it")]
    OtherRank {
        /// The number of the rank.
        rank: usize,
    },
    /// The loss is NaN or infinite. This step has not changed parameters or optimiser, but the
    /// running statistics include its batch. If [`reads`](crate::Hooks::reads) delayed the reading,
    /// this does not hold: the trainer has done more steps than `step`, and its weights are
    /// useless.
    #[error(
        "the loss is {loss} at step {step}; lower the learning rate, lengthen the warm-up, or look for broken images"
    )]
    NotFinite {
        /// The optimiser step, counted from 0.
        step: u64,
        /// The loss.
        loss: f32,
    },
    /// A gradient is NaN or infinite. The rest is as for [`NotFinite`](Self::NotFinite).
    #[error(
        "the gradient of {parameter} is {value} at step {step} (the loss is {loss}); lower the learning rate, lengthen the warm-up, or look for broken images"
    )]
    GradientNotFinite {
        /// The optimiser step, counted from 0.
        step: u64,
        /// The first parameter with such a gradient, by its path.
        parameter: String,
        /// The value in it. On a GPU, or if reading was delayed, the gradient's sum.
        value: f32,
        /// The loss.
        loss: f32,
    },
    /// A labelled batch is invalid.
    #[error("batch: {0}")]
    Batch(String),
    /// A label is out of range.
    #[error("the label {label} is out of range: there are {classes} classes, numbered from 0")]
    Label {
        /// The label.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A checkpoint is damaged.
    #[error("checkpoint {path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// A checkpoint could not be written or read.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
}

impl TrainError {
    pub(crate) fn config(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { field, reason: reason.into() }
    }
}
