//! Ablation: a method with one part removed at a time.

use std::cmp::Ordering;
use std::sync::Arc;

use selfsame_eval::Level;
use selfsame_report::{Cell, Chart, Claim, Line, Study, Table};
use selfsame_trainers::{Ablation, AblationGroup, Expected};
use serde_json::json;

use super::budget::Budget;
use super::chance::{doubt, doubt_of_collapse};
use super::conclusions::claims::{Judged, claim as judged, legend};
use super::conclusions::recommendation::{advice, beats};
use super::figures::{Repeats, accuracy, against, finished, rounded};
use super::pages::compare::{baselines, circumstances};
use super::pages::publish::{default_folder, publish};
use super::trials::{Outcome, StudyFolder, Trial};
use super::variants::{AS_IT_IS, variants};
use super::{Studied, StudyOptions};
use crate::error::{Result, usage};
use crate::folder::git_commit;
use crate::observer::{Observer, Voice};
use crate::page::machine::describe;
use crate::settings::Method;
use crate::settings::Overrides;
use crate::settings::defaults;
use crate::words::count;

/// The settings of an ablation.
#[derive(Debug, Clone)]
pub struct AblateOptions {
    /// The method.
    pub method: Method,
    /// Settings of all runs.
    pub overrides: Overrides,
    /// Only the parts of these groups: mechanism, momentum, loss, heads or augmentation.
    pub only: Vec<String>,
    /// The options of all studies.
    pub study: StudyOptions,
}

/// Trains a complete method and the method without each of its parts, and writes what each part
/// does.
///
/// # Errors
/// Settings cannot be used, the study was interrupted, or files cannot be written.
pub fn ablate(options: &AblateOptions, observer: Arc<dyn Observer>) -> Result<Studied> {
    Ok(run(options, &Voice::new(observer))?)
}

fn run(args: &AblateOptions, voice: &Voice) -> anyhow::Result<Studied> {
    args.study.validate()?;
    args.study.interrupt.training_begins();
    let groups = AblationGroup::ALL.map(AblationGroup::name);
    if let Some(unknown) = args.only.iter().find(|group| !groups.contains(&group.as_str())) {
        return Err(usage(format!("--only {unknown}: one of {}", groups.join(", "))));
    }
    let base = args.overrides.resolve(args.method)?;
    let mut changes = vec![Ablation::new::<&str>(AblationGroup::Mechanism, AS_IT_IS, [])];
    let wanted =
        |v: &Ablation| args.only.is_empty() || args.only.iter().any(|g| g == v.group.name());
    changes.extend(variants(&base).into_iter().filter(wanted));

    let mut trials = Vec::new();
    for change in &changes {
        for seed in args.study.seeds_from(base.seed)? {
            let mut overrides = args.overrides.clone();
            overrides.set.extend(change.set.iter().cloned());
            overrides.seed = Some(seed);
            let config = overrides.resolve(args.method)?;
            trials.push(Trial { name: format!("{}-s{seed}", slug(&change.label)), config });
        }
    }
    let stem = format!("ablate-{}-{}", args.method.name(), base.data.name());
    let folder =
        StudyFolder::open(&args.study.out.clone().unwrap_or_else(|| default_folder(&stem)))?;
    let outcomes = folder.run(&trials, &args.study, voice)?;
    let groups: Vec<(&Ablation, Repeats)> = changes
        .iter()
        .zip(outcomes.chunks(args.study.seeds as usize))
        .map(|(change, own)| (change, Repeats { outcomes: own.iter().collect() }))
        .collect();

    let own = defaults::config(args.method, base.data.dataset.as_deref()).train.epochs;
    let limited = base.data.limit.is_some() || base.data.fraction.is_some();
    let budget = Budget::epochs("--set train.epochs=", base.train.epochs, own);
    let budget = budget.with(args.study.seeds, limited);
    let lead = lead(args.method, &groups, &outcomes, &budget);
    let page = page(&args.study, args.method, &groups, lead, &toml::to_string(&base)?);
    let runs: Vec<_> = trials.iter().zip(&outcomes).map(|(t, o)| record(&t.name, o)).collect();
    publish(&folder, &page, &runs)?;
    Ok(Studied::new(&folder, &page, &runs))
}

