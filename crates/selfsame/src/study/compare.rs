//! Methods side by side.

use std::sync::Arc;

use super::ablate::record;
use super::budget::Budget;
use super::comparison::{Comparison, Group};
use super::figures::Repeats;
use super::pages::compare::page;
use super::pages::method_chart::method_chart;
use super::pages::publish::{default_folder, publish};
use super::trials::{StudyFolder, Trial};
use super::{Studied, StudyOptions};
use crate::error::{Result, usage};
use crate::folder::replace;
use crate::observer::{Observer, Voice};
use crate::settings::Method;
use crate::settings::{LearningRateScaling, Overrides, RunConfig};

/// The settings of a comparison.
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// Two or more methods.
    pub methods: Vec<Method>,
    /// Settings of all runs. A setting of one method does not change the others.
    pub overrides: Overrides,
    /// Batch sizes. If empty, that of each method.
    pub batch_sizes: Vec<usize>,
    /// Epochs of every run; 10 by default.
    pub epochs: Option<u64>,
    /// Train each run for about this many minutes, in place of epochs.
    pub minutes: Option<f64>,
    /// Report the time to this k-NN accuracy, from 0 to 1.
    pub accuracy: Option<f64>,
    /// The options of all studies.
    pub study: StudyOptions,
}

/// The settings of a method for a batch size.
pub struct Planned {
    pub method: Method,
    pub batch_size: usize,
    pub config: RunConfig,
}

/// Trains every method with the same images, encoder and budget, and writes the results.
///
/// # Errors
/// Settings cannot be used, the study was interrupted, or files cannot be written.
pub fn compare(options: &CompareOptions, observer: Arc<dyn Observer>) -> Result<Studied> {
    Ok(run(options, &Voice::new(observer))?)
}

fn run(args: &CompareOptions, voice: &Voice) -> anyhow::Result<Studied> {
    check(args)?;
    let methods = once_each(&args.methods);
    if let [method] = methods[..] {
        let other = Method::ALL.into_iter().find(|other| *other != method).unwrap_or(method);
        return Err(usage(format!(
            "{0} alone has nothing to be compared with: name two methods or more, such as \
             `selfsame compare {0} {1}`; `selfsame ablate {0}` shows what each part of {0} is for",
            method.name(),
            other.name()
        )));
    }
    let bases = methods.iter().map(|m| base(args, *m)).collect::<anyhow::Result<Vec<_>>>()?;
    let stem = format!("compare-{}", bases[0].data.name());
    let folder =
        StudyFolder::open(&args.study.out.clone().unwrap_or_else(|| default_folder(&stem)))?;

    // Everything is checked before the first run begins.
    let mut plan = Vec::new();
    for base in &bases {
        let sizes = match args.batch_sizes.is_empty() {
            true => vec![base.train.batch_size],
            false => once_each(&args.batch_sizes),
        };
        for batch_size in sizes {
            let mut config = at_batch_size(base, batch_size);
            config.train.epochs = epochs(args, base);
            config.validate()?;
            plan.push(Planned { method: base.method, batch_size, config });
        }
    }
    if let Some(minutes) = args.minutes {
        measure_epochs(&folder, &mut plan, minutes, &args.study, voice)?;
    }
    let mut trials = Vec::new();
    for Planned { method, batch_size, config } in &plan {
        for seed in args.study.seeds_from(config.seed)? {
            let name = format!("{}-b{batch_size}-s{seed}", method.name());
            trials.push(Trial { name, config: RunConfig { seed, ..config.clone() } });
        }
    }
    let outcomes = folder.run(&trials, &args.study, voice)?;
    let groups = plan.iter().zip(outcomes.chunks(args.study.seeds as usize));
    let groups = groups.map(|(planned, own)| Group {
        method: planned.method,
        batch_size: planned.batch_size,
        repeats: Repeats { outcomes: own.iter().collect() },
    });
    let comparison = Comparison { groups: groups.collect(), methods };

    let target = args.accuracy.or_else(|| comparison.common_accuracy());
    let own = bases.iter().map(|base| base.train.epochs).max().unwrap_or(0);
    let budget = match args.minutes {
        Some(minutes) => Budget::minutes(minutes),
        None => Budget::epochs(
            "--epochs ",
            bases.iter().map(|base| epochs(args, base)).max().unwrap_or(0),
            own,
        ),
    };
    let limited =
        bases.iter().any(|base| base.data.limit.is_some() || base.data.fraction.is_some());
    let budget = budget.with(args.study.seeds, limited);
    let page = page(&comparison, target, &budget, &outcomes, &plan, &args.study)?;
    let runs: Vec<_> = trials.iter().zip(&outcomes).map(|(t, o)| record(&t.name, o)).collect();
    publish(&folder, &page, &runs)?;
    for method in &comparison.methods {
        let chart = method_chart(&comparison, *method).to_svg();
        let path = folder.path().join(method.name()).with_extension("svg");
        replace(&path, chart.as_bytes())?;
    }
    Ok(Studied::new(&folder, &page, &runs))
}

/// A year.
const MOST_MINUTES: f64 = 525_600.0;

fn check(args: &CompareOptions) -> anyhow::Result<()> {
    args.study.validate()?;
    args.study.interrupt.training_begins();
    if args.epochs == Some(0) {
        return Err(usage("--epochs: at least 1"));
    }
    if args.minutes.is_some_and(|minutes| !(minutes > 0.0 && minutes <= MOST_MINUTES)) {
        return Err(usage(format!("--minutes: above 0, and at most {MOST_MINUTES}")));
    }
    if args.accuracy.is_some_and(|accuracy| !(0.0..=1.0).contains(&accuracy)) {
        return Err(usage("--accuracy: from 0 to 1"));
    }
    Ok(())
}

/// Without repetitions, in the same order.
fn once_each<T: PartialEq + Clone>(all: &[T]) -> Vec<T> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(one) {
            seen.push(one.clone());
        }
    }
    seen
}

/// The settings for a method, without those of other methods.
fn base(args: &CompareOptions, method: Method) -> anyhow::Result<RunConfig> {
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
    config.settings = config.settings.for_batch(batch_size);
    config
}

/// The same for all methods: the budget of the request, not that of recipes.
fn epochs(args: &CompareOptions, base: &RunConfig) -> u64 {
    const DEFAULT: u64 = 10;
    let asked =
        |set: &String| set.split('=').next().is_some_and(|key| key.trim() == "train.epochs");
    let set = args.overrides.set.iter().any(asked).then_some(base.train.epochs);
    args.epochs.or(set).unwrap_or(DEFAULT)
}

/// Sets the epochs that fill the minutes of each run. A short run of each kind measures the speed.
fn measure_epochs(
    folder: &StudyFolder,
    plan: &mut [Planned],
    minutes: f64,
    study: &StudyOptions,
    voice: &Voice,
) -> anyhow::Result<()> {
    let mut trials = Vec::new();
    for Planned { method, batch_size, config } in plan.iter() {
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
    let outcomes = folder.run(&trials, study, voice)?;
    for (Planned { method, config, .. }, outcome) in plan.iter_mut().zip(outcomes) {
        let measured = outcome.map_err(|reason| anyhow::anyhow!("{}: {reason}", method.name()))?;
        let data = crate::images::open(&mut config.clone(), voice)?;
        let epochs = minutes * 60.0 * measured.summary.images_per_second / data.train.len() as f64;
        config.train.epochs = (epochs.round() as u64).max(1);
        let most = config.train.epochs as f64;
        config.train.warmup_epochs = config.train.warmup_epochs.min(most);
    }
    Ok(())
}
