//! SimCLR: an image's two views find each other among all others.

use burn::tensor::{Int, Tensor};

use crate::cross_entropy::cross_entropy;
use crate::normalize::l2_normalize;
use crate::statistics::off_diagonal_mask;
use crate::{JointEmbeddingLoss, sums};

/// SimCLR's NT-Xent, the normalised temperature-scaled cross-entropy (Chen et al., 2020, eq. 1).
///
/// Let `i` and `j` be the two embeddings of one image among the 2N of both views, and `s` the
/// cosine. Then `ℓ(i, j) = −log( exp(s_ij / τ) / Σ_{k≠i} exp(s_ik / τ) )`, and the loss is the mean
/// of ℓ over all 2N anchors (the paper's algorithm 1).
///
/// - `z_a`, `z_b`: `[batch, dim]`, any float type; computed in f32 at least. Needs memory for
///   `(2·batch)²` numbers.
/// - returns a scalar `[1]`, at least 0, differentiable in both. A batch of one has no
///   negatives: 0.
///
/// Symmetric in its views; invariant to a permutation of the batch, to a rotation common to all
/// embeddings, and to a positive scale of every single one.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use selfsame_losses::{JointEmbeddingLoss, NtXentLoss};
///
/// // Two images, views equal, images opposite: log(1 + 2·e^{−2/τ}) for each anchor.
/// let z = Tensor::<2>::from_floats([[1.0, 0.0], [-1.0, 0.0]], &Device::flex());
/// let loss = NtXentLoss { temperature: 0.5 }.forward(z.clone(), z).into_scalar::<f32>();
/// assert!((loss - (2.0 * (-4.0f32).exp()).ln_1p()).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NtXentLoss {
    /// τ > 0: 0.5 for CIFAR-10 (the paper's appendix B.9), 0.1 for ImageNet.
    pub temperature: f32,
}

impl Default for NtXentLoss {
    fn default() -> Self {
        Self { temperature: 0.5 }
    }
}

impl JointEmbeddingLoss for NtXentLoss {
    fn forward(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> Tensor<1> {
        let batch = z_a.dims()[0] as i64;
        let device = z_a.device();
        let z = l2_normalize(Tensor::cat(vec![z_a, z_b], 0));
        // The mean of all embeddings adds the same to all logits of an anchor. Without it the
        // logits differ by more than rounding, and less cancels in the gradient.
        let others = z.clone() - sums::mean_dim(z.clone().detach(), 0);
        let similarities = z.matmul(others.transpose()).div_scalar(self.temperature);

        // An embedding is not its own negative. The logit is finite, since −∞ − (−∞) would be NaN.
        // Its exponential is 0 all the same.
        let itself = off_diagonal_mask(&similarities).bool_not();
        let logits = similarities.mask_fill(itself, f32::MIN);

        // The other view of image i stands at i ± batch.
        let positives = Tensor::<1, Int>::cat(
            vec![Tensor::arange(batch..2 * batch, &device), Tensor::arange(0..batch, &device)],
            0,
        );
        cross_entropy(logits, positives)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn a_batch_of_one_has_no_negatives() {
        let device = Device::flex();
        let a = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
        let b = Tensor::<2>::from_floats([[2.0, -1.0]], &device);
        assert_eq!(NtXentLoss::default().forward(a, b).into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn cold_and_nearly_collapsed_stays_finite() {
        let device = Device::flex().autodiff();
        let noise = Tensor::<1, Int>::arange(0..16 * 8, &device).float().mul_scalar(7.0).sin();
        let z = (noise.reshape([16, 8]).mul_scalar(1e-6) + 1.0).require_grad();
        let loss = NtXentLoss { temperature: 0.01 }.forward(z.clone(), z.clone());
        let gradients = loss.backward();
        // All 31 others are equally near.
        assert!((loss.into_scalar::<f32>() - 31f32.ln()).abs() < 1e-3);
        let gradient = z.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
}
