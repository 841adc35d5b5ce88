//! What is said of the methods, and whether the runs of a comparison show it; and which to choose.

use selfsame_eval::{Level, MeanDeviation};
use selfsame_report::{Claim, ClaimOutcome};

use super::comparison::{Comparison, Group};
use super::figures::{accuracy, differ};
use crate::methods::Method;

/// The claims that these runs can speak to.
pub fn claims(comparison: &Comparison) -> Vec<Claim> {
    let mut claims = Vec::new();
    claims.extend(costs_more(comparison, Method::Byol, Method::BarlowTwins));
    for method in [Method::Byol, Method::BarlowTwins] {
        claims.extend(depends_less_on_batch_size(comparison, method, Method::SimClr));
    }
    for method in &comparison.methods {
        claims.extend(does_not_collapse(comparison, *method));
        claims.extend(beats_untrained(comparison, *method));
    }
    claims
}

fn rate(group: &Group) -> Option<f64> {
    group.repeats.median(|m| Some(m.summary.images_per_second))
}

/// At every batch size that both have.
fn costs_more(comparison: &Comparison, dear: Method, cheap: Method) -> Option<Claim> {
    let mut ratios = Vec::new();
    for group in comparison.of(dear) {
        let other = comparison.of(cheap).find(|g| g.batch_size == group.batch_size);
        if let Some(ratio) = other.and_then(|other| Some(rate(other)? / rate(group)?)) {
            ratios.push((group.batch_size, ratio));
        }
    }
    let (low, high) = (
        ratios.iter().map(|r| r.1).reduce(f64::min)?,
        ratios.iter().map(|r| r.1).reduce(f64::max)?,
    );
    // Machines drift by some percent between runs.
    let outcome = match () {
        () if low > 1.05 => ClaimOutcome::Seen,
        () if high < 1.0 => ClaimOutcome::NotSeen,
        () => ClaimOutcome::Undecided,
    };
    let each: Vec<String> =
        ratios.iter().map(|(size, ratio)| format!("{ratio:.2} times at batch {size}")).collect();
    Some(Claim {
        text: format!(
            "{} costs more per step than {}: it has a second network to run and a predictor",
            dear.title(),
            cheap.title()
        ),
        outcome,
        evidence: each.join(", "),
    })
}

/// How much accuracy a method loses from its largest batch to its smallest, with what it rests on.
fn loss_at_small_batches(
    comparison: &Comparison,
    method: Method,
) -> Option<(MeanDeviation, usize, usize)> {
    let mut own: Vec<&Group> = comparison.of(method).collect();
    own.sort_by_key(|group| group.batch_size);
    let (small, large) = (own.first()?, own.last()?);
    if small.batch_size == large.batch_size {
        return None;
    }
    let (a, b) = (small.repeats.knn()?, large.repeats.knn()?);
    let deviation = a.deviation.zip(b.deviation).map(|(a, b)| (a * a + b * b).sqrt());
    Some((MeanDeviation { mean: b.mean - a.mean, deviation }, small.batch_size, large.batch_size))
}

fn depends_less_on_batch_size(
    comparison: &Comparison,
    method: Method,
    than: Method,
) -> Option<Claim> {
    let (own, small, large) = loss_at_small_batches(comparison, method)?;
    let (other, ..) = loss_at_small_batches(comparison, than)?;
    let apart = differ(own, other, comparison.seeds as usize);
    let outcome = match (apart, own.mean < other.mean) {
        (true, true) => ClaimOutcome::Seen,
        (true, false) => ClaimOutcome::NotSeen,
        (false, _) => ClaimOutcome::Undecided,
    };
    let points = |v: MeanDeviation| match v.deviation {
        Some(deviation) => format!("{:+.1} ± {:.1}", -100.0 * v.mean, 100.0 * deviation),
        None => format!("{:+.1}", -100.0 * v.mean),
    };
    Some(Claim {
        text: format!(
            "{} depends less on a large batch than {}, whose negatives are the rest of the batch",
            method.title(),
            than.title()
        ),
        outcome,
        evidence: format!(
            "from batch {large} to {small}, k-NN changes by {} points for {}, {} for {}",
            points(own),
            method.title(),
            points(other),
            than.title()
        ),
    })
}

