//! What a comparison shows: tables, curves and words.

use selfsame_report::{Cell, Chart, Line, Study, Table};

use super::claims::{claims, recommendation};
use super::compare::Planned;
use super::comparison::{Comparison, Group};
use super::figures::{Repeats, accuracy, accuracy_cell, range, rounded};
use super::measured::{Measured, Moment};
use super::publish::command_line;
use super::trials::{Jobs, Outcome};
use crate::config::{OptimizerName, RunConfig};
use crate::machine::describe;
use crate::methods::Method;
use crate::run_folder::git_commit;

pub fn page(
    comparison: &Comparison,
    target: Option<f64>,
    budget: &str,
    outcomes: &[Outcome],
    plan: &[Planned],
    jobs: Jobs,
) -> anyhow::Result<Study> {
    let first = outcomes.iter().find_map(|o| o.as_ref().ok()).map(|m| &m.summary);
    let dataset = first.map_or("?", |figures| &figures.dataset);
    let titles: Vec<&str> = comparison.methods.iter().map(|m| m.title()).collect();
    let mut lead = recommendation(comparison, target);
    if let Some(figures) = first {
        lead.push(format!(
            "Every run trained for {budget} on {} images and was judged on {} others; {} of each, and the same encoder \
             for all.",
            figures.train_images,
            figures.test_images,
            if comparison.seeds == 1 { "one run".into() } else { format!("{} seeds", comparison.seeds) }
        ));
    }
    lead.extend(jobs.note());
    let mut tables = tables(comparison, target);
    tables.push(own_settings(comparison, plan)?);
    Ok(Study {
        title: format!("{} on {dataset}", titles.join(", ")),
        name: "comparison".into(),
        command: command_line(),
        lead,
        claims: claims(comparison),
        tables,
        charts: charts(comparison),
        machine: describe(git_commit().as_deref()),
        settings: common_settings(plan)?,
    })
}

/// What differs between the methods by choice: heads, loss and optimiser.
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
        let section = table.get(&method.section()).and_then(toml::Value::as_table);
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

/// What two tables agree on.
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
        tables.push(by_batch_size(comparison, &sizes, "k-NN accuracy by batch size", &|repeats| {
            (accuracy(repeats.knn()), repeats.knn().map(|v| v.mean))
        }));
        tables.push(by_batch_size(
            comparison,
            &sizes,
            "Images per second by batch size",
            &|repeats| {
                let rate = repeats.median(|m| Some(m.summary.images_per_second));
                (rounded(rate, 0), rate)
            },
        ));
        tables.push(by_batch_size(
            comparison,
            &sizes,
            "Peak memory by batch size, MiB",
            &|repeats| {
                let memory =
                    repeats.median(|m| m.summary.peak_rss_bytes.map(|b| b as f64 / 1048576.0));
                (rounded(memory, 0), memory.map(|m| -m))
            },
        ));
    }
    tables
}

