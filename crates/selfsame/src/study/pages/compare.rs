//! The page of a comparison: tables, curves and words.

use selfsame_eval::MeanDeviation;
use selfsame_report::{Cell, Chart, Line, Study, Table};

use crate::folder::git_commit;
use crate::folder::summary::Summary;
use crate::page::machine::describe;
use crate::settings::Method;
use crate::settings::{OptimizerName, RunConfig};
use crate::study::StudyOptions;
use crate::study::budget::Budget;
use crate::study::compare::Planned;
use crate::study::comparison::{Comparison, Group};
use crate::study::conclusions::claims::{claims, legend};
use crate::study::conclusions::recommendation::recommendation;
use crate::study::figures::{Repeats, accuracy, accuracy_cell, finished, leaders, range, rounded};
use crate::study::measured::{Measured, Moment};
use crate::study::trials::Outcome;
use crate::words::count;

pub fn page(
    comparison: &Comparison,
    target: Option<f64>,
    budget: &Budget,
    outcomes: &[Outcome],
    plan: &[Planned],
    study: &StudyOptions,
) -> anyhow::Result<Study> {
    let first = outcomes.iter().find_map(|o| o.as_ref().ok()).map(|m| &m.summary);
    let dataset = first.map_or("?", |figures| &figures.dataset);
    let titles: Vec<&str> = comparison.methods.iter().map(|m| m.title()).collect();
    let mut lead = recommendation(comparison, target, budget);
    lead.extend(first.map(|figures| circumstances(figures, outcomes, budget)));
    lead.extend(study.jobs.note());
    let mut tables = tables(comparison, target);
    tables.push(own_settings(comparison, plan)?);
    Ok(Study {
        title: format!("{} on {dataset}", titles.join(", ")),
        name: "comparison".into(),
        command: study.command.clone().unwrap_or_default(),
        lead,
        claims: claims(comparison),
        legend: legend(),
        tables,
        charts: charts(comparison),
        machine: describe(git_commit().as_deref()),
        settings: common_settings(plan)?,
    })
}

/// The basis of the figures.
pub fn circumstances(figures: &Summary, outcomes: &[Outcome], budget: &Budget) -> String {
    let mut steps: Vec<u64> = outcomes.iter().flatten().map(|m| m.summary.steps).collect();
    steps.sort_unstable();
    let steps = match (steps.first(), steps.last()) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most} steps"),
        _ => count(figures.steps, "step"),
    };
    let runs = match budget.seeds {
        1 => "one run".into(),
        seeds => format!("{seeds} runs with a seed each"),
    };
    format!(
        "Every run trained for {} ({steps}) on {} with the same encoder, and was judged on {}. Each figure is of {runs}.",
        budget.words,
        count(figures.train_images, "image"),
        count(figures.test_images, "other image"),
    )
}

/// The settings that differ between the methods: heads, loss and optimiser.
fn own_settings(comparison: &Comparison, plan: &[Planned]) -> anyhow::Result<Table> {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for method in &comparison.methods {
        let own: Vec<&RunConfig> =
            plan.iter().filter(|p| p.method == *method).map(|p| &p.config).collect();
        let Some(first) = own.first() else { continue };
        let rates: Vec<String> = own
            .iter()
            .map(|config| format!("{:.3}", config.optimizer.peak(config.train.batch_size)))
            .collect();
        let table = toml::Table::try_from(first)?;
        let section = table.get(method.section()).and_then(toml::Value::as_table);
        let pairs = section.into_iter().flatten().map(|(key, value)| format!("{key} {value}"));
        rows.push(vec![
            method.title().into(),
            optimizer_title(first.optimizer.name).into(),
            rates.join(", ").into(),
            first.optimizer.weight_decay.to_string().into(),
            pairs.collect::<Vec<_>>().join(", ").into(),
        ]);
    }
    let sizes: Vec<String> = comparison.batch_sizes().iter().map(usize::to_string).collect();
    Ok(Table {
        title: "Each method's own settings".into(),
        caption: format!("Learning rates are for batches of {}.", sizes.join(", ")),
        header: ["", "optimiser", "learning rate", "weight decay", "heads and loss"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    })
}

fn optimizer_title(name: OptimizerName) -> &'static str {
    match name {
        OptimizerName::Sgd => "SGD",
        OptimizerName::AdamW => "AdamW",
        OptimizerName::Lars => "LARS",
    }
}

