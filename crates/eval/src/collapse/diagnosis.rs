//! Evidence in, a verdict out.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{Kind, PairSignals, PredictorSpectrum, Spread, Trained, Training, rules};

/// How bad a finding is, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// On the right side of its threshold. A whole diagnosis is healthy without a collapse; its
    /// features may still be bad.
    Healthy,
    /// Too few images or too few steps to tell.
    Unknown,
    /// Worth a look. Training may recover, or may just be slow.
    Warning,
    /// The embeddings are useless.
    Collapsed,
}

/// The side of its threshold that a value should be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// At the threshold or above.
    AtLeast,
    /// At the threshold or below.
    AtMost,
}

/// One measure against its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is: [`Level::Healthy`] if and only if the value [is within](Self::is_within) its
    /// threshold.
    pub level: Level,
    /// What is wrong, if anything is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<Kind>,
    /// A sentence with the figures, without a full stop.
    pub text: String,
    /// What to do about it. Nothing repeats or contradicts the advice of an earlier finding.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advice: Option<String>,
    /// The measure's name: `features.spread`, `pair.uniformity` …
    pub measure: String,
    /// Its value.
    pub value: f64,
    /// The side of the threshold that it should be on.
    pub bound: Bound,
    /// The threshold it was compared with.
    pub threshold: f64,
}

impl Finding {
    /// Whether the value is on the right side of its threshold.
    pub fn is_within(&self) -> bool {
        match self.bound {
            Bound::AtLeast => self.value >= self.threshold,
            Bound::AtMost => self.value <= self.threshold,
        }
    }
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The worst of the findings' levels.
    pub level: Level,
    /// The first finding's kind.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<Kind>,
    /// One sentence in plain language: a statement, a colon and the figures.
    pub headline: String,
    /// Worst first: by level, then by [`Kind::precedence`], then in the order of the rules.
    pub findings: Vec<Finding>,
}

/// How far BYOL's target is from the online network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TargetDistance {
    /// Relative distance of the weights: [`weight_distance`](super::weight_distance).
    pub weights: f64,
    /// 1 − mean cosine of the projections: [`projection_distance`](super::projection_distance).
    pub projections: f64,
}

/// k-NN accuracy and that of the untrained encoder, on the same test images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KnnGain {
    /// Accuracy of the features, from 0 to 1.
    pub trained: f64,
    /// Accuracy of the untrained encoder's features.
    pub untrained: f64,
    /// Test images with a label.
    pub images: usize,
}

/// What a diagnosis is made from. Every part may be missing.
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
    /// The method that trained them.
    pub trained: Option<Trained>,
    /// How far training has come. If unknown, it counts as enough.
    pub training: Option<Training>,
    /// The encoder's features, which will be used.
    pub features: Option<&'a Spread>,
    /// The projector's output, which the loss sees.
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
    /// k-NN accuracy, before and after.
    pub knn: Option<KnnGain>,
}

impl Evidence<'_> {
    /// The verdict: every measure compared with its [`thresholds`](super::thresholds).
    pub fn diagnose(&self) -> Diagnosis {
        let mut findings = rules::findings(self);
        // A stable sort: equally bad findings of one kind stay in the order of the rules.
        findings.sort_by_key(|f| (Reverse(f.level), f.kind.map_or(u8::MAX, Kind::precedence)));
        super::advice::advise(&mut findings, self.trained);
        let (level, kind, headline) = match findings.first() {
            None => (Level::Unknown, None, "nothing was measured".into()),
            Some(first) if first.level == Level::Healthy => {
                (Level::Healthy, None, format!("no collapse: {}", self.figures()))
            }
            Some(first) => (first.level, first.kind, first.text.clone()),
        };
        Diagnosis { level, kind, headline, findings }
    }

    /// The figures of embeddings that have not collapsed.
    fn figures(&self) -> String {
        let (spread, untrained) = match (self.features, self.projections) {
            (Some(features), _) => (features, self.untrained_features),
            (None, Some(projections)) => (projections, self.untrained_projections),
            (None, None) => return "no measure is beyond its threshold".into(),
        };
        let rank = rules::before_and_after(spread, untrained, |s| s.centred_effective_rank);
        let (used, of) = (spread.directions, spread.most_directions());
        format!("{used} of {of} directions used, effective rank of the centred features {rank}")
    }
}
