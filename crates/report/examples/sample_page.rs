//! Writes a page and a comparison from drawn data, to look at:
//! `cargo run --release -p selfsame-report --example sample_page -- FOLDER`.

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::error::Error;
use std::path::PathBuf;

use selfsame_report::{RunReport, comparison, page};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "sample-pages".into()));
    std::fs::create_dir_all(&folder)?;
    let mut runs = vec![
        sample::run("BYOL", "byol-long", 0.9, 2000, 1),
        sample::run("Barlow Twins", "barlow-twins", 0.5, 2000, 2),
        sample::run("BYOL", "byol-no-predictor", 0.05, 2000, 3),
    ];
    std::fs::write(folder.join("report.html"), page(&runs[0])?)?;
    std::fs::write(folder.join("collapsed.html"), page(&runs[2])?)?;
    std::fs::write(folder.join("least.html"), page(&RunReport::default())?)?;
    // A run that lacks parts, as one that was never evaluated.
    runs[2].tables.clear();
    runs[2].galleries.clear();
    std::fs::write(folder.join("comparison.html"), comparison(&runs)?)?;
    Ok(())
}
