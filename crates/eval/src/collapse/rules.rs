//! The rules on embeddings. The rules on training are in progress.rs.

use super::diagnosis::{Bound, Evidence, Finding, Level};
use super::{Kind, PairSignals, PredictorSpectrum, Spread, Trained, progress, thresholds as t};

/// All findings in the order of the rules, without advice.
pub(super) fn findings(evidence: &Evidence<'_>) -> Vec<Finding> {
    let (mut findings, mut few) = (Vec::new(), TooFew::default());
    if let Some(features) = evidence.features {
        let untrained = evidence.untrained_features;
        of_spread(Stage::Features, features, untrained, &mut findings, &mut few);
    }
    let features_are_wide = evidence.features.is_some()
        && few.is_empty()
        && findings.iter().all(|f: &Finding| f.level == Level::Healthy);
    if let Some(projections) = evidence.projections {
        let stage = Stage::Projections { features_are_wide };
        let untrained = evidence.untrained_projections;
        of_spread(stage, projections, untrained, &mut findings, &mut few);
    }
    if let Some(pair) = evidence.pair {
        of_pair(pair, evidence.trained, &mut findings, &mut few);
    }
    let narrow = |f: &Finding| match f.kind {
        Some(Kind::NarrowProjections { .. }) => true,
        Some(Kind::DimensionalCollapse { .. }) => f.measure.starts_with("projections"),
        _ => false,
    };
    if let Some(predictor) = evidence.predictor {
        findings.extend(of_predictor(predictor, findings.iter().any(narrow)));
    }
    findings.extend(few.findings());
    progress::add(evidence, &mut findings);
    findings
}

/// The features will be used. Projections may be narrow although the features are wide, since the
/// projector trades information for invariance (Chen et al., 2020, section 4.2; Jing et al., 2022).
#[derive(Clone, Copy)]
enum Stage {
    Features,
    Projections { features_are_wide: bool },
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Features => "features",
            Stage::Projections { .. } => "projections",
        }
    }
}

/// A measure and its threshold.
pub(super) struct Measure {
    pub name: String,
    pub value: f64,
    pub bound: Bound,
    pub threshold: f64,
}

impl Measure {
    pub fn at_least(threshold: f64, name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, bound: Bound::AtLeast, threshold }
    }

    pub fn at_most(threshold: f64, name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, bound: Bound::AtMost, threshold }
    }

    /// Healthy on the right side of the threshold, else `wrong`. So no rule can contradict its own
    /// figures.
    pub fn or(self, wrong: (Level, Kind), text: String) -> Finding {
        let Self { name: measure, value, bound, threshold } = self;
        let (level, kind) = (Level::Healthy, None);
        let found = Finding { level, kind, text, advice: None, measure, value, bound, threshold };
        match found.is_within() {
            true => found,
            false => Finding { level: wrong.0, kind: Some(wrong.1), ..found },
        }
    }
}

/// One set of embeddings: how widely it spreads, in how many directions and in which dimensions.
fn of_spread(
    stage: Stage,
    spread: &Spread,
    untrained: Option<&Spread>,
    findings: &mut Vec<Finding>,
    few: &mut TooFew,
) {
    let (rows, name) = (spread.rows, stage.name());
    if rows < t::ROWS_FOR_SPREAD {
        few.add(name, rows, t::ROWS_FOR_SPREAD);
        return;
    }
    let measure = |threshold| Measure::at_least(threshold, format!("{name}.spread"), spread.spread);
    if spread.spread < t::COMPLETE {
        let what = if spread.raw_spread < t::COMPLETE {
            "point"
        } else {
            "direction, only lengths differ"
        };
        let text = format!("complete collapse: every image maps to one {what} ({name})");
        let wrong = (Level::Collapsed, Kind::CompleteCollapse);
        findings.push(measure(t::COMPLETE).or(wrong, text));
        // The shape of noise around one point means nothing.
        return;
    }
    let text = if spread.spread < t::SMALL {
        let since = match untrained {
            Some(before) if before.spread <= spread.spread => ", though no more so than untrained",
            Some(_) => ", more so than untrained",
            None => "",
        };
        let cosine = shown(1.0 - spread.spread);
        format!(
            "small differences: any two {name} have a cosine similarity of {cosine} on average{since}"
        )
    } else {
        let std = spread.mean_std;
        format!("{name} spread with a standard deviation of {std:.2} of 1 on the sphere")
    };
    findings.push(measure(t::SMALL).or((Level::Warning, Kind::SmallDifferences), text));
    of_directions(stage, spread, untrained, findings, few);
    of_dead(name, spread, findings);
}

