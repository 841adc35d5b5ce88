//! `cargo xtask ablate`: a method with one thing taken away at a time.

use std::path::PathBuf;

use clap::Args;
use selfsame_eval::Level;
use selfsame_report::{Cell, Chart, Claim, ClaimOutcome, Line, Study, Table};
use serde_json::json;

use super::figures::{Repeats, accuracy, accuracy_cell, differ, rounded};
use super::publish::{command_line, default_folder, publish};
use super::trials::{Jobs, Outcome, StudyFolder, Trial};
use super::variants::{AS_IT_IS, Expected, GROUPS, Variant, variants};
use crate::config::Overrides;
use crate::machine::describe;
use crate::methods::Method;
use crate::run_folder::git_commit;
use crate::usage::usage;

/// Take the parts of a method away, one at a time, and see what each is for.
///
/// Trains the method as it is, and without each of its parts: predictor, stop-gradient, momentum and batch norm of
/// the heads for BYOL; λ, standardisation and projector for Barlow Twins; what stands against collapse in the other
/// methods; and every augmentation. Writes a page, Markdown and JSON with the collapse doctor's verdict on each.
/// A study that was cut off goes on with the same command.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask ablate byol
  cargo xtask ablate barlow-twins --only mechanism --only loss --seeds 3
  cargo xtask ablate byol --limit 4000 --set train.epochs=6 --out runs/ablation")]
pub struct AblateArgs {
    /// The method.
    #[arg(value_parser = Method::parse)]
    method: Method,
    #[command(flatten)]
    overrides: Overrides,
    /// Only what belongs to this: mechanism, momentum, loss, heads or augmentation; may be repeated.
    #[arg(long, value_name = "GROUP")]
    only: Vec<String>,
    /// Runs of each, with seeds that follow on --seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// The study's folder [default: runs/ablate-METHOD-DATASET].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Runs at a time, each on its share of the cores. On small networks that is quicker as a whole, and the speed
    /// measured is that of the share.
    #[arg(long, value_name = "N", default_value = "1", value_parser = Jobs::parse)]
    jobs: Jobs,
    /// Print the figures of all runs as JSON on stdout.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &AblateArgs) -> anyhow::Result<()> {
    if args.seeds == 0 {
        return Err(usage("--seeds: at least 1"));
    }
    if let Some(unknown) = args.only.iter().find(|group| !GROUPS.contains(&group.as_str())) {
        return Err(usage(format!("--only {unknown}: one of {}", GROUPS.join(", "))));
    }
    let base = args.overrides.resolve(args.method)?;
    let mut changes =
        vec![Variant { group: GROUPS[0], label: AS_IT_IS.into(), set: Vec::new(), expected: None }];
    let wanted = |v: &Variant| args.only.is_empty() || args.only.iter().any(|g| g == v.group);
    changes.extend(variants(&base).into_iter().filter(wanted));

    let mut trials = Vec::new();
    for change in &changes {
        for seed in base.seed..base.seed + args.seeds {
            let mut overrides = args.overrides.clone();
            overrides.set.extend(change.set.iter().cloned());
            overrides.seed = Some(seed);
            let config = overrides.resolve(args.method)?;
            trials.push(Trial { name: format!("{}-s{seed}", slug(&change.label)), config });
        }
    }
    let stem = format!("ablate-{}-{}", args.method.name(), base.data.name());
    let folder = StudyFolder::open(&args.out.clone().unwrap_or_else(|| default_folder(&stem)))?;
    let outcomes = folder.run(&trials, args.jobs)?;
    let groups: Vec<(&Variant, Repeats)> = changes
        .iter()
        .zip(outcomes.chunks(args.seeds as usize))
        .map(|(change, own)| (change, Repeats { outcomes: own.iter().collect() }))
        .collect();

    let page = page(args.method, &groups, &toml::to_string(&base)?);
    let runs: Vec<_> = trials.iter().zip(&outcomes).map(|(t, o)| record(&t.name, o)).collect();
    publish(&folder, &page, &runs)?;
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({"claims": page.claims, "runs": runs}))?
        );
    } else {
        print!("{}", page.to_markdown());
        println!("\n{}", folder.path().join("index.html").display());
    }
    Ok(())
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

fn page(method: Method, groups: &[(&Variant, Repeats)], settings: &str) -> Study {
    let base = &groups[0].1;
    let first = base.measured().next();
    let dataset = first.map_or("?", |m| &m.summary.dataset);
    Study {
        title: format!("What {} cannot do without, on {dataset}", method.title()),
        name: format!("ablation of {}", method.name()),
        command: command_line(),
        lead: lead(method, groups),
        claims: groups.iter().filter_map(|(change, own)| claim(change, own, base)).collect(),
        tables: vec![table(groups)],
        charts: charts(groups),
        machine: describe(git_commit().as_deref()),
        settings: settings.into(),
    }
}

