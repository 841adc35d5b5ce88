//! Pages of existing runs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use selfsame_report::comparison;

use super::{load, save};
use crate::error::{Result, usage};
use crate::folder::{REPORT, check_not_of_a_run};

/// Remakes the page of a run from its `report.json`, or makes one page with several runs side by
/// side. Returns its path: `out`, or else `report.html` in the run's folder, or `comparison.html`
/// here for several runs.
///
/// # Errors
/// A folder has no report, or the page cannot be written.
pub fn report(runs: &[PathBuf], out: Option<&Path>) -> Result<PathBuf> {
    Ok(pages(runs, out)?)
}

fn pages(runs: &[PathBuf], out: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(out) = out {
        check_not_of_a_run(out)?;
    }
    let reports = runs.iter().map(|run| load(run)).collect::<anyhow::Result<Vec<_>>>()?;
    let page = match (reports.as_slice(), runs) {
        ([], _) => return Err(usage("report needs at least one run")),
        ([report], [run]) if out.is_none() => {
            save(run, report)?;
            return Ok(run.join(REPORT));
        }
        ([report], _) => selfsame_report::page(report)?,
        (reports, _) => comparison(reports)?,
    };
    let out = out.unwrap_or("comparison.html".as_ref());
    std::fs::write(out, page).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(out.to_owned())
}
