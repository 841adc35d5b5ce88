//! `cargo xtask compare`: methods side by side.

use std::path::PathBuf;

use clap::Args;
use selfsame_report::{Cell, Chart, Line, Study, Table};
use serde_json::json;

use super::ablate::record;
use super::claims::{claims, recommendation};
use super::figures::{Repeats, accuracy, accuracy_cell, range, rounded};
use super::publish::{command_line, default_folder, publish};
use super::trials::{Outcome, StudyFolder, Trial};
use crate::config::{LearningRateScaling, Overrides, RunConfig};
use crate::machine::describe;
use crate::methods::{Method, MethodConfig};
use crate::run_folder::git_commit;
use crate::usage::usage;

/// Compare methods: accuracy, cost, dependence on the batch size, collapse.
///
/// Trains every method on the same images with the same encoder for the same budget, for each batch size and seed,
/// each run in a process of its own, and writes one page, Markdown and JSON: tables, curves, what is said of the
/// methods and whether these runs show it, and which to choose. A comparison that was cut off goes on with the same
/// command.
///
/// A method keeps its own heads and learning rate (`cargo xtask config METHOD`). The rate grows with the square root
/// of the batch size, from the batch size that it was chosen for, unless optimizer.scaling says otherwise. A setting
/// of one method, such as `--set byol.tau_base=0.99`, leaves the others alone.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask compare byol barlow-twins
  cargo xtask compare byol barlow-twins simclr --batch-sizes 32,64,256 --seeds 3 --epochs 10
  cargo xtask compare byol barlow-twins --images my-photos/ --minutes 10 --out runs/mine")]
pub struct CompareArgs {
    /// Two or more methods.
    #[arg(value_parser = Method::parse, required = true, num_args = 1..)]
    methods: Vec<Method>,
    #[command(flatten)]
    overrides: Overrides,
    /// Images in a step, as many as are to be compared [default: each method's own].
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    batch_sizes: Vec<usize>,
    /// Runs of each, with seeds that follow on --seed.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Passes over the training images, the same for all [default: 10].
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    epochs: Option<u64>,
    /// Train each run for about so many minutes instead; a short run first measures how fast each is.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<f64>,
    /// Report the time to this k-NN accuracy, from 0 to 1 [default: what every method reaches].
    #[arg(long, value_name = "ACCURACY")]
    accuracy: Option<f64>,
    /// The comparison's folder [default: runs/compare-DATASET].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the figures of all runs as JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// A method at a batch size.
pub struct Group<'a> {
    pub method: Method,
    pub batch_size: usize,
    pub repeats: Repeats<'a>,
}

/// What all runs have in common, and their groups: by method, then by batch size.
pub struct Comparison<'a> {
    pub groups: Vec<Group<'a>>,
    pub methods: Vec<Method>,
    pub seeds: u64,
}

impl<'a> Comparison<'a> {
    pub fn of(&self, method: Method) -> impl Iterator<Item = &Group<'a>> + '_ {
        self.groups.iter().filter(move |group| group.method == method)
    }

    /// A method at the batch size where it is most accurate.
    pub fn best(&self, method: Method) -> Option<&Group<'a>> {
        let scored = self.of(method).filter_map(|g| Some((g.repeats.knn()?.mean, g)));
        scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, group)| group)
    }
}

pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    check(args)?;
    let mut methods = args.methods.clone();
    let mut seen = Vec::new();
    methods.retain(|method| {
        !seen.contains(method) && {
            seen.push(*method);
            true
        }
    });
    let bases = methods.iter().map(|m| base(args, *m)).collect::<anyhow::Result<Vec<_>>>()?;
    let stem = format!("compare-{}", bases[0].data.name());
    let folder = StudyFolder::open(&args.out.clone().unwrap_or_else(|| default_folder(&stem)))?;

    // Everything is checked before the first run begins.
    let mut plan = Vec::new();
    for base in &bases {
        let own = [base.train.batch_size];
        let sizes = if args.batch_sizes.is_empty() { &own[..] } else { &args.batch_sizes };
        for batch_size in sizes {
            let mut config = at_batch_size(base, *batch_size);
            config.train.epochs = args.epochs.unwrap_or(10);
            config.validate()?;
            plan.push((base.method, *batch_size, config));
        }
    }
    if let Some(minutes) = args.minutes {
        measure_epochs(&folder, &mut plan, minutes)?;
    }
    let mut trials = Vec::new();
    for (method, batch_size, config) in &plan {
        for seed in config.seed..config.seed + args.seeds {
            let name = format!("{}-b{batch_size}-s{seed}", method.name());
            trials.push(Trial { name, config: RunConfig { seed, ..config.clone() } });
        }
    }
    let outcomes = folder.run(&trials)?;
    let groups = plan.iter().zip(outcomes.chunks(args.seeds as usize));
    let groups = groups.map(|((method, batch_size, _), own)| Group {
        method: *method,
        batch_size: *batch_size,
        repeats: Repeats { outcomes: own.iter().collect() },
    });
    let comparison = Comparison { groups: groups.collect(), methods, seeds: args.seeds };

    let target = args.accuracy.or_else(|| common_accuracy(&comparison));
    let budget = match (args.minutes, args.epochs.unwrap_or(10)) {
        (Some(minutes), _) => format!("{minutes} minutes of training"),
        (None, epochs) => format!("{epochs} epochs"),
    };
    let page = page(&comparison, target, &budget, &outcomes, &plan)?;
    let runs: Vec<_> = trials.iter().zip(&outcomes).map(|(t, o)| record(&t.name, o)).collect();
    publish(&folder, &page, &runs)?;
    if args.json {
        let all = json!({"lead": page.lead, "claims": page.claims, "runs": runs});
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        print!("{}", page.to_markdown());
        println!("\n{}", folder.path().join("index.html").display());
    }
    Ok(())
}

