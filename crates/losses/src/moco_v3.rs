//! MoCo v3: a query finds its key among the batch's keys.

use burn::tensor::{Int, Tensor};

use crate::JointEmbeddingLoss;
use crate::cross_entropy::cross_entropy;
use crate::normalize::l2_normalize;
use crate::statistics::centre;

/// MoCo v3's contrastive loss (Chen, Xie & He, 2021, algorithm 1).
///
/// Query `i` should find key `i` among all keys of the batch: with q̂ and k̂ of unit length,
/// `ctr(q, k) = 2τ · CE(q̂ k̂ᵀ / τ, labels 0 … N − 1)`. The factor 2τ keeps the size of the
/// gradient when τ changes.
///
/// - queries (online, after the predictor) and keys (momentum encoder): `[batch, dim]`, any float
///   type; computed in f32 at least.
/// - returns a scalar `[1]`, at least 0, differentiable in the queries only: keys are detached
///   here.
///
/// Invariant to a permutation of the batch, to a rotation common to queries and keys, and to a
/// positive scale of every single one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MocoV3Loss {
    /// τ > 0: 1.0 for the ResNet-50 of the authors' code, 0.2 for their ViTs.
    pub temperature: f32,
}

impl Default for MocoV3Loss {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

impl MocoV3Loss {
    /// The sum over both directions, `ctr(q1, k2) + ctr(q2, k1)`.
    ///
    /// - `queries`: `(q1, q2)`, of view 1 and view 2, `[batch, dim]`.
    /// - `keys`: `(k1, k2)`, of view 1 and view 2, `[batch, dim]`; they receive no gradient.
    /// - returns a scalar `[1]`.
    ///
    /// Swapping the views (both pairs at once) leaves it unchanged.
    pub fn symmetric(
        &self,
        queries: (Tensor<2>, Tensor<2>),
        keys: (Tensor<2>, Tensor<2>),
    ) -> Tensor<1> {
        self.forward(queries.0, keys.1) + self.forward(queries.1, keys.0)
    }
}

impl JointEmbeddingLoss for MocoV3Loss {
    /// One direction, `ctr(q, k)`: `z_a` are queries, `z_b` keys.
    fn forward(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> Tensor<1> {
        let batch = z_a.dims()[0] as i64;
        let device = z_a.device();
        let queries = l2_normalize(z_a);
        // The mean of all keys adds the same to all logits of a query. Without it the logits differ
        // by more than rounding, and nothing cancels in the gradient.
        let keys = centre(l2_normalize(z_b.detach()));
        let logits = queries.matmul(keys.transpose()).div_scalar(self.temperature);
        let labels = Tensor::<1, Int>::arange(0..batch, &device);
        cross_entropy(logits, labels).mul_scalar(2.0 * self.temperature)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn hand_computed() {
        let device = Device::flex();
        let q = Tensor::<2>::from_floats([[3.0, 0.0], [0.0, 2.0]], &device);
        let loss = MocoV3Loss { temperature: 0.5 }.forward(q.clone(), q).into_scalar::<f32>();
        // Logits 2 and 0; the factor 2τ is 1.
        assert!((loss - (-2f32).exp().ln_1p()).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn no_gradient_reaches_the_keys() {
        let device = Device::flex().autodiff();
        let q = Tensor::<2>::from_floats([[1.0, 2.0], [0.0, 1.0]], &device).require_grad();
        let k = Tensor::<2>::from_floats([[2.0, -1.0], [1.0, 1.0]], &device).require_grad();
        let loss = MocoV3Loss::default().symmetric((q.clone(), q.clone()), (k.clone(), k.clone()));
        let gradients = loss.backward();
        assert!(q.grad(&gradients).is_some());
        assert!(k.grad(&gradients).is_none());
    }
}
