//! The kinds of findings, and how a model was trained.

use serde::{Deserialize, Serialize};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum Kind {
    /// Every image has the same embedding.
    CompleteCollapse,
    /// The embeddings differ in few directions only.
    DimensionalCollapse {
        /// Directions in use.
        used: usize,
        /// Directions there could be: `min(rows − 1, dim)`.
        of: usize,
    },
    /// k-NN is worse than before training, by more than chance.
    WorseThanUntrained,
    /// The features use fewer directions than before training, and k-NN is not better for it.
    LostDirections,
    /// No collapse, but k-NN is no better than before training.
    NothingLearnt,
    /// The features use fewer directions than before training, but k-NN is better.
    TradedDirections,
    /// The projections use few directions, and the features are not wide either.
    NarrowProjections {
        /// Directions in use.
        used: usize,
        /// Directions there could be: `min(rows − 1, dim)`.
        of: usize,
    },
    /// All embeddings point nearly the same way.
    SmallDifferences,
    /// Some dimensions never change.
    DeadDimensions {
        /// How many.
        dead: usize,
        /// Of how many.
        of: usize,
    },
    /// Dimensions that say the same as others.
    Redundant,
    /// The two views of an image have little in common.
    ViewsDisagree,
    /// BYOL's predictor keeps few directions, and few are left in the projections.
    NarrowPredictor,
    /// BYOL's target is the online network itself.
    TargetEqualsOnline,
    /// BYOL's target has not followed the online network.
    TargetLeftBehind,
    /// Too few steps to tell.
    TooEarly {
        /// As many as there were.
        steps: u64,
    },
    /// Too few images to tell.
    TooFewImages {
        /// As many as there were.
        images: usize,
    },
    /// Too few test images to tell whether k-NN is better than before training.
    TooFewTestImages {
        /// As many as there were.
        images: usize,
    },
}

impl Kind {
    /// Of equally bad findings, the one with the lower number stands first.
    ///
    /// A collapse explains everything else. Then comes what training has done to the features,
    /// since they will be used. Then come the mechanisms behind it. Among undecided findings, "too
    /// few steps" comes first: more images would not help.
    pub fn precedence(self) -> u8 {
        match self {
            Self::CompleteCollapse => 0,
            Self::WorseThanUntrained => 1,
            Self::LostDirections => 2,
            Self::DimensionalCollapse { .. } => 3,
            Self::NothingLearnt => 4,
            Self::TradedDirections => 5,
            Self::SmallDifferences => 6,
            Self::NarrowProjections { .. } | Self::DeadDimensions { .. } | Self::Redundant => 7,
            Self::ViewsDisagree | Self::NarrowPredictor => 7,
            Self::TargetEqualsOnline | Self::TargetLeftBehind => 7,
            Self::TooEarly { .. } => 0,
            Self::TooFewImages { .. } => 1,
            Self::TooFewTestImages { .. } => 2,
        }
    }
}

/// The method that trained the embeddings. It decides which settings the advice names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// BYOL.
    Byol,
    /// Barlow Twins.
    BarlowTwins,
    /// SimCLR.
    #[serde(rename = "simclr")]
    SimClr,
    /// MoCo v3.
    MocoV3,
    /// SimSiam.
    #[serde(rename = "simsiam")]
    SimSiam,
    /// VICReg.
    #[serde(rename = "vicreg")]
    VicReg,
    /// W-MSE.
    WMse,
    /// DINO.
    Dino,
    /// LeJEPA.
    #[serde(rename = "lejepa")]
    LeJepa,
}

impl Trained {
    const ALL: [Self; 9] = [
        Self::Byol,
        Self::BarlowTwins,
        Self::SimClr,
        Self::MocoV3,
        Self::SimSiam,
        Self::VicReg,
        Self::WMse,
        Self::Dino,
        Self::LeJepa,
    ];

    /// The method with this name, such as `barlow-twins`. For one that the doctor does not know,
    /// its advice names no settings.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trained| trained.section().replace('_', "-") == name)
    }

    /// The section of its settings.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Byol => "byol",
            Self::BarlowTwins => "barlow_twins",
            Self::SimClr => "simclr",
            Self::MocoV3 => "moco_v3",
            Self::SimSiam => "simsiam",
            Self::VicReg => "vicreg",
            Self::WMse => "w_mse",
            Self::Dino => "dino",
            Self::LeJepa => "lejepa",
        }
    }

    /// Whether its loss decorrelates dimensions.
    pub(super) fn decorrelates(self) -> bool {
        matches!(self, Self::BarlowTwins | Self::VicReg | Self::WMse | Self::LeJepa)
    }
}

/// How far training has come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Optimiser steps taken.
    pub steps: u64,
    /// What they are worth in full steps: the sum of their learning rates over the highest one.
    pub full_steps: f64,
    /// Whether these are all planned steps.
    pub ended: bool,
    /// τ of the momentum target at the first step, if there is one.
    pub tau: Option<f64>,
}
