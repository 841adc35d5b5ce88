//! A study as files: one page, Markdown with pictures, and JSON.

use std::path::Path;

use selfsame_report::{Study, study};
use serde::Serialize;
use serde_json::json;

use super::trials::StudyFolder;
use crate::run_folder::replace;

/// `index.html`, `README.md` with an SVG for each chart, `study.json` with every run's figures.
pub fn publish(folder: &StudyFolder, page: &Study, runs: &impl Serialize) -> anyhow::Result<()> {
    let path = |name: &str| folder.path().join(name);
    replace(&path("index.html"), study(page)?.as_bytes())?;
    replace(&path("README.md"), page.to_markdown().as_bytes())?;
    for chart in &page.charts {
        replace(&path(&chart.file_name()), chart.to_svg().as_bytes())?;
    }
    let all = json!({"study": page, "runs": runs});
    replace(&path("study.json"), serde_json::to_string_pretty(&all)?.as_bytes())
}

/// The command that is running, as one would type it.
pub fn command_line() -> String {
    let words = std::env::args().skip(1).map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,/:+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    std::iter::once("cargo xtask".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Where a study goes that was not told where.
pub fn default_folder(stem: &str) -> std::path::PathBuf {
    crate::run_folder::workspace().join("runs").join(Path::new(stem))
}
