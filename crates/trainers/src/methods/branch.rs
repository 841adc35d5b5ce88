//! What an online and a target network have in common.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use selfsame_models::{Encoder, Mlp};

/// Encoder and projector, the part that an online and a target network have in common.
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

/// A network of the same weights that no optimiser changes: what a momentum target starts as.
pub fn momentum_copy<M: Module>(online: &M) -> M {
    // A plain clone would share its running statistics with the original; the way through a
    // validation snapshot does not.
    online.valid().train().no_grad()
}
