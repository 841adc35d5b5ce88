use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use selfsame_report::comparison;

use super::{load, save};
use crate::run_folder::REPORT;
use crate::usage::usage;

/// Make the page of a run anew, or one page that compares several runs.
///
/// Every run leaves its page, report.html, by itself, and an evaluation puts its tables there; this makes it
/// again from report.json. Of several runs it lays figures, verdicts, curves, tables and neighbours side by side and shows the
/// settings that differ.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask report runs/byol-fashion-mini
  cargo xtask report runs/byol-fashion-mini runs/barlow-twins-fashion-mini --out comparison.html")]
pub struct ReportArgs {
    /// The runs' folders.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page [default: report.html in the run's folder, or comparison.html here for several runs].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let reports = args.runs.iter().map(|run| load(run)).collect::<anyhow::Result<Vec<_>>>()?;
    let page = match (reports.as_slice(), args.runs.as_slice()) {
        ([report], [run]) => {
            if args.out.is_none() {
                save(run, report)?;
                println!("{}", run.join(REPORT).display());
                return Ok(());
            }
            selfsame_report::page(report)?
        }
        ([], _) => return Err(usage("report needs a run")),
        (reports, _) => comparison(reports)?,
    };
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("comparison.html"));
    std::fs::write(&out, page).with_context(|| format!("cannot write {}", out.display()))?;
    println!("{}", out.display());
    Ok(())
}