/// The settings that all runs have in common, as TOML.
fn common_settings(plan: &[Planned]) -> anyhow::Result<String> {
    let tables =
        plan.iter().map(|p| toml::Table::try_from(&p.config)).collect::<Result<Vec<_>, _>>()?;
    let Some((first, rest)) = tables.split_first() else { return Ok(String::new()) };
    Ok(toml::to_string(&rest.iter().fold(first.clone(), |common, own| shared(&common, own)))?)
}

/// The data that two tables share.
fn shared(a: &toml::Table, b: &toml::Table) -> toml::Table {
    let mut out = toml::Table::new();
    for (key, value) in a {
        match (value, b.get(key)) {
            (toml::Value::Table(a), Some(toml::Value::Table(b))) => {
                out.insert(key.clone(), shared(a, b).into());
            }
            (a, Some(b)) if a == b => {
                out.insert(key.clone(), a.clone());
            }
            _ => {}
        }
    }
    out
}

fn tables(comparison: &Comparison, target: Option<f64>) -> Vec<Table> {
    let sizes = comparison.batch_sizes();
    let mut tables = vec![at_best(comparison, target)];
    if sizes.len() > 1 {
        let table =
            |title, of: fn(&Repeats) -> String| by_batch_size(comparison, &sizes, title, of);
        let mut knn = table("k-NN accuracy by batch size", |repeats| accuracy(repeats.knn()));
        embolden(comparison, &sizes, &mut knn);
        tables.push(knn);
        tables.push(table("Images per second by batch size", |repeats| {
            rounded(repeats.median(|m| Some(m.summary.images_per_second)), 0)
        }));
        tables.push(table("Peak memory by batch size, MiB", |repeats| rounded(memory(repeats), 0)));
    }
    tables
}

/// In MiB.
fn memory(repeats: &Repeats) -> Option<f64> {
    repeats.median(|m| m.summary.peak_rss_bytes.map(|bytes| bytes as f64 / 1048576.0))
}

/// Each method at its best batch size, and the baselines without training.
fn at_best(comparison: &Comparison, target: Option<f64>) -> Table {
    let groups: Vec<&Group> =
        comparison.methods.iter().filter_map(|m| comparison.best(*m)).collect();
    let all: Vec<&Repeats> = groups.iter().map(|group| &group.repeats).collect();
    let (knn, probe) = (leaders(&all, |f| f.knn_top1), leaders(&all, |f| f.linear_top1));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (i, group) in groups.iter().enumerate() {
        let repeats = &group.repeats;
        let reached = target.map(|t| rounded(repeats.median(|m| m.seconds_to(t)), 0));
        let mut row: Vec<Cell> = vec![
            group.method.title().into(),
            finished(repeats).into(),
            group.batch_size.to_string().into(),
            accuracy_cell(repeats.knn(), knn[i]),
            accuracy_cell(repeats.probe(), probe[i]),
            rounded(repeats.median(|m| Some(m.summary.images_per_second)), 0).into(),
            rounded(repeats.median(|m| Some(m.summary.train_seconds)), 0).into(),
        ];
        row.extend(reached.map(Cell::from));
        row.extend([
            rounded(memory(repeats), 0).into(),
            rounded(repeats.mean(|f| Some(f.effective_rank)).map(|v| v.mean), 1).into(),
            repeats.verdict().map_or("–", |(_, headline)| headline).into(),
        ]);
        rows.push(row);
    }
    rows.extend(all.first().into_iter().flat_map(|first| baselines(first)));
    let mut header = ["", "runs", "batch", "k-NN", "linear probe", "images/s", "training, s"]
        .map(str::to_owned)
        .to_vec();
    header.extend(target.map(|t| format!("s to {:.1} %", 100.0 * t)));
    header.extend(["peak MiB", "rank", "collapse doctor"].map(str::to_owned));
    Table {
        title: "Each method at its best batch size".into(),
        caption: caption(comparison, target),
        header,
        rows,
    }
}

