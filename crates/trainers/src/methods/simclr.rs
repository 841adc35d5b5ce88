//! SimCLR (Chen et al., 2020).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::{JointEmbeddingLoss, NtXentLoss};
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::ranks::gather_rows;
use crate::{Method, MethodLoss, Position, Projections, TrainError};

/// The projector and the temperature of SimCLR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimClrConfig {
    /// Hidden width of the projector: 2048 in the paper, the encoder's own.
    pub projector_hidden: usize,
    /// Dimension of the embedding: 128 in the paper.
    pub projector_dim: usize,
    /// The temperature: 0.1 on ImageNet, 0.5 on CIFAR-10. With a smaller one, the hardest negatives
    /// count more.
    pub temperature: f64,
}

impl SimClrConfig {
    /// Checks the settings without building anything.
    ///
    /// # Errors
    /// A width is 0, or the temperature is not above 0.
    pub fn validate(&self) -> Result<(), TrainError> {
        check::widths(&[
            ("simclr.projector_hidden", self.projector_hidden),
            ("simclr.projector_dim", self.projector_dim),
        ])?;
        check::positive(&[("simclr.temperature", self.temperature)])
    }

    /// Builds SimCLR around an encoder. `device` must be an autodiff device.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<SimClr<E>, TrainError> {
        self.validate()?;
        let widths = [self.projector_hidden, self.projector_dim];
        Ok(SimClr {
            projector: MlpConfig::without_bias(encoder.feature_dim(), &widths)
                .init(&mut WeightInit::new(seed, 1, device))?,
            encoder,
            temperature: self.temperature,
        })
    }
}

/// SimCLR (Chen et al., 2020, algorithm 1): the contrastive baseline. Every other image of the
/// batch is a negative. Built by [`SimClrConfig::build`].
///
/// The projector has batch norm in its hidden layer, as in the authors' code. Equation 1 does not
/// show it.
#[derive(Module, Debug)]
pub struct SimClr<E: Module> {
    /// f
    pub encoder: E,
    /// g
    pub projector: Mlp,
    temperature: f64,
}

impl<E: Encoder + Module + ModuleDisplay> SimClr<E> {
    fn project(&self, view: Tensor<4>) -> Tensor<2> {
        self.projector.forward(self.encoder.forward(view))
    }
}

impl<E: Encoder + Module + ModuleDisplay> Method for SimClr<E> {
    type Encoder = E;

    fn loss(&self, views: [Tensor<4>; 2], _: Position) -> MethodLoss {
        let [z1, z2] = views.map(|view| self.project(view));
        let embedding = z1.clone().detach();
        let [z1, z2] = [z1, z2].map(gather_rows);
        let loss = NtXentLoss { temperature: self.temperature as f32 }.forward(z1, z2);
        MethodLoss { loss, terms: Vec::new(), embedding }
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn projections(&self, views: [Tensor<4>; 2]) -> Projections {
        let views = views.map(|view| self.project(view));
        Projections { views, prediction: None, target: None }
    }
}
