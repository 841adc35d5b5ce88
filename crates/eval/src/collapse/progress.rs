//! The rules on what training has done: whether there was enough of it, whether the features are better for it,
//! whether the target follows.

use super::diagnosis::{Evidence, Finding, KnnGain, Level, TargetDistance};
use super::rules::{Measure, before_and_after, shown};
use super::{Kind, Spread, Training, thresholds as t};

/// Adds to the findings on the embeddings, and withholds what it is too early for.
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

/// Leaves the figures of a finding and takes away what was made of them: `lead: figures`.
fn withhold(finding: &mut Finding) {
    if finding.kind.is_some_and(Kind::is_of_what_cannot_be_told) {
        return;
    }
    (finding.level, finding.kind) = (finding.level.min(Level::Unknown), None);
    if let Some((_, figures)) = finding.text.split_once(": ") {
        finding.text = figures.into();
    }
}

/// A complete collapse needs no patience, unless the embeddings began like that.
fn has_become_a_point(finding: &Finding, evidence: &Evidence<'_>) -> bool {
    let untrained = match finding.measure.starts_with("features") {
        true => evidence.untrained_features,
        false => evidence.untrained_projections,
    };
    finding.kind == Some(Kind::CompleteCollapse)
        && untrained.is_some_and(|before| before.spread >= t::COMPLETE)
}

/// A finding where there was too little training.
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

/// Collapse on its way: the projections are one point first, the features behind them narrow slowly.
///
/// `better`: k-NN has gained beyond chance, so that what was lost was worth it to k-NN at least.
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

/// Is the target another network than the online one, and is it near enough to teach?
fn of_target(target: TargetDistance, training: Option<Training>) -> Finding {
    let TargetDistance { weights, projections } = target;
    let tau = training.and_then(|training| training.tau);
    // An average catches up once the learning rate is near 0, as it is at the end of a schedule: no fault then.
    if weights < t::SAME_TARGET && tau.is_none_or(|tau| tau <= 0.0) {
        let text = "no target of its own: the target is the online network itself".into();
        let measure = Measure::at_least(t::SAME_TARGET, "target.weights", weights);
        return measure.or((Level::Warning, Kind::TargetEqualsOnline), text);
    }
    // An average with τ has followed after 1 / (1 − τ) steps; if the run is shorter than that, it never will.
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

/// Beyond chance is what is outside of the 95 % interval of Agresti & Caffo (2000), which holds for few images and
/// for accuracies of 0 and 1 too: one more image right and one more wrong in each. It takes the two
/// accuracies as independent, though they are of the same images: the truth is a little more certain.
/// Another seed may move both further.
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
