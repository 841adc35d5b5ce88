//! What can go wrong in training.

use std::path::PathBuf;

use selfsame_models::ModelError;

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting that makes no sense, alone or with another.
    #[error("{field}: {reason}")]
    Config {
        /// The setting at fault.
        field: &'static str,
        /// What is wrong with it and what is allowed.
        reason: String,
    },
    /// The model or its weights.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The source of batches failed.
    #[error("the data source failed: {0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// Whatever the caller's hook reported.
    #[error(transparent)]
    Hook(Box<dyn std::error::Error + Send + Sync>),
    /// Another of the ranks that train together cannot go on.
    #[error("rank {rank} stopped with an error and has reported it")]
    OtherRank {
        /// Which one.
        rank: usize,
    },
    /// The loss is NaN or infinite; parameters and optimiser have not been changed by this step,
    /// running statistics have seen its batch. Unless [`reads`](crate::Hooks::reads) put off
    /// reading it: the trainer has then done more steps than `step`, on weights that are of no use
    /// any more.
    #[error(
        "the loss is {loss} at step {step}; lower the learning rate, lengthen the warm-up, or look for broken images"
    )]
    NotFinite {
        /// The optimiser step, counted from 0.
        step: u64,
        /// The loss.
        loss: f32,
    },
    /// A gradient is NaN or infinite; everything else is as for [`NotFinite`](Self::NotFinite).
    #[error(
        "the gradient of {parameter} is {value} at step {step} (the loss is {loss}); lower the learning rate, lengthen the warm-up, or look for broken images"
    )]
    GradientNotFinite {
        /// The optimiser step, counted from 0.
        step: u64,
        /// The first parameter with such a gradient, by its path.
        parameter: String,
        /// What was found in it; on a GPU, or where reading was put off, its sum.
        value: f32,
        /// The loss.
        loss: f32,
    },
    /// A labelled batch that cannot be trained on.
    #[error("batch: {0}")]
    Batch(String),
    /// A class out of range.
    #[error(
        "a label is {label}, but labels go from 0 to one less than {classes}, the number of \
         classes"
    )]
    Label {
        /// The label.
        label: u32,
        /// How many classes there are.
        classes: usize,
    },
    /// A checkpoint is not as it was written.
    #[error("checkpoint {path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint could not be written or read.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl TrainError {
    pub(crate) fn config(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Config { field, reason: reason.into() }
    }
}