fn does_not_collapse(comparison: &Comparison, method: Method) -> Option<Claim> {
    let runs: usize = comparison.of(method).map(|g| g.repeats.measured().count()).sum();
    let collapsed: usize = comparison.of(method).map(|g| g.repeats.collapsed()).sum();
    let worst = comparison.of(method).filter_map(|g| g.repeats.verdict()).max_by_key(|v| v.0)?;
    let outcome = match (collapsed, worst.0) {
        (0, Level::Healthy | Level::Warning) => ClaimOutcome::Seen,
        (0, _) => ClaimOutcome::Undecided,
        _ => ClaimOutcome::NotSeen,
    };
    Some(Claim {
        text: format!("{} does not collapse as its paper has it", method.title()),
        outcome,
        evidence: format!("{collapsed} of {runs} runs collapsed; the worst verdict: {}", worst.1),
    })
}

fn beats_untrained(comparison: &Comparison, method: Method) -> Option<Claim> {
    let best = comparison.best(method)?;
    let knn = best.repeats.knn()?;
    let untrained = best.repeats.mean(|f| f.knn_top1_random_init)?;
    let outcome =
        match (differ(knn, untrained, comparison.seeds as usize), knn.mean > untrained.mean) {
            (true, true) => ClaimOutcome::Seen,
            (true, false) => ClaimOutcome::NotSeen,
            (false, _) => ClaimOutcome::Undecided,
        };
    Some(Claim {
        text: format!(
            "{} makes a better representation than the untrained encoder",
            method.title()
        ),
        outcome,
        evidence: format!(
            "k-NN {} against {} %, batch {}",
            accuracy(Some(knn)),
            accuracy(Some(untrained)),
            best.batch_size
        ),
    })
}

/// Which method to choose, in words that follow from the figures.
pub fn recommendation(comparison: &Comparison, target: Option<f64>) -> Vec<String> {
    let mut ranked: Vec<(&Group, MeanDeviation)> = comparison
        .methods
        .iter()
        .filter_map(|method| comparison.best(*method))
        .filter(|group| group.repeats.verdict().is_some_and(|v| v.0 < Level::Collapsed))
        .filter_map(|group| Some((group, group.repeats.knn()?)))
        .collect();
    ranked.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
    let Some(((first, top), rest)) = ranked.split_first() else {
        return vec!["No run gave an accuracy, so nothing can be recommended.".into()];
    };
    let repeats = comparison.seeds as usize;
    let level: Vec<&str> = rest
        .iter()
        .filter(|(_, knn)| !differ(*top, *knn, repeats))
        .map(|(group, _)| group.method.title())
        .collect();
    let mut lead = vec![match level.is_empty() {
        true => format!(
            "Choose {} at batch {} for accuracy: {} % under k-NN, more than any other here.",
            first.method.title(),
            first.batch_size,
            accuracy(Some(*top))
        ),
        false => format!(
            "{} at batch {} has the highest accuracy, {} % under k-NN; {} cannot be told from it by these runs.",
            first.method.title(),
            first.batch_size,
            accuracy(Some(*top)),
            level.join(", ")
        ),
    }];
    if ranked.len() > 1 {
        lead.extend(fastest(&ranked, target));
        lead.extend(least_sensitive(comparison));
    }
    lead
}

fn fastest(ranked: &[(&Group, MeanDeviation)], target: Option<f64>) -> Option<String> {
    let target = target?;
    let mut times: Vec<(f64, &Group)> = ranked
        .iter()
        .filter_map(|(group, _)| Some((group.repeats.median(|m| m.seconds_to(target))?, *group)))
        .collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (seconds, group) = times.first()?;
    let second = times.get(1).map_or(String::new(), |(seconds, group)| {
        format!(", before {} in {seconds:.0} s", group.method.title())
    });
    Some(format!(
        "Choose {} where time is short: it is the first at {:.1} %, after {seconds:.0} s of training (batch {}){second}.",
        group.method.title(),
        100.0 * target,
        group.batch_size
    ))
}

/// The method whose accuracy differs least between batch sizes.
fn least_sensitive(comparison: &Comparison) -> Option<String> {
    let spread = |method: &Method| {
        let all: Vec<f64> =
            comparison.of(*method).filter_map(|g| Some(g.repeats.knn()?.mean)).collect();
        let (low, high) =
            (all.iter().copied().reduce(f64::min)?, all.iter().copied().reduce(f64::max)?);
        (all.len() > 1).then_some((high - low, *method))
    };
    let mut spreads: Vec<(f64, Method)> = comparison.methods.iter().filter_map(spread).collect();
    spreads.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ((least, steady), (most, shaky)) = (spreads.first()?, spreads.last()?);
    (spreads.len() > 1).then(|| {
        format!(
            "The batch size matters least for {} ({:.1} points between its best and its worst) and most for {} \
             ({:.1} points).",
            steady.title(),
            100.0 * least,
            shaky.title(),
            100.0 * most
        )
    })
}
