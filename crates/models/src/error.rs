//! Errors of models and their weights.

use std::path::PathBuf;

/// An error in a model's configuration or its weight file.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The configuration is invalid.
    #[error("{field}: {reason}")]
    Config {
        /// The setting at fault.
        field: &'static str,
        /// The problem, and the allowed values.
        reason: String,
    },
    /// The operating system cannot read the file.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is larger than the limit for weight files.
    #[error("{path} is {bytes} bytes, more than the limit of {limit} for a weight file")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is no safetensors file, or is damaged.
    #[error("not a valid safetensors file: {0}")]
    Format(String),
    /// The loader cannot convert the type of a tensor.
    #[error("tensor {name} has type {dtype}; only F32 weights are read")]
    DType {
        /// The tensor's name.
        name: String,
        /// Its type as the file states it.
        dtype: String,
    },
    /// The weights belong to another architecture.
    #[error(
        "the weights do not fit this model: {missing} missing, {unexpected} unexpected, {mismatched} of another shape; first: {first}"
    )]
    Mismatch {
        /// Parameters of the model that the file lacks.
        missing: usize,
        /// Tensors of the file that the model lacks.
        unexpected: usize,
        /// Tensors whose shape differs.
        mismatched: usize,
        /// The first difference in words.
        first: String,
    },
    /// A device could not return its data.
    #[error("cannot read a tensor from the device: {0}")]
    Device(String),
}