/// One row each for the untrained encoder and raw pixels, below the columns of names, runs, one
/// more, and k-NN.
pub fn baselines(repeats: &Repeats) -> Vec<Vec<Cell>> {
    let row = |name: &str, runs: String, value: Option<MeanDeviation>| -> Vec<Cell> {
        vec![name.into(), runs.into(), Cell::default(), accuracy(value).into()]
    };
    vec![
        row("untrained encoder", finished(repeats), repeats.untrained()),
        row("raw pixels", String::new(), repeats.pixels()),
    ]
}

fn caption(comparison: &Comparison, target: Option<f64>) -> String {
    let images = comparison.groups.iter().flat_map(|g| g.repeats.measured()).next();
    let images = images.map_or(String::new(), |m| {
        format!(" on {}", count(m.summary.test_images, "held-out image"))
    });
    let several = comparison.is_repeated();
    let mut caption = format!("Accuracies in percent{images}: ");
    caption += match several {
        true => "mean ± deviation over the runs, and medians in the other columns.",
        false => "of one run each.",
    };
    caption += " Bold: the highest, and what cannot be told from it; none is bold where nothing can be told apart.";
    if comparison.batch_sizes().len() > 1 {
        caption += " The batch size is chosen by the same accuracies, so the best of a row is a little flattered.";
    }
    if target.is_some() {
        caption += " Time to an accuracy is of training, up to the first evaluation that finds it.";
    }
    let failed: Vec<String> = comparison
        .groups
        .iter()
        .filter(|g| g.repeats.failed() > 0)
        .map(|g| format!("{} at batch {} ({})", g.method.title(), g.batch_size, g.repeats.failed()))
        .collect();
    if !failed.is_empty() {
        caption += &format!(" Runs that ended in an error: {}.", failed.join(", "));
    }
    caption
}

/// A row for each method, a column for each batch size.
fn by_batch_size(
    comparison: &Comparison,
    sizes: &[usize],
    title: &str,
    of: fn(&Repeats) -> String,
) -> Table {
    let cell = |method: Method, size: usize| {
        let group = comparison.of(method).find(|g| g.batch_size == size);
        Cell::from(group.map_or("–".into(), |g| of(&g.repeats)))
    };
    let rows = comparison.methods.iter().map(|method| {
        let cells = sizes.iter().map(|size| cell(*method, *size));
        std::iter::once(Cell::from(method.title())).chain(cells).collect()
    });
    let mut header = vec![String::new()];
    header.extend(sizes.iter().map(|size| format!("batch {size}")));
    Table { title: title.into(), caption: String::new(), header, rows: rows.collect() }
}

/// Sets the best methods at each batch size in bold.
fn embolden(comparison: &Comparison, sizes: &[usize], table: &mut Table) {
    for (column, size) in sizes.iter().enumerate() {
        let own: Vec<(usize, &Repeats)> = comparison
            .methods
            .iter()
            .enumerate()
            .filter_map(|(row, method)| {
                let group = comparison.of(*method).find(|g| g.batch_size == *size)?;
                Some((row, &group.repeats))
            })
            .collect();
        let all: Vec<&Repeats> = own.iter().map(|(_, repeats)| *repeats).collect();
        for ((row, _), strong) in own.iter().zip(leaders(&all, |f| f.knn_top1)) {
            table.rows[*row][column + 1].strong = strong;
        }
    }
}

