//! Softmax and cross-entropy, shared by the losses that need them.

use burn::tensor::{Int, Tensor};

use crate::sums;

/// `−mean_i log softmax(logits_i)[target_i]`: the target column of each row against all its
/// columns.
///
/// The target column is picked, not multiplied by a mask. So a column with a huge negative logit
/// cannot turn into `0 · ∞`.
///
/// - `logits`: `[rows, columns]`; `target`: `[rows]`, column indices.
/// - returns a scalar `[1]`, at least 0.
pub(crate) fn cross_entropy(logits: Tensor<2>, target: Tensor<1, Int>) -> Tensor<1> {
    let logits = below_maximum(logits);
    let chosen = logits.clone().gather(1, target.unsqueeze_dim(1));
    sums::mean(log_sum_exp(logits) - chosen)
}

/// Rows minus their largest value. This changes no softmax, and any finite logits can then be
/// exponentiated.
pub(crate) fn below_maximum(logits: Tensor<2>) -> Tensor<2> {
    let largest = logits.clone().detach().max_dim(1);
    logits - largest
}

/// `log Σ_k exp(x_k)` of each row that [`below_maximum`] gives, `[rows, 1]`: at least 0.
///
/// Minus a logit this is `−log softmax`. Burn's `log_softmax` would subtract it in every column,
/// and the gradient would sum all columns again.
pub(crate) fn log_sum_exp(below: Tensor<2>) -> Tensor<2> {
    sums::sum_dim(below.exp(), 1).log()
}

/// `softmax` of rows that [`below_maximum`] gives.
pub(crate) fn softmax(below: Tensor<2>) -> Tensor<2> {
    let exp = below.exp();
    exp.clone() / sums::sum_dim(exp, 1)
}
