use super::diagnosis::{Evidence, Finding, Kind, Level, TargetDistance, Trained};
use super::{PairSignals, PredictorSpectrum, Spread, advice};

/// Where the lines are drawn, and why there.
///
/// "Small runs" are this project's: a ResNet-18 of width 8 (64 features) on `fashion-mini`, measured on its
/// 2,000 test images. Default BYOL (k-NN 0.79, untrained 0.70) uses 44 of 64 directions in its features
/// (RankMe 11), yet 5 of 128 in its projections; default Barlow Twins 64 of 64 (RankMe 17) and 30 of 64. No
/// line may demand full rank, and none may condemn projections that features survive.
pub mod thresholds {
    /// Below this share of the variance on the sphere all embeddings are one point: a mean standard
    /// deviation of 0.02 at most, where Chen & He (2021, figure 2) see 0 for SimSiam without
    /// stop-gradient and 1 for a healthy run. Small BYOL without predictor and stop-gradient has projections at
    /// 1e-4 after 80 steps, an untrained network in evaluation mode at 1.5e-3: the line is between.
    pub const COMPLETE: f64 = 5e-4;
    /// Below this share differences are small: a mean standard deviation of 0.1 at most, mean cosine
    /// similarity above 0.99. Untrained networks start there and training should leave it.
    pub const SMALL: f64 = 1e-2;
    /// Share of the possible directions up to which features are collapsed, and projections narrow, or
    /// collapsed if their differences are small too: BYOL without its predictor had 3 of 128 at a mean
    /// cosine similarity of 0.998, the default run 6 at 0.2.
    pub const FEW_DIRECTIONS: f64 = 0.05;
    /// Share of the possible directions below which there is a warning about features.
    pub const LOW_DIRECTIONS: f64 = 0.12;
    /// As few directions as these are a collapse of features and projections alike, wherever more than twice
    /// as many are possible.
    pub const MIN_DIRECTIONS: usize = 2;
    /// Share of dead dimensions from which they are a warning and not a remark. A few dead channels
    /// after a ReLU are common in networks that classify well.
    pub const DEAD: f64 = 0.1;
    /// Embeddings that it takes to tell one point from many.
    pub const ROWS_FOR_SPREAD: usize = 8;
    /// Embeddings that it takes to count directions: N of them span N − 1 at most, and unevenly.
    pub const ROWS_FOR_DIRECTIONS: usize = 32;
    /// Mean `|C_ij|` off the diagonal above which dimensions repeat each other. Chance alone makes 0.8/√rows,
    /// 0.07 of 128 rows; the default small runs have 0.25 (Barlow Twins) and 0.64 (BYOL, to which it is
    /// a remark).
    pub const REDUNDANT: f64 = 0.5;
    /// Mean `C_ii` below which the views of an image are hardly more alike than chance.
    pub const DISAGREE: f64 = 0.1;
    /// Alignment below this, with uniformity above [`CROWDED`], is the loss's optimum reached by collapse.
    pub const ALIGNED: f64 = 0.01;
    /// Uniformity above this says what [`COMPLETE`] says: near 0 it is −4 times the variance on the sphere.
    pub const CROWDED: f64 = -4.0 * COMPLETE;
    /// Share of the untrained features' effective rank (centred) below which training has lost
    /// directions. Healthy small runs keep 0.75 and more, BYOL without predictor and stop-gradient 0.39.
    pub const LOST: f64 = 0.5;
    /// Participation ratio of the predictor's squared singular values below which it passes one direction
    /// only. That of the default small run is 2.5 of 128.
    pub const NARROW_PREDICTOR: f64 = 1.5;
    /// Relative distance of the weights below which the target is the online network. An average with
    /// τ = 0.996 stays some 250 steps behind.
    pub const SAME_TARGET: f64 = 1e-6;
    /// 1 − mean cosine of online and target projections above which the target tells the online network
    /// nothing: two independent networks are at 1.
    pub const STRANGE_TARGET: f64 = 0.9;
}

use thresholds as t;