fn check(args: &CompareArgs) -> anyhow::Result<()> {
    if args.seeds == 0 {
        return Err(usage("--seeds: at least 1"));
    }
    if args.epochs == Some(0) {
        return Err(usage("--epochs: at least 1"));
    }
    if args.minutes.is_some_and(|minutes| !(minutes > 0.0 && minutes.is_finite())) {
        return Err(usage("--minutes: above 0"));
    }
    if args.accuracy.is_some_and(|accuracy| !(0.0..=1.0).contains(&accuracy)) {
        return Err(usage("--accuracy: from 0 to 1"));
    }
    Ok(())
}

/// The settings of a method, without those that belong to another one.
fn base(args: &CompareArgs, method: Method) -> anyhow::Result<RunConfig> {
    let mut overrides = args.overrides.clone();
    let others: Vec<Method> = Method::ALL.into_iter().filter(|other| *other != method).collect();
    overrides.set.retain(|assignment| {
        let section = assignment.split(['.', '=']).next().unwrap_or_default().trim();
        !others.iter().any(|other| other.section() == section)
    });
    overrides.resolve(method)
}

/// The same settings for another batch size.
fn at_batch_size(base: &RunConfig, batch_size: usize) -> RunConfig {
    let mut config = base.clone();
    config.train.batch_size = batch_size;
    if base.optimizer.scaling == LearningRateScaling::None {
        let factor = (batch_size as f64 / base.train.batch_size as f64).sqrt();
        config.optimizer.learning_rate *= factor;
    }
    if let MethodConfig::WMse(w_mse) = &mut config.settings {
        w_mse.sub_batch = w_mse.sub_batch.min(batch_size);
    }
    config
}

/// Gives each run the epochs that fill its minutes, by a short run of each kind.
fn measure_epochs(
    folder: &StudyFolder,
    plan: &mut [(Method, usize, RunConfig)],
    minutes: f64,
) -> anyhow::Result<()> {
    let mut trials = Vec::new();
    for (method, batch_size, config) in plan.iter() {
        let mut short = config.clone();
        let images = (16 * batch_size).max(1024);
        short.data.limit = Some(short.data.limit.map_or(images, |limit| limit.min(images)));
        short.train.epochs = 2;
        short.train.warmup_epochs = short.train.warmup_epochs.min(1.0);
        short.eval.every = 0;
        short.eval.linear_probe = false;
        let name = format!("{}-b{batch_size}-speed", method.name());
        trials.push(Trial { name, config: short });
    }
    let outcomes = folder.run(&trials)?;
    for ((method, _, config), outcome) in plan.iter_mut().zip(outcomes) {
        let measured = outcome.map_err(|reason| anyhow::anyhow!("{}: {reason}", method.name()))?;
        let data = crate::data::open(&mut config.clone())?;
        let epochs = minutes * 60.0 * measured.summary.images_per_second / data.train.len() as f64;
        config.train.epochs = (epochs.round() as u64).max(1);
        let most = config.train.epochs as f64;
        config.train.warmup_epochs = config.train.warmup_epochs.min(most);
    }
    Ok(())
}

/// What every method reaches at its best batch size, on average.
fn common_accuracy(comparison: &Comparison) -> Option<f64> {
    let best = comparison.methods.iter().filter_map(|m| comparison.best(*m)?.repeats.knn());
    best.map(|v| v.mean).reduce(f64::min)
}

fn page(
    comparison: &Comparison,
    target: Option<f64>,
    budget: &str,
    outcomes: &[Outcome],
    plan: &[(Method, usize, RunConfig)],
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
    let settings = plan.iter().map(|(_, _, config)| Ok(toml::to_string(config)?));
    let settings = settings.take(1).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Study {
        title: format!("{} on {dataset}", titles.join(", ")),
        name: "comparison".into(),
        command: command_line(),
        lead,
        claims: claims(comparison),
        tables: tables(comparison, target),
        charts: charts(comparison),
        machine: describe(git_commit().as_deref()),
        settings: settings.concat(),
    })
}

fn batch_sizes(comparison: &Comparison) -> Vec<usize> {
    let mut sizes: Vec<usize> = comparison.groups.iter().map(|g| g.batch_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn tables(comparison: &Comparison, target: Option<f64>) -> Vec<Table> {
    let sizes = batch_sizes(comparison);
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
    let sizes = batch_sizes(comparison);
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
                let memory = |m: &super::measured::Measured| Some(m.summary.peak_rss_bytes? as f64);
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
    x: impl Fn(&super::measured::Moment) -> f64,
) -> Chart {
    let mut lines = Vec::new();
    for method in &comparison.methods {
        let Some(group) = comparison.best(*method) else { continue };
        let mut runs: Vec<_> = group.repeats.measured().collect();
        runs.sort_by(|a, b| {
            let knn = |m: &super::measured::Measured| m.summary.knn_top1.unwrap_or_default();
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
