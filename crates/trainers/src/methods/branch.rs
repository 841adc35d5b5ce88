//! The common part of online and target networks.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use selfsame_models::{Encoder, Mlp};

/// Encoder and projector, the common part of an online and a target network.
#[derive(Module, Debug)]
pub struct Branch<E: Module> {
    /// f
    pub encoder: E,
    /// g
    pub projector: Mlp,
}

impl<E: Encoder + Module + ModuleDisplay> Branch<E> {
    /// z = g(f(v)): `[batch, 3, height, width]` → `[batch, projector_dim]`.
    pub fn project(&self, view: Tensor<4>) -> Tensor<2> {
        self.projector.forward(self.encoder.forward(view))
    }
}

/// A copy with the same weights that no optimiser changes: the start of a momentum target.
pub fn momentum_copy<M: Module>(online: &M) -> M {
    // A plain clone would share its running statistics with the original. A validation snapshot
    // does not.
    online.valid().train().no_grad()
}
