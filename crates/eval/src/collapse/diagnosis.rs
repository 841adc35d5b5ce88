use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{PairSignals, PredictorSpectrum, Spread, rules};

/// How bad it is. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing that needs doing.
    Healthy,
    /// Too few images to tell.
    Unknown,
    /// Worth a look; training may recover or be merely slow.
    Warning,
    /// The embeddings are of no use.
    Collapsed,
}

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
    /// The projections use few directions, which the features may survive.
    NarrowProjections {
        /// Directions in use.
        used: usize,
        /// Directions there could be: `min(rows − 1, dim)`.
        of: usize,
    },
    /// All embeddings point nearly the same way.
    SmallDifferences,
    /// The features use fewer directions than before training.
    LostDirections,
    /// Some dimensions never change.
    DeadDimensions {
        /// How many.
        dead: usize,
        /// Of how many.
        of: usize,
    },
    /// Dimensions that say the same as others.
    Redundant,
    /// The two views of an image are no more alike than those of different images.
    ViewsDisagree,
    /// BYOL's predictor keeps few directions.
    NarrowPredictor,
    /// BYOL's target is the online network itself.
    TargetEqualsOnline,
    /// BYOL's target has not followed the online network.
    TargetLeftBehind,
    /// No collapse, but no better than before training.
    NothingLearnt,
    /// Too few images to tell.
    TooFewImages {
        /// As many as there were.
        images: usize,
    },
}

/// One measure against its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What is wrong, if anything is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<Kind>,
    /// A sentence with the figures, without a full stop.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advice: Option<String>,
    /// The measure's name: `features.spread`, `pair.alignment` …
    pub measure: String,
    /// Its value.
    pub value: f64,
    /// The threshold it was held against.
    pub threshold: f64,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The worst of the findings' levels.
    pub level: Level,
    /// The first of the worst findings' kind.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<Kind>,
    /// One sentence in plain language.
    pub headline: String,
    /// Worst first.
    pub findings: Vec<Finding>,
}

/// What trained the embeddings: decides which settings the advice names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// With a predictor and a moving target.
    Byol,
    /// With a cross-correlation loss.
    BarlowTwins,
    /// With the other images of the batch as negatives: SimCLR, MoCo v3.
    Contrastive,
    /// With a stop-gradient and no negatives: SimSiam, DINO.
    SelfDistillation,
    /// With a term or a step that spreads the dimensions: VICReg, W-MSE, LeJEPA.
    Decorrelation,
}

/// How far BYOL's target is from the online network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TargetDistance {
    /// Relative distance of the weights: [`weight_distance`](super::weight_distance).
    pub weights: f64,
    /// 1 − mean cosine of the projections: [`projection_distance`](super::projection_distance).
    pub projections: f64,
}

/// What there is to judge by; every part may be missing, and none is required of a method.
///
/// ```
/// use selfsame_eval::{Evidence, Features, Level, Spread};
///
/// let point = Features::new([0.3, -0.4].repeat(100), 100, 2)?;
/// let spread = Spread::of(&point)?;
/// let diagnosis = Evidence { features: Some(&spread), ..Evidence::default() }.diagnose();
/// assert_eq!(diagnosis.level, Level::Collapsed);
/// assert_eq!(diagnosis.headline, "complete collapse: every image maps to one point (features)");
/// # Ok::<(), selfsame_eval::EvalError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// What trained them.
    pub trained: Option<Trained>,
    /// The encoder's features, what will be used.
    pub features: Option<&'a Spread>,
    /// The projector's output, what the loss sees.
    pub projections: Option<&'a Spread>,
    /// The untrained encoder's features of the same images.
    pub untrained_features: Option<&'a Spread>,
    /// The untrained projector's output of the same images.
    pub untrained_projections: Option<&'a Spread>,
    /// Two views' projections of the same images.
    pub pair: Option<&'a PairSignals>,
    /// BYOL's predictor.
    pub predictor: Option<&'a PredictorSpectrum>,
    /// BYOL's target.
    pub target: Option<TargetDistance>,
    /// k-NN accuracy of the features, a fraction of 1.
    pub knn_top1: Option<f64>,
    /// k-NN accuracy of the untrained encoder's features.
    pub untrained_knn_top1: Option<f64>,
}

impl Evidence<'_> {
    /// The verdict: every measure there is against [`thresholds`](super::thresholds).
    pub fn diagnose(&self) -> Diagnosis {
        let mut findings = rules::findings(self);
        // Stable: of equally bad findings the first rule's stands first.
        findings.sort_by_key(|f| Reverse(f.level));
        let level = findings.first().map_or(Level::Unknown, |f| f.level);
        let worst = findings.iter().find(|f| f.level == level && f.kind.is_some());
        let headline = match (worst, level) {
            (Some(worst), Level::Healthy) => format!("no collapse, but {}", worst.text),
            (Some(Finding { kind: Some(Kind::NothingLearnt), text, .. }), _) => {
                format!("not collapsed, but {text}")
            }
            (Some(worst), _) => worst.text.clone(),
            (None, Level::Unknown) => "nothing was measured".into(),
            (None, _) => match findings.first() {
                Some(first) => format!("no collapse: {}", first.text),
                None => "no collapse".into(),
            },
        };
        Diagnosis { level, kind: worst.and_then(|f| f.kind), headline, findings }
    }
}
