//! VICReg (Bardes et al., 2022).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::VicRegLoss;
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};

use crate::check;
use crate::methods::settings::{
    Ablation, AblationGroup, Expected, MethodSettings, SmallRun, Term, settings,
};
use crate::{Batch, Method, MethodLoss, Projections, Step, TrainError};

/// VICReg (Bardes, Ponce & LeCun, 2022, algorithm 1). Built by [`VicRegConfig`].
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

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [z1, z2] = batch.pair().map(|view| self.project(view));
        let embedding = z1.clone().detach();
        let [z1, z2] = [z1, z2].map(|z| step.all(z));
        let terms = VicRegLoss::default().terms(z1, z2);
        let loss = terms.invariance.clone().mul_scalar(self.invariance)
            + terms.variance.clone().mul_scalar(self.variance)
            + terms.covariance.clone().mul_scalar(self.covariance);
        MethodLoss {
            loss: step.whole(loss),
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

settings! {
    /// The expander and the weights of VICReg's three terms.
    pub struct VicRegConfig {
        /// Widths of the projector's layers: `[8192, 8192, 8192]` in the paper. The paper calls it
        /// expander.
        pub projector: Vec<usize>,
        /// λ, the weight of the distance between the views: 25 in the paper.
        pub invariance: f64,
        /// μ, the weight of the hinge: 25 in the paper. The hinge keeps each standard deviation at
        /// 1.
        pub variance: f64,
        /// ν, the weight of the covariances: 1 in the paper.
        pub covariance: f64,
    }
}

impl MethodSettings for VicRegConfig {
    type Method<E: Encoder + Module + ModuleDisplay> = VicReg<E>;

    const TITLE: &'static str = "VICReg";
    const TERMS: &'static [Term] = &[
        Term {
            name: "invariance",
            title: "Invariance term of VICReg",
            caption: "Mean squared distance of the two views' embeddings, before its weight.",
        },
        Term {
            name: "variance",
            title: "Variance term of VICReg",
            caption: "How far the standard deviations of the dimensions are below 1, before its \
                      weight: 0 is no collapse.",
        },
        Term {
            name: "covariance",
            title: "Covariance term of VICReg",
            caption: "The redundancy between dimensions, before its weight.",
        },
    ];

    fn meanings() -> &'static [(&'static str, &'static str)] {
        Self::MEANINGS
    }

    fn validate(&self) -> Result<(), TrainError> {
        check::layers("vicreg.projector", &self.projector)?;
        check::not_negative(&[
            ("vicreg.invariance", self.invariance),
            ("vicreg.variance", self.variance),
            ("vicreg.covariance", self.covariance),
        ])
    }

    fn build<E: Encoder + Module + ModuleDisplay>(
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

    fn small_run() -> SmallRun<Self> {
        SmallRun {
            settings: Self {
                projector: vec![256, 64],
                invariance: 25.0,
                variance: 25.0,
                covariance: 1.0,
            },
            epochs: 20,
            batch_size: 32,
            learning_rate: 5e-3,
            weight_decay: 1e-3,
        }
    }

    fn ablations(&self) -> Vec<Ablation> {
        use AblationGroup::Mechanism;
        vec![
            Ablation::new(Mechanism, "no variance term", [("vicreg.variance", "0.0")])
                .expect(Expected::Collapse, "Bardes et al., 2022, table 7"),
            Ablation::new(Mechanism, "no covariance term", [("vicreg.covariance", "0.0")])
                .expect(Expected::NoCollapse, "Bardes et al., 2022, table 7"),
            Ablation::new(Mechanism, "no invariance term", [("vicreg.invariance", "0.0")]),
        ]
    }
}
