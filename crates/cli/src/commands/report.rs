//! `selfsame report`

use std::path::PathBuf;

use clap::Args;
use selfsame::make_report;

/// Make the page of a run anew, or one page that compares several runs.
///
/// Every run leaves its page, report.html, by itself, and an evaluation puts its tables there; this
/// makes it again from report.json. Of several runs it lays figures, verdicts, curves, tables and
/// neighbours side by side and shows the settings that differ.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame report runs/byol-fashion-mini
  selfsame report runs/byol-fashion-mini runs/barlow-twins-fashion-mini --out comparison.html")]
pub struct ReportArgs {
    /// The runs' folders.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page [default: report.html in the run's folder, or comparison.html here for several
    /// runs].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes the page, and prints where it is.
pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    println!("{}", make_report(&args.runs, args.out.as_deref())?.display());
    Ok(())
}
