//! `selfsame report`

use std::path::PathBuf;

use clap::Args;
use selfsame::make_report;

/// Remake the page of a run, or make one page that compares several runs.
///
/// Every run writes its page, report.html, and an evaluation adds its tables. This command makes
/// the page again from report.json. For several runs, it puts figures, verdicts, curves, tables and
/// neighbours side by side and shows the settings that differ.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame report runs/byol-fashion-mini
  selfsame report runs/byol-fashion-mini runs/barlow-twins-fashion-mini --out comparison.html")]
pub struct ReportArgs {
    /// The runs' folders.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page to write [default: report.html in the run's folder; for several runs,
    /// comparison.html in this folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes the page and prints where it is.
pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    println!("{}", make_report(&args.runs, args.out.as_deref())?.display());
    Ok(())
}
