//! The methods, one file each, close to the algorithm box of the paper, and their common trait.

pub(crate) mod barlow_twins;
pub(crate) mod branch;
pub(crate) mod byol;
pub(crate) mod dino;
pub(crate) mod ema;
pub(crate) mod lejepa;
pub(crate) mod moco_v3;
pub(crate) mod settings;
pub(crate) mod simclr;
pub(crate) mod simsiam;
pub(crate) mod vicreg;
pub(crate) mod w_mse;

use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_models::Encoder;

use crate::{Batch, BatchLoss, Position, Step};

/// A self-supervised method: a module that turns the views of a batch into a loss.
///
/// All networks are inside the module. This includes networks that no optimiser changes: a BYOL
/// target needs no gradients. So saving the module saves the method.
pub trait Method: Module + 'static {
    /// The backbone. Pretraining keeps it.
    type Encoder: Encoder + Module;

    /// The loss on views of the same images. `step` has the position in the run, and joins what
    /// other ranks have: a method that compares images must compare those of all ranks.
    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss;

    /// Called once after each *optimiser* step, also with gradient accumulation. It updates a
    /// momentum target.
    fn after_step(self, at: Position) -> Self {
        let _ = at;
        self
    }

    /// The encoder to evaluate and to keep. For BYOL, that of the online network.
    fn encoder(&self) -> &Self::Encoder;

    /// The embeddings of two views, `[batch, 3, height, width]` each, for the collapse doctor. Call
    /// it on a validation snapshot (`valid()`): its batch norm uses running statistics. Nothing is
    /// differentiated here.
    fn projections(&self, views: [Tensor<4>; 2]) -> Projections;
}

/// The embeddings of a method, between the two views and the loss.
#[derive(Debug, Clone)]
pub struct Projections {
    /// The projections z of both views, `[batch, dim]` each, by the network that trains.
    pub views: [Tensor<2>; 2],
    /// The predictor's output q for the first projection, `[batch, dim]`, if there is a predictor.
    pub prediction: Option<Tensor<2>>,
    /// The first view under the momentum target, `[batch, dim]`, if there is a target.
    pub target: Option<Tensor<2>>,
}

/// The result of a method for one batch.
#[derive(Debug, Clone)]
pub struct MethodLoss {
    /// The loss to minimise.
    pub loss: BatchLoss,
    /// Parts of the loss or other scalars to log, detached, by name.
    pub terms: Vec<(&'static str, Tensor<1>)>,
    /// The projections of the first view, `[batch, dim]`, detached. Collapse shows there.
    pub embedding: Tensor<2>,
}
