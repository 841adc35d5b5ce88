//! BYOL (Grill et al., 2020).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::{ByolLoss, normalized_distance};
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::methods::branch::{Branch, momentum_copy};
use crate::ranks::mean_over_ranks;
use crate::{
    Method, MethodLoss, MomentumTau, Position, Projections, TauSchedule, TrainError, update_target,
};

/// The heads and the momentum of BYOL, with switches for experiments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByolConfig {
    /// Hidden width of the projector: 4096 in the paper.
    pub projector_hidden: usize,
    /// Dimension of the embedding: 256 in the paper.
    pub projector_dim: usize,
    /// Hidden width of the predictor: 4096 in the paper.
    pub predictor_hidden: usize,
    /// τ at the first step: 0.996 in the paper.
    pub tau_base: f64,
    /// The schedule of τ.
    #[serde(default)]
    pub tau_schedule: TauSchedule,
    /// The predictor. `false` is an experiment: projections then match the targets directly, and
    /// collapse to one point (Grill et al., 2020, table 5b).
    #[serde(default = "yes")]
    pub predictor: bool,
    /// Batch norm in projector and predictor. `false` is an experiment.
    #[serde(default = "yes")]
    pub head_norm: bool,
    /// Stop-gradient. `false` is an experiment: the target is then the online network. The gradient
    /// flows through it, and all images collapse to one point (Chen & He, 2021, section 4.1).
    #[serde(default = "yes")]
    pub stop_gradient: bool,
}

/// The default for older settings files, which lack these switches.
fn yes() -> bool {
    true
}

impl Default for ByolConfig {
    /// The paper's.
    fn default() -> Self {
        Self {
            projector_hidden: 4096,
            projector_dim: 256,
            predictor_hidden: 4096,
            tau_base: 0.996,
            tau_schedule: TauSchedule::Cosine,
            predictor: true,
            head_norm: true,
            stop_gradient: true,
        }
    }
}

impl ByolConfig {
    /// Checks the settings without building anything.
    ///
    /// # Errors
    /// A width is 0, or τ is outside `[0, 1]`.
    pub fn validate(&self) -> Result<(), TrainError> {
        check::widths(&[
            ("byol.projector_hidden", self.projector_hidden),
            ("byol.projector_dim", self.projector_dim),
            ("byol.predictor_hidden", self.predictor_hidden),
        ])?;
        MomentumTau::new(self.tau_base, self.tau_schedule).map(|_| ())
    }

    /// Builds BYOL around an encoder; the target starts as a copy of the online network.
    ///
    /// `device` must be an autodiff device.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<Byol<E>, TrainError> {
        self.validate()?;
        let head = |input, hidden| MlpConfig {
            hidden_norm: self.head_norm,
            ..MlpConfig::byol(input, hidden, self.projector_dim)
        };
        let projector = head(encoder.feature_dim(), self.projector_hidden);
        let online =
            Branch { projector: projector.init(&mut WeightInit::new(seed, 1, device))?, encoder };
        let predictor = head(self.projector_dim, self.predictor_hidden)
            .init(&mut WeightInit::new(seed, 2, device))?;
        let predictor = self.predictor.then_some(predictor);
        let target = momentum_copy(&online);
        let tau = MomentumTau::new(self.tau_base, self.tau_schedule)?;
        Ok(Byol { online, predictor, target, tau, stop_gradient: self.stop_gradient })
    }
}

/// BYOL (Grill et al., 2020, algorithm 1). Built by [`ByolConfig::build`].
#[derive(Module, Debug)]
pub struct Byol<E: Module> {
    /// Trained by gradient.
    pub online: Branch<E>,
    /// q, on top of the online network only; `None` in the experiment without it.
    pub predictor: Option<Mlp>,
    /// Follows the online network as an exponential moving average. It is in train mode, so it
    /// normalises with the statistics of its own batch.
    pub target: Branch<E>,
    #[module(skip)]
    tau: MomentumTau,
    stop_gradient: bool,
}

impl<E: Encoder + Module + ModuleDisplay> Byol<E> {
    fn predict(&self, z: Tensor<2>) -> Tensor<2> {
        match &self.predictor {
            Some(predictor) => predictor.forward(z),
            None => z,
        }
    }
}

impl<E: Encoder + Module + ModuleDisplay> Method for Byol<E> {
    type Encoder = E;

    fn loss(&self, [v1, v2]: [Tensor<4>; 2], at: Position) -> MethodLoss {
        let z1 = self.online.project(v1.clone());
        let z2 = self.online.project(v2.clone());
        let embedding = z1.clone().detach();
        let (q1, q2) = (self.predict(z1.clone()), self.predict(z2.clone()));
        // Without stop-gradient the target is not used.
        let tau = self.stop_gradient.then(|| self.tau.term(at, &z1.device()));
        let loss = if self.stop_gradient {
            let targets = (self.target.project(v1).detach(), self.target.project(v2).detach());
            ByolLoss.symmetric((q1, q2), targets)
        } else {
            normalized_distance(q1, z2) + normalized_distance(q2, z1)
        };
        MethodLoss { loss: mean_over_ranks(loss), terms: tau.into_iter().collect(), embedding }
    }

    fn after_step(mut self, at: Position) -> Self {
        let tau = self.tau.at(at.step, at.steps);
        self.target = update_target(self.target, &self.online, tau);
        self
    }

    fn encoder(&self) -> &E {
        &self.online.encoder
    }

    fn projections(&self, [v1, v2]: [Tensor<4>; 2]) -> Projections {
        let target = self.stop_gradient.then(|| self.target.project(v1.clone()));
        let z1 = self.online.project(v1);
        Projections {
            prediction: self.predictor.as_ref().map(|q| q.forward(z1.clone())),
            target,
            views: [z1, self.online.project(v2)],
        }
    }
}
