//! What programs and people need to know of a method besides its loss.

use std::fmt::{Debug, Display};

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Device;
use selfsame_models::Encoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Method, TrainError};

/// The settings of a method. Each method implements this in its own file. Command lines, settings
/// files, ablations and reports ask it, and know no method by name.
pub trait MethodSettings:
    Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The method around an encoder.
    type Method<E: Encoder + Module + ModuleDisplay>: Method<Encoder = E>;

    /// The name in texts, as in its paper.
    const TITLE: &'static str;

    /// The prefix of the encoder's weights among those of the method.
    const ENCODER: &'static str = "encoder.";

    /// The parts of the loss that are worth a chart.
    const TERMS: &'static [Term] = &[];

    /// Each setting by its name, with its meaning: its doc comment.
    fn meanings() -> &'static [(&'static str, &'static str)];

    /// A run of a few minutes on two cores.
    fn small_run() -> SmallRun<Self>;

    /// Checks the settings without building anything.
    ///
    /// # Errors
    /// A setting is out of its range. The error names it.
    fn validate(&self) -> Result<(), TrainError>;

    /// Builds the method around an encoder. A momentum target starts as a copy of the online
    /// network. `seed` fixes the weights of the heads. `device` must be an autodiff device.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    fn build<E: Encoder + Module + ModuleDisplay>(
        &self,
        encoder: E,
        seed: u64,
        device: &Device,
    ) -> Result<Self::Method<E>, TrainError>;

    /// The method without one of its parts, or with another value of a setting, one at a time.
    fn ablations(&self) -> Vec<Ablation>;

    /// τ of the momentum target at the first step, if there is one.
    fn tau(&self) -> Option<f64> {
        None
    }

    /// The same settings where a batch has this many images.
    fn for_batch(self, images: usize) -> Self {
        let _ = images;
        self
    }
}

/// A part of a loss, for a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The name in [`MethodLoss::terms`](crate::MethodLoss::terms).
    pub name: &'static str,
    /// The title of the chart.
    pub title: &'static str,
    /// What it shows, in one sentence.
    pub caption: &'static str,
}

/// What differs between the methods in a run of a few minutes on two cores.
#[derive(Debug, Clone, PartialEq)]
pub struct SmallRun<S> {
    /// The settings of the method.
    pub settings: S,
    /// Passes over the training images.
    pub epochs: u64,
    /// Images in an optimiser step.
    pub batch_size: usize,
    /// The peak of the learning rate of SGD. A loss that sums over dimensions needs a smaller one
    /// than a mean over images.
    pub learning_rate: f64,
    /// The weight decay.
    pub weight_decay: f64,
}

/// What a paper claims about an [`Ablation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Embeddings fall into one point or few directions.
    Collapse,
    /// It works without.
    NoCollapse,
}

/// The kind of change. Each kind has a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AblationGroup {
    /// What the paper says the method cannot do without.
    Mechanism,
    /// τ of the target.
    Momentum,
    /// Weights and temperatures of the loss.
    Loss,
    /// Projector and predictor.
    Heads,
    /// The views.
    Augmentation,
}

impl AblationGroup {
    /// All of them, in the order of tables and charts.
    pub const ALL: [Self; 5] =
        [Self::Mechanism, Self::Momentum, Self::Loss, Self::Heads, Self::Augmentation];

    /// The name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mechanism => "mechanism",
            Self::Momentum => "momentum",
            Self::Loss => "loss",
            Self::Heads => "heads",
            Self::Augmentation => "augmentation",
        }
    }
}

/// A run with one thing changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Ablation {
    /// The kind of change.
    pub group: AblationGroup,
    /// The change in a few words: `no predictor`.
    pub label: String,
    /// The changed settings with their sections, as in `byol.predictor=false`.
    pub set: Vec<String>,
    /// The claim about it, and its source.
    pub expected: Option<(Expected, &'static str)>,
}

impl Ablation {
    /// A change of these settings.
    pub fn new<V: Display>(
        group: AblationGroup,
        label: impl Into<String>,
        set: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Self {
        let set = set.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        Self { group, label: label.into(), set, expected: None }
    }

    /// Adds what a paper claims about it.
    pub fn expect(self, what: Expected, source: &'static str) -> Self {
        Self { expected: Some((what, source)), ..self }
    }
}

/// Declares the settings of a method. The doc comment of a setting is also what `selfsame config`
/// prints.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $meaning:literal])+
                $(#[serde($($serde:tt)*)])?
                pub $field:ident: $type:ty,
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[doc = $meaning])+
                $(#[serde($($serde)*)])?
                pub $field: $type,
            )+
        }

        impl $name {
            const MEANINGS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($field), concat!($($meaning),+)),)+];
        }
    };
}
pub(crate) use settings;

/// Passes the list of all methods to a macro, after one more name if there is one: type, settings,
/// name, and section of a settings file. Whatever knows all methods is made from this list.
#[macro_export]
macro_rules! methods {
    ($then:ident $(, $with:ident)?) => {
        $then! {
            $($with)?
            Byol, $crate::ByolConfig, "byol", "byol";
            BarlowTwins, $crate::BarlowTwinsConfig, "barlow-twins", "barlow_twins";
            SimClr, $crate::SimClrConfig, "simclr", "simclr";
            MocoV3, $crate::MocoV3Config, "moco-v3", "moco_v3";
            SimSiam, $crate::SimSiamConfig, "simsiam", "simsiam";
            VicReg, $crate::VicRegConfig, "vicreg", "vicreg";
            WMse, $crate::WMseConfig, "w-mse", "w_mse";
            Dino, $crate::DinoConfig, "dino", "dino";
            LeJepa, $crate::LeJepaConfig, "lejepa", "lejepa";
        }
    };
}
