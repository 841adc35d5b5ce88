//! The errors of this crate.

/// What can go wrong in an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Shapes that do not belong together, or a setting out of range.
    #[error("{0}")]
    Request(String),
    /// A feature that is NaN or infinite.
    #[error("feature {dim} of image {row} is {value}: the encoder has diverged")]
    NotFinite {
        /// Row of the feature matrix.
        row: usize,
        /// Column of the feature matrix.
        dim: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The images could not be read.
    #[error("the images could not be read: {0}")]
    Images(Box<dyn std::error::Error + Send + Sync>),
    /// The features could not be read from the device.
    #[error("cannot read features from the device: {0}")]
    Device(String),
    /// A decomposition that did not converge.
    #[error("{0} did not converge")]
    Numeric(&'static str),
}
