//! Published claims about the methods, and whether the runs of a comparison confirm them.

use std::cmp::Ordering;

use selfsame_eval::{Level, MeanDeviation};
use selfsame_report::{Claim, ClaimOutcome};

use crate::folder::summary::Summary;
use crate::settings::Method;
use crate::study::chance::{
    Estimate, LEAST_RUNS, LEAST_STEPS, LEAST_STEPS_TO_COLLAPSE, doubt, doubt_of_collapse,
};
use crate::study::comparison::{Comparison, Group};
use crate::study::figures::{Repeats, accuracy};
use crate::words::count;

/// All runs of one method must be faster than all runs of the other by this factor. The same run,
/// repeated on an idle machine, was up to 1.16 times as fast (docs/results).
const FASTER: f64 = 1.05;

/// The outcome, or why it is undecided.
pub type Judged = Result<bool, String>;

/// The meaning of the words.
pub fn legend() -> String {
    format!(
        "Seen: these runs show it. Not seen: they show the opposite. Undecided: they rest on fewer than {LEAST_RUNS} runs of \
         each or {LEAST_STEPS} steps ({LEAST_STEPS_TO_COLLAPSE} where the claim is of collapse), or the difference is within \
         chance: inside the 95 % interval that the seeds and the number of test images leave."
    )
}

pub fn claim(text: String, judged: Judged, evidence: String) -> Claim {
    let (outcome, evidence) = match judged {
        Ok(true) => (ClaimOutcome::Seen, evidence),
        Ok(false) => (ClaimOutcome::NotSeen, evidence),
        Err(reason) => (ClaimOutcome::Undecided, format!("{evidence}; {reason}")),
    };
    Claim { text, outcome, evidence }
}

/// The claims that these runs can test.
pub fn claims(comparison: &Comparison) -> Vec<Claim> {
    let mut claims = Vec::new();
    claims.extend(costs_more(comparison, Method::Byol, Method::BarlowTwins));
    for method in [Method::Byol, Method::BarlowTwins] {
        claims.extend(depends_less_on_batch_size(comparison, method, Method::SimClr));
    }
    for method in &comparison.methods {
        claims.extend(does_not_collapse(comparison, *method));
        for baseline in [Baseline::Untrained, Baseline::Pixels] {
            claims.extend(beats(comparison, *method, baseline));
        }
    }
    claims
}

/// `Err` with the reason if the runs of these methods say nothing.
fn sound(comparison: &Comparison, methods: &[Method]) -> Result<(), String> {
    comparison.doubt(methods).map_or(Ok(()), Err)
}

/// Whether a difference is above zero, beyond chance.
fn above_zero(difference: Estimate) -> Judged {
    let points = 100.0 * difference.margin().unwrap_or(f64::INFINITY);
    if points > 50.0 {
        return Err("the seeds differ too much to tell".into());
    }
    match difference.sign() {
        Some(order) => Ok(order == Ordering::Greater),
        None => Err(format!("less than the {points:.1} points that chance can explain")),
    }
}

/// Images per second of every run.
fn rates(repeats: &Repeats) -> Vec<f64> {
    let mut rates: Vec<f64> = repeats.measured().map(|m| m.summary.images_per_second).collect();
    rates.sort_by(f64::total_cmp);
    rates
}

/// Compares at every common batch size.
fn costs_more(comparison: &Comparison, dear: Method, cheap: Method) -> Option<Claim> {
    let (mut each, mut always, mut never) = (Vec::new(), true, true);
    for group in comparison.of(dear) {
        let other = comparison.of(cheap).find(|g| g.batch_size == group.batch_size);
        let Some(other) = other else { continue };
        let median = |g: &Group| g.repeats.median(|m| Some(m.summary.images_per_second));
        let (Some(own), Some(than)) = (median(group), median(other)) else { continue };
        each.push(format!("{:.2} times at batch {}", than / own, group.batch_size));
        let (own, than) = (rates(&group.repeats), rates(&other.repeats));
        always &= than[0] > FASTER * own[own.len() - 1];
        never &= own[0] > FASTER * than[than.len() - 1];
    }
    if each.is_empty() {
        return None;
    }
    let judged = sound(comparison, &[dear, cheap]).and_then(|()| match (always, never) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err("not every run of one is 5 percent slower than every run of the other".into()),
    });
    let text = format!(
        "{} costs more per step than {}: it has a second network to run and a predictor",
        dear.title(),
        cheap.title()
    );
    Some(claim(text, judged, each.join(", ")))
}

