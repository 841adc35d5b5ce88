//! Scores of frozen features against labels.

pub(crate) mod factors;
pub(crate) mod knn;
mod lbfgs;
pub(crate) mod linear;
pub(crate) mod neighbours;
pub(crate) mod probe;
mod softmax;