fn charts(comparison: &Comparison) -> Vec<Chart> {
    let sizes = comparison.batch_sizes();
    let mut charts = vec![
        over_training(comparison, "k-NN accuracy against time", "seconds of training", |m| {
            m.seconds
        }),
        over_training(comparison, "k-NN accuracy against epochs", "epoch", |m| m.epoch),
    ];
    if sizes.len() > 1 {
        charts.push(against_batch_size(
            comparison,
            "k-NN accuracy against batch size",
            "top-1, percent",
            |repeats| {
                let value = repeats.knn()?;
                Some((100.0 * value.mean, Some(range(value))))
            },
        ));
        charts.push(against_batch_size(
            comparison,
            "Speed against batch size",
            "images per second",
            |repeats| Some((repeats.median(|m| Some(m.summary.images_per_second))?, None)),
        ));
        charts.push(against_batch_size(
            comparison,
            "Effective rank against batch size",
            "effective rank of the features",
            |repeats| Some((repeats.mean(|f| Some(f.effective_rank))?.mean, None)),
        ));
        charts.push(against_batch_size(
            comparison,
            "Peak memory against batch size",
            "MiB",
            |repeats| {
                let memory = |m: &Measured| Some(m.summary.peak_rss_bytes? as f64);
                Some((repeats.median(memory)? / 1048576.0, None))
            },
        ));
    }
    charts
}

/// Each method at its best batch size, with its median seed.
fn over_training(
    comparison: &Comparison,
    title: &str,
    x_label: &str,
    x: impl Fn(&Moment) -> f64,
) -> Chart {
    let mut lines = Vec::new();
    for method in &comparison.methods {
        let Some(group) = comparison.best(*method) else { continue };
        let mut runs: Vec<_> = group.repeats.measured().collect();
        runs.sort_by(|a, b| {
            let knn = |m: &Measured| m.summary.knn_top1.unwrap_or_default();
            knn(a).total_cmp(&knn(b))
        });
        let Some(run) = runs.get(runs.len() / 2) else { continue };
        let points = run.curve.iter().map(|m| [x(m), 100.0 * m.knn_top1]).collect();
        lines.push(Line::measured(method.title(), points));
    }
    let pixels = comparison.groups.iter().find_map(|g| g.repeats.pixels());
    let untrained = comparison.groups.iter().find_map(|g| g.repeats.untrained());
    let end = lines.iter().flat_map(|l| &l.points).map(|p| p[0]).fold(0.0, f64::max);
    for (name, value) in [("raw pixels", pixels), ("untrained encoder", untrained)] {
        if let Some(value) = value {
            let level = 100.0 * value.mean;
            lines.push(Line::baseline(name, vec![[0.0, level], [end, level]]));
        }
    }
    Chart {
        title: title.into(),
        caption: format!(
            "On held-out images{}{}.",
            if comparison.batch_sizes().len() > 1 {
                ", each method at its best batch size"
            } else {
                ""
            },
            if comparison.is_repeated() { "; of its seeds the one in the middle" } else { "" }
        ),
        x_label: x_label.into(),
        y_label: "top-1, percent".into(),
        lines,
        ..Chart::default()
    }
}

fn against_batch_size(
    comparison: &Comparison,
    title: &str,
    y_label: &str,
    of: impl Fn(&Repeats) -> Option<(f64, Option<[f64; 2]>)>,
) -> Chart {
    let mut lines = Vec::new();
    for method in &comparison.methods {
        let mut own: Vec<&Group> = comparison.of(*method).collect();
        own.sort_by_key(|group| group.batch_size);
        let (mut points, mut ranges) = (Vec::new(), Vec::new());
        for group in own {
            if let Some((value, range)) = of(&group.repeats) {
                points.push([group.batch_size as f64, value]);
                ranges.extend(range);
            }
        }
        lines.push(Line { ranges, ..Line::measured(method.title(), points) });
    }
    Chart {
        title: title.into(),
        caption: match comparison.is_repeated() {
            false => "Of one run each.".into(),
            true => "Means over the seeds; whiskers are one deviation to either side.".into(),
        },
        x_label: "batch size".into(),
        y_label: y_label.into(),
        log_x: true,
        lines,
        ..Chart::default()
    }
}