fn of_directions(
    stage: Stage,
    spread: &Spread,
    untrained: Option<&Spread>,
    findings: &mut Vec<Finding>,
    few: &mut TooFew,
) {
    let (used, of, name) = (spread.directions, spread.most_directions(), stage.name());
    if of <= 2 * t::MIN_DIRECTIONS {
        return;
    }
    if spread.rows < t::ROWS_FOR_DIRECTIONS {
        few.add(name, spread.rows, t::ROWS_FOR_DIRECTIONS);
        return;
    }
    // The least numbers of directions that are not too few.
    let above = |share: f64| ((share * of as f64).floor() as usize).max(t::MIN_DIRECTIONS) + 1;
    let (least, some) = (t::MIN_DIRECTIONS + 1, above(t::FEW_DIRECTIONS));
    let low = ((t::LOW_DIRECTIONS * of as f64).ceil() as usize).max(least);
    let dimensional = (Level::Collapsed, Kind::DimensionalCollapse { used, of });
    let (needed, wrong, what) = match stage {
        _ if used < least => (least, dimensional, "dimensional collapse: "),
        Stage::Features if used < some => (some, dimensional, "dimensional collapse: "),
        Stage::Features => (low, (Level::Warning, dimensional.1), "near dimensional collapse: "),
        // Healthy small runs have few directions too, but large differences. A collapse shrinks
        // both.
        Stage::Projections { .. } if spread.spread < t::SMALL => {
            (some, dimensional, "dimensional collapse: hardly apart, ")
        }
        // Narrow projections are not a fault if the features are wide.
        Stage::Projections { features_are_wide: true } => (least, dimensional, ""),
        Stage::Projections { features_are_wide: false } => {
            (some, (Level::Warning, Kind::NarrowProjections { used, of }), "narrow projections: ")
        }
    };
    let what = if used < needed { what } else { "" };
    let before = match untrained {
        Some(before) if before.most_directions() == of => {
            format!(", {} untrained", before.directions)
        }
        _ => String::new(),
    };
    let text = format!("{what}{used} of {of} directions used ({name}{before})");
    let name = format!("{name}.directions");
    findings.push(Measure::at_least(needed as f64, name, used as f64).or(wrong, text));
}

fn of_dead(name: &str, spread: &Spread, findings: &mut Vec<Finding>) {
    let (dead, of) = (spread.dead.len(), spread.dim);
    if dead == 0 {
        return;
    }
    let text = format!("dead dimensions: {dead} of {of} never change ({name})");
    let wrong = (Level::Warning, Kind::DeadDimensions { dead, of });
    let share = dead as f64 / of as f64;
    findings.push(Measure::at_most(t::DEAD, format!("{name}.dead"), share).or(wrong, text));
}

/// Findings that need more images. Several of one cause are reported once.
#[derive(Default)]
struct TooFew {
    /// How many there were, how many are needed, and which embeddings.
    all: Vec<(usize, usize, Vec<&'static str>)>,
}

impl TooFew {
    fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn add(&mut self, name: &'static str, images: usize, needed: usize) {
        match self.all.iter_mut().find(|(i, n, _)| (*i, *n) == (images, needed)) {
            Some((_, _, names)) => names.push(name),
            None => self.all.push((images, needed, vec![name])),
        }
    }