/// The loss of accuracy of a method from its largest batch to its smallest.
struct Loss {
    estimate: Estimate,
    /// For display.
    points: String,
    small: usize,
    large: usize,
}

fn loss_at_small_batches(comparison: &Comparison, method: Method) -> Option<Loss> {
    let mut own: Vec<&Group> = comparison.of(method).collect();
    own.sort_by_key(|group| group.batch_size);
    let (small, large) = (own.first()?, own.last()?);
    if small.batch_size == large.batch_size {
        return None;
    }
    let of = |group: &Group| group.repeats.estimate(|f| f.knn_top1);
    let estimate = of(large)?.minus(of(small)?);
    let (a, b) = (small.repeats.knn()?, large.repeats.knn()?);
    let deviation = a.deviation.zip(b.deviation).map(|(a, b)| (a * a + b * b).sqrt());
    let gain = MeanDeviation { mean: a.mean - b.mean, deviation };
    let sign = if gain.mean < 0.0 { "" } else { "+" };
    let points = format!("{sign}{}", accuracy(Some(gain)));
    Some(Loss { estimate, points, small: small.batch_size, large: large.batch_size })
}

fn depends_less_on_batch_size(
    comparison: &Comparison,
    method: Method,
    than: Method,
) -> Option<Claim> {
    let own = loss_at_small_batches(comparison, method)?;
    let other = loss_at_small_batches(comparison, than)?;
    let judged = sound(comparison, &[method, than])
        .and_then(|()| above_zero(other.estimate.minus(own.estimate)));
    let text = format!(
        "{} depends less on a large batch than {}, whose negatives are the rest of the batch",
        method.title(),
        than.title()
    );
    let evidence = format!(
        "from batch {} to {}, k-NN changes by {} points for {} and by {} for {}",
        own.large,
        own.small,
        own.points,
        method.title(),
        other.points,
        than.title()
    );
    Some(claim(text, judged, evidence))
}

/// Uses the runs that were long enough. A collapse in a shorter run leaves the claim undecided.
fn does_not_collapse(comparison: &Comparison, method: Method) -> Option<Claim> {
    let all: Vec<&Repeats> = comparison.of(method).map(|group| &group.repeats).collect();
    let (sound, short): (Vec<&Repeats>, Vec<&Repeats>) =
        all.iter().copied().partition(|repeats| doubt_of_collapse([*repeats]).is_none());
    let counted = if sound.is_empty() { &all } else { &sound };
    let collapsed = |groups: &[&Repeats]| groups.iter().map(|g| g.collapsed()).sum::<usize>();
    let runs: usize = counted.iter().map(|repeats| repeats.measured().count()).sum();
    let worst = counted.iter().filter_map(|repeats| repeats.verdict()).max_by_key(|v| v.0)?;
    let judged = match doubt_of_collapse(counted.iter().copied()) {
        Some(doubt) => Err(doubt),
        None if collapsed(&sound) > 0 => Ok(false),
        None if collapsed(&short) > 0 => Err(format!(
            "but of the runs with fewer steps or seeds, {} collapsed",
            collapsed(&short)
        )),
        None if worst.0 == Level::Unknown => Err("too few images to tell".into()),
        None => Ok(true),
    };
    let text = format!("{} does not collapse with its own settings", method.title());
    let steps = counted.iter().map(|repeats| repeats.steps()).min().unwrap_or(0);
    let evidence = format!(
        "{} of {runs} runs collapsed within {}; the worst verdict: {}",
        collapsed(counted),
        count(steps, "step"),
        worst.1
    );
    Some(claim(text, judged, evidence))
}

