//! MoCo v3 (Chen et al., 2021).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::MocoV3Loss;
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};

use crate::check;
use crate::methods::branch::{Branch, momentum_copy};
use crate::methods::settings::{Ablation, AblationGroup, MethodSettings, SmallRun, settings};
use crate::{
    Batch, Method, MethodLoss, MomentumTau, Position, Projections, Step, TauSchedule, TrainError,
    update_target,
};

/// MoCo v3 (Chen, Xie & He, 2021, algorithm 1): contrastive, with keys from a momentum encoder. The
/// other images of the batch are the negatives. Unlike earlier versions, it has no queue. Built by
/// [`MocoV3Config`].
#[derive(Module, Debug)]
pub struct MocoV3<E: Module> {
    /// f_q without its predictor: backbone and projector.
    pub online: Branch<E>,
    /// The rest of f_q.
    pub predictor: Mlp,
    /// f_k: follows f_q as an exponential moving average.
    pub target: Branch<E>,
    #[module(skip)]
    tau: MomentumTau,
    temperature: f64,
}

impl<E: Encoder + Module + ModuleDisplay> Method for MocoV3<E> {
    type Encoder = E;

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [v1, v2] = batch.pair();
        let z1 = self.online.project(v1.clone());
        let z2 = self.online.project(v2.clone());
        let embedding = z1.clone().detach();
        let queries = (self.predictor.forward(z1), self.predictor.forward(z2));
        let keys = (self.target.project(v1).detach(), self.target.project(v2).detach());
        let all = |(a, b)| (step.all(a), step.all(b));
        let loss =
            MocoV3Loss { temperature: self.temperature as f32 }.symmetric(all(queries), all(keys));
        let terms = vec![self.tau.term(step.position(), &embedding.device())];
        MethodLoss { loss: step.whole(loss), terms, embedding }
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
        let target = self.target.project(v1.clone());
        let z1 = self.online.project(v1);
        Projections {
            prediction: Some(self.predictor.forward(z1.clone())),
            target: Some(target),
            views: [z1, self.online.project(v2)],
        }
    }
}

settings! {
    /// The heads, the temperature and the momentum of MoCo v3.
    pub struct MocoV3Config {
        /// Hidden width of the projector: 4096 in the paper.
        pub projector_hidden: usize,
        /// Dimension of the embedding: 256 in the paper.
        pub projector_dim: usize,
        /// Hidden width of the predictor: 4096 in the paper.
        pub predictor_hidden: usize,
        /// A smaller temperature gives more weight to the hardest negatives: 1.0 for ResNet-50, 0.2
        /// for ViT in the authors' code.
        pub temperature: f64,
        /// The key encoder's momentum at the first step: 0.99 in the paper.
        pub tau_base: f64,
        /// `cosine`: the momentum rises to 1 along a cosine. `constant`: it stays.
        #[serde(default)]
        pub tau_schedule: TauSchedule,
    }
}

impl MethodSettings for MocoV3Config {
    type Method<E: Encoder + Module + ModuleDisplay> = MocoV3<E>;

    const TITLE: &'static str = "MoCo v3";
    const ENCODER: &'static str = "online.encoder.";

    fn meanings() -> &'static [(&'static str, &'static str)] {
        Self::MEANINGS
    }

    fn validate(&self) -> Result<(), TrainError> {
        check::widths(&[
            ("moco_v3.projector_hidden", self.projector_hidden),
            ("moco_v3.projector_dim", self.projector_dim),
            ("moco_v3.predictor_hidden", self.predictor_hidden),
        ])?;
        check::positive(&[("moco_v3.temperature", self.temperature)])?;
        MomentumTau::new(self.tau_base, self.tau_schedule).map(|_| ())
    }

    fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<MocoV3<E>, TrainError> {
        self.validate()?;
        let (hidden, dim) = (self.projector_hidden, self.projector_dim);
        let online = Branch {
            projector: MlpConfig::moco_v3(encoder.feature_dim(), hidden, dim)
                .init(&mut WeightInit::new(seed, 1, device))?,
            encoder,
        };
        let predictor = MlpConfig::without_bias(dim, &[self.predictor_hidden, dim])
            .init(&mut WeightInit::new(seed, 2, device))?;
        let target = momentum_copy(&online);
        let tau = MomentumTau::new(self.tau_base, self.tau_schedule)?;
        Ok(MocoV3 { online, predictor, target, tau, temperature: self.temperature })
    }

    fn small_run() -> SmallRun<Self> {
        SmallRun {
            settings: Self {
                projector_hidden: 512,
                projector_dim: 128,
                predictor_hidden: 512,
                temperature: 0.2,
                tau_base: 0.99,
                tau_schedule: TauSchedule::Cosine,
            },
            epochs: 16,
            batch_size: 64,
            learning_rate: 0.1,
            weight_decay: 1e-3,
        }
    }

    fn ablations(&self) -> Vec<Ablation> {
        use AblationGroup::{Loss, Momentum};
        let constant = |tau: f64| {
            let tau_base = ("moco_v3.tau_base", tau.to_string());
            let set = [tau_base, ("moco_v3.tau_schedule", "constant".into())];
            Ablation::new(Momentum, format!("τ = {tau}"), set)
        };
        let temperature =
            |t: f64| Ablation::new(Loss, format!("temperature {t}"), [("moco_v3.temperature", t)]);
        let momenta = [0.0, 0.9, 0.99, 1.0].map(constant);
        momenta.into_iter().chain([0.1, 1.0].map(temperature)).collect()
    }

    fn tau(&self) -> Option<f64> {
        Some(self.tau_base)
    }
}