pub(super) fn findings(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(features) = evidence.features {
        of_spread(Stage::Features, features, evidence.untrained_features, &mut findings);
    }
    let features_are_wide =
        evidence.features.is_some() && findings.iter().all(|f: &Finding| f.level == Level::Healthy);
    if let Some(projections) = evidence.projections {
        let stage = Stage::Projections { features_are_wide };
        of_spread(stage, projections, evidence.untrained_projections, &mut findings);
    }
    if let Some(pair) = evidence.pair {
        of_pair(pair, evidence.trained, &mut findings);
    }
    if let Some(predictor) = evidence.predictor {
        findings.push(of_predictor(predictor));
    }
    if let Some(target) = evidence.target {
        findings.push(of_target(target));
    }
    if let (Some(trained), Some(untrained)) = (evidence.knn_top1, evidence.untrained_knn_top1) {
        findings.push(of_knn(trained, untrained));
    }
    for finding in &mut findings {
        finding.advice = finding.kind.and_then(|kind| advice::of(kind, evidence.trained));
    }
    findings
}

/// Features are what will be used. The projections may be narrow while the features are not: the
/// projector is where an invariance is bought with information (Chen et al., 2020, section 4.2; Jing et
/// al., 2022).
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

fn finding(
    level: Level,
    kind: Option<Kind>,
    measure: String,
    value: f64,
    threshold: f64,
) -> Finding {
    Finding { level, kind, text: String::new(), advice: None, measure, value, threshold }
}

/// One set of embeddings: is there a spread, in how many directions, in which dimensions.
fn of_spread(
    stage: Stage,
    spread: &Spread,
    untrained: Option<&Spread>,
    findings: &mut Vec<Finding>,
) {
    let (rows, name) = (spread.rows, stage.name());
    let measure = |what: &str| format!("{name}.{what}");
    if rows < t::ROWS_FOR_SPREAD {
        findings.push(too_few(name, rows, t::ROWS_FOR_SPREAD, "the embeddings differ"));
        return;
    }
    let at = |level, kind, threshold, text| Finding {
        text,
        ..finding(level, kind, measure("spread"), spread.spread, threshold)
    };
    if spread.spread < t::COMPLETE {
        let what = if spread.raw_spread < t::COMPLETE {
            "point"
        } else {
            "direction, only lengths differ"
        };
        let text = format!("complete collapse: every image maps to one {what} ({name})");
        findings.push(at(Level::Collapsed, Some(Kind::CompleteCollapse), t::COMPLETE, text));
        // What noise around one point looks like is no finding.
        return;
    }
    if spread.spread < t::SMALL {
        let since = match untrained {
            Some(before) if before.spread <= spread.spread => ", though no more so than untrained",
            Some(_) => ", more so than untrained",
            None => "",
        };
        let text = format!(
            "small differences: any two {name} have a cosine similarity of {} on average{since}",
            shown(1.0 - spread.spread)
        );
        findings.push(at(Level::Warning, Some(Kind::SmallDifferences), t::SMALL, text));
    } else {
        let text = format!(
            "{name} spread with a standard deviation of {:.2} of 1 on the sphere",
            spread.mean_std
        );
        findings.push(at(Level::Healthy, None, t::SMALL, text));
    }
    of_directions(stage, spread, untrained, findings);
    of_dead(name, spread, findings);
    if let (Stage::Features, Some(untrained)) = (stage, untrained) {
        findings.extend(of_lost(spread, untrained));
    }
}

/// Collapse on its way: the projections are one point first, the features behind them narrow slowly.
fn of_lost(trained: &Spread, untrained: &Spread) -> Option<Finding> {
    let comparable = trained.rows >= t::ROWS_FOR_DIRECTIONS
        && trained.most_directions() == untrained.most_directions();
    let (now, before) = (trained.centred_effective_rank, untrained.centred_effective_rank);
    let kept = now / before;
    if !comparable || kept >= t::LOST {
        return None;
    }
    let measure = "features.centred_effective_rank".into();
    Some(Finding {
        text: format!(
            "directions were lost in training: effective rank {now:.1}, {before:.1} untrained (features)"
        ),
        ..finding(Level::Warning, Some(Kind::LostDirections), measure, kept, t::LOST)
    })
}

