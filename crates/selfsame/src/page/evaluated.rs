//! An evaluation, with its figures on the run's page.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::evaluation::{Options, Outcome, measure};
use crate::folder::{EVALUATION, REPORT, REPORT_DATA, replace, writable};
use crate::observer::{Observer, Voice};

use super::tables::add_evaluation;
use super::{load, save};

/// The result of an evaluation, and its files.
#[derive(Debug)]
pub struct Evaluated {
    /// All figures.
    pub outcome: Outcome,
    /// The file of the figures as JSON, if they are for the run's own weights.
    pub figures: Option<PathBuf>,
    /// The run's page, if the figures were added to it.
    pub report: Option<PathBuf>,
}

/// Evaluates the encoder of a run, next to baselines.
///
/// # Errors
/// The folder holds no run; or the images, the weights or the device cannot be used.
pub fn evaluate(options: &Options, observer: Arc<dyn Observer>) -> Result<Evaluated> {
    Ok(measured(options, &Voice::new(observer))?)
}

fn measured(options: &Options, voice: &Voice) -> anyhow::Result<Evaluated> {
    // Figures of other weights do not belong to the run.
    let own = options.weights.is_none();
    // An interrupted run has no report yet.
    let page = own && options.run.join(REPORT_DATA).is_file();
    // What cannot be written or read is said before the work, not after it.
    if own && options.run.is_dir() {
        writable(&options.run)?;
    }
    if page {
        load(&options.run)?;
    }
    let outcome = measure(options, voice)?;
    let name = match outcome.transfer {
        true => format!("eval-{}.json", outcome.dataset),
        false => EVALUATION.into(),
    };
    let path = options.run.join(name.replace(['/', '\\'], "-"));
    if own {
        replace(&path, serde_json::to_string_pretty(&outcome)?.as_bytes())?;
    }
    if page {
        let mut page = load(&options.run)?;
        add_evaluation(&mut page, &outcome);
        save(&options.run, &page)?;
    }
    let report = page.then(|| options.run.join(REPORT));
    Ok(Evaluated { outcome, figures: own.then_some(path), report })
}
