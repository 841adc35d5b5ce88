//! ResNet encoders (He et al., 2016).

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use selfsame_kernels::{global_avg_pool, max_pool2d};

use crate::init::WeightInit;
use crate::layers::{BatchNorm, Conv2d};
use crate::{Encoder, ModelError};

/// The number and kind of blocks (He et al., 2016, table 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// `[2, 2, 2, 2]` basic blocks.
    ResNet18,
    /// `[3, 4, 6, 3]` basic blocks.
    ResNet34,
    /// `[3, 4, 6, 3]` bottleneck blocks.
    ResNet50,
}

impl Architecture {
    fn depths(self) -> [usize; 4] {
        match self {
            Self::ResNet18 => [2, 2, 2, 2],
            Self::ResNet34 | Self::ResNet50 => [3, 4, 6, 3],
        }
    }

    /// Output channels of a block over its base channels.
    fn expansion(self) -> usize {
        match self {
            Self::ResNet18 | Self::ResNet34 => 1,
            Self::ResNet50 => 4,
        }
    }
}

/// The layers before the residual stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// 7×7 convolution of stride 2, then 3×3 max-pooling of stride 2: for images around 224 px.
    ImageNet,
    /// 3×3 convolution of stride 1 with padding 1, no pooling: for images around 32 px
    /// (Chen et al., 2020, appendix B.9).
    Cifar,
}

/// A ResNet without its classifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Depth and kind of blocks.
    pub architecture: Architecture,
    /// The layers before the residual stages.
    pub stem: Stem,
    /// Channels of the first stage: 64 in the paper; 8 or 16 for CPUs.
    pub base_width: usize,
    /// Start every residual block as the identity by setting the γ of its last batch norm to 0
    /// (Goyal et al., 2017, section 5.1), as the original Barlow Twins code does.
    pub zero_init_residual: bool,
}

impl ResNetConfig {
    /// The largest base width. A larger one would have tens of billions of parameters.
    const MAX_BASE_WIDTH: usize = 4096;

    /// The length of the feature vector: `8 · base_width`, times 4 for bottlenecks.
    pub fn feature_dim(&self) -> usize {
        8 * self.base_width * self.architecture.expansion()
    }

    /// Checks the settings without building anything.
    ///
    /// # Errors
    /// The base width is 0 or above 4096.
    pub fn validate(&self) -> Result<(), ModelError> {
        if !(1..=Self::MAX_BASE_WIDTH).contains(&self.base_width) {
            return Err(ModelError::Config {
                field: "base_width",
                reason: format!(
                    "{} is out of range; it must be from 1 to {} (64 in the paper)",
                    self.base_width,
                    Self::MAX_BASE_WIDTH
                ),
            });
        }
        Ok(())
    }

    /// Builds the encoder with the initial weights that a run of this seed has.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn build(&self, seed: u64, device: &Device) -> Result<ResNet, ModelError> {
        self.init(&mut WeightInit::new(seed, 0, device))
    }

    /// Builds the encoder with weights from this generator.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn init(&self, init: &mut WeightInit) -> Result<ResNet, ModelError> {
        self.validate()?;
        let width = self.base_width;
        let (conv1, pool_stem) = match self.stem {
            Stem::ImageNet => (Conv2d::new([3, width], 7, 2, 3, init), true),
            Stem::Cifar => (Conv2d::new([3, width], 3, 1, 1, init), false),
        };
        let bn1 = BatchNorm::new(width, 1.0, init);
        let mut channels = width;
        let mut stage = |index: usize, depth: usize, init: &mut WeightInit| -> Vec<Block> {
            (0..depth)
                .map(|i| {
                    let stride = if index > 0 && i == 0 { 2 } else { 1 };
                    let block = self.block(channels, width << index, stride, init);
                    channels = (width << index) * self.architecture.expansion();
                    block
                })
                .collect()
        };
        let depths = self.architecture.depths();
        Ok(ResNet {
            conv1,
            bn1,
            layer1: stage(0, depths[0], init),
            layer2: stage(1, depths[1], init),
            layer3: stage(2, depths[2], init),
            layer4: stage(3, depths[3], init),
            pool_stem,
            feature_dim: self.feature_dim(),
        })
    }

    fn block(&self, from: usize, base: usize, stride: usize, init: &mut WeightInit) -> Block {
        let to = base * self.architecture.expansion();
        let last_scale = if self.zero_init_residual { 0.0 } else { 1.0 };
        let downsample = |init: &mut WeightInit| {
            (stride != 1 || from != to).then(|| {
                (Conv2d::new([from, to], 1, stride, 0, init), BatchNorm::new(to, 1.0, init))
            })
        };
        if to == base {
            Block::Basic(BasicBlock {
                conv1: Conv2d::new([from, base], 3, stride, 1, init),
                bn1: BatchNorm::new(base, 1.0, init),
                conv2: Conv2d::new([base, to], 3, 1, 1, init),
                bn2: BatchNorm::new(to, last_scale, init),
                downsample: downsample(init),
            })
        } else {
            // The stride is on the 3×3 convolution, as in torchvision ("ResNet v1.5").
            Block::Bottleneck(Bottleneck {
                conv1: Conv2d::new([from, base], 1, 1, 0, init),
                bn1: BatchNorm::new(base, 1.0, init),
                conv2: Conv2d::new([base, base], 3, stride, 1, init),
                bn2: BatchNorm::new(base, 1.0, init),
                conv3: Conv2d::new([base, to], 1, 1, 0, init),
                bn3: BatchNorm::new(to, last_scale, init),
                downsample: downsample(init),
            })
        }
    }
}

