//! BYOL (Grill et al., 2020).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::{ByolLoss, normalized_distance};
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};

use crate::check;
use crate::methods::branch::{Branch, momentum_copy};
use crate::methods::settings::{
    Ablation, AblationGroup, Expected, MethodSettings, SmallRun, settings,
};
use crate::{
    Batch, Method, MethodLoss, MomentumTau, Position, Projections, Step, TauSchedule, TrainError,
    update_target,
};

/// BYOL (Grill et al., 2020, algorithm 1). Built by [`ByolConfig`].
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

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [v1, v2] = batch.pair();
        let z1 = self.online.project(v1.clone());
        let z2 = self.online.project(v2.clone());
        let embedding = z1.clone().detach();
        let (q1, q2) = (self.predict(z1.clone()), self.predict(z2.clone()));
        // Without stop-gradient the target is not used.
        let tau = self.stop_gradient.then(|| self.tau.term(step.position(), &z1.device()));
        let loss = if self.stop_gradient {
            let targets = (self.target.project(v1).detach(), self.target.project(v2).detach());
            ByolLoss.symmetric((q1, q2), targets)
        } else {
            normalized_distance(q1, z2) + normalized_distance(q2, z1)
        };
        MethodLoss { loss: step.mean(loss), terms: tau.into_iter().collect(), embedding }
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

settings! {
    /// The heads and the momentum of BYOL, with switches for experiments.
    pub struct ByolConfig {
        /// Hidden width of the projector: 4096 in the paper.
        pub projector_hidden: usize,
        /// Dimension of the embedding: 256 in the paper.
        pub projector_dim: usize,
        /// Hidden width of the predictor: 4096 in the paper.
        pub predictor_hidden: usize,
        /// τ at the first step: 0.996 in the paper.
        pub tau_base: f64,
        /// `cosine`: τ rises to 1 along a cosine. `constant`: τ stays.
        #[serde(default)]
        pub tau_schedule: TauSchedule,
        /// The predictor. `false` is an experiment: projections then match the targets directly,
        /// and collapse to one point (Grill et al., 2020, table 5b).
        #[serde(default = "yes")]
        pub predictor: bool,
        /// Batch norm in projector and predictor. `false` is an experiment.
        #[serde(default = "yes")]
        pub head_norm: bool,
        /// Stop-gradient. `false` is an experiment: the target is then the online network. The
        /// gradient flows through it, and all images collapse to one point (Chen & He, 2021,
        /// section 4.1).
        #[serde(default = "yes")]
        pub stop_gradient: bool,
    }
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

impl MethodSettings for ByolConfig {
    type Method<E: Encoder + Module + ModuleDisplay> = Byol<E>;

    const TITLE: &'static str = "BYOL";
    const ENCODER: &'static str = "online.encoder.";

    fn meanings() -> &'static [(&'static str, &'static str)] {
        Self::MEANINGS
    }

    fn validate(&self) -> Result<(), TrainError> {
        check::widths(&[
            ("byol.projector_hidden", self.projector_hidden),
            ("byol.projector_dim", self.projector_dim),
            ("byol.predictor_hidden", self.predictor_hidden),
        ])?;
        MomentumTau::new(self.tau_base, self.tau_schedule).map(|_| ())
    }

    fn build<E: Encoder + Module + ModuleDisplay>(
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

    fn small_run() -> SmallRun<Self> {
        SmallRun {
            settings: Self {
                projector_hidden: 512,
                projector_dim: 128,
                predictor_hidden: 512,
                tau_base: 0.9,
                ..Self::default()
            },
            epochs: 30,
            batch_size: 64,
            learning_rate: 0.1,
            weight_decay: 1e-3,
        }
    }

    fn ablations(&self) -> Vec<Ablation> {
        use AblationGroup::{Heads, Mechanism, Momentum};
        let constant = |tau: f64| {
            let set =
                [("byol.tau_base", tau.to_string()), ("byol.tau_schedule", "constant".into())];
            // No expectation for τ = 0: BYOL's table 5a has 0.3 % for it, but SimSiam learns
            // without momentum.
            Ablation::new(Momentum, format!("τ = {tau}"), set)
        };
        let wide = [
            ("byol.projector_hidden", 2 * self.projector_hidden),
            ("byol.predictor_hidden", 2 * self.projector_hidden),
            ("byol.projector_dim", 2 * self.projector_dim),
        ];
        let mut all = vec![
            Ablation::new(Mechanism, "no predictor", [("byol.predictor", false)])
                .expect(Expected::Collapse, "Grill et al., 2020, table 5b"),
            Ablation::new(Mechanism, "no stop-gradient", [("byol.stop_gradient", false)])
                .expect(Expected::Collapse, "Grill et al., 2020, table 5b"),
        ];
        all.extend([0.0, 0.5, 0.9, 0.99, 1.0].map(constant));
        all.extend([
            Ablation::new(Heads, "no batch norm in the heads", [("byol.head_norm", false)])
                .expect(Expected::NoCollapse, "Richemond et al., 2020"),
            Ablation::new(Heads, "heads twice as wide", wide),
        ]);
        all
    }

    fn tau(&self) -> Option<f64> {
        Some(self.tau_base)
    }
}
