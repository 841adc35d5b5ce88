//! SimSiam (Chen & He, 2021).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::{SimSiamLoss, negative_cosine};
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};

use crate::check;
use crate::methods::settings::{
    Ablation, AblationGroup, Expected, MethodSettings, SmallRun, settings,
};
use crate::{Batch, Method, MethodLoss, Projections, Step, TrainError};

/// SimSiam (Chen & He, 2021, algorithm 1): BYOL without the momentum. Built by
/// [`SimSiamConfig`].
#[derive(Module, Debug)]
pub struct SimSiam<E: Module> {
    /// The backbone of f.
    pub encoder: E,
    /// The projection MLP of f.
    pub projector: Mlp,
    /// h; `None` in the experiment without it.
    pub predictor: Option<Mlp>,
    stop_gradient: bool,
}

impl<E: Encoder + Module + ModuleDisplay> SimSiam<E> {
    fn project(&self, view: Tensor<4>) -> Tensor<2> {
        self.projector.forward(self.encoder.forward(view))
    }

    fn predict(&self, z: Tensor<2>) -> Tensor<2> {
        match &self.predictor {
            Some(predictor) => predictor.forward(z),
            None => z,
        }
    }
}

impl<E: Encoder + Module + ModuleDisplay> Method for SimSiam<E> {
    type Encoder = E;

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [z1, z2] = batch.pair().map(|view| self.project(view));
        let embedding = z1.clone().detach();
        let (p1, p2) = (self.predict(z1.clone()), self.predict(z2.clone()));
        let loss = if self.stop_gradient {
            SimSiamLoss.symmetric((p1, p2), (z1, z2))
        } else {
            (negative_cosine(p1, z2) + negative_cosine(p2, z1)).div_scalar(2.0)
        };
        MethodLoss { loss: step.mean(loss), terms: Vec::new(), embedding }
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn projections(&self, views: [Tensor<4>; 2]) -> Projections {
        let [z1, z2] = views.map(|view| self.project(view));
        let prediction = self.predictor.as_ref().map(|h| h.forward(z1.clone()));
        Projections { views: [z1, z2], prediction, target: None }
    }
}

settings! {
    /// The heads of SimSiam, with switches for experiments.
    pub struct SimSiamConfig {
        /// Width of all three layers of the projector: 2048 in the paper.
        pub projector_dim: usize,
        /// Hidden width of the predictor, a bottleneck: 512 in the paper.
        pub predictor_hidden: usize,
        /// The predictor. Without it, all images collapse to one point (Chen & He, 2021, section
        /// 4.2).
        #[serde(default = "yes")]
        pub predictor: bool,
        /// Stop-gradient. Without it, they collapse, too (section 4.1).
        #[serde(default = "yes")]
        pub stop_gradient: bool,
    }
}

fn yes() -> bool {
    true
}

impl MethodSettings for SimSiamConfig {
    type Method<E: Encoder + Module + ModuleDisplay> = SimSiam<E>;

    const TITLE: &'static str = "SimSiam";

    fn meanings() -> &'static [(&'static str, &'static str)] {
        Self::MEANINGS
    }

    fn validate(&self) -> Result<(), TrainError> {
        check::widths(&[
            ("simsiam.projector_dim", self.projector_dim),
            ("simsiam.predictor_hidden", self.predictor_hidden),
        ])
    }

    fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<SimSiam<E>, TrainError> {
        self.validate()?;
        let predictor = MlpConfig::simsiam_predictor(self.projector_dim, self.predictor_hidden)
            .init(&mut WeightInit::new(seed, 2, device))?;
        Ok(SimSiam {
            projector: MlpConfig::simsiam(encoder.feature_dim(), self.projector_dim)
                .init(&mut WeightInit::new(seed, 1, device))?,
            encoder,
            predictor: self.predictor.then_some(predictor),
            stop_gradient: self.stop_gradient,
        })
    }

    fn small_run() -> SmallRun<Self> {
        SmallRun {
            settings: Self {
                projector_dim: 128,
                predictor_hidden: 64,
                predictor: true,
                stop_gradient: true,
            },
            epochs: 20,
            batch_size: 32,
            learning_rate: 0.1,
            weight_decay: 1e-4,
        }
    }

    fn ablations(&self) -> Vec<Ablation> {
        use AblationGroup::Mechanism;
        vec![
            Ablation::new(Mechanism, "no predictor", [("simsiam.predictor", false)])
                .expect(Expected::Collapse, "Chen & He, 2021, section 4.2"),
            Ablation::new(Mechanism, "no stop-gradient", [("simsiam.stop_gradient", false)])
                .expect(Expected::Collapse, "Chen & He, 2021, section 4.1"),
        ]
    }
}
