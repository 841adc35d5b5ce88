//! What a data set is in memory, whatever its files were.

pub(crate) mod content;
pub(crate) mod dataset;
pub(crate) mod image_set;
pub(crate) mod layout;
pub(crate) mod shapes;
pub(crate) mod skipped;
pub(crate) mod splits;
pub(crate) mod subset;
