//! Barlow Twins (Zbontar et al., 2021).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::BarlowTwinsLoss;
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};

use crate::check;
use crate::methods::settings::{
    Ablation, AblationGroup, Expected, MethodSettings, SmallRun, Term, settings,
};
use crate::{Batch, Method, MethodLoss, Projections, Step, TrainError};

/// Barlow Twins (Zbontar et al., 2021, algorithm 1). Built by [`BarlowTwinsConfig`].
#[derive(Module, Debug)]
pub struct BarlowTwins<E: Module> {
    /// f
    pub encoder: E,
    /// The projector. The loss standardises its output, so it needs no norm at its end.
    pub projector: Mlp,
    lambda: f64,
    loss_scale: f64,
    standardize: bool,
}

impl<E: Encoder + Module + ModuleDisplay> Method for BarlowTwins<E> {
    type Encoder = E;

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [v1, v2] = batch.pair();
        let z1 = self.projector.forward(self.encoder.forward(v1));
        let z2 = self.projector.forward(self.encoder.forward(v2));
        let embedding = z1.clone().detach();
        let [z1, z2] = [z1, z2].map(|z| step.all(z));
        let terms = if self.standardize {
            BarlowTwinsLoss { lambda: self.lambda as f32 }.terms(z1, z2)
        } else {
            BarlowTwinsLoss::terms_of(z1, z2)
        };
        let loss = terms.invariance.clone() + terms.redundancy.clone().mul_scalar(self.lambda);
        MethodLoss {
            loss: step.whole(loss.mul_scalar(self.loss_scale)),
            terms: vec![
                ("invariance", terms.invariance.detach()),
                ("redundancy", terms.redundancy.detach()),
            ],
            embedding,
        }
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn projections(&self, views: [Tensor<4>; 2]) -> Projections {
        let views = views.map(|view| self.projector.forward(self.encoder.forward(view)));
        Projections { views, prediction: None, target: None }
    }
}

settings! {
    /// The projector and the loss of Barlow Twins.
    pub struct BarlowTwinsConfig {
        /// Widths of the projector's layers: `[8192, 8192, 8192]` in the paper.
        pub projector: Vec<usize>,
        /// λ, the weight of the redundancy-reduction term: 0.0051 in the paper.
        pub lambda: f64,
        /// A factor on the whole loss. It matters for SGD, and for parameters without LARS scaling.
        /// Published CIFAR recipes have 0.1.
        pub loss_scale: f64,
        /// Batch norm in the projector. `false` is an experiment.
        #[serde(default = "yes")]
        pub head_norm: bool,
        /// Standardisation of the projections. `false` is an experiment: C is then the plain second
        /// moment `z_aᵀ z_b / N`. The mean alone can bring its diagonal to 1, with all images at
        /// one point.
        #[serde(default = "yes")]
        pub standardize: bool,
    }
}

/// The default for older settings files, which lack these switches.
fn yes() -> bool {
    true
}

impl Default for BarlowTwinsConfig {
    /// The paper's.
    fn default() -> Self {
        Self {
            projector: vec![8192; 3],
            lambda: 0.0051,
            loss_scale: 1.0,
            head_norm: true,
            standardize: true,
        }
    }
}

impl MethodSettings for BarlowTwinsConfig {
    type Method<E: Encoder + Module + ModuleDisplay> = BarlowTwins<E>;

    const TITLE: &'static str = "Barlow Twins";
    const TERMS: &'static [Term] = &[
        Term {
            name: "invariance",
            title: "Invariance term",
            caption: "Barlow Twins' first term, Σ (1 − C_ii)²: how far the views of an image are \
                      from agreeing.",
        },
        Term {
            name: "redundancy",
            title: "Redundancy term",
            caption: "Barlow Twins' second term before λ, Σ C_ij²: the redundancy between \
                      dimensions.",
        },
    ];

    fn meanings() -> &'static [(&'static str, &'static str)] {
        Self::MEANINGS
    }

    fn validate(&self) -> Result<(), TrainError> {
        check::layers("barlow_twins.projector", &self.projector)?;
        check::not_negative(&[("barlow_twins.lambda", self.lambda)])?;
        check::positive(&[("barlow_twins.loss_scale", self.loss_scale)])
    }

    fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<BarlowTwins<E>, TrainError> {
        self.validate()?;
        let projector = MlpConfig {
            hidden_norm: self.head_norm,
            ..MlpConfig::without_bias(encoder.feature_dim(), &self.projector)
        };
        Ok(BarlowTwins {
            projector: projector.init(&mut WeightInit::new(seed, 1, device))?,
            encoder,
            lambda: self.lambda,
            loss_scale: self.loss_scale,
            standardize: self.standardize,
        })
    }

    fn small_run() -> SmallRun<Self> {
        SmallRun {
            settings: Self { projector: vec![256, 64], lambda: 0.005, ..Self::default() },
            epochs: 40,
            batch_size: 64,
            learning_rate: 1e-2,
            weight_decay: 1e-2,
        }
    }

    fn ablations(&self) -> Vec<Ablation> {
        use AblationGroup::{Heads, Loss, Mechanism};
        let projector = |factor: f64| {
            let width = |w: &usize| ((*w as f64 * factor) as usize).max(1);
            let widths: Vec<usize> = self.projector.iter().map(width).collect();
            [("barlow_twins.projector", format!("{widths:?}"))]
        };
        let lambda = |factor: f64| [("barlow_twins.lambda", self.lambda * factor)];
        let last = self.projector.last().copied().unwrap_or(1);
        let one_layer = [("barlow_twins.projector", format!("[{last}]"))];
        let norm = [("barlow_twins.head_norm", false)];
        vec![
            Ablation::new(Mechanism, "λ = 0", [("barlow_twins.lambda", "0.0")])
                .expect(Expected::NoCollapse, "Zbontar et al., 2021, table 5"),
            Ablation::new(Mechanism, "no standardisation", [("barlow_twins.standardize", false)]),
            Ablation::new(Loss, "λ / 10", lambda(0.1)),
            Ablation::new(Loss, "λ × 10", lambda(10.0)),
            Ablation::new(Loss, "λ × 100", lambda(100.0)),
            Ablation::new(Heads, "one layer as projector", one_layer),
            Ablation::new(Heads, "projector half as wide", projector(0.5)),
            Ablation::new(Heads, "projector four times as wide", projector(4.0)),
            Ablation::new(Heads, "no batch norm in the projector", norm)
                .expect(Expected::NoCollapse, "Zbontar et al., 2021, table 5"),
        ]
    }
}
