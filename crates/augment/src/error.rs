//! The errors of this crate.

/// What can be wrong with an image or a configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AugmentError {
    /// An image without pixels.
    #[error("the image is empty ({width}×{height})")]
    Empty {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// A pixel buffer of the wrong length.
    #[error("{what} has {found} elements where {expected} are needed")]
    Length {
        /// Which buffer.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it must have.
        expected: usize,
    },
    /// A view number beyond those of the generator.
    #[error("there is no view {view}: the generator makes {count}")]
    View {
        /// The number asked for.
        view: usize,
        /// How many there are.
        count: usize,
    },
    /// A setting out of its range.
    #[error("{field}: {reason}")]
    Config {
        /// The setting at fault.
        field: &'static str,
        /// What is wrong with it and what is allowed.
        reason: String,
    },
}
