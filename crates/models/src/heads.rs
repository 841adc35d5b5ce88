//! Projectors and predictors.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::init::WeightInit;
use crate::layers::{BatchNorm, Linear};

/// The shape of a projector or predictor: linear, batch norm, ReLU, …, linear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Widths from input to output, at least two.
    pub dims: Vec<usize>,
    /// Whether the hidden linear layers have a bias. Batch norm after them cancels it.
    pub hidden_bias: bool,
    /// Whether the last linear layer has one.
    pub output_bias: bool,
    /// Batch norm before each hidden ReLU. Without it, ReLU alone.
    pub hidden_norm: bool,
    /// Batch norm after the last layer, with fixed γ = 1 and β = 0.
    pub output_norm: bool,
}

impl MlpConfig {
    /// BYOL's projector and predictor (Grill et al., 2020, section 3.3 and appendix G): one hidden
    /// layer with batch norm and ReLU, and an output that is *not* normalised. As in DeepMind's
    /// code, the last layer has no bias.
    pub fn byol(input: usize, hidden: usize, output: usize) -> Self {
        Self {
            dims: vec![input, hidden, output],
            hidden_bias: true,
            output_bias: false,
            hidden_norm: true,
            output_norm: false,
        }
    }

    /// Linear layers without bias, batch norm and ReLU after all but the last.
    ///
    /// The projector of Barlow Twins (Zbontar et al., 2021, section 2.2), with three layers of 8192
    /// there, and of most methods since.
    pub fn without_bias(input: usize, widths: &[usize]) -> Self {
        let dims = std::iter::once(input).chain(widths.iter().copied()).collect();
        Self { dims, hidden_bias: false, output_bias: false, hidden_norm: true, output_norm: false }
    }

    /// SimSiam's projector (Chen & He, 2021, section 3): three layers of one width without bias,
    /// each with batch norm. The last batch norm has no affine map.
    pub fn simsiam(input: usize, width: usize) -> Self {
        Self { output_norm: true, ..Self::without_bias(input, &[width; 3]) }
    }

    /// SimSiam's predictor (Chen & He, 2021, section 3): a bottleneck. Its output has a bias and no
    /// norm.
    pub fn simsiam_predictor(width: usize, bottleneck: usize) -> Self {
        Self { output_bias: true, ..Self::without_bias(width, &[bottleneck, width]) }
    }

    /// MoCo v3's projector for a ResNet (Chen, Xie & He, 2021, section 5, and the authors' code):
    /// no biases, batch norm after both layers, the last one without an affine map. Its predictor
    /// is the same without the last norm, [`without_bias`](Self::without_bias).
    pub fn moco_v3(input: usize, hidden: usize, output: usize) -> Self {
        Self { output_norm: true, ..Self::without_bias(input, &[hidden, output]) }
    }

    /// Builds the head.
    ///
    /// # Errors
    /// There are fewer than two widths, or a width is zero.
    pub fn init(&self, init: &mut WeightInit) -> Result<Mlp, ModelError> {
        if self.dims.len() < 2 || self.dims.contains(&0) {
            return Err(ModelError::Config {
                field: "dims",
                reason: format!("{:?}: at least two widths are needed, none of them 0", self.dims),
            });
        }
        let last = self.dims.len() - 2;
        let layers = self
            .dims
            .windows(2)
            .enumerate()
            .map(|(i, pair)| {
                let bias = if i == last { self.output_bias } else { self.hidden_bias };
                let norm = if i < last {
                    self.hidden_norm.then(|| BatchNorm::new(pair[1], 1.0, init))
                } else {
                    self.output_norm.then(|| BatchNorm::without_affine(pair[1], init))
                };
                let linear = Linear::new([pair[0], pair[1]], bias, init);
                MlpLayer { linear, norm, relu: i < last }
            })
            .collect();
        Ok(Mlp { layers })
    }
}

/// A projector or predictor. Built by [`MlpConfig::init`].
#[derive(Module, Debug)]
pub struct Mlp {
    /// In the order of application.
    pub layers: Vec<MlpLayer>,
}

/// One linear layer of an [`Mlp`], with what follows it.
#[derive(Module, Debug)]
pub struct MlpLayer {
    /// The product.
    pub linear: Linear,
    /// The batch norm, before ReLU.
    pub norm: Option<BatchNorm>,
    /// Whether ReLU follows: after all but the last layer.
    relu: bool,
}

impl Mlp {
    /// `[batch, dims[0]]` → `[batch, dims[last]]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.layers.iter().fold(x, |x, layer| {
            let x = layer.linear.forward(x);
            match (&layer.norm, layer.relu) {
                (Some(norm), true) => norm.forward_vectors_relu(x),
                (Some(norm), false) => norm.forward(x),
                (None, true) => relu(x),
                (None, false) => x,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    #[test]
    fn shapes_and_biases_are_those_of_the_papers() {
        let device = Device::flex();
        let mut init = WeightInit::new(0, 0, &device);
        let byol = MlpConfig::byol(8, 16, 4).init(&mut init).unwrap();
        assert!(byol.layers[0].linear.bias.is_some() && byol.layers[1].linear.bias.is_none());
        let barlow = MlpConfig::without_bias(8, &[16, 16, 12]).init(&mut init).unwrap();
        assert!(barlow.layers.iter().all(|l| l.linear.bias.is_none()));
        assert_eq!(barlow.layers.iter().filter(|l| l.norm.is_some()).count(), 2);

        let x = Tensor::random([3, 8], Distribution::Default, &device);
        assert_eq!(byol.forward(x.clone()).dims(), [3, 4]);
        assert_eq!(barlow.forward(x).dims(), [3, 12]);
    }

    #[test]
    fn output_norm_standardises_and_does_not_train() {
        let device = Device::flex().autodiff();
        let mut init = WeightInit::new(0, 0, &device);
        let head = MlpConfig::simsiam(8, 6).init(&mut init).unwrap();
        assert_eq!(head.layers.iter().filter(|l| l.norm.is_some()).count(), 3);
        let norm = head.layers[2].norm.as_ref().unwrap();
        assert!(!norm.weight.val().is_require_grad() && !norm.bias.val().is_require_grad());
        let z = head.forward(Tensor::random([64, 8], Distribution::Default, &device));
        let mean = z.clone().mean_dim(0).abs().max().into_scalar::<f32>();
        let variance = z.square().mean_dim(0).into_data().try_to_vec::<f32>().unwrap();
        assert!(mean < 1e-4, "{mean}");
        assert!(variance.iter().all(|v| (v - 1.0).abs() < 0.02), "{variance:?}");
    }

    #[test]
    fn without_batch_norm_hidden_layers_keep_their_relu() {
        let mut init = WeightInit::new(0, 0, &Device::flex());
        let plain = MlpConfig { hidden_norm: false, ..MlpConfig::byol(4, 16, 3) };
        let head = plain.init(&mut init).unwrap();
        assert!(head.layers.iter().all(|l| l.norm.is_none()));
        let x = Tensor::<2>::random([5, 4], Distribution::Default, &Device::flex());
        let linear = head.layers.iter().fold(x.clone(), |x, layer| layer.linear.forward(x));
        let difference = (head.forward(x) - linear).abs().max().into_scalar::<f32>();
        assert!(difference > 1e-3, "{difference}");
    }

    #[test]
    fn widths_are_checked() {
        let mut init = WeightInit::new(0, 0, &Device::flex());
        assert!(MlpConfig::without_bias(8, &[]).init(&mut init).is_err());
        assert!(MlpConfig::byol(8, 0, 4).init(&mut init).is_err());
    }
}
