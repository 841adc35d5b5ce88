//! VICReg (Bardes et al., 2022).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::VicRegLoss;
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::ranks::gather_rows;
use crate::{Method, MethodLoss, Position, Projections, TrainError};

/// The expander and the weights of VICReg's three terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VicRegConfig {
    /// Widths of the projector's layers: `[8192, 8192, 8192]` in the paper. The paper calls it
    /// expander.
    pub projector: Vec<usize>,
    /// λ, the weight of the distance between the views: 25 in the paper.
    pub invariance: f64,
    /// μ, the weight of the hinge: 25 in the paper. The hinge keeps each standard deviation at 1.
    pub variance: f64,
    /// ν, the weight of the covariances: 1 in the paper.
    pub covariance: f64,
}

impl VicRegConfig {
    /// Checks the settings without building anything.
    ///
    /// # Errors
    /// There is no layer, a width is 0, or a weight is negative.
    pub fn validate(&self) -> Result<(), TrainError> {
        check::layers("vicreg.projector", &self.projector)?;
        check::not_negative(&[
            ("vicreg.invariance", self.invariance),
            ("vicreg.variance", self.variance),
            ("vicreg.covariance", self.covariance),
        ])
    }

    /// Builds VICReg around an encoder. `device` must be an autodiff device.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<VicReg<E>, TrainError> {
        self.validate()?;
        Ok(VicReg {
            projector: MlpConfig::without_bias(encoder.feature_dim(), &self.projector)
                .init(&mut WeightInit::new(seed, 1, device))?,
            encoder,
            invariance: self.invariance,
            variance: self.variance,
            covariance: self.covariance,
        })
    }
}

/// VICReg (Bardes, Ponce & LeCun, 2022, algorithm 1). Built by [`VicRegConfig::build`].
#[derive(Module, Debug)]
pub struct VicReg<E: Module> {
    /// f
    pub encoder: E,
    /// h, the expander.
    pub projector: Mlp,
    invariance: f64,
    variance: f64,
    covariance: f64,
}

impl<E: Encoder + Module + ModuleDisplay> VicReg<E> {
    fn project(&self, view: Tensor<4>) -> Tensor<2> {
        self.projector.forward(self.encoder.forward(view))
    }
}

impl<E: Encoder + Module + ModuleDisplay> Method for VicReg<E> {
    type Encoder = E;

    fn loss(&self, views: [Tensor<4>; 2], _: Position) -> MethodLoss {
        let [z1, z2] = views.map(|view| self.project(view));
        let embedding = z1.clone().detach();
        let [z1, z2] = [z1, z2].map(gather_rows);
        let terms = VicRegLoss::default().terms(z1, z2);
        let loss = terms.invariance.clone().mul_scalar(self.invariance)
            + terms.variance.clone().mul_scalar(self.variance)
            + terms.covariance.clone().mul_scalar(self.covariance);
        MethodLoss {
            loss,
            terms: vec![
                ("invariance", terms.invariance.detach()),
                ("variance", terms.variance.detach()),
                ("covariance", terms.covariance.detach()),
            ],
            embedding,
        }
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn projections(&self, views: [Tensor<4>; 2]) -> Projections {
        let views = views.map(|view| self.project(view));
        Projections { views, prediction: None, target: None }
    }
}
