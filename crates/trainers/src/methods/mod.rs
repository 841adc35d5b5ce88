//! The methods, a file each that reads like its paper's algorithm box, and what all of them are.

pub(crate) mod barlow_twins;
pub(crate) mod branch;
pub(crate) mod byol;
pub(crate) mod dino;
pub(crate) mod ema;
pub(crate) mod lejepa;
pub(crate) mod moco_v3;
pub(crate) mod simclr;
pub(crate) mod simsiam;
pub(crate) mod vicreg;
pub(crate) mod w_mse;

use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_models::Encoder;

/// A self-supervised method: a module that turns two views of a batch into a loss.
///
/// All of its networks are inside the module, those that an optimiser changes and those that it
/// must not (a BYOL target does not require gradients), so that saving the module saves the method.
pub trait Method: Module + 'static {
    /// The backbone that stays after pretraining.
    type Encoder: Encoder + Module;

    /// The loss on two views of the same images, `[batch, 3, height, width]` each.
    fn loss(&self, views: [Tensor<4>; 2], at: Position) -> MethodLoss;

    /// Called once after each *optimiser* step, also under gradient accumulation. A momentum target
    /// moves here.
    fn after_step(self, at: Position) -> Self {
        let _ = at;
        self
    }

    /// The encoder to evaluate and to keep: of BYOL's two, the online one.
    fn encoder(&self) -> &Self::Encoder;

    /// What the networks make of two views, `[batch, 3, height, width]` each: what a diagnosis of
    /// collapse looks at. To be asked of a validation snapshot (`valid()`), whose batch norm uses
    /// running statistics; nothing here is differentiated.
    fn projections(&self, views: [Tensor<4>; 2]) -> Projections;
}

/// Where in its run a method stands: what its own schedules and its random draws go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Optimiser steps done before this one.
    pub step: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
}

impl Position {
    /// From 0 to 1.
    pub fn progress(&self) -> f64 {
        (self.step as f64 / self.steps.max(1) as f64).min(1.0)
    }
}

/// Where a method's embeddings are, on the way from two views to the loss.
#[derive(Debug, Clone)]
pub struct Projections {
    /// The projections z of both views, `[batch, dim]` each, by the network that trains.
    pub views: [Tensor<2>; 2],
    /// The predictor's answer q to the first of them, `[batch, dim]`, where there is a predictor.
    pub prediction: Option<Tensor<2>>,
    /// The first view under the momentum target, `[batch, dim]`, where there is a target.
    pub target: Option<Tensor<2>>,
}

/// What a method reports for one batch.
#[derive(Debug, Clone)]
pub struct MethodLoss {
    /// What is minimised, `[1]`.
    pub loss: Tensor<1>,
    /// Parts of the loss or other scalars worth logging, detached, by name.
    pub terms: Vec<(&'static str, Tensor<1>)>,
    /// The first view's projections `[batch, dim]`, detached: the place where collapse shows.
    pub embedding: Tensor<2>,
}
