//! Recommends a method in words from the figures. If none, says why and what would help.

use std::cmp::Ordering;

use selfsame_eval::{Level, MeanDeviation};

use crate::folder::summary::Summary;
use crate::settings::Method;
use crate::study::budget::Budget;
use crate::study::chance::{Estimate, LEAST_STEPS, doubt};
use crate::study::comparison::{Comparison, Group};
use crate::study::figures::{Repeats, accuracy, against};

/// The answer, a paragraph each.
pub fn recommendation(
    comparison: &Comparison,
    target: Option<f64>,
    budget: &Budget,
) -> Vec<String> {
    let mut ranked: Vec<&Group> =
        comparison.methods.iter().filter_map(|method| comparison.best(*method)).collect();
    ranked.sort_by(|a, b| knn(b).total_cmp(&knn(a)));
    let Some(top) = ranked.first() else {
        return vec!["No run gave an accuracy, so nothing is recommended.".into()];
    };
    let known = top.repeats.untrained().is_some();
    let above = |group: &&&Group| group.repeats.untrained().is_some_and(|u| knn(group) > u.mean);
    if known && !ranked.iter().any(|group| above(&group)) {
        return vec![nothing_learnt(top, budget, "within"), budget.longer()];
    }
    if let Some(doubt) = doubt([&top.repeats]) {
        let said = format!(
            "Undecided, so nothing is recommended: {doubt}. {} has the highest accuracy, {} under k-NN; {}.",
            name(top),
            percent(top.repeats.knn()),
            baselines(top)
        );
        return vec![said, advice(&top.repeats, budget)];
    }
    let better = |group: &Group| {
        !known || beats(&group.repeats, |f| f.knn_top1_random_init) == Some(Ordering::Greater)
    };
    let learnt: Vec<&Group> = ranked.iter().copied().filter(|group| better(group)).collect();
    if learnt.is_empty() {
        return vec![nothing_learnt(top, budget, "beyond chance within"), budget.longer()];
    }
    let Some(first) = learnt.into_iter().find(|group| healthy(group)) else {
        let said =
            "Every method that beat the untrained encoder collapsed, so nothing is recommended.";
        return vec![said.into()];
    };
    let others: Vec<&Group> = ranked
        .iter()
        .copied()
        .filter(|group| group.method != first.method && healthy(group))
        .collect();
    let mut lead = choice(first, &others, budget);
    lead.extend(left_out(comparison));
    lead.extend(first_at(first, &others, target));
    lead.extend(least_sensitive(comparison));
    lead
}

fn knn(group: &Group) -> f64 {
    group.repeats.knn().map_or(f64::NAN, |v| v.mean)
}

/// `BYOL at batch 64`.
fn name(group: &Group) -> String {
    format!("{} at batch {}", group.method.title(), group.batch_size)
}

fn percent(value: Option<MeanDeviation>) -> String {
    format!("{} %", accuracy(value))
}

fn healthy(group: &Group) -> bool {
    group.repeats.verdict().is_some_and(|verdict| verdict.0 < Level::Collapsed)
}

/// The advice if runs are too short or too few.
pub fn advice(repeats: &Repeats, budget: &Budget) -> String {
    match repeats.steps() < LEAST_STEPS {
        true => budget.longer(),
        false => budget.more_seeds(),
    }
}

/// Compares runs with their own baseline. `None` within chance, or without such a baseline.
pub fn beats(repeats: &Repeats, baseline: impl Fn(&Summary) -> Option<f64>) -> Option<Ordering> {
    match doubt([repeats]) {
        None => repeats.estimate(|f| f.knn_top1)?.against(repeats.estimate(baseline)?),
        Some(_) => None,
    }
}

/// `the untrained encoder has 62.7 %, raw pixels have 76.1 %`, as far as known. `group` is the most
/// accurate.
fn baselines(group: &Group) -> String {
    let mut said = Vec::new();
    if let Some(value) = group.repeats.untrained() {
        said.push(format!("the untrained encoder has {}", percent(Some(value))));
    }
    if let Some(value) = group.repeats.pixels() {
        let unbeaten = if knn(group) <= value.mean { ", which no method beat" } else { "" };
        said.push(format!("raw pixels have {}{unbeaten}", percent(Some(value))));
    }
    match said.is_empty() {
        true => "there is no baseline".into(),
        false => said.join(", "),
    }
}

