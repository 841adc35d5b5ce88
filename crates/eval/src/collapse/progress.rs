//! The rules on training: was there enough of it, did it improve the features, does the target
//! follow.

use super::diagnosis::{Evidence, Finding, KnnGain, Level, TargetDistance};
use super::rules::{Measure, before_and_after, shown};
use super::{Kind, Spread, Training, thresholds as t};

/// Adds findings on training, and withholds judgements that come too early.
pub(super) fn add(evidence: &Evidence<'_>, findings: &mut Vec<Finding>) {
    let knn = evidence.knn.map(of_knn);
    let better = knn.as_ref().is_some_and(|f| f.level == Level::Healthy);
    if let (Some(trained), Some(untrained)) = (evidence.features, evidence.untrained_features) {
        findings.extend(of_lost(trained, untrained, better));
    }
    if let Some(target) = evidence.target {
        findings.push(of_target(target, evidence.training));
    }
    findings.extend(knn);
    if let Some(early) = evidence.training.and_then(too_early) {
        findings
            .retain(|f| !f.measure.starts_with("target") && !f.measure.starts_with("predictor"));
        findings.iter_mut().filter(|f| !has_become_a_point(f, evidence)).for_each(withhold);
        findings.push(early);
    }
}

/// Keeps the figures of a finding `lead: figures`, without the judgement.
fn withhold(finding: &mut Finding) {
    if finding.kind.is_some_and(Kind::is_of_what_cannot_be_told) {
        return;
    }
    (finding.level, finding.kind) = (finding.level.min(Level::Unknown), None);
    if let Some((_, figures)) = finding.text.split_once(": ") {
        finding.text = figures.into();
    }
}

/// A complete collapse is judged at once, unless the embeddings began like that.
fn has_become_a_point(finding: &Finding, evidence: &Evidence<'_>) -> bool {
    let untrained = match finding.measure.starts_with("features") {
        true => evidence.untrained_features,
        false => evidence.untrained_projections,
    };
    finding.kind == Some(Kind::CompleteCollapse)
        && untrained.is_some_and(|before| before.spread >= t::COMPLETE)
}

/// A finding if there was too little training.
fn too_early(training: Training) -> Option<Finding> {
    let Training { steps, full_steps, .. } = training;
    let were = if steps == 1 { "1 step".into() } else { format!("{steps} steps") };
    let few = Measure::at_least(t::EARLY_STEPS as f64, "training.steps", steps as f64);
    let slow = Measure::at_least(t::EARLY_FULL_STEPS, "training.full_steps", full_steps);
    let (measure, rest) = if full_steps <= 0.0 {
        (
            slow,
            "at a learning rate of 0, so that only the statistics of batch norm have changed"
                .into(),
        )
    } else if steps < t::EARLY_STEPS {
        (few, format!("and {} are needed", t::EARLY_STEPS))
    } else if full_steps < t::EARLY_FULL_STEPS {
        let needed = t::EARLY_FULL_STEPS;
        let worth = format!("worth {full_steps:.1} at the full learning rate");
        (slow, format!("{worth}, and {needed} are needed"))
    } else {
        return None;
    };
    let text = format!("too early to judge: {were}, {rest}");
    Some(measure.or((Level::Unknown, Kind::TooEarly { steps }), text))
}

/// A collapse in progress: the projections become one point first, and the features narrow slowly.
///
/// `better`: k-NN has gained by more than chance, so for k-NN the loss was worth it.
fn of_lost(trained: &Spread, untrained: &Spread, better: bool) -> Option<Finding> {
    let comparable = trained.rows >= t::ROWS_FOR_DIRECTIONS
        && trained.spread >= t::COMPLETE
        && untrained.centred_effective_rank > 0.0
        && trained.most_directions() == untrained.most_directions();
    if !comparable {
        return None;
    }
    let kept = trained.centred_effective_rank / untrained.centred_effective_rank;
    let rank = before_and_after(trained, Some(untrained), |s| s.centred_effective_rank);
    let (kind, lead) = match (kept < t::LOST, better) {
        (false, _) => (Kind::LostDirections, ""),
        (true, false) => (Kind::LostDirections, "directions were lost in training: "),
        (true, true) => (Kind::TradedDirections, "fewer directions, though better k-NN: "),
    };
    let text = format!("{lead}effective rank of the centred features {rank}");
    let measure = Measure::at_least(t::LOST, "features.centred_effective_rank.kept", kept);
    Some(measure.or((Level::Warning, kind), text))
}