    fn findings(self) -> impl Iterator<Item = Finding> {
        self.all.into_iter().map(|(images, needed, names)| {
            let what = match needed {
                t::ROWS_FOR_SPREAD => "how embeddings differ",
                _ => "how many directions are used",
            };
            let text = format!(
                "too few images to tell {what}: {images}, and {needed} are needed ({})",
                names.join(", ")
            );
            let measure =
                Measure::at_least(needed as f64, format!("{}.rows", names[0]), images as f64);
            measure.or((Level::Unknown, Kind::TooFewImages { images }), text)
        })
    }
}

/// Two views: are they alike because all images are, and do dimensions repeat each other?
fn of_pair(
    pair: &PairSignals,
    trained: Option<Trained>,
    findings: &mut Vec<Finding>,
    few: &mut TooFew,
) {
    if pair.rows < t::ROWS_FOR_SPREAD {
        few.add("views", pair.rows, t::ROWS_FOR_SPREAD);
        return;
    }
    let figures =
        format!("alignment {}, uniformity {}", shown(pair.alignment), shown(pair.uniformity));
    let measure = Measure::at_most(t::CROWDED, "pair.uniformity", pair.uniformity);
    let crowded = pair.uniformity > t::CROWDED;
    let text = match crowded {
        true => format!(
            "complete collapse: two images are as near as two views of one image are ({figures})"
        ),
        false => figures,
    };
    findings.push(measure.or((Level::Collapsed, Kind::CompleteCollapse), text));
    // Correlations of equal embeddings, or of few images, are noise.
    let collapsed = findings.iter().any(|f| f.level == Level::Collapsed);
    if collapsed || pair.rows < t::ROWS_FOR_DIRECTIONS {
        return;
    }
    // Repeated dimensions are a fault only if the loss decorrelates.
    if pair.dim > 1 && trained.is_none_or(Trained::decorrelates) {
        let off = pair.mean_off_diagonal;
        let lead = if off > t::REDUNDANT { "redundant dimensions: " } else { "" };
        let text = format!("{lead}any two dimensions correlate by {off:.2} on average");
        let measure = Measure::at_most(t::REDUNDANT, "pair.mean_off_diagonal", off);
        findings.push(measure.or((Level::Warning, Kind::Redundant), text));
    }
    let diagonal = pair.mean_diagonal;
    if diagonal < t::DISAGREE {
        let text = format!(
            "the views of an image disagree: a dimension of one view correlates with the same dimension of the \
             other by {diagonal:.2} on average"
        );
        let measure = Measure::at_least(t::DISAGREE, "pair.mean_diagonal", diagonal);
        findings.push(measure.or((Level::Warning, Kind::ViewsDisagree), text));
    }
}

/// `None` if the predictor passes one direction and the projections still have many. Runs that
/// learn do this.
fn of_predictor(predictor: &PredictorSpectrum, projections_are_narrow: bool) -> Option<Finding> {
    let (of, passes) = (predictor.singular_values.len(), predictor.participation);
    let narrow = passes < t::NARROW_PREDICTOR;
    if of <= 2 || (narrow && !projections_are_narrow) {
        return None;
    }
    let lead = if narrow { "narrow predictor: it" } else { "the predictor" };
    let text = format!("{lead} passes {passes:.1} of {of} directions");
    let measure = Measure::at_least(t::NARROW_PREDICTOR, "predictor.participation", passes);
    Some(measure.or((Level::Warning, Kind::NarrowPredictor), text))
}

/// A figure, with the untrained one if they can be compared: `9.9 (27.9 untrained)`.
pub(super) fn before_and_after(
    now: &Spread,
    untrained: Option<&Spread>,
    of: impl Fn(&Spread) -> f64,
) -> String {
    match untrained {
        Some(before) if before.most_directions() == now.most_directions() => {
            format!("{:.1} ({:.1} untrained)", of(now), of(before))
        }
        _ => format!("{:.1}", of(now)),
    }
}

/// Three significant digits.
pub(super) fn shown(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => "0".into(),
        size if size < 1e-3 => format!("{value:.1e}"),
        size if size < 1.0 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    };
    match digits.strip_prefix('-') {
        Some(size) => format!("−{size}"),
        None => digits,
    }
}
