//! SimCLR (Chen et al., 2020).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::{JointEmbeddingLoss, NtXentLoss};
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};

use crate::check;
use crate::methods::settings::{Ablation, AblationGroup, MethodSettings, SmallRun, settings};
use crate::{Batch, Method, MethodLoss, Projections, Step, TrainError};

/// SimCLR (Chen et al., 2020, algorithm 1): the contrastive baseline. Every other image of the
/// batch is a negative. Built by [`SimClrConfig`].
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

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [z1, z2] = batch.pair().map(|view| self.project(view));
        let embedding = z1.clone().detach();
        let [z1, z2] = [z1, z2].map(|z| step.all(z));
        let loss = NtXentLoss { temperature: self.temperature as f32 }.forward(z1, z2);
        MethodLoss { loss: step.whole(loss), terms: Vec::new(), embedding }
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
    /// The projector and the temperature of SimCLR.
    pub struct SimClrConfig {
        /// Hidden width of the projector: 2048 in the paper, the encoder's own.
        pub projector_hidden: usize,
        /// Dimension of the embedding: 128 in the paper.
        pub projector_dim: usize,
        /// The temperature: 0.1 on ImageNet, 0.5 on CIFAR-10. With a smaller one, the hardest
        /// negatives count more.
        pub temperature: f64,
    }
}

impl MethodSettings for SimClrConfig {
    type Method<E: Encoder + Module + ModuleDisplay> = SimClr<E>;

    const TITLE: &'static str = "SimCLR";

    fn meanings() -> &'static [(&'static str, &'static str)] {
        Self::MEANINGS
    }

    fn validate(&self) -> Result<(), TrainError> {
        check::widths(&[
            ("simclr.projector_hidden", self.projector_hidden),
            ("simclr.projector_dim", self.projector_dim),
        ])?;
        check::positive(&[("simclr.temperature", self.temperature)])
    }

    fn build<E: Encoder + Module + ModuleDisplay>(
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

    fn small_run() -> SmallRun<Self> {
        SmallRun {
            settings: Self { projector_hidden: 512, projector_dim: 128, temperature: 0.2 },
            epochs: 20,
            batch_size: 64,
            learning_rate: 0.1,
            weight_decay: 1e-3,
        }
    }

    fn ablations(&self) -> Vec<Ablation> {
        use AblationGroup::Loss;
        let temperature =
            |t: f64| Ablation::new(Loss, format!("temperature {t}"), [("simclr.temperature", t)]);
        [0.05, 0.1, 0.5, 1.0].map(temperature).into()
    }
}