fn nothing_learnt(top: &Group, budget: &Budget, how: &str) -> String {
    let pixels = top
        .repeats
        .pixels()
        .map_or(String::new(), |value| format!("; raw pixels have {}", percent(Some(value))));
    format!(
        "No method beat the untrained encoder ({} under k-NN) {how} this budget of {}, so nothing is recommended. {} \
         has the highest accuracy, {}{pixels}.",
        percent(top.repeats.untrained()),
        budget.words,
        name(top),
        percent(top.repeats.knn())
    )
}

/// `first` beats the untrained encoder. `others` are the alternatives.
fn choice(first: &Group, others: &[&Group], budget: &Budget) -> Vec<String> {
    let level: Vec<&Group> = others
        .iter()
        .copied()
        .filter(|own| {
            against(&first.repeats, &own.repeats, |f| f.knn_top1) != Some(Ordering::Greater)
        })
        .collect();
    let own = percent(first.repeats.knn());
    let mut lead = Vec::new();
    let beaten = first.repeats.pixels().is_none()
        || beats(&first.repeats, |f| f.knn_top1_pixels) == Some(Ordering::Greater);
    let known = match first.repeats.untrained() {
        // Raw pixels already have a sentence.
        Some(value) if !beaten => format!("the untrained encoder has {}", percent(Some(value))),
        _ => baselines(first),
    };
    if !beaten {
        let above = first.repeats.pixels().is_some_and(|value| knn(first) > value.mean);
        let how = if above { "beyond chance within" } else { "within" };
        lead.push(format!(
            "No method beat raw pixels ({} under k-NN) {how} this budget of {}: so far, comparing \
             the images pixel by pixel works as well as any encoder here.",
            percent(first.repeats.pixels()),
            budget.words
        ));
    }
    if others.is_empty() {
        lead.push(format!(
            "{} has {own} under k-NN, and there is no other method to compare with; {}.",
            name(first),
            known
        ));
    } else if !level.is_empty() {
        let all: Vec<String> = level
            .iter()
            .map(|own| format!("{} ({})", name(own), percent(own.repeats.knn())))
            .collect();
        lead.push(format!(
            "Undecided: {} has the highest accuracy of the methods, {own} under k-NN, but {} cannot be told from it by \
             these runs; {}.",
            name(first),
            listed(&all),
            known
        ));
    } else if beaten {
        lead.push(format!(
            "Choose {} for accuracy: {own} under k-NN, more than any other method here; {}.",
            name(first),
            known
        ));
    } else {
        lead.push(format!(
            "Of the methods, {} has the highest accuracy, {own} under k-NN, more than any other here; {}.",
            name(first),
            known
        ));
    }
    if !beaten {
        lead.push(budget.longer());
    } else if !level.is_empty() {
        lead.push(how_to_tell(first, &level, budget));
    }
    lead
}

/// More seeds tell methods apart only if the test images can.
fn how_to_tell(first: &Group, level: &[&Group], budget: &Budget) -> String {
    let estimate = |group: &Group| group.repeats.estimate(|f| f.knn_top1);
    let differences: Vec<Estimate> =
        level.iter().filter_map(|own| Some(estimate(first)?.minus(estimate(own)?))).collect();
    let hopeless = |difference: &Estimate| difference.value.abs() <= difference.least_margin();
    let images = first.repeats.measured().map(|m| m.summary.test_images).min();
    match (differences.iter().all(hopeless), differences.first(), images) {
        (true, Some(difference), Some(images)) => format!(
            "More seeds would not tell them apart: on {images} test images, two methods have to differ by {:.1} points.",
            100.0 * difference.least_margin()
        ),
        _ => budget.more_seeds(),
    }
}

/// The methods left out, and why.
fn left_out(comparison: &Comparison) -> Option<String> {
    let why = |method: &Method| match comparison.best(*method) {
        None => Some(format!("{} (no accuracy from any run)", method.title())),
        Some(group) if !healthy(group) => Some(format!("{} (collapsed)", name(group))),
        Some(_) => None,
    };
    let all: Vec<String> = comparison.methods.iter().filter_map(why).collect();
    (!all.is_empty()).then(|| format!("Left out: {}.", all.join(", ")))
}