/// Each method where it is most accurate.
fn at_best(comparison: &Comparison, target: Option<f64>) -> Table {
    let groups: Vec<&Group> =
        comparison.methods.iter().filter_map(|m| comparison.best(*m)).collect();
    let best =
        |of: &dyn Fn(&Group) -> Option<f64>| groups.iter().filter_map(|g| of(g)).reduce(f64::max);
    let knn = best(&|g| Some(g.repeats.knn()?.mean));
    let probe = best(&|g| Some(g.repeats.probe()?.mean));
    let first = groups.first().map(|g| &g.repeats);
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for group in &groups {
        let repeats = &group.repeats;
        let reached = target.and_then(|t| repeats.median(|m| m.seconds_to(t)));
        let collapse = repeats.verdict().map_or("–", |(_, headline)| headline);
        rows.push(vec![
            group.method.title().into(),
            group.batch_size.to_string().into(),
            accuracy_cell(repeats.knn(), knn),
            accuracy_cell(repeats.probe(), probe),
            rounded(repeats.median(|m| Some(m.summary.images_per_second)), 0).into(),
            rounded(repeats.median(|m| Some(m.summary.train_seconds)), 0).into(),
            rounded(reached, 0).into(),
            rounded(repeats.median(|m| m.summary.peak_rss_bytes.map(|b| b as f64 / 1048576.0)), 0)
                .into(),
            rounded(repeats.mean(|f| Some(f.effective_rank)).map(|v| v.mean), 1).into(),
            collapse.into(),
        ]);
    }
    if let Some(first) = first {
        for (name, value) in [
            ("untrained encoder", first.mean(|f| f.knn_top1_random_init)),
            ("raw pixels", first.mean(|f| f.knn_top1_pixels)),
        ] {
            rows.push(vec![name.into(), Cell::default(), accuracy(value).into()]);
        }
    }
    let failed: Vec<String> = comparison
        .groups
        .iter()
        .filter(|g| g.repeats.failed() > 0)
        .map(|g| format!("{} at batch {} ({})", g.method.title(), g.batch_size, g.repeats.failed()))
        .collect();
    let failed = match failed.is_empty() {
        true => String::new(),
        false => format!(" Runs that ended in an error: {}.", failed.join(", ")),
    };
    let time = target.map_or("time to accuracy".into(), |t| format!("s to {:.1} %", 100.0 * t));
    Table {
        title: "Each method at its best batch size".into(),
        caption: format!(
            "Accuracies in percent on held-out images, mean ± deviation over the seeds; the rest are medians. Time to \
             accuracy is of training, at the first evaluation that finds it. The batch size is chosen by the same \
             accuracies, so the best of a row is a little flattered.{failed}"
        ),
        header: [
            "",
            "batch",
            "k-NN",
            "linear probe",
            "images/s",
            "training, s",
            &time,
            "peak MiB",
            "rank",
            "collapse doctor",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}

/// A row for each method, a column for each batch size; `of` gives the text and what to rank by.
fn by_batch_size(
    comparison: &Comparison,
    sizes: &[usize],
    title: &str,
    of: &dyn Fn(&Repeats) -> (String, Option<f64>),
) -> Table {
    let cell = |method: Method, size: usize| {
        let group = comparison.of(method).find(|g| g.batch_size == size);
        group.map_or(("–".into(), None), |g| of(&g.repeats))
    };
    let best: Vec<Option<f64>> = sizes
        .iter()
        .map(|size| comparison.methods.iter().filter_map(|m| cell(*m, *size).1).reduce(f64::max))
        .collect();
    let rows = comparison.methods.iter().map(|method| {
        let mut row = vec![Cell::from(method.title())];
        for (size, best) in sizes.iter().zip(&best) {
            let (text, rank) = cell(*method, *size);
            row.push(Cell { text, strong: rank.is_some() && rank == *best, ..Cell::default() });
        }
        row
    });
    let mut header = vec![String::new()];
    header.extend(sizes.iter().map(|size| format!("batch {size}")));
    Table { title: title.into(), caption: String::new(), header, rows: rows.collect() }
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

/// Each method at its best batch size, the seed in the middle.
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
    let pixels = comparison.groups.iter().find_map(|g| g.repeats.mean(|f| f.knn_top1_pixels));
    let end = lines.iter().flat_map(|l| &l.points).map(|p| p[0]).fold(0.0, f64::max);
    if let Some(pixels) = pixels {
        let level = 100.0 * pixels.mean;
        lines.push(Line::baseline("raw pixels", vec![[0.0, level], [end, level]]));
    }
    Chart {
        title: title.into(),
        caption: "On held-out images, each method at its best batch size; of its seeds the one in the middle.".into(),
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
        caption: "Means over the seeds; whiskers are one deviation to either side.".into(),
        x_label: "batch size".into(),
        y_label: y_label.into(),
        log_x: true,
        lines,
        ..Chart::default()
    }
}