/// A run in `study.json`.
pub fn record(name: &str, outcome: &Outcome) -> serde_json::Value {
    match outcome {
        Ok(measured) => json!({"name": name, "figures": measured}),
        Err(reason) => json!({"name": name, "failed": reason}),
    }
}

/// Part of a file name.
fn slug(label: &str) -> String {
    let label = label.replace('τ', "tau").replace('λ', "lambda").replace('×', "times");
    let words = label.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

fn page(
    study: &StudyOptions,
    method: Method,
    groups: &[(&Ablation, Repeats)],
    lead: Vec<String>,
    settings: &str,
) -> Study {
    let base = &groups[0].1;
    let first = base.measured().next();
    let dataset = first.map_or("?", |m| &m.summary.dataset);
    Study {
        title: format!("What {} cannot do without, on {dataset}", method.title()),
        name: format!("ablation of {}", method.name()),
        command: study.command.clone().unwrap_or_default(),
        lead,
        claims: groups.iter().filter_map(|(change, own)| claim(change, own, base)).collect(),
        legend: legend(),
        tables: vec![table(groups)],
        charts: charts(groups),
        machine: describe(git_commit().as_deref()),
        settings: settings.into(),
    }
}

fn lead(
    method: Method,
    groups: &[(&Ablation, Repeats)],
    outcomes: &[Outcome],
    budget: &Budget,
) -> Vec<String> {
    let base = &groups[0].1;
    let Some(knn) = base.knn() else {
        return vec![format!(
            "The complete {} gave no accuracy, so there is nothing to compare with.",
            method.title()
        )];
    };
    let names = |wanted: &dyn Fn(&Repeats) -> bool| -> Vec<&str> {
        let own = groups[1..].iter().filter(|(_, own)| wanted(own));
        own.map(|(change, _)| change.label.as_str()).collect()
    };
    let mut lead = as_it_is(method, base, budget);
    let collapsed = names(&|own| own.collapsed() > 0);
    let finished = groups.iter().map(|(_, own)| own).filter(|own| own.measured().count() > 0);
    let too_few = doubt_of_collapse(finished);
    let early = too_few.map_or(String::new(), |doubt| format!(" That is undecided: {doubt}."));
    lead.push(match collapsed.is_empty() {
        true => format!("The collapse doctor found no collapse in any variant.{early}"),
        false => {
            format!("The collapse doctor found a collapse with: {}.{early}", collapsed.join("; "))
        }
    });
    let unfinished = names(&|own| own.measured().count() == 0);
    if !unfinished.is_empty() {
        lead.push(format!("No run finished with: {}.", unfinished.join("; ")));
    }
    let mut worse: Vec<(f64, &str)> = groups[1..]
        .iter()
        .filter(|(_, own)| own.collapsed() == 0)
        .filter(|(_, own)| against(own, base, |f| f.knn_top1) == Some(Ordering::Less))
        .filter_map(|(change, own)| Some((own.knn()?.mean - knn.mean, change.label.as_str())))
        .collect();
    worse.sort_by(|a, b| a.0.total_cmp(&b.0));
    let worst: Vec<String> = worse
        .iter()
        .take(3)
        .map(|(change, label)| format!("{label} ({:+.1} points)", 100.0 * change))
        .collect();
    lead.push(match worst.is_empty() {
        true => "The accuracy of the others does not differ measurably from that of the complete \
             method."
            .into(),
        false => format!("Of the others, these lose most: {}.", worst.join(", ")),
    });
    lead.extend(base.measured().next().map(|m| circumstances(&m.summary, outcomes, budget)));
    lead
}

/// Whether the method learns at all here. Otherwise the runs say nothing about its parts.
fn as_it_is(method: Method, base: &Repeats, budget: &Budget) -> Vec<String> {
    let untrained = base.untrained();
    let percent = |value| format!("{} %", accuracy(value));
    let own = format!("The complete {} has {} under k-NN", method.title(), percent(base.knn()));
    let pixels =
        base.pixels().map_or(String::new(), |v| format!(", raw pixels {}", percent(Some(v))));
    let baselines = format!("the untrained encoder has {}{pixels}", percent(untrained));
    let below = base.knn().zip(untrained).is_some_and(|(own, than)| own.mean <= than.mean);
    let beaten = beats(base, |f| f.knn_top1_random_init) == Some(Ordering::Greater);
    let (how, more) = match doubt([base]) {
        _ if untrained.is_none() => return vec![format!("{own}.")],
        _ if below => ("does not beat the untrained encoder", budget.longer()),
        None if beaten => return vec![format!("{own}: {baselines}.")],
        None => ("does not beat the untrained encoder beyond chance", budget.longer()),
        Some(_) => return vec![format!("{own}: {baselines}."), advice(base, budget)],
    };
    let all = format!(
        "{} {how} within this budget of {}, so its accuracy says little about its parts. {own}: \
         {baselines}.",
        method.title(),
        budget.words
    );
    vec![all, more]
}

/// A published claim about a change, next to the result of these runs.
fn claim(change: &Ablation, own: &Repeats, base: &Repeats) -> Option<Claim> {
    let (expected, source) = change.expected?;
    let runs = own.measured().count();
    let collapsed = own.collapsed();
    let (level, headline) = own.verdict().unwrap_or((Level::Unknown, "no run finished"));
    let seen = |collapses: bool| -> Judged {
        match (doubt_of_collapse([own, base]), base.collapsed()) {
            (Some(doubt), _) => Err(doubt),
            (None, 0) if collapsed == runs => Ok(collapses),
            (None, 0) if collapsed == 0 && level != Level::Unknown => Ok(!collapses),
            (None, 0) => Err("the runs disagree, or have too few images to tell".into()),
            (None, _) => Err("the complete method collapses, too".into()),
        }
    };
    let (says, outcome) = match expected {
        Expected::Collapse => ("collapses", seen(true)),
        Expected::NoCollapse => ("need not collapse", seen(false)),
    };
    let evidence = format!(
        "{collapsed} of {runs} runs collapsed within {}; k-NN {} against {} as it is; {headline}",
        count(own.steps(), "step"),
        accuracy(own.knn()),
        accuracy(base.knn())
    );
    Some(judged(format!("{}: it {says} ({source})", change.label), outcome, evidence))
}

fn table(groups: &[(&Ablation, Repeats)]) -> Table {
    let base = &groups[0].1;
    let rows = groups.iter().map(|(change, own)| {
        let change_of = match (own.knn(), base.knn()) {
            _ if change.label == AS_IT_IS => String::new(),
            (Some(knn), Some(as_it_is)) => {
                let told = against(own, base, |f| f.knn_top1).is_some();
                let sure = if told { "" } else { ", undecided" };
                format!("{:+.1}{sure}", 100.0 * (knn.mean - as_it_is.mean))
            }
            _ => "–".into(),
        };
        let verdict = match own.verdict() {
            Some((_, headline)) => headline.to_owned(),
            None => {
                let reason = own.outcomes.iter().find_map(|o| o.as_ref().err());
                format!("failed: {}", reason.and_then(|r| r.lines().next()).unwrap_or_default())
            }
        };
        let first = own.measured().next().map(|m| &m.summary);
        let directions = first.map_or("–".into(), |f| {
            format!("{} of {}", f.projection_directions, f.projection_dim)
        });
        vec![
            Cell::from(change.label.as_str()),
            finished(own).into(),
            Cell::from(if change.label == AS_IT_IS { "" } else { change.group.name() }),
            Cell::from(accuracy(own.knn())),
            Cell::from(change_of),
            Cell::from(accuracy(own.probe())),
            Cell::from(rounded(own.mean(|f| Some(f.effective_rank)).map(|v| v.mean), 1)),
            Cell::from(directions),
            Cell::from(verdict),
        ]
    });
    let images = base.measured().next();
    let images =
        images.map_or("held-out images".into(), |m| count(m.summary.test_images, "held-out image"));
    Table {
        title: "One thing changed at a time".into(),
        caption: format!(
            "Accuracies in percent on {images}: mean ± deviation over the runs. Change: in points; undecided where it is \
             within chance, or the runs are too few or too short. Rank: effective rank of the features. \
             Directions: used by the projections."
        ),
        header: [
            "",
            "runs",
            "what",
            "k-NN",
            "change",
            "linear probe",
            "rank",
            "directions",
            "collapse doctor",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: rows.chain(baselines(base)).collect(),
    }
}

/// Accuracy over training, one chart for each group. Each shows the complete method, too.
fn charts(groups: &[(&Ablation, Repeats)]) -> Vec<Chart> {
    let mut charts = Vec::new();
    for group in AblationGroup::ALL {
        let own = groups[1..].iter().filter(|(change, _)| change.group == group);
        let lines: Vec<Line> = std::iter::once(&groups[0])
            .chain(own)
            .filter_map(|(change, own)| {
                let curve = &own.measured().next()?.curve;
                let points = curve.iter().map(|m| [m.epoch, 100.0 * m.knn_top1]).collect();
                Some(match change.label == AS_IT_IS {
                    true => Line::baseline(&change.label, points),
                    false => Line::measured(&change.label, points),
                })
            })
            .collect();
        if lines.len() > 1 {
            charts.push(Chart {
                title: format!("k-NN accuracy, {}", group.name()),
                caption: "On held-out images during training; the first seed of each.".into(),
                x_label: "epoch".into(),
                y_label: "top-1, percent".into(),
                lines,
                ..Chart::default()
            });
        }
    }
    charts
}

#[cfg(test)]
mod tests {
    use selfsame_report::ClaimOutcome;

    use super::super::made_up::{UNTRAINED, collapse, outcomes, repeats};
    use super::*;
    use crate::study::measured::Measured;

    fn change(label: &str, expected: Expected) -> Ablation {
        let expected = Some((expected, "a paper"));
        Ablation { expected, ..Ablation::new::<&str>(AblationGroup::Mechanism, label, []) }
    }

    #[test]
    fn a_claim_of_collapse_needs_runs_that_are_many_and_long_enough() {
        let healthy = |run: &mut Measured| run.summary.steps = 300;
        let collapsed = |run: &mut Measured| {
            run.summary.steps = 300;
            collapse(run);
        };
        let early = |run: &mut Measured| {
            run.summary.steps = 299;
            collapse(run);
        };
        let two = |change: &dyn Fn(&mut Measured)| outcomes(&[0.7, 0.7], change);
        let (healthy, collapsed, early) = (two(&healthy), two(&collapsed), two(&early));
        let mixed = [healthy[0].clone(), collapsed[0].clone()];
        let outcome = |expected, own: &[Outcome], base: &[Outcome]| {
            let claim = claim(&change("no predictor", expected), &repeats(own), &repeats(base));
            claim.unwrap().outcome
        };
        use ClaimOutcome::{NotSeen, Seen, Undecided};
        use Expected::{Collapse, NoCollapse};
        assert_eq!(outcome(Collapse, &collapsed, &healthy), Seen);
        assert_eq!(outcome(Collapse, &healthy, &healthy), NotSeen);
        assert_eq!(outcome(NoCollapse, &collapsed, &healthy), NotSeen);
        assert_eq!(outcome(NoCollapse, &healthy, &healthy), Seen);
        for expected in [Collapse, NoCollapse] {
            for (own, base) in [
                (&mixed[..], &healthy[..]),
                (&early, &healthy),
                (&collapsed[..1], &healthy),
                (&healthy[..1], &healthy),
                (&[], &healthy),
                // Then the cause is not the missing predictor.
                (&collapsed, &collapsed),
                (&collapsed, &mixed),
            ] {
                assert_eq!(outcome(expected, own, base), Undecided);
            }
        }
    }

    #[test]
    fn a_method_that_learns_nothing_shows_nothing_of_its_parts() {
        let said = |accuracies: &[f64]| {
            let budget = Budget::epochs("--set train.epochs=", 1, 30).with(3, true);
            as_it_is(Method::Byol, &repeats(&outcomes(accuracies, |_| ())), &budget).join(" ")
        };
        for below in [&[0.54, 0.55][..], &[0.54], &[UNTRAINED, UNTRAINED]] {
            let said = said(below);
            assert!(said.starts_with("BYOL does not beat the untrained encoder within"), "{said}");
            assert!(said.contains("--set train.epochs=30"), "{said}");
        }
        let close = said(&[0.60, 0.61]);
        assert!(close.contains("beyond chance within"), "{close}");
        let one = said(&[0.70]);
        assert!(one.starts_with("The complete BYOL") && one.contains("--seeds 6"), "{one}");
        let learnt = said(&[0.70, 0.71]);
        assert!(learnt.starts_with("The complete BYOL has 70.5 ± 0.7 %"), "{learnt}");
        assert!(
            learnt.contains("untrained encoder has 60.0") && learnt.contains("raw pixels 76.0")
        );
    }

    #[test]
    fn what_costs_most_is_told_apart_from_the_method_as_it_is() {
        let base = outcomes(&[0.70, 0.71, 0.70], |_| ());
        let (low, close) = (outcomes(&[0.60; 3], |_| ()), outcomes(&[0.695; 3], |_| ()));
        let variants =
            ["as it is", "no crop", "no flip"].map(|label| change(label, Expected::Collapse));
        let all = [&base, &low, &close];
        let groups: Vec<_> = variants.iter().zip(all.map(|own| repeats(own))).collect();
        let budget = Budget::epochs("--set train.epochs=", 30, 30).with(3, false);
        let said = lead(Method::Byol, &groups, &base, &budget).join(" ");
        assert!(said.contains("lose most: no crop (-10.3 points)."), "{said}");
        let table = table(&groups);
        let change = |row: usize| table.rows[row][4].text.as_str();
        assert_eq!([change(1), change(2)], ["-10.3", "-0.8, undecided"]);
        assert_eq!(table.rows[4][0].text, "raw pixels");
        // The same with one run each.
        let single: Vec<_> = variants.iter().zip(all.map(|own| repeats(&own[..1]))).collect();
        let said = lead(Method::Byol, &single, &base, &budget).join(" ");
        assert!(
            said.contains("does not differ measurably") && said.contains("one run of each"),
            "{said}"
        );
    }

    #[test]
    fn slugs_are_file_names_and_tell_variants_apart() {
        assert_eq!(slug("τ = 0.99"), "tau-0.99");
        assert_eq!(slug("λ × 10"), "lambda-times-10");
        assert_eq!(slug("λ / 10"), "lambda-10");
        assert_eq!(slug("no brightness or contrast jitter"), "no-brightness-or-contrast-jitter");
        for method in Method::ALL {
            let config = Overrides::default().resolve(method).unwrap();
            let mut slugs: Vec<String> = variants(&config).iter().map(|v| slug(&v.label)).collect();
            let all = slugs.len();
            slugs.sort();
            slugs.dedup();
            assert_eq!(slugs.len(), all, "{}", method.name());
        }
    }
}
