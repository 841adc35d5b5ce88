//! LeJEPA (Balestriero & LeCun, 2025).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::{LeJepaLoss, SigReg};
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};

use crate::check;
use crate::methods::settings::{
    Ablation, AblationGroup, Expected, MethodSettings, SmallRun, Term, settings,
};
use crate::{Batch, Method, MethodLoss, Projections, Step, TrainError};

/// LeJEPA (Balestriero & LeCun, 2025, algorithm 2), with two views: they are brought together, and
/// SIGReg makes the embeddings an isotropic Gaussian. Built by [`LeJepaConfig`].
#[derive(Module, Debug)]
pub struct LeJepa<E: Module> {
    /// The backbone.
    pub encoder: E,
    /// The projector before the loss.
    pub projector: Mlp,
    lambda: f64,
    slices: usize,
}

impl<E: Encoder + Module + ModuleDisplay> LeJepa<E> {
    fn project(&self, view: Tensor<4>) -> Tensor<2> {
        self.projector.forward(self.encoder.forward(view))
    }
}

impl<E: Encoder + Module + ModuleDisplay> Method for LeJepa<E> {
    type Encoder = E;

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [z1, z2] = batch.pair().map(|view| self.project(view));
        let embedding = z1.clone().detach();
        let [z1, z2] = [z1, z2].map(|z| step.all(z));
        let sigreg = SigReg { slices: self.slices, ..SigReg::default() };
        let loss = LeJepaLoss { lambda: self.lambda as f32, sigreg };
        let terms = loss.terms(z1, z2, step.position().step);
        let loss = terms.prediction.clone().mul_scalar(1.0 - self.lambda)
            + terms.sigreg.clone().mul_scalar(self.lambda);
        MethodLoss {
            loss: step.whole(loss),
            terms: vec![
                ("prediction", terms.prediction.detach()),
                ("sigreg", terms.sigreg.detach()),
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
    /// The projector of LeJEPA, and the weight in its loss.
    pub struct LeJepaConfig {
        /// Widths of the projector's layers. The last is the dimension of the Gaussian embedding.
        pub projector: Vec<usize>,
        /// λ, the share of SIGReg in the loss: 0.05 in the paper. The rest is the distance between
        /// the views.
        pub lambda: f64,
        /// Number of random directions, drawn again in every step: 1024 in the paper.
        pub slices: usize,
    }
}

impl MethodSettings for LeJepaConfig {
    type Method<E: Encoder + Module + ModuleDisplay> = LeJepa<E>;

    const TITLE: &'static str = "LeJEPA";
    const TERMS: &'static [Term] = &[
        Term {
            name: "prediction",
            title: "Prediction term of LeJEPA",
            caption: "How far the views of an image are from agreeing, before its weight.",
        },
        Term {
            name: "sigreg",
            title: "SIGReg term of LeJEPA",
            caption: "How far the embeddings are from a normal distribution of variance 1, before \
                      its weight.",
        },
    ];

    fn meanings() -> &'static [(&'static str, &'static str)] {
        Self::MEANINGS
    }

    fn validate(&self) -> Result<(), TrainError> {
        check::layers("lejepa.projector", &self.projector)?;
        check::widths(&[("lejepa.slices", self.slices)])?;
        check::shares(&[("lejepa.lambda", self.lambda)])
    }

    fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<LeJepa<E>, TrainError> {
        self.validate()?;
        Ok(LeJepa {
            projector: MlpConfig::without_bias(encoder.feature_dim(), &self.projector)
                .init(&mut WeightInit::new(seed, 1, device))?,
            encoder,
            lambda: self.lambda,
            slices: self.slices,
        })
    }

    fn small_run() -> SmallRun<Self> {
        SmallRun {
            settings: Self { projector: vec![512, 64], lambda: 0.05, slices: 256 },
            epochs: 20,
            batch_size: 64,
            learning_rate: 0.1,
            weight_decay: 1e-3,
        }
    }

    fn ablations(&self) -> Vec<Ablation> {
        use AblationGroup::{Loss, Mechanism};
        vec![
            Ablation::new(Mechanism, "no SIGReg", [("lejepa.lambda", "0.0")])
                .expect(Expected::Collapse, "Balestriero & LeCun, 2025, section 1"),
            Ablation::new(Loss, "8 slices", [("lejepa.slices", 8)]),
        ]
    }
}