/// A residual network (He et al., 2016) up to and including global average pooling.
///
/// Built by [`ResNetConfig::init`]. Field names are torchvision's parameter names.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    pool_stem: bool,
    feature_dim: usize,
}

impl Encoder for ResNet {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        // From here to the pooling, the channels of a pixel are next to each other.
        let images = images.permute([0, 2, 3, 1]);
        let mut x = self.bn1.forward_relu(self.conv1.forward(images), None);
        if self.pool_stem {
            x = max_pool2d(x, 3, 2, 1);
        }
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten()
        {
            x = block.forward(x);
        }
        global_avg_pool(x)
    }

    fn feature_dim(&self) -> usize {
        self.feature_dim
    }
}

/// One residual block of either kind.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network holds tens of blocks, of one kind")]
enum Block {
    Basic(BasicBlock),
    Bottleneck(Bottleneck),
}

impl Block {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Basic(block) => block.forward(x),
            Self::Bottleneck(block) => block.forward(x),
        }
    }
}

/// The shortcut: a strided 1×1 convolution and batch norm, if the shape changes.
type Downsample = Option<(Conv2d, BatchNorm)>;

fn shortcut(downsample: &Downsample, x: Tensor<4>) -> Tensor<4> {
    match downsample {
        Some((conv, norm)) => norm.forward_images(conv.forward(x)),
        None => x,
    }
}

#[derive(Module, Debug)]
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Downsample,
}

impl BasicBlock {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.bn1.forward_relu(self.conv1.forward(x.clone()), None);
        self.bn2.forward_relu(self.conv2.forward(y), Some(shortcut(&self.downsample, x)))
    }
}

#[derive(Module, Debug)]
struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
    downsample: Downsample,
}

impl Bottleneck {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.bn1.forward_relu(self.conv1.forward(x.clone()), None);
        let y = self.bn2.forward_relu(self.conv2.forward(y), None);
        self.bn3.forward_relu(self.conv3.forward(y), Some(shortcut(&self.downsample, x)))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    fn config(architecture: Architecture, stem: Stem, base_width: usize) -> ResNetConfig {
        ResNetConfig { architecture, stem, base_width, zero_init_residual: false }
    }

    #[test]
    fn parameter_counts_are_torchvisions() {
        let device = Device::flex();
        for (architecture, with_classifier, feature_dim) in [
            (Architecture::ResNet18, 11_689_512, 512),
            (Architecture::ResNet34, 21_797_672, 512),
            (Architecture::ResNet50, 25_557_032, 2048),
        ] {
            let config = config(architecture, Stem::ImageNet, 64);
            let net = config.init(&mut WeightInit::new(0, 0, &device)).unwrap();
            assert_eq!(net.feature_dim(), feature_dim);
            let classifier = 1000 * feature_dim + 1000;
            // Burn counts running statistics as parameters, torchvision does not.
            let statistics = crate::weights::state_dict(&net)
                .unwrap()
                .iter()
                .filter(|(name, _)| name.contains("running_"))
                .map(|(_, array)| array.values.len())
                .sum::<usize>();
            assert_eq!(net.num_params() - statistics, with_classifier - classifier);
        }
    }

    #[test]
    fn cifar_stem_keeps_the_resolution_and_imagenet_stem_divides_it_by_four() {
        let device = Device::flex();
        let x = Tensor::random([2, 3, 32, 32], Distribution::Default, &device);
        for (stem, size) in [(Stem::Cifar, 32), (Stem::ImageNet, 16)] {
            let config = config(Architecture::ResNet18, stem, 4);
            let net = config.init(&mut WeightInit::new(0, 0, &device)).unwrap();
            let y = net.conv1.forward(x.clone().permute([0, 2, 3, 1]));
            assert_eq!(y.dims(), [2, size, size, 4]);
            assert_eq!(net.forward(x.clone()).dims(), [2, 32]);
        }
    }

    #[test]
    fn zero_init_residual_starts_blocks_as_identities() {
        let device = Device::flex();
        let mut config = config(Architecture::ResNet50, Stem::Cifar, 2);
        config.zero_init_residual = true;
        let net = config.init(&mut WeightInit::new(0, 0, &device)).unwrap();
        let x = Tensor::random([1, 5, 5, 8], Distribution::Default, &device);
        // Block 1 of stage 1 has no downsampling; on a non-negative input it is the identity.
        assert_eq!(net.layer1[1].forward(x.clone()).into_data(), x.into_data());
    }

    #[test]
    fn base_width_is_checked() {
        let zero = config(Architecture::ResNet18, Stem::Cifar, 0).validate().unwrap_err();
        assert!(zero.to_string().contains("base_width"), "{zero}");
        assert!(config(Architecture::ResNet18, Stem::Cifar, usize::MAX).validate().is_err());
    }
}