/// The fastest method to an accuracy above that of the untrained encoder and raw pixels.
fn first_at(first: &Group, others: &[&Group], target: Option<f64>) -> Option<String> {
    let target = target?;
    let free =
        [first.repeats.untrained(), first.repeats.pixels()].into_iter().flatten().map(|v| v.mean);
    if free.fold(0.0, f64::max) >= target || others.is_empty() {
        return None;
    }
    // The time span in which all runs of a method reach it, from the first to the last.
    let span = |group: &Group| {
        let all = || group.repeats.measured().map(|m| m.reached(target));
        let from = all().map(|span| span[0]).fold(f64::INFINITY, f64::min);
        [from, all().map(|span| span[1]).fold(0.0, f64::max)]
    };
    let mut spans: Vec<([f64; 2], &Group)> =
        std::iter::once(&first).chain(others).map(|group| (span(group), *group)).collect();
    spans.sort_by(|a, b| a.0[1].total_cmp(&b.0[1]));
    let ([_, seconds], group) = spans[0];
    let second = spans[1];
    if !seconds.is_finite() || doubt(spans.iter().map(|(_, group)| &group.repeats)).is_some() {
        return None;
    }
    let target = 100.0 * target;
    Some(match spans[1..].iter().all(|(span, _)| span[0] >= seconds) {
        true => format!(
            "Where time is short, choose {}: every run of it has {target:.1} % within {seconds:.0} s of training, before \
             any run of another method.",
            name(group)
        ),
        false => format!(
            "Which method is first at {target:.1} % is undecided: {} has it within {seconds:.0} s of training, but seeds \
             and the time between two evaluations leave open whether {} is later.",
            name(group),
            name(second.1)
        ),
    })
}

/// The method whose accuracy differs least between batch sizes.
fn least_sensitive(comparison: &Comparison) -> Option<String> {
    if comparison.doubt(&comparison.methods).is_some() {
        return None;
    }
    let spread = |method: &Method| {
        let mut all: Vec<Estimate> = comparison
            .of(*method)
            .filter_map(|group| group.repeats.estimate(|f| f.knn_top1))
            .collect();
        all.sort_by(|a, b| a.value.total_cmp(&b.value));
        let (low, high) = (*all.first()?, *all.last()?);
        (all.len() > 1).then(|| (high.minus(low), *method))
    };
    let mut spreads: Vec<(Estimate, Method)> =
        comparison.methods.iter().filter_map(spread).collect();
    spreads.sort_by(|a, b| a.0.value.total_cmp(&b.0.value));
    let ((least, steady), (most, shaky)) = (spreads.first()?, spreads.last()?);
    if spreads.len() < 2 {
        return None;
    }
    let points = |spread: &Estimate| format!("{:.1} points", 100.0 * spread.value);
    Some(match most.against(*least) {
        Some(_) => format!(
            "The batch size matters least for {} ({} between its best and its worst) and most for {} ({}).",
            steady.title(),
            points(least),
            shaky.title(),
            points(most)
        ),
        None => format!(
            "For which method the batch size matters least is undecided: between best and worst, {} differs by {}, {} \
             by {}.",
            steady.title(),
            points(least),
            shaky.title(),
            points(most)
        ),
    })
}

