use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::ByolLoss;
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig, ResNet, ResNetConfig};
use serde::{Deserialize, Serialize};

use crate::{Method, MethodLoss, MomentumTau, TrainError, update_target};

/// The heads and the momentum of BYOL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByolConfig {
    /// Hidden width of the projector: 4096 in the paper.
    pub projector_hidden: usize,
    /// Dimension of the embedding: 256 in the paper.
    pub projector_dim: usize,
    /// Hidden width of the predictor: 4096 in the paper.
    pub predictor_hidden: usize,
    /// τ at the first step, raised to 1 along a cosine: 0.996 in the paper.
    pub tau_base: f64,
}

impl ByolConfig {
    /// Checks the settings without building anything.
    ///
    /// # Errors
    /// Widths of 0, or τ outside `[0, 1]`.
    pub fn validate(&self) -> Result<(), TrainError> {
        for (field, width) in [
            ("byol.projector_hidden", self.projector_hidden),
            ("byol.projector_dim", self.projector_dim),
            ("byol.predictor_hidden", self.predictor_hidden),
        ] {
            if width == 0 {
                return Err(TrainError::config(field, "must be at least 1"));
            }
        }
        MomentumTau::new(self.tau_base).map(|_| ())
    }

    /// Builds BYOL around an encoder; the target starts as a copy of the online network.
    ///
    /// `device` must be an autodiff device.
    ///
    /// # Errors
    /// As [`validate`](Self::validate), and those of the encoder's configuration.
    pub fn init(
        &self,
        encoder: &ResNetConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Byol<ResNet>, TrainError> {
        self.validate()?;
        let features = encoder.feature_dim();
        let online = Branch {
            encoder: encoder.init(&mut WeightInit::new(seed, 0, device))?,
            projector: MlpConfig::byol(features, self.projector_hidden, self.projector_dim)
                .init(&mut WeightInit::new(seed, 1, device))?,
        };
        let predictor =
            MlpConfig::byol(self.projector_dim, self.predictor_hidden, self.projector_dim)
                .init(&mut WeightInit::new(seed, 2, device))?;
        // A plain clone would share its running statistics with the original; the way through a
        // validation snapshot does not.
        let target = online.valid().train().no_grad();
        Ok(Byol { online, predictor, target, tau_base: self.tau_base })
    }
}

/// Encoder and projector, the part that online and target network have in common.
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

/// BYOL (Grill et al., 2020, algorithm 1). Built by [`ByolConfig::init`].
#[derive(Module, Debug)]
pub struct Byol<E: Module> {
    /// Trained by gradient.
    pub online: Branch<E>,
    /// q, on top of the online network only.
    pub predictor: Mlp,
    /// Follows the online network as an exponential moving average; in train mode, so it
    /// normalises with its own batch's statistics.
    pub target: Branch<E>,
    tau_base: f64,
}

impl<E: Encoder + Module + ModuleDisplay> Method for Byol<E> {
    type Encoder = E;

    fn loss(&self, [v1, v2]: [Tensor<4>; 2]) -> MethodLoss {
        let z1 = self.online.project(v1.clone());
        let z2 = self.online.project(v2.clone());
        let embedding = z1.clone().detach();
        let predictions = (self.predictor.forward(z1), self.predictor.forward(z2));
        let targets = (self.target.project(v1).detach(), self.target.project(v2).detach());
        let loss = ByolLoss.symmetric(predictions, targets);
        MethodLoss { loss, terms: Vec::new(), embedding }
    }

    fn after_step(mut self, step: u64, steps: u64) -> Self {
        let tau = MomentumTau { base: self.tau_base }.at(step, steps);
        self.target = update_target(self.target, &self.online, tau);
        self
    }

    fn encoder(&self) -> &E {
        &self.online.encoder
    }
}
