//! What can be wrong with a model or its weights.

use std::path::PathBuf;

/// What can be wrong with a model's configuration or its weight file.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A configuration that describes no network.
    #[error("{field}: {reason}")]
    Config {
        /// The setting at fault.
        field: &'static str,
        /// What is wrong with it and what is allowed.
        reason: String,
    },
    /// The operating system refused to read the file.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Larger than any weight file we are willing to hold in memory.
    #[error("{path} is {bytes} bytes, more than the limit of {limit} for a weight file")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("not a valid safetensors file: {0}")]
    Format(String),
    /// A tensor of a type this loader does not convert.
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
    /// A device could not hand its data back.
    #[error("cannot read a tensor from the device: {0}")]
    Device(String),
}