fn lead(method: Method, groups: &[(&Variant, Repeats)]) -> Vec<String> {
    let base = &groups[0].1;
    let Some(knn) = base.knn() else {
        return vec![format!(
            "{} did not finish as it is, so there is nothing to compare with.",
            method.title()
        )];
    };
    let names = |wanted: &dyn Fn(&Repeats) -> bool| -> Vec<&str> {
        let own = groups[1..].iter().filter(|(_, own)| wanted(own));
        own.map(|(change, _)| change.label.as_str()).collect()
    };
    let collapsed = names(&|own| own.collapsed() > 0);
    let mut lead = vec![format!(
        "As it is, {} reaches {} % under k-NN (untrained encoder {} %).",
        method.title(),
        accuracy(Some(knn)),
        accuracy(base.mean(|f| f.knn_top1_random_init)),
    )];
    lead.push(match collapsed.is_empty() {
        true => "The collapse doctor found no collapse in any variant.".into(),
        false => format!("The collapse doctor found a collapse with: {}.", collapsed.join("; ")),
    });
    let unfinished = names(&|own| own.measured().count() == 0);
    if !unfinished.is_empty() {
        lead.push(format!("No run came to its end with: {}.", unfinished.join("; ")));
    }
    let mut changes: Vec<(f64, &str)> = groups[1..]
        .iter()
        .filter(|(_, own)| own.collapsed() == 0)
        .filter_map(|(change, own)| Some((own.knn()?.mean - knn.mean, change.label.as_str())))
        .collect();
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let worst: Vec<String> = changes
        .iter()
        .take(3)
        .filter(|(change, _)| *change < 0.0)
        .map(|(change, label)| format!("{label} ({:+.1} points)", 100.0 * change))
        .collect();
    if !worst.is_empty() {
        lead.push(format!("Of the others, these cost most: {}.", worst.join(", ")));
    }
    lead
}

/// What is said of a change, against what these runs show.
fn claim(change: &Variant, own: &Repeats, base: &Repeats) -> Option<Claim> {
    let (expected, source) = change.expected?;
    let runs = own.measured().count();
    let (level, headline) = own.verdict().unwrap_or((Level::Unknown, "no run finished"));
    let says = match expected {
        Expected::Collapse => "collapses",
        Expected::NoCollapse => "need not collapse",
    };
    let collapsed = own.collapsed();
    let outcome = match (expected, runs) {
        (_, 0) => ClaimOutcome::Undecided,
        (Expected::Collapse, runs) if collapsed == runs => ClaimOutcome::Seen,
        (Expected::NoCollapse, _) if collapsed == 0 && level < Level::Collapsed => {
            ClaimOutcome::Seen
        }
        _ if collapsed > 0 && collapsed < runs => ClaimOutcome::Undecided,
        _ => ClaimOutcome::NotSeen,
    };
    Some(Claim {
        text: format!("{}: it {says} ({source})", change.label),
        outcome,
        evidence: format!(
            "{collapsed} of {runs} runs collapsed; k-NN {} against {} as it is; {headline}",
            accuracy(own.knn()),
            accuracy(base.knn())
        ),
    })
}

fn table(groups: &[(&Variant, Repeats)]) -> Table {
    let base = groups[0].1.knn();
    let best = groups.iter().filter_map(|(_, own)| own.knn()).map(|v| v.mean).reduce(f64::max);
    let rows = groups.iter().map(|(change, own)| {
        let repeats = own.outcomes.len();
        let against = match (own.knn(), base) {
            _ if change.label == AS_IT_IS => String::new(),
            (Some(knn), Some(base)) => {
                let sure = if differ(knn, base, repeats) { "" } else { ", within chance" };
                format!("{:+.1}{sure}", 100.0 * (knn.mean - base.mean))
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
            Cell::from(if change.label == AS_IT_IS { "" } else { change.group }),
            accuracy_cell(own.knn(), best),
            Cell::from(against),
            Cell::from(accuracy(own.probe())),
            Cell::from(rounded(own.mean(|f| Some(f.effective_rank)).map(|v| v.mean), 1)),
            Cell::from(directions),
            Cell::from(verdict),
        ]
    });
    Table {
        title: "One thing changed at a time".into(),
        caption: "Accuracies in percent on held-out images, mean ± deviation over the seeds. Within chance: less than \
                  two standard errors of the difference, or two points where there is one seed. Rank: effective \
                  rank of the features. Directions: used by the projections."
            .into(),
        header: ["", "what", "k-NN", "change", "linear probe", "rank", "directions", "collapse doctor"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
    }
}

/// Accuracy over training, a chart for each group, with the method as it is in each.
fn charts(groups: &[(&Variant, Repeats)]) -> Vec<Chart> {
    let mut charts = Vec::new();
    for group in GROUPS {
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
                title: format!("k-NN accuracy, {group}"),
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
    use super::*;

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
