use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// `−mean_i log softmax(logits_i)[target_i]`: the right column of each row against all its columns.
///
/// The row's maximum is subtracted before anything is exponentiated, so any finite logits are safe, and the
/// chosen column is picked, not multiplied by a mask, so that a column ruled out by a huge negative logit
/// cannot turn into `0 · ∞`.
///
/// - `logits`: `[rows, columns]`; `target`: `[rows]`, column indices.
/// - returns a scalar `[1]`, at least 0.
pub(crate) fn cross_entropy(logits: Tensor<2>, target: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1).gather(1, target.unsqueeze_dim(1)).mean().neg()
}