fn of_directions(
    stage: Stage,
    spread: &Spread,
    untrained: Option<&Spread>,
    findings: &mut Vec<Finding>,
) {
    let (used, of, name) = (spread.directions, spread.most_directions(), stage.name());
    if of <= 2 * t::MIN_DIRECTIONS {
        return;
    }
    if spread.rows < t::ROWS_FOR_DIRECTIONS {
        let what = "many directions are used";
        findings.push(too_few(name, spread.rows, t::ROWS_FOR_DIRECTIONS, what));
        return;
    }
    let least = t::MIN_DIRECTIONS as f64;
    let few = (t::FEW_DIRECTIONS * of as f64).max(least);
    let low = t::LOW_DIRECTIONS * of as f64;
    let dimensional = Some(Kind::DimensionalCollapse { used, of });
    let (level, kind, threshold, what) = match (used as f64, stage) {
        (n, _) if n <= least => (Level::Collapsed, dimensional, least, "dimensional collapse: "),
        (n, Stage::Features) if n <= few => {
            (Level::Collapsed, dimensional, few, "dimensional collapse: ")
        }
        (n, Stage::Features) if n < low => {
            (Level::Warning, dimensional, low, "near dimensional collapse: ")
        }
        // Healthy small runs have few directions too, but far apart; a collapse shrinks both.
        (n, Stage::Projections { .. }) if n <= few && spread.spread < t::SMALL => {
            (Level::Collapsed, dimensional, few, "dimensional collapse: hardly apart, ")
        }
        (n, Stage::Projections { features_are_wide }) if n <= few => {
            let level = if features_are_wide { Level::Healthy } else { Level::Warning };
            (level, Some(Kind::NarrowProjections { used, of }), few, "narrow projections: ")
        }
        (_, Stage::Features) => (Level::Healthy, None, low, ""),
        (_, Stage::Projections { .. }) => (Level::Healthy, None, few, ""),
    };
    let before = match untrained {
        Some(before) if before.most_directions() == of => {
            format!(", {} untrained", before.directions)
        }
        _ => String::new(),
    };
    let text = format!("{what}{used} of {of} directions used ({name}{before})");
    let measure = format!("{name}.directions");
    findings.push(Finding { text, ..finding(level, kind, measure, used as f64, threshold) });
}

fn of_dead(name: &str, spread: &Spread, findings: &mut Vec<Finding>) {
    let (dead, of) = (spread.dead.len(), spread.dim);
    if dead == 0 {
        return;
    }
    let share = dead as f64 / of as f64;
    let level = if share >= t::DEAD { Level::Warning } else { Level::Healthy };
    let verb = if dead == 1 { "is" } else { "are" };
    let text = format!("{dead} of {of} dimensions {verb} dead ({name})");
    let kind = Some(Kind::DeadDimensions { dead, of });
    let measure = format!("{name}.dead");
    findings.push(Finding { text, ..finding(level, kind, measure, share, t::DEAD) });
}

fn too_few(name: &str, images: usize, needed: usize, what: &str) -> Finding {
    let kind = Some(Kind::TooFewImages { images });
    let measure = format!("{name}.rows");
    Finding {
        text: format!(
            "too few images to tell how {what} ({name}): {images}, and {needed} are needed"
        ),
        ..finding(Level::Unknown, kind, measure, images as f64, needed as f64)
    }
}

