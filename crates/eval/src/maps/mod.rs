//! Features drawn in a few dimensions.

pub(crate) mod pca;
pub(crate) mod tsne;
