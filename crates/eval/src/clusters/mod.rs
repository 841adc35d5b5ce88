//! Clusters of features, and how well two groupings agree.

pub(crate) mod agreement;
pub(crate) mod kmeans;
