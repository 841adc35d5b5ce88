//! W-MSE (Ermolov et al., 2021).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::{JointEmbeddingLoss, WMseLoss};
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};

use crate::check;
use crate::methods::settings::{Ablation, AblationGroup, MethodSettings, SmallRun, settings};
use crate::{Batch, Method, MethodLoss, Projections, Step, TrainError};

/// W-MSE (Ermolov et al., 2021): the projections are whitened, so they cannot collapse, and the
/// loss brings the views together. Built by [`WMseConfig`].
#[derive(Module, Debug)]
pub struct WMse<E: Module> {
    /// E
    pub encoder: E,
    /// g
    pub projector: Mlp,
    sub_batch: usize,
    epsilon: f64,
}

impl<E: Encoder + Module + ModuleDisplay> WMse<E> {
    fn project(&self, view: Tensor<4>) -> Tensor<2> {
        self.projector.forward(self.encoder.forward(view))
    }
}

impl<E: Encoder + Module + ModuleDisplay> Method for WMse<E> {
    type Encoder = E;

    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let [v1, v2] = batch.pair().map(|view| self.project(view));
        let embedding = v1.clone().detach();
        let [v1, v2] = [v1, v2].map(|z| step.all(z));
        let loss = WMseLoss { sub_batch: self.sub_batch, epsilon: self.epsilon as f32 };
        MethodLoss { loss: step.whole(loss.forward(v1, v2)), terms: Vec::new(), embedding }
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
    /// The projector and the whitening of W-MSE.
    pub struct WMseConfig {
        /// Hidden width of the projector: 1024 in the paper.
        pub projector_hidden: usize,
        /// Dimension of the embedding: 64 on CIFAR in the paper. For whitening, a slice needs more
        /// than half as many images.
        pub projector_dim: usize,
        /// Number of images that are whitened together, with both views. A batch is cut into such
        /// slices. More than half of `projector_dim`, better twice as many.
        pub sub_batch: usize,
        /// Added to the variances before whitening.
        pub epsilon: f64,
    }
}

impl MethodSettings for WMseConfig {
    type Method<E: Encoder + Module + ModuleDisplay> = WMse<E>;

    const TITLE: &'static str = "W-MSE";

    fn meanings() -> &'static [(&'static str, &'static str)] {
        Self::MEANINGS
    }

    fn validate(&self) -> Result<(), TrainError> {
        check::widths(&[
            ("w_mse.projector_hidden", self.projector_hidden),
            ("w_mse.projector_dim", self.projector_dim),
        ])?;
        check::positive(&[("w_mse.epsilon", self.epsilon)])?;
        if 2 * self.sub_batch <= self.projector_dim {
            let reason = format!(
                "{} images have {} views, too few to whiten {} dimensions; use more than half as \
                 many images as dimensions",
                self.sub_batch,
                2 * self.sub_batch,
                self.projector_dim
            );
            return Err(TrainError::config("w_mse.sub_batch", reason));
        }
        Ok(())
    }

    fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<WMse<E>, TrainError> {
        self.validate()?;
        let widths = [self.projector_hidden, self.projector_dim];
        Ok(WMse {
            projector: MlpConfig::without_bias(encoder.feature_dim(), &widths)
                .init(&mut WeightInit::new(seed, 1, device))?,
            encoder,
            sub_batch: self.sub_batch,
            epsilon: self.epsilon,
        })
    }

    fn small_run() -> SmallRun<Self> {
        SmallRun {
            settings: Self {
                projector_hidden: 512,
                projector_dim: 32,
                sub_batch: 64,
                epsilon: 1e-4,
            },
            epochs: 20,
            batch_size: 64,
            learning_rate: 0.05,
            weight_decay: 1e-3,
        }
    }

    fn ablations(&self) -> Vec<Ablation> {
        use AblationGroup::Loss;
        let slices = |per_dim: usize| {
            let images = (self.projector_dim * per_dim).div_ceil(2) + 1;
            let label = format!("{images} images in a slice");
            Ablation::new(Loss, label, [("w_mse.sub_batch", images)])
        };
        [4, 1].map(slices).into()
    }

    fn for_batch(self, images: usize) -> Self {
        Self { sub_batch: self.sub_batch.min(images), ..self }
    }
}
