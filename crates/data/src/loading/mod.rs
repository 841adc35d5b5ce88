//! From a data set to batches of views.

#[cfg(feature = "burn")]
pub(crate) mod burn_data;
pub(crate) mod loader;
pub(crate) mod packed;
