use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::init::WeightInit;
use crate::layers::{BatchNorm, Linear};

/// The shape of a projector or predictor: linear, batch norm, ReLU, …, linear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Widths from input to output, at least two.
    pub dims: Vec<usize>,
    /// Whether the hidden linear layers have a bias (batch norm follows and makes it idle).
    pub hidden_bias: bool,
    /// Whether the last linear layer has one.
    pub output_bias: bool,
}

impl MlpConfig {
    /// BYOL's projector and predictor (Grill et al., 2020, section 3.3 and appendix G): one hidden
    /// layer with batch norm and ReLU, and an output that is *not* normalised. As in DeepMind's
    /// code, the last layer has no bias.
    pub fn byol(input: usize, hidden: usize, output: usize) -> Self {
        Self { dims: vec![input, hidden, output], hidden_bias: true, output_bias: false }
    }

    /// Barlow Twins' projector (Zbontar et al., 2021, section 2.2): linear layers without bias,
    /// batch norm and ReLU after all but the last. The paper has three layers of 8192.
    pub fn barlow_twins(input: usize, widths: &[usize]) -> Self {
        let dims = std::iter::once(input).chain(widths.iter().copied()).collect();
        Self { dims, hidden_bias: false, output_bias: false }
    }

    /// Builds the head.
    ///
    /// # Errors
    /// Fewer than two widths, or a width of zero.
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
                MlpLayer {
                    linear: Linear::new([pair[0], pair[1]], bias, init),
                    norm: (i < last).then(|| BatchNorm::new(pair[1], 1.0, init)),
                }
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
    /// Batch norm, then ReLU; absent after the last layer.
    pub norm: Option<BatchNorm>,
}

impl Mlp {
    /// `[batch, dims[0]]` → `[batch, dims[last]]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.layers.iter().fold(x, |x, layer| {
            let x = layer.linear.forward(x);
            match &layer.norm {
                Some(norm) => norm.forward_vectors_relu(x),
                None => x,
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
        let barlow = MlpConfig::barlow_twins(8, &[16, 16, 12]).init(&mut init).unwrap();
        assert!(barlow.layers.iter().all(|l| l.linear.bias.is_none()));
        assert_eq!(barlow.layers.iter().filter(|l| l.norm.is_some()).count(), 2);

        let x = Tensor::random([3, 8], Distribution::Default, &device);
        assert_eq!(byol.forward(x.clone()).dims(), [3, 4]);
        assert_eq!(barlow.forward(x).dims(), [3, 12]);
    }

    #[test]
    fn widths_are_checked() {
        let mut init = WeightInit::new(0, 0, &Device::flex());
        assert!(MlpConfig::barlow_twins(8, &[]).init(&mut init).is_err());
        assert!(MlpConfig::byol(8, 0, 4).init(&mut init).is_err());
    }
}