/// Two views: are they alike because everything is; do dimensions repeat each other.
fn of_pair(pair: &PairSignals, trained: Option<Trained>, findings: &mut Vec<Finding>) {
    if pair.rows < t::ROWS_FOR_SPREAD {
        findings.push(too_few("pair", pair.rows, t::ROWS_FOR_SPREAD, "two views relate"));
        return;
    }
    let crowded = pair.uniformity > t::CROWDED && pair.alignment < t::ALIGNED;
    findings.push(match crowded {
        true => Finding {
            text: format!(
                "complete collapse: two views of one image are as near as two images are \
                 (alignment {}, uniformity {})",
                shown(pair.alignment),
                shown(pair.uniformity)
            ),
            ..finding(
                Level::Collapsed,
                Some(Kind::CompleteCollapse),
                "pair.uniformity".into(),
                pair.uniformity,
                t::CROWDED,
            )
        },
        false => Finding {
            text: format!(
                "alignment {}, uniformity {}",
                shown(pair.alignment),
                shown(pair.uniformity)
            ),
            ..finding(Level::Healthy, None, "pair.uniformity".into(), pair.uniformity, t::CROWDED)
        },
    });
    // Correlations of what does not differ, or of few images, are noise.
    if crowded || pair.rows < t::ROWS_FOR_DIRECTIONS {
        return;
    }
    if pair.dim > 1 && pair.mean_off_diagonal > t::REDUNDANT {
        // Where no loss asks for anything else, it is no fault.
        let level = match trained {
            Some(Trained::Byol | Trained::Contrastive | Trained::SelfDistillation) => {
                Level::Healthy
            }
            _ => Level::Warning,
        };
        findings.push(Finding {
            text: format!(
                "redundant dimensions: any two correlate by {:.2} on average",
                pair.mean_off_diagonal
            ),
            ..finding(
                level,
                Some(Kind::Redundant),
                "pair.mean_off_diagonal".into(),
                pair.mean_off_diagonal,
                t::REDUNDANT,
            )
        });
    }
    if pair.mean_diagonal < t::DISAGREE {
        findings.push(Finding {
            text: format!(
                "the views of an image disagree: a dimension of one correlates with the same of the \
                 other by {:.2} on average",
                pair.mean_diagonal
            ),
            ..finding(
                Level::Warning,
                Some(Kind::ViewsDisagree),
                "pair.mean_diagonal".into(),
                pair.mean_diagonal,
                t::DISAGREE,
            )
        });
    }
}

fn of_predictor(predictor: &PredictorSpectrum) -> Finding {
    let of = predictor.singular_values.len();
    let narrow = of > 2 && predictor.participation < t::NARROW_PREDICTOR;
    // A remark: healthy runs pass through it in their first epochs.
    let kind = narrow.then_some(Kind::NarrowPredictor);
    Finding {
        text: format!(
            "the predictor passes {:.1} of {of} directions{}",
            predictor.participation,
            if narrow { ", and what it drops may die out" } else { "" }
        ),
        ..finding(
            Level::Healthy,
            kind,
            "predictor.participation".into(),
            predictor.participation,
            t::NARROW_PREDICTOR,
        )
    }
}

fn of_target(target: TargetDistance) -> Finding {
    let (weights, projections) = (target.weights, target.projections);
    if weights < t::SAME_TARGET {
        return Finding {
            text: "the target is the online network itself".into(),
            ..finding(
                Level::Warning,
                Some(Kind::TargetEqualsOnline),
                "target.weights".into(),
                weights,
                t::SAME_TARGET,
            )
        };
    }
    let far = projections > t::STRANGE_TARGET;
    let (level, kind) = match far {
        true => (Level::Warning, Some(Kind::TargetLeftBehind)),
        false => (Level::Healthy, None),
    };
    Finding {
        text: format!(
            "the target {}: weights {} % apart, projections at a cosine of {:.2}",
            if far { "has been left behind" } else { "follows the online network" },
            shown(100.0 * weights),
            1.0 - projections
        ),
        ..finding(level, kind, "target.projections".into(), projections, t::STRANGE_TARGET)
    }
}

fn of_knn(trained: f64, untrained: f64) -> Finding {
    let better = trained > untrained;
    let (level, kind) = match better {
        true => (Level::Healthy, None),
        false => (Level::Warning, Some(Kind::NothingLearnt)),
    };
    let figures = format!("k-NN {:.1} % against {:.1} %", 100.0 * trained, 100.0 * untrained);
    Finding {
        text: match better {
            true => format!("better than untrained: {figures}"),
            false => format!("not better than untrained: {figures}"),
        },
        ..finding(level, kind, "knn_top1".into(), trained, untrained)
    }
}

/// Three significant digits.
fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1e-3 => format!("{value:.1e}"),
        size if size < 1.0 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    }
}
