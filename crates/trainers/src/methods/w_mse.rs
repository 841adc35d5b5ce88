//! W-MSE (Ermolov et al., 2021).

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use selfsame_losses::{JointEmbeddingLoss, WMseLoss};
use selfsame_models::init::WeightInit;
use selfsame_models::{Encoder, Mlp, MlpConfig};
use serde::{Deserialize, Serialize};

use crate::check;
use crate::ranks::gather_rows;
use crate::{Method, MethodLoss, Position, Projections, TrainError};

/// The projector and the whitening of W-MSE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WMseConfig {
    /// Hidden width of the projector: 1024 in the paper.
    pub projector_hidden: usize,
    /// Dimension of the embedding: 64 on CIFAR in the paper. For whitening, a slice needs more than
    /// half as many images.
    pub projector_dim: usize,
    /// Number of images that are whitened together, with both views. A batch is cut into such
    /// slices.
    pub sub_batch: usize,
    /// Added to the variances before whitening.
    pub epsilon: f64,
}

impl WMseConfig {
    /// Checks the settings without building anything.
    ///
    /// # Errors
    /// A width is 0, ε is not above 0, or a slice has too few images to whiten.
    pub fn validate(&self) -> Result<(), TrainError> {
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

    /// Builds W-MSE around an encoder. `device` must be an autodiff device.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn build<E: Encoder + Module + ModuleDisplay>(
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
}

/// W-MSE (Ermolov et al., 2021): the projections are whitened, so they cannot collapse, and the
/// loss brings the views together. Built by [`WMseConfig::build`].
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

    fn loss(&self, views: [Tensor<4>; 2], _: Position) -> MethodLoss {
        let [v1, v2] = views.map(|view| self.project(view));
        let embedding = v1.clone().detach();
        let [v1, v2] = [v1, v2].map(gather_rows);
        let loss = WMseLoss { sub_batch: self.sub_batch, epsilon: self.epsilon as f32 };
        MethodLoss { loss: loss.forward(v1, v2), terms: Vec::new(), embedding }
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn projections(&self, views: [Tensor<4>; 2]) -> Projections {
        let views = views.map(|view| self.project(view));
        Projections { views, prediction: None, target: None }
    }
}