/// The baselines without training.
#[derive(Clone, Copy)]
enum Baseline {
    Untrained,
    Pixels,
}

fn beats(comparison: &Comparison, method: Method, baseline: Baseline) -> Option<Claim> {
    let best = comparison.best(method)?;
    let (than, baseline, of): (_, _, fn(&Summary) -> Option<f64>) = match baseline {
        Baseline::Untrained => {
            ("the untrained encoder", best.repeats.untrained(), |f| f.knn_top1_random_init)
        }
        Baseline::Pixels => ("raw pixels", best.repeats.pixels(), |f| f.knn_top1_pixels),
    };
    let (own, other) = (best.repeats.estimate(|f| f.knn_top1)?, best.repeats.estimate(of)?);
    let judged = match doubt([&best.repeats]) {
        Some(doubt) => Err(doubt),
        None => above_zero(own.minus(other)),
    };
    let evidence = format!(
        "k-NN {} against {} %, batch {}",
        accuracy(best.repeats.knn()),
        accuracy(baseline),
        best.batch_size
    );
    let text = format!("{} beats {than} within this budget", method.title());
    Some(claim(text, judged, evidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::made_up::{at_batch_sizes, collapse, comparison, outcomes};
    use crate::study::trials::Outcome;

    /// The outcome and evidence of the one claim that says this.
    fn found(comparison: &Comparison, about: &str) -> (ClaimOutcome, String) {
        let all = claims(comparison);
        let mut found = all.iter().filter(|claim| claim.text.contains(about));
        let claim = found.next().unwrap_or_else(|| panic!("{about}: {all:?}"));
        assert!(found.next().is_none(), "{about}: {all:?}");
        (claim.outcome, claim.evidence.clone())
    }

    fn single(method: Method, own: &[Outcome], about: &str) -> (ClaimOutcome, String) {
        found(&comparison(&[(method, own)]), about)
    }

    #[test]
    fn baselines_are_beaten_beyond_chance_only() {
        let beats = |accuracies: &[f64], steps| {
            let own = outcomes(accuracies, |run| run.summary.steps = steps);
            ["beats the untrained", "beats raw pixels"]
                .map(|about| single(Method::Byol, &own, about))
        };
        use ClaimOutcome::{NotSeen, Seen, Undecided};
        let words = |found: [(ClaimOutcome, String); 2]| found.map(|(outcome, _)| outcome);
        assert_eq!(words(beats(&[0.80, 0.81, 0.80], 1000)), [Seen, Seen]);
        assert_eq!(words(beats(&[0.70, 0.71, 0.70], 1000)), [Seen, NotSeen]);
        assert_eq!(words(beats(&[0.54, 0.55, 0.54], 1000)), [NotSeen, NotSeen]);
        let [close, _] = beats(&[0.60, 0.61, 0.60], 1000);
        assert_eq!(close.0, Undecided);
        assert!(close.1.contains("points that chance can explain"), "{}", close.1);
        // For any difference.
        for (found, reason) in
            [(beats(&[0.99], 1000), "one run"), (beats(&[0.99, 0.98], 15), "15 steps")]
        {
            for (outcome, evidence) in found {
                assert_eq!(outcome, Undecided);
                assert!(evidence.contains(reason), "{evidence}");
            }
        }
    }

    #[test]
    fn a_method_costs_more_if_each_of_its_runs_does() {
        let at = |rates: [f64; 2], steps| {
            let mut own = outcomes(&[0.8, 0.8], |run| run.summary.steps = steps);
            for (outcome, rate) in own.iter_mut().zip(rates) {
                outcome.as_mut().unwrap().summary.images_per_second = rate;
            }
            own
        };
        let outcome = |byol, barlow, steps| {
            let (byol, barlow) = (at(byol, steps), at(barlow, steps));
            let pairs = [(Method::Byol, &byol[..]), (Method::BarlowTwins, &barlow[..])];
            found(&comparison(&pairs), "costs more").0
        };
        assert_eq!(outcome([100.0, 110.0], [130.0, 140.0], 100), ClaimOutcome::Seen);
        assert_eq!(outcome([130.0, 140.0], [100.0, 110.0], 100), ClaimOutcome::NotSeen);
        // Equal; slower by less than 5 percent; slower in the middle, while one run is not.
        assert_eq!(outcome([100.0, 100.0], [100.0, 100.0], 100), ClaimOutcome::Undecided);
        assert_eq!(outcome([100.0, 100.0], [104.0, 104.0], 100), ClaimOutcome::Undecided);
        assert_eq!(outcome([100.0, 130.0], [131.0, 190.0], 100), ClaimOutcome::Undecided);
        assert_eq!(outcome([100.0, 110.0], [130.0, 140.0], 15), ClaimOutcome::Undecided);
    }

    #[test]
    fn no_collapse_is_seen_in_runs_that_are_long_enough() {
        let about = "does not collapse";
        let run = |accuracies: &[f64], steps, collapsed: bool| {
            let own = outcomes(accuracies, |run| {
                run.summary.steps = steps;
                if collapsed {
                    collapse(run);
                }
            });
            single(Method::Byol, &own, about)
        };
        assert_eq!(run(&[0.8, 0.8], 300, false).0, ClaimOutcome::Seen);
        assert_eq!(run(&[0.8, 0.8], 300, true).0, ClaimOutcome::NotSeen);
        for collapsed in [false, true] {
            let (outcome, evidence) = run(&[0.8, 0.8], 299, collapsed);
            assert_eq!(outcome, ClaimOutcome::Undecided);
            assert!(
                evidence.contains("299 steps (at least 300) are too few to tell"),
                "{evidence}"
            );
            assert_eq!(run(&[0.8], 1000, collapsed).0, ClaimOutcome::Undecided);
        }
        // A collapse at a batch size with few steps leaves the claim undecided.
        let long = outcomes(&[0.8, 0.8], |_| ());
        for (collapsed, wanted) in [(false, ClaimOutcome::Seen), (true, ClaimOutcome::Undecided)] {
            let short = outcomes(&[0.5, 0.5], |run| {
                run.summary.steps = 100;
                if collapsed {
                    collapse(run);
                }
            });
            let both = [(Method::Byol, 32, &long[..]), (Method::Byol, 256, &short[..])];
            assert_eq!(found(&at_batch_sizes(&both), about).0, wanted);
        }
    }

    #[test]
    fn the_batch_size_matters_less_beyond_chance_only() {
        let (high, low) = (outcomes(&[0.80, 0.81, 0.80], |_| ()), outcomes(&[0.70; 3], |_| ()));
        let outcome = |byol: [&[Outcome]; 2], simclr: [&[Outcome]; 2]| {
            let groups = [
                (Method::Byol, 32, byol[0]),
                (Method::Byol, 256, byol[1]),
                (Method::SimClr, 32, simclr[0]),
                (Method::SimClr, 256, simclr[1]),
            ];
            found(&at_batch_sizes(&groups), "BYOL depends less").0
        };
        let (steady, falls) = ([&high[..], &high], [&low[..], &high]);
        assert_eq!(outcome(steady, falls), ClaimOutcome::Seen);
        assert_eq!(outcome(falls, steady), ClaimOutcome::NotSeen);
        assert_eq!(outcome(steady, steady), ClaimOutcome::Undecided);
        let one: [&[Outcome]; 2] = [&high[..1], &high[..1]];
        assert_eq!(outcome(one, falls), ClaimOutcome::Undecided);
    }
}
