//! The sections of the settings that every method has.

use selfsame_augment::{Interpolation, ViewConfig};
use selfsame_data::Labels;
use selfsame_eval::{Knn, LinearProbe};
use selfsame_models::{Architecture, ResNetConfig, Stem};
use selfsame_trainers::{AdamW, Lars, OptimizerConfig, Rule, Sgd, TrustRatio};
use serde::{Deserialize, Serialize};

use super::{LabelBudget, defaults};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewsConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    pub crop_scale: [f32; 2],
    pub crop_ratio: [f32; 2],
    pub interpolation: Interpolation,
    pub flip_probability: f32,
    pub jitter_probability: f32,
    pub brightness: f32,
    pub contrast: f32,
    pub saturation: f32,
    pub hue: f32,
    pub grayscale_probability: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blur_probability: Option<[f32; 2]>,
    pub blur_sigma: [f32; 2],
    pub solarize_probability: [f32; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f32; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<[f32; 3]>,
    /// Left out if false, so that the settings of older runs stay the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_device: bool,
}

impl ViewsConfig {
    /// The settings of view 0 or 1. Undecided settings get harmless values.
    pub fn view(&self, view: usize) -> ViewConfig {
        let fallback = ViewConfig::default();
        ViewConfig {
            size: self.size.unwrap_or(fallback.size),
            crop_scale: self.crop_scale,
            crop_ratio: self.crop_ratio,
            interpolation: self.interpolation,
            flip_probability: self.flip_probability,
            jitter_probability: self.jitter_probability,
            brightness: self.brightness,
            contrast: self.contrast,
            saturation: self.saturation,
            hue: self.hue,
            grayscale_probability: self.grayscale_probability,
            blur_probability: self.blur_probability.map_or(0.0, |p| p[view]),
            blur_sigma: self.blur_sigma,
            solarize_probability: self.solarize_probability[view],
            mean: self.mean.unwrap_or(fallback.mean),
            std: self.std.unwrap_or(fallback.std),
            ..fallback
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    pub architecture: Architecture,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    pub base_width: usize,
    pub zero_init_residual: bool,
}

impl EncoderConfig {
    /// The configuration for the models crate.
    pub fn resnet(&self) -> ResNetConfig {
        ResNetConfig {
            architecture: self.architecture,
            stem: self.stem.unwrap_or(Stem::Cifar),
            base_width: self.base_width,
            zero_init_residual: self.zero_init_residual,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    pub epochs: u64,
    /// Stop after this many epochs of the schedule, as if interrupted there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<f64>,
    pub batch_size: usize,
    /// Whether the batch size was given: by a flag, a file, a recipe, or the resumed run. A default
    /// may be reduced.
    #[serde(skip)]
    pub batch_size_given: bool,
    pub accumulation: usize,
    pub warmup_epochs: f64,
    pub checkpoint_every: u64,
    #[serde(default = "defaults::checkpoint_minutes")]
    pub checkpoint_minutes: f64,
    #[serde(default = "defaults::keep_checkpoints")]
    pub keep_checkpoints: usize,
    #[serde(default = "defaults::sync_batch_norm")]
    pub sync_batch_norm: bool,
    /// Several GPUs of one process sum over NCCL, if it is installed.
    #[serde(default = "defaults::nccl")]
    pub nccl: bool,
    /// The number of steps between reads from the device, see
    /// [`RunConfig::read_every`](super::RunConfig::read_every).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_every: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    Sgd,
    AdamW,
    Lars,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearningRateScaling {
    None,
    Linear256,
    Sqrt256,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSection {
    pub name: OptimizerName,
    pub learning_rate: f64,
    pub scaling: LearningRateScaling,
    pub final_fraction: f64,
    pub weight_decay: f64,
    pub exclude_bias_and_norm: bool,
    pub momentum: f64,
    pub nesterov: bool,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub eta: f64,
    pub trust_ratio: TrustRatio,
    pub clip: bool,
}

impl OptimizerSection {
    /// The configuration for the trainers crate.
    pub fn config(&self) -> OptimizerConfig {
        let rule = match self.name {
            OptimizerName::Sgd => {
                Rule::Sgd(Sgd { momentum: self.momentum, nesterov: self.nesterov })
            }
            OptimizerName::AdamW => {
                Rule::AdamW(AdamW { beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon })
            }
            OptimizerName::Lars => Rule::Lars(Lars {
                momentum: self.momentum,
                eta: self.eta,
                trust_ratio: self.trust_ratio,
                clip: self.clip,
            }),
        };
        OptimizerConfig {
            rule,
            weight_decay: self.weight_decay,
            exclude_bias_and_norm: self.exclude_bias_and_norm,
        }
    }

    /// The peak learning rate for a batch of `batch` images.
    pub fn peak(&self, batch: usize) -> f64 {
        match self.scaling {
            LearningRateScaling::None => self.learning_rate,
            LearningRateScaling::Linear256 => self.learning_rate * batch as f64 / 256.0,
            LearningRateScaling::Sqrt256 => self.learning_rate * (batch as f64 / 256.0).sqrt(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalSection {
    pub every: u64,
    pub knn_k: usize,
    pub knn_temperature: f32,
    pub linear_probe: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelBudget>,
    pub batch_size: usize,
}

impl EvalSection {
    pub fn knn(&self) -> Knn {
        Knn { k: self.knn_k, temperature: self.knn_temperature }
    }

    pub fn linear(&self) -> LinearProbe {
        LinearProbe::default()
    }

    /// The number of labels for the probes; `None` for all.
    pub fn labels(&self) -> anyhow::Result<Option<Labels>> {
        self.labels.as_ref().map(LabelBudget::labels).transpose()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoctorSection {
    pub images: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<u32>,
}

impl Default for DoctorSection {
    fn default() -> Self {
        Self { images: 512, stop_after: None }
    }
}