/// `A, B and C`.
fn listed(all: &[String]) -> String {
    match all.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::made_up::{at_batch_sizes, collapse, comparison, outcomes};
    use crate::study::measured::Measured;
    use crate::study::trials::Outcome;

    const THREE: [Method; 3] = [Method::Byol, Method::SimClr, Method::BarlowTwins];

    /// The text about methods with these accuracies; untrained 60 %, raw pixels 76 %.
    fn said_of(all: &[&[f64]], change: impl Fn(&mut Measured)) -> Vec<String> {
        let all: Vec<Vec<Outcome>> = all.iter().map(|own| outcomes(own, &change)).collect();
        let pairs: Vec<_> = THREE.into_iter().zip(all.iter().map(Vec::as_slice)).collect();
        let comparison = comparison(&pairs);
        let seeds = all.iter().map(Vec::len).max().unwrap_or(0) as u64;
        let budget = Budget::epochs("--epochs ", 1, 40).with(seeds, false);
        recommendation(&comparison, comparison.common_accuracy(), &budget)
    }

    fn said(all: &[&[f64]]) -> Vec<String> {
        said_of(all, |_| ())
    }

    /// No choice, and nothing that sounds like one.
    fn nothing_chosen(lead: &[String]) {
        let all = lead.join(" ").to_lowercase();
        assert!(!all.contains("choose") && !all.contains("time is short"), "{all}");
    }

    #[test]
    fn below_the_untrained_encoder_nothing_is_recommended() {
        for all in [[&[0.546, 0.550, 0.54][..], &[0.52, 0.51, 0.50]], [&[0.546], &[0.52]]] {
            let lead = said(&all);
            assert!(
                lead[0].starts_with("No method beat the untrained encoder (60.0")
                    && lead[0].contains("nothing is recommended")
                    && lead[0].contains("raw pixels have 76.0"),
                "{lead:?}"
            );
            assert!(lead[1].contains("--epochs 40"), "{lead:?}");
            assert_eq!(lead.len(), 2, "{lead:?}");
            nothing_chosen(&lead);
        }
        let close = said(&[&[0.60, 0.61, 0.60], &[0.55, 0.56, 0.55]]);
        assert!(close[0].contains("beyond chance"), "{close:?}");
        nothing_chosen(&close);
        // A tie is not more.
        let tie = said(&[&[0.60; 3], &[0.55; 3]]);
        assert!(tie[0].starts_with("No method beat the untrained encoder"), "{tie:?}");
        nothing_chosen(&tie);
    }

    #[test]
    fn below_raw_pixels_that_is_said_first() {
        let lead = said(&[&[0.70, 0.71, 0.70], &[0.65, 0.66, 0.65]]);
        assert!(lead[0].starts_with("No method beat raw pixels (76.0 % under"), "{lead:?}");
        assert!(
            lead[1].starts_with("Of the methods, BYOL at batch 64 has the highest"),
            "{lead:?}"
        );
        assert!(lead[1].contains("untrained encoder has 60.0"), "{lead:?}");
        assert!(lead[2].contains("--epochs 40"), "{lead:?}");
        nothing_chosen(&lead);
        let close = said(&[&[0.761, 0.762, 0.761], &[0.65, 0.66, 0.65]]);
        assert!(close[0].contains("beyond chance"), "{close:?}");
        nothing_chosen(&close);
    }

    #[test]
    fn one_seed_or_few_steps_recommend_nothing() {
        let one = said(&[&[0.85], &[0.80]]);
        assert!(
            one[0].starts_with("Undecided, so nothing is recommended: one run of each (at"),
            "{one:?}"
        );
        assert!(one[0].contains("untrained encoder has 60.0") && one[1].contains("--seeds 3"));
        nothing_chosen(&one);
        let short = said_of(&[&[0.85; 3], &[0.80; 3]], |run| run.summary.steps = 15);
        assert!(short[0].contains("15 steps (at least 100) are too few"), "{short:?}");
        assert!(short[1].contains("--epochs 40"), "{short:?}");
        nothing_chosen(&short);
    }

    #[test]
    fn methods_within_chance_are_undecided() {
        let lead = said(&[&[0.80, 0.81, 0.80], &[0.80, 0.81, 0.80], &[0.70, 0.70, 0.71]]);
        assert!(lead[0].starts_with("Undecided: "), "{lead:?}");
        assert!(lead[0].contains("BYOL") && lead[0].contains("SimCLR at batch 64"), "{lead:?}");
        assert!(!lead[0].contains("Barlow"), "{lead:?}");
        assert!(!lead[0].contains("choose"), "{lead:?}");
        // Equal on average, so no number of seeds can tell.
        assert!(lead[1].starts_with("More seeds would not tell them apart: on 10000"), "{lead:?}");
        let noisy = said(&[&[0.86, 0.90, 0.94], &[0.84, 0.87, 0.90]]);
        assert!(noisy[1].contains("--seeds 6"), "{noisy:?}");
    }

    #[test]
    fn a_clear_winner_is_chosen() {
        let lead = said(&[&[0.80, 0.81, 0.80], &[0.85, 0.86, 0.85], &[0.70, 0.70, 0.71]]);
        assert!(
            lead[0].starts_with("Choose SimCLR at batch 64 for accuracy: 85.3 ± 0.6 %")
                && lead[0].contains("untrained encoder has 60.0")
                && lead[0].contains("raw pixels have 76.0"),
            "{lead:?}"
        );
        // 70 % is below raw pixels, so being first there is no reason.
        assert_eq!(lead.len(), 1, "{lead:?}");
    }

    #[test]
    fn a_run_that_collapsed_or_failed_is_left_out() {
        let mut all = [[0.80; 3], [0.90; 3], [0.70; 3]].map(|own| outcomes(&own, |_| ()));
        all[1].iter_mut().for_each(|run| collapse(run.as_mut().unwrap()));
        all[2].iter_mut().for_each(|run| *run = Err("the loss is NaN".into()));
        let pairs: Vec<_> = THREE.into_iter().zip(all.iter().map(Vec::as_slice)).collect();
        let budget = Budget::minutes(1.0).with(3, false);
        let lead = recommendation(&comparison(&pairs), None, &budget);
        assert!(lead[0].starts_with("BYOL at batch 64 has 80.0"), "{lead:?}");
        assert!(lead[0].contains("no other method to compare with"), "{lead:?}");
        let left_out = "SimCLR at batch 64 (collapsed), Barlow Twins (no accuracy from any run)";
        assert!(lead[1].contains(left_out), "{lead:?}");
        nothing_chosen(&lead[1..]);
    }

    /// From 60 to 85 % in ten evaluations, at 10 s each or as many as given.
    fn in_time(seconds: f64) -> Vec<Outcome> {
        outcomes(&[0.85, 0.85], |run| {
            run.curve.iter_mut().for_each(|moment| moment.seconds *= seconds / 10.0);
        })
    }

    #[test]
    fn the_first_is_chosen_only_if_every_run_is_first() {
        let said = |a: &[Outcome], b: &[Outcome], target| {
            let comparison = comparison(&[(Method::Byol, a), (Method::SimClr, b)]);
            let budget = Budget::minutes(1.0).with(2, false);
            recommendation(&comparison, Some(target), &budget).join(" ")
        };
        let clear = said(&in_time(10.0), &in_time(20.0), 0.80);
        assert!(
            clear.contains("Where time is short, choose BYOL at batch 64: every run of it has 80.0 % within 80 s"),
            "{clear}"
        );
        // A tie, and a run that is later by less than the time between two evaluations.
        for other in [in_time(10.0), in_time(11.0)] {
            let tie = said(&in_time(10.0), &other, 0.80);
            assert!(tie.contains("first at 80.0 % is undecided"), "{tie}");
        }
        // One of its runs is late.
        let mut mixed = in_time(10.0);
        mixed[1] = in_time(30.0).remove(0);
        let mixed = said(&mixed, &in_time(20.0), 0.80);
        assert!(mixed.contains("first at 80.0 % is undecided"), "{mixed}");
        // The accuracy of the untrained encoder or raw pixels takes no time.
        for free in [0.55, 0.60, 0.70, 0.76] {
            let said = said(&in_time(10.0), &in_time(20.0), free);
            assert!(!said.contains("time") && !said.contains("first at"), "{said}");
        }
        // No method reaches it.
        let never = said(&in_time(10.0), &in_time(20.0), 0.95);
        assert!(!never.contains("first at") && !never.contains("time is short"), "{never}");
    }

    #[test]
    fn the_least_sensitive_method_is_named_beyond_chance_only() {
        let (high, low) = (outcomes(&[0.85, 0.86, 0.85], |_| ()), outcomes(&[0.78; 3], |_| ()));
        let said = |falls: &[Outcome]| {
            let groups = [
                (Method::Byol, 32, &high[..]),
                (Method::Byol, 256, &high),
                (Method::SimClr, 32, falls),
                (Method::SimClr, 256, &high),
            ];
            let budget = Budget::minutes(1.0).with(3, false);
            recommendation(&at_batch_sizes(&groups), None, &budget).join(" ")
        };
        assert!(said(&low).contains("matters least for BYOL (0.0 points"), "{}", said(&low));
        assert!(said(&high).contains("matters least is undecided"), "{}", said(&high));
    }

    #[test]
    fn no_accuracy_recommends_nothing() {
        let lead = said(&[&[], &[]]);
        assert_eq!(lead, ["No run gave an accuracy, so nothing is recommended."]);
    }
}