/// Does the target differ from the online network, and is it near enough to teach?
fn of_target(target: TargetDistance, training: Option<Training>) -> Finding {
    let TargetDistance { weights, projections } = target;
    let tau = training.and_then(|training| training.tau);
    // At the end of a schedule, the learning rate is near 0 and the average catches up. This is not
    // a fault.
    if weights < t::SAME_TARGET && tau.is_none_or(|tau| tau <= 0.0) {
        let text = "no target of its own: the target is the online network itself".into();
        let measure = Measure::at_least(t::SAME_TARGET, "target.weights", weights);
        return measure.or((Level::Warning, Kind::TargetEqualsOnline), text);
    }
    // An average with τ follows within 1 / (1 − τ) steps. In a shorter run it never does.
    let could_follow = training.is_none_or(|training| {
        let constant = 1.0 / (1.0 - training.tau.unwrap_or(0.0));
        training.ended || constant.is_infinite() || training.steps as f64 >= constant
    });
    let level = if could_follow { Level::Warning } else { Level::Unknown };
    let far = projections > t::STRANGE_TARGET;
    let text = format!(
        "{}: weights {} % apart, projections at a cosine of {:.2}",
        match (far, could_follow) {
            (false, _) => "the target follows the online network",
            (true, true) => "the target is left behind",
            (true, false) => "the target has had too few steps to follow",
        },
        shown(100.0 * weights),
        1.0 - projections
    );
    let measure = Measure::at_most(t::STRANGE_TARGET, "target.projections", projections);
    measure.or((level, Kind::TargetLeftBehind), text)
}

/// A difference outside the 95 % interval of Agresti & Caffo (2000) is more than chance. Their
/// interval counts one more image right and one more wrong in each accuracy. It holds for few
/// images, and for accuracies of 0 and 1. It assumes that the two accuracies are independent. Both
/// are measured on the same images, so the truth is a little more certain. Another seed may move
/// both further.
fn of_knn(knn: KnnGain) -> Finding {
    let KnnGain { trained, untrained, images } = knn;
    let n = images as f64 + 2.0;
    let shrunk = |p: f64| (p * images as f64 + 1.0) / n;
    let variance = |p: f64| p * (1.0 - p) / n;
    let (a, b) = (shrunk(trained), shrunk(untrained));
    let (gain, chance) = (a - b, t::CHANCE * (variance(a) + variance(b)).sqrt());
    let wide = chance > t::WIDE_CHANCE;
    let (wrong, lead) = if gain >= chance {
        ((Level::Warning, Kind::NothingLearnt), "better than untrained")
    } else if gain <= -chance {
        ((Level::Warning, Kind::WorseThanUntrained), "worse than untrained")
    } else if wide {
        let kind = Kind::TooFewTestImages { images };
        ((Level::Unknown, kind), "too few test images to tell whether training helped")
    } else {
        ((Level::Warning, Kind::NothingLearnt), "not better than untrained beyond chance")
    };
    let mut text =
        format!("{lead}: k-NN {:.1} %, {:.1} % untrained", 100.0 * trained, 100.0 * untrained);
    if gain.abs() < chance {
        text += &format!(" (chance is ±{:.1} points on {images} images)", 100.0 * chance);
    }
    Measure::at_least(chance, "knn_top1.gain", gain).or(wrong, text)
}
